"""How the actors talk: one schema, and ZeroMQ sockets that are made in one place.

messages.py    the schema of everything that passes between processes
addresses.py   a host and a port, and their text
inspection.py  what passes between workers and the inspector
events.py      what the supervisor tells the world
tally.py       what is counted
guards.py      who may come
routes.py      where requests go: the destinations, and which requests go to which
sockets.py     endpoints, and the one place where sockets are made
curve.py       keys for sockets that are offered to the network
run_folder.py  the private place for an instance's sockets
"""
