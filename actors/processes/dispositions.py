"""What each signal does to a process of ours. A program inherits that from whoever starts it, through fork and exec.

A parent that ignores SIGCHLD makes the kernel forget how our children ended; one that ignores or blocks SIGTERM makes a
process that cannot be ended in order. So every `main` begins here:

    blocked signals         are let through again
    CHLD, TERM, USR1, …     ignored ones do again what the system has them do, until a process asks for them
    PIPE, XFSZ              are ignored: a peer that is gone, and a file that may not grow, are errors of a write
    HUP, INT, QUIT          stay ignored if they are: that is what `nohup`, and a script's `&`, are for
    TSTP, TTIN, TTOU        stay ignored if they are: a shell without job control ignores them
"""

import signal
from typing import Final

_STAY_IGNORED: Final = frozenset(
    (
        *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT),
        *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
    )
)

_IGNORED: Final = frozenset((signal.SIGPIPE, signal.SIGXFSZ))


def take_signals() -> None:
    """Set this process's own dispositions, whatever it inherited. Called from the main thread, first of all."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in signal.valid_signals() - _STAY_IGNORED - _IGNORED:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def is_wanted(number: signal.Signals) -> bool:
    """Whether whoever started this process lets it hear of a signal."""
    return number not in _STAY_IGNORED or signal.getsignal(number) is not signal.SIG_IGN
