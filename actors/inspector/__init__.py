"""The inspector actor (--inspect): what came, what was answered, and a button that sends it again.

    store.py      the exchanges that were seen lately, bounded in count and bytes (pure)
    websocket.py  the messages of a WebSocket that somebody else holds (pure)
    views.py      exchanges as the page and programs are told of them (pure)
    masks.py      what is not shown until it is asked for (pure)
    bodies.py     bytes of bodies, as they may be shown (pure)
    edits.py      what a replay sends (pure)
    door.py       who may come in (pure)
    raw.py        heads as bytes of HTTP/1.1 (pure)
    ngrok.py      ngrok's shapes (pure)
    har.py        HTTP Archive 1.2 (pure)
    api.py        what is answered over HTTP
    foreign.py    the same in the forms of others: ngrok's agent API, HTTP Archive
    feed.py       the stream of events for the page
    assets.py     the page's files
    tunnel.py     what is known of the tunnel
    actor.py      the sockets
    page/         the page: HTML, CSS and JavaScript, as they are

Workers show it their exchanges (`exchange/tap.py`) by messages of their own (`bus/inspection.py`), and never wait for
it.
"""
