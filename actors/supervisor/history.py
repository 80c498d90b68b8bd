"""What the policy was told lately: a fault in it can be played again. Pure.

The policy's state and its events are plain data. After a fault the log gets a `Recording` of them: the state as it was
some events ago, and each event since, with its time. (At level debug, also when a tunnel is given up.) Read back, it
leads to the same end; `tests/supervisor/test_history.py` shows how. There are no secrets in it: the policy knows none.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from actors import errors
from actors.errors import TunnelError
from actors.supervisor.policy import Policy
from actors.supervisor.vocabulary import Command, PolicyEvent

KEPT: Final = 200
"""Events that are kept at most: half a minute of a tunnel that is well, since every child beats once a second."""

CHAPTER: Final = KEPT // 2
"""Events between two copies of the state. The last two chapters are kept, so that there are half of `KEPT` at least."""

Told = tuple[float, PolicyEvent]
"""When, by the monotonic clock, and what."""


class Recording(msgspec.Struct):
    """A stretch of a policy's life."""

    policy: Policy
    """As it was when the stretch began."""
    told: list[Told]

    @classmethod
    def read(cls, text: str | bytes) -> "Recording":
        """Read what `History.text` wrote.

        Raises:
            msgspec.ValidationError: it is of another version, or no recording.
        """
        return msgspec.json.decode(text, type=cls, dec_hook=_error_from)

    def replay(self) -> Iterator[Sequence[Command]]:
        """Tell the policy everything again; yield its answer to each event."""
        for now, event in self.told:
            yield self.policy.handle(event, now)


class _Chapter:
    def __init__(self, policy: Policy) -> None:
        self.state = msgspec.json.encode(policy)
        self.told: list[Told] = []


class History:
    """Hands events to a policy, and keeps the latest."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._chapters = [_Chapter(policy)]

    def handle(self, event: PolicyEvent, now: float) -> Sequence[Command]:
        """Take an event; return what is to be done about it."""
        if len(self._chapters[-1].told) == CHAPTER:
            self._chapters = [self._chapters[-1], _Chapter(self._policy)]
        self._chapters[-1].told.append((now, event))  # first: it may be what the policy stumbles over
        return self._policy.handle(event, now)

    def text(self) -> str:
        """The `Recording`, as JSON."""
        told = [entry for chapter in self._chapters for entry in chapter.told]
        state = msgspec.Raw(self._chapters[0].state)
        return msgspec.json.encode({"policy": state, "told": told}, enc_hook=_error_as_data).decode()


def _error_as_data(value: object) -> Any:
    if isinstance(value, TunnelError):
        return [type(value).__name__, str(value)]
    raise NotImplementedError(type(value).__name__)


def _error_from(_: type, value: Any) -> TunnelError:
    """An error of the same kind and text; what else it held is not needed to judge it."""
    name, text = value
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, TunnelError)):
        raise ValueError(f"{name!r} is no error of ours")
    return kind.__new__(kind, text)
