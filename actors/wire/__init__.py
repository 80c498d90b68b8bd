"""The protocol's bytes, and nothing else: no socket, no clock, no event loop.

    connect.py       the head of a stream that carries a request, and the head of its answer
    heads.py         what such heads say, as the request and the response that an exchange knows
    offsets.py       such heads by their offsets, which is fast
    h2_heads.py      requests and responses as HTTP/2 carries them
    hpack.py         field blocks of HTTP/2 as bytes
    registration.py  what client and edge say on the control stream, as typed values
    rpc.py           Cap'n Proto RPC, as bytes in and bytes out
    framing.py       where one of its messages ends in a stream of bytes
    schema.py        the schemas (tunnel.capnp), and the only place that touches pycapnp

Counterpart: `actors.local_edge.edge`, which speaks the edge's side with the same codec. That the codec itself is
right is shown by the bytes of real peers in tests/data/wire-golden.json.
"""
