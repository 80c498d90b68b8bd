"""The programs around a running tunnel. Each finds it by its state folder, or by an endpoint.

status.py      bin/tunnel-status: how it is; exit code 0 only if it serves
stop.py        bin/tunnel-stop: stop it in order
events.py      bin/tunnel-events: what happens, line by line
requests.py    bin/tunnel-requests: what came, and send it again
metrics.py     bin/tunnel-metrics: its counters
doctor.py      bin/tunnel-doctor: what stands in the way of a tunnel
checks.py      what that looks at
ingress.py     bin/tunnel-ingress: ingress rules in a file, and which of them a URL meets
keys.py        bin/tunnel-keys: for a bus that is offered to the network
completion.py  bin/tunnel-completion: flags in shells
running.py     what they share: which tunnel, and its sockets
programs.py    all of them, with their flags
reference.py, metrics_reference.py, catalogue.py  docs/cli.md, docs/metrics.md, docs/events.md, made from the code
"""
