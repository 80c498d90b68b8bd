"""What the tunnel costs, beside other clients: `.venv/bin/python -m benchmarks --help`."""
