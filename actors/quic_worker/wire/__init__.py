"""The protocol's bytes, and nothing else: no socket, no clock, no event loop.

Counterpart: `actors.local_edge.edge`, which speaks the edge's side with the same codec. That the codec itself is
right is shown by the bytes of real peers in tests/data/wire-golden.json.
"""
