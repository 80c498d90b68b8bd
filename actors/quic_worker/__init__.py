"""The QUIC worker: one connection to the edge, and the requests that come on it.

    worker.py      the process: orders, life and end of one connection (the actor's I/O with the supervisor)
    spare.py       a worker that has done its imports and waits for its orders
    edge_connection.py  what the worker knows of a connection, whatever it goes over
    quic_edge.py   a connection over QUIC, and what to say when there is none
    dial.py        begins it: socket, trust, engine
    udp.py         the UDP socket: batches of datagrams in and out
    connection.py  the streams of one connection and their back-pressure, whatever carries them
    quic.py        what all QUIC connections have in common
    datagrams.py   a connection whose datagrams we drive ourselves (aioquic)
    picoquic.py    a connection whose engine has a thread of its own
    engine.py      what an engine must offer (pure)
    engines/       the two that there are: aioquic and picoquic
    bbr/           a congestion controller that models the path (pure); aioquic's
    control.py     the control stream: RPC to the edge
    streams.py     what to do with a stream that the edge opens
    ends.py        the ways in which a worker's life can end (pure)

A request's way: udp → engines → connection → streams → `actors.wire` → `actors.exchange`, and back the same way.
"""
