"""The engines: for QUIC aioquic, which we drive ourselves, and picoquic, which has a thread; for HTTP/2 h2. What they
offer: `../engine.py`.

    aioquic_engine.py  a `PacketEngine` over aioquic; its configuration and congestion controllers
    aioquic_acks.py    acknowledgements that ride on data
    aioquic_bbr.py     BBR by aioquic's plug-in point, and a pacer that keeps to its rate
    aioquic_credit.py  receive credit that follows what was consumed; datagrams as large as the path takes
    aioquic_queue.py   no work for streams that have nothing to do
    aioquic_tls.py     a post-quantum key exchange in the first flight
    hybrid.py          X25519MLKEM768
    path_mtu.py        the search for the path's size (RFC 8899)
    pieces.py          the stream data of a batch, joined
    picoquic_engine.py a `StreamEngine` over aiopquic
    picoquic_library.py  what aiopquic does not offer, and what it is to leave
    spool.py           bytes that nobody wants yet
    h2_engine.py       a `ByteEngine` over h2: queues, turns, credit, ends
    h2_lenient.py      h2, made to let one bad request cost one request
    h2_frames.py       which frames it is to see

Each is loaded only where it is asked for.
"""
