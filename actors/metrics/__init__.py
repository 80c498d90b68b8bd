"""The metrics actor: the counters of all connections, past and present, and their Prometheus text.

    registry.py    what was counted (pure)
    exposition.py  as Prometheus text and as JSON (pure)
    actor.py       the sockets

It can be killed at any moment: a new one is told what was counted (`Know`), and every report carries running totals.
"""
