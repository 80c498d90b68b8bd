"""The QUIC worker: one connection to the edge, and the requests that come on it.

    worker.py      the process: orders, life and end of one connection (the actor's I/O with the supervisor)
    spare.py       a worker that has done its imports and waits for its orders
    dial.py        begins a connection: socket, trust, engine
    udp.py         the UDP socket: batches of datagrams in and out
    connection.py  one QUIC connection on an event loop: timer, streams, back-pressure
    engine.py      what a QUIC engine must offer
    engines/       the two that there are: aioquic and qh3
    bbr/           a congestion controller that models the path (pure); aioquic's
    control.py     the control stream: RPC to the edge
    streams.py     what to do with a stream that the edge opens
    wire/          the protocol's bytes (pure)
    http1.py       request heads, hop-by-hop rules, body framing (pure)
    rewrite.py     the public name and the origin's own, with --host-header (pure)
    reasons.py     why an answer is not the origin's, and what to try (pure)
    journal.py     what the log says of requests
    proxy.py       one exchange: from the edge to the origin and back
    origin.py      a connection to the origin
    response.py    reads what comes on it, strict or loose (pure)
    origin_pool.py connections to it, kept between exchanges
    reuse.py       which of them may serve somebody else afterwards (pure)
    reach.py       reaches an origin of several addresses
    origin_tls.py  TLS towards it
    ledger.py      what was counted and what was reported (pure)
    ends.py        the ways in which a worker's life can end (pure)

A request's way: udp → engine → connection → streams → wire → http1 → proxy → origin, and back the same way.
"""
