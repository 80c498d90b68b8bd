"""`python -m actors.metrics`: started by the supervisor, never by hand."""

import sys

from actors.metrics.actor import main

if __name__ == "__main__":
    sys.exit(main())
