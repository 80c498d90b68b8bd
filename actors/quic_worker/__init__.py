"""The worker: one connection to the edge, and the requests that come on it.

    worker.py      the process: orders, life and end of one connection (the actor's I/O with the supervisor)
    inspected.py   its line to the inspector, if somebody looks
    spare.py       a worker that has done its imports and waits for its orders
    ends.py        the ways in which a worker's life can end (pure)
    edge_connection.py  what the worker knows of a connection, whatever it goes over
    control.py     the control stream: RPC to the edge
    pushes.py      configurations that the edge pushes, on their way to the supervisor
    ways.py        the two ways there are, by what they speak
    connection.py  the streams of one connection and their back-pressure, whatever carries them
    responder.py   what the responders of both ways have in common
    engine.py      what an engine must offer (pure)
    engines/       aioquic, picoquic, and h2

over QUIC:

    quic_edge.py   a connection, and what to say when there is none
    dial.py        begins it: socket, trust, engine
    udp.py         the UDP socket: batches of datagrams in and out
    quic.py        what all QUIC connections have in common
    datagrams.py   a connection whose datagrams we drive ourselves (aioquic)
    picoquic.py    a connection whose engine has a thread of its own
    bbr/           a congestion controller that models the path (pure); aioquic's
    streams.py     what to do with a stream that the edge opens

over HTTP/2:

    http2_edge.py  a connection, and what to say when there is none
    tcp.py         TLS over TCP: socket, trust, room
    proxy.py       the way through an HTTP proxy (pure)
    http2.py       streams, and how bytes get from the engine to the socket
    pulse.py       whether a path is alive (pure)
    h2_streams.py  what to do with a stream that the edge opens

A request's way: udp → engines → connection → streams → `actors.wire` → `actors.exchange`, and back the same way; over
HTTP/2: tcp → engines → http2 → h2_streams → `actors.wire` → `actors.exchange`.
"""
