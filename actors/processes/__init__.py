"""Processes of ours: how they begin and end, what they share, what they need of the machine.

lifeline.py      how a child is started, gets its orders, and ends with its parent
forked.py        how the first children are made: as forks, by which they share what is imported
nursery.py       a process that forks later children from what was loaded
child.py         what every simple child does
dispositions.py  what each signal does
means.py         what the machine may refuse, and how that is said
environment.py   environment variables as they were meant
text.py          text on streams of whatever encoding
log.py           structured logs on stderr
tasks.py         asyncio tasks that are held, and whose failures are seen
event_loop.py    uvloop where it is installed
"""
