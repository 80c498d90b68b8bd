"""Faults of this program, kept to the exchange in which they happen. Pure."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Containing(Protocol):
    """Whatever is told of its own faults."""

    def fault(self, error: Exception) -> None:
        """An event of it ended with `error`."""


_C = TypeVar("_C", bound=Containing)
_P = ParamSpec("_P")


def contained(act: Callable[Concatenate[_C, _P], None]) -> Callable[Concatenate[_C, _P], None]:
    """A fault in an event, from whichever side it comes, costs whom it is for, and nobody else."""

    @functools.wraps(act)
    def contained(self: _C, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            act(self, *args, **kwargs)
        except Exception as error:
            self.fault(error)

    return contained
