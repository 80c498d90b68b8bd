"""Other names of the Python API, importable at the top level: `nexo_tunnel_quick`, and `nexo_tunnel` (legacy).

The two packages in this folder are put beside `actors` when the project is installed (see pyproject.toml).
"""
