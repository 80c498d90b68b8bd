"""What happens to a request, whatever brought it.

request.py      a request, and who answers it (pure)
exchange.py     one request and its response: the edge on one side, a connection to the origin on the other (pure)
contained.py    faults, kept to the exchange in which they happen (pure)
exchanges.py    those that run, and what they need of the event loop
driver.py       what that is (pure)
observers.py    who is told of exchanges as they go (pure)
router.py       which target a request goes to, and past which gate
gate.py         what a request passes before that (pure)
entrance.py     a request before its gates, one after the other (pure)
holding.py      who holds a body for that (pure)
guard_gate.py   the gate of `actors/guard`: its clocks, and threads for passwords
access.py       the gate of Cloudflare Access: what its tokens prove (pure)
access_keys.py  the keys for that, which are fetched
backend.py      what a target is, and a connection to it, as far as an exchange is concerned (pure)
flow.py         back-pressure between two sides (pure)
upload.py       what a visitor sends, on its way to the origin (pure)
http1.py        the head of a request to the origin, and of its answer to the edge (pure)
names.py        what is known of the names of fields (pure)
rewrite.py      an origin that is asked for by its own name (pure)
origin.py       a connection to the origin
response.py     reads an origin's response, as loose as it may be (pure)
reuse.py        whether a connection may serve somebody else (pure)
origin_pool.py  connections that are kept between exchanges
services.py     services of TCP as targets: a rule's own, a bastion's, SOCKS's
websocket.py    the WebSocket that carries them, of which we are the server
socks.py        SOCKS5, as its server speaks it (pure)
dial.py         opens connections, and says why there is none
reach.py        the origin's addresses, of which any may be deaf
origin_tls.py   TLS towards an origin (pure)
tap.py          what the inspector is shown (pure)
replays.py      requests of the past, which go to the origin once more
ledger.py       what passed, and how much of it is reported (pure)
journal.py      the log of requests
reasons.py      why a visitor did not get the origin's answer (pure)
"""
