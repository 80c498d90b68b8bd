"""The supervisor: owns the tunnel, starts the other actors, judges their failures.

cli.py           the command line: from settings to a supervisor
flags.py         the flags
flag_values.py   what makes sense as the value of one
guard_flags.py   the flags that decide who may come
guards.py        what comes of them: the guards of all rules, with their secrets
guard_file.py    in which all workers count visitors together
secret_files.py  where secrets stand
habits.py        what people type out of habit, and which flag it is here (pure)
sources.py       flags, environment, configuration file: who wins
settings.py      what was asked for, checked
inspecting.py      of the inspector
compose.py       what a supervisor is made of, put together
bus_sockets.py   its own sockets and endpoints
runner.py        the process at work: children, what they say, what is done about it
statistics.py    how the tunnel is doing, in numbers
ending.py        who may ask for the end
policy.py        its judgement: events in, commands out (pure)
history.py       what it was told lately, for a fault to be played again (pure)
vocabulary.py    those events and commands (pure)
failures.py      what the end of a worker means (pure)
outside.py       what is known of the network and of the public URL (pure)
dice.py          chance that can be repeated (pure)
slots.py         what is remembered of each connection (pure)
restart.py       restart rules, and the judgement of the other actors (pure)
renewal.py       when another tunnel is asked for (pure)
readiness.py     the states of the tunnel (pure)
edges.py         which address of the edge a slot dials next (pure)
protocols.py     which protocol a slot dials next (pure)
succession.py    one connection takes another's place while that one still serves (pure)
telling.py       the events that tell of one connection (pure)
engines.py       which QUIC engine workers run (pure)
counts.py        what was counted, for a metrics actor that begins anew (pure)
recount.py       what has passed by now: all workers are asked
proxies.py       the proxy that the environment names, and for what (pure)
orders.py        what each child is told at its start
children.py      the processes, and what they say
lifeline_input.py  stdin, which ties the tunnel to the program that started it
announcer.py     what is told to whom: log, files, service manager, events
watcher.py       what is seen of the world outside: routes, DNS, the public URL
network.py         routes and the resolver
visibility.py      the public name, by DNS and by HTTP
package.py       whether the package on disk is still the one that runs
origin_watch.py  whether anything listens where requests go
service_manager.py  sd_notify
start.py         from nothing to credentials and edge addresses
provisioning.py  the tunnel API
keeper.py        a tunnel that outlives its supervisor: put into the state folder, and taken out of it
kept.py            what is kept, and when it is of use (pure)
token.py         a tunnel of one's own: its token or credentials file, read and checked (pure)
own_tunnel.py    which file or variable has it
rules.py         where requests go, and who is told of it
remote_rules.py    rules that the service pushed, and the last good ones of them
rule_files.py      files that rules name
local_rules.py     rules of a file
go_flags.py        flags of the Go client that stand in it
rate_limit.py    when the next try at the API may be
discovery.py     the edge's addresses, by DNS
publisher.py     events to the PUB socket and to stdout
terminal.py      what a person at a terminal sees
owner.py         the end of the process that the tunnel belongs to
output.py        text to stdout and to a terminal, without waiting for its reader
state_folder.py  the lock, the URL file, tunnel.json, the file of a kept tunnel
"""
