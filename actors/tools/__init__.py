"""The programs around a running tunnel. Each finds it by its state folder.

status.py   bin/tunnel-status: one look; exit code 0 only if it serves
stop.py     bin/tunnel-stop: stop it in order
events.py   bin/tunnel-events: what happens, line by line
metrics.py  bin/tunnel-metrics: its counters
running.py  what they share: which tunnel, and its sockets
"""
