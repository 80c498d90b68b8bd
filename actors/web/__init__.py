"""HTTP towards clients: the one server for the front of the local edge, for --metrics-http, and for all small pages.

    http_server.py   HTTP/1.1 on httptools: requests with streamed bodies, responses as they come, upgrades raw
    pages.py         small pages over it: routes, JSON, limits, and a server that ends in order

httptools is what the workers have loaded anyway (it reads what origins answer), so that a page costs no import.
"""
