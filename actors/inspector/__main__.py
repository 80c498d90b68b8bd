"""`python -m actors.inspector`: started by the supervisor, never by hand."""

import sys

from actors.inspector.actor import main

if __name__ == "__main__":
    sys.exit(main())
