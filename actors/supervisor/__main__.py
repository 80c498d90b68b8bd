"""`python -m actors.supervisor`: the same as the `tunnel-supervisor` command."""

import signal
import sys

if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C while modules are loaded ends without a traceback

from actors.supervisor.cli import main

sys.exit(main())
