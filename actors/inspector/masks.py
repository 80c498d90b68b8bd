"""What is not shown until it is asked for: the values of fields that hold secrets. Pure."""

from collections.abc import Iterable
from typing import Final

from actors.bus.inspection import Field

MASKED: Final = (
    *("authorization", "cookie", "set-cookie", "proxy-authorization"),
    *("cf-access-jwt-assertion", "cf-access-client-secret", "x-telegram-bot-api-secret-token"),
)
"""Fields whose values are shown on demand only; `--inspect-mask` names more."""

MASK: Final = b"[masked]"
"""What is shown instead. In an edited replay it stands for the original's value."""


class Masks:
    """Which fields are masked."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        """`more`: names beside those that always are."""
        self.names: Final = tuple(dict.fromkeys((*MASKED, *(name.lower() for name in more))))
        self._hidden = frozenset(name.encode("latin-1", "replace") for name in self.names)

    def hides(self, name: bytes) -> bool:
        """Whether the values of fields with this name are."""
        return name.lower() in self._hidden

    def shown(self, fields: Iterable[Field], *, unmasked: bool) -> list[tuple[bytes, bytes, bool]]:
        """Names, values as they are shown, and whether these are masks."""
        shown = []
        for name, value in fields:
            hidden = not unmasked and self.hides(name)
            shown.append((name, MASK if hidden else value, hidden))
        return shown
