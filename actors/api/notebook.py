"""In a notebook a cell is run again and again: what its earlier run started must not go on beside the new one.

Names there outlive a run, and so does what a cell showed (`Out`), so that an object's end says too little. The rule is
one tunnel for each origin that a notebook shows.
"""

import sys
import weakref
from typing import Final, Protocol


class Tunnel(Protocol):
    """A handle, or a `Tunnel`."""

    def let_go(self) -> None:
        """End it at once, and wait for nothing."""


_shown: Final[dict[int | str | None, weakref.ref[Tunnel]]] = {}
"""Origin → the tunnel that was started for it last."""


def _is_one() -> bool:
    """Whether this program is a session of IPython, which notebooks are."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


def end_earlier(origin: int | str | None) -> None:
    """A tunnel for `origin` is about to start: end the one before it."""
    reference = _shown.pop(origin, None)
    if reference is not None and (tunnel := reference()) is not None:
        tunnel.let_go()


def remember(origin: int | str | None, tunnel: Tunnel) -> None:
    """It has started."""
    if _is_one():
        _shown[origin] = weakref.ref(tunnel)
