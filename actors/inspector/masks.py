"""What is not shown until it is asked for: the values of fields, and of parameters, that hold secrets. Pure."""

import re
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


_SECRET_PARAMETER: Final = re.compile(rb"(?<=[?&]hub\.verify_token=)[^&]*+")
"""What Meta sends, for WhatsApp and its like, with the question whether an address is ours: it is not signed, and who
has this can ask it, too."""


def shown_target(target: bytes, *, unmasked: bool) -> bytes:
    """A request's target as it is shown."""
    return target if unmasked else _SECRET_PARAMETER.sub(MASK, target)


def meant_target(edited: bytes, original: bytes) -> bytes:
    """An edited target, in which a mask stands for what it hides: the how-manieth for the same of it."""
    hidden = iter(_SECRET_PARAMETER.findall(original))
    return _SECRET_PARAMETER.sub(lambda found: next(hidden, found[0]) if found[0] == MASK else found[0], edited)


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
