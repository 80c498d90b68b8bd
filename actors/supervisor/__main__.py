"""`python -m actors.supervisor`: the same as the `tunnel-supervisor` command."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C while modules are loaded ends without a traceback

from actors.supervisor.cli import main  # noqa: E402

sys.exit(main())
