"""The supervisor: owns the tunnel, starts the other actors, judges their failures.

cli.py           the command line: flags, environment, exit codes
settings.py      what was asked for, checked
runner.py        the process: children, sockets, signals (the only I/O on the bus)
policy.py        its judgement: events in, commands out (pure)
edges.py         which address of the edge a slot dials next (pure)
start.py         from nothing to credentials and edge addresses
provisioning.py  the tunnel API
rate_limit.py    when the next try at the API may be
discovery.py     the edge's addresses, by DNS
publisher.py     events to the PUB socket and to stdout
state_folder.py  the lock, the URL file, tunnel.json
"""
