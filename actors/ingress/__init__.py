"""Ingress rules: what people, files and dashboards say about where requests go, and what becomes of it. All pure.

errors.py      IngressError, whose text goes back to whoever made the rules
model.py       what a configuration says, with all defaults filled in
patterns.py    patterns of paths: RE2's
match.py       which rule a request meets
"""
