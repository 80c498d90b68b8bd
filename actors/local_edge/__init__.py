"""The local edge: a stand-in for Cloudflare on loopback, for offline use, demos and tests.

    cli.py / __main__.py   bin/local-edge, and the same as a child of the supervisor
    service.py             the services together
    api.py                 POST /tunnel: credentials for a new tunnel
    registry.py            tunnels, connections, rules for registrations (pure)
    hostnames.py           which names lead to a tunnel (pure)
    pushes.py              configurations that are pushed to a tunnel's connections
    quic_server.py         one UDP socket, many QUIC connections
    edge_engine.py         what it asks of a QUIC engine; engines.py has aioquic's
    tls.py                 TLS 1.3 of the server: the post-quantum key exchange, SNI
    certificates.py        a certificate authority that lives as long as the process
    front_tls.py           the public front's certificates, with --local-edge-tls
    edge.py                the edge's side of one connection, whatever carries it: registration
    quic_link.py           what carries it over QUIC
    h2_server.py           one TCP port with TLS, many HTTP/2 connections
    h2_link.py             what carries it over HTTP/2: connections, h2_stream.py has their streams
    h2_words.py            requests and answers in HTTP/2's fields, from and to QUIC's words (pure)
    front.py               the public HTTP front, on actors/web
    local_address.py       the front's own address as another name of the only tunnel (pure)
    limits.py              what --as-cloudflare imitates (pure)
    admin.py               HTTP endpoints for tests: look, name, push, drop, freeze, refuse, open streams

It serves any client of the protocol, the official Go client too.
"""
