"""`python -m actors.quic_worker`: started by the supervisor, never by hand."""

import sys

from actors.quic_worker.worker import main

if __name__ == "__main__":
    sys.exit(main())
