"""The lifecycle counters of this process: of all tunnels that it started with the Python API, on any thread."""

import threading

import msgspec

from actors.bus.tally import LifecycleCounts

_lock = threading.Lock()
_counts = LifecycleCounts()


def _change(**changes: object) -> None:
    global _counts
    _counts = msgspec.structs.replace(_counts, **changes)


def started() -> None:
    """A tunnel came up."""
    with _lock:
        _change(starts=_counts.starts + 1)


def start_failed(reason: str) -> None:
    """One did not."""
    with _lock:
        _change(starts_failed=_counts.starts_failed | {reason: _counts.starts_failed.get(reason, 0) + 1})


def stopped() -> None:
    """A stop was asked for."""
    with _lock:
        _change(shutdowns=_counts.shutdowns + 1)


def lifecycle() -> LifecycleCounts:
    """What was counted by now."""
    return _counts
