"""The lock on the door: who may come to a tunnel's address, and how often.

All of it is pure: what a request says goes in, a verdict comes out. The gate that asks it is `exchange/guard_gate.py`.

sentry.py     one guard: what a request has to pass, in which order
addresses.py  where a visitor comes from, as the edge says it, and the networks that may come
paths.py      patterns of paths, and all that an origin may take a path for
fields.py     what is looked for in a request, and taken out of it
logins.py     a name and a password (Basic)
tokens.py     access tokens: in a field, once in the address, and then as a signed cookie
webhooks.py   by which schemes senders sign their webhooks
shared.py     what all workers of a tunnel count together: requests of a visitor, requests in flight
banner.py     the page that browsers are shown first, if that is asked for
wanted.py     what is asked for, as flags and files of rules say it
values.py     what makes sense as a setting: text in, value out
"""
