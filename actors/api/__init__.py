"""What Python programs use. The names are importable from `actors` itself.

manager.py      TunnelManager: what a tunnel is to be, and its start
handle.py       TunnelHandle: a tunnel that a program has
blocking.py     Tunnel, the same without `await`
asgi.py         lifespan, for FastAPI, Starlette and the like
supervisor_process.py  the supervisor process: its start, its output, its end
handed.py       what that process is to read and nobody else: a token, rules without a file
tether.py       the pipe that ties a supervisor to the program
program_log.py  what a supervisor logs, by the program's own `logging`
notebook.py     a cell that is run again ends what its earlier run started
shared.py       one tunnel for all processes of a server
"""
