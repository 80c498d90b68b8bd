"""Real applications behind the tunnel, each used by a real client: what docs/applications.md says is tried here.

Asked for by `bin/test -m applications`; each module is one application, and can be run alone. Every test installs its
application from PyPI or npm into a folder that is thrown away, and is skipped where they cannot be reached.
"""
