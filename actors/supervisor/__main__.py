"""`python -m actors.supervisor`: the same as the `tunnel-supervisor` command."""

import sys

from actors.supervisor.cli import main

sys.exit(main())
