"""Ingress rules: what people, files and dashboards say about where requests go, and what becomes of it. All pure.

errors.py      IngressError, whose text goes back to whoever made the rules, and RuleError, which knows which rule it is
model.py       what a configuration says, with all defaults filled in
shapes.py      the fields that files and JSON have
json_text.py   JSON, as Go reads it
parse.py       a configuration as the edge pushes it
local_file.py  a configuration as a file of this machine has it
services.py    what a rule's `service` says
hostnames.py   which hostnames are any, and how they stand in DNS
rules.py       rules from what was given: inherited, checked, numbered
defaults.py    defaults filled in, and taken out again
patterns.py    patterns of paths: RE2's
match.py       which rule a request meets
allowed.py     what a configuration from elsewhere may reach
routing.py     routes for the workers
versions.py    which version is in force, and what a push is answered
"""
