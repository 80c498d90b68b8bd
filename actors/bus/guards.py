"""Who may come, as the supervisor makes it of the settings, and workers check requests against it. Pure.

What is secret shows in no repr.
"""

from typing import Annotated, Final, Literal

import msgspec

from actors.bus.tally import Message

Sender = Literal["github", "shopify", "slack", "stripe", "svix", "telegram", "twilio", "whatsapp"]
"""Whose webhooks can be told from forged ones."""

MAX_GUARDS: Final = 256
"""Of one tunnel: that of the flags, and those of rules that say something else. Each has a column in what its workers
share (`actors/guard/shared.py`)."""


class Login(Message, frozen=True):
    """A name and a password."""

    name: str
    password: str
    """As it is; or what bcrypt has made of it, which begins with `$2`."""
    is_hash: bool = True

    def __repr__(self) -> str:
        return f"Login({self.name!r}, …)"


class Rate(Message, frozen=True):
    """How fast one visitor may ask."""

    interval: Annotated[float, msgspec.Meta(gt=0)]
    """Seconds from one request to the next, in the long run."""
    burst: Annotated[int, msgspec.Meta(ge=1)]
    """Requests that may come at once."""


class Webhook(Message, frozen=True):
    """One sender of webhooks, and the secrets by which it signs."""

    sender: Sender
    secrets: tuple[str, ...]
    """Any of them: while one is replaced there are two."""
    verify_tokens: tuple[str, ...] = ()
    """WhatsApp's: by which it asks once whether the address is ours."""

    def __repr__(self) -> str:
        return f"Webhook({self.sender!r}, …)"


class Guard(Message, frozen=True, omit_defaults=True):
    """What a request has to pass: all that is set here; but of login, access token and webhook any one will do."""

    logins: tuple[Login, ...] = ()
    access_tokens: tuple[str, ...] = ()
    webhooks: tuple[Webhook, ...] = ()
    allow_ips: tuple[str, ...] = ()
    """Networks; none: all."""
    deny_ips: tuple[str, ...] = ()
    """They win over those that are allowed."""
    allow_paths: tuple[str, ...] = ()
    """Patterns (`actors/guard/paths.py`); none: all."""
    deny_paths: tuple[str, ...] = ()
    rate: Rate | None = None
    """For each visitor."""
    max_in_flight: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Requests at once, of all visitors; 0: any number."""
    banner: bool = False
    """Whether a browser is shown a page first."""

    def __repr__(self) -> str:
        """Tokens are counted, and not shown."""
        parts = [
            f"{name}={len(value) if name == 'access_tokens' else value!r}"
            for name in self.__struct_fields__
            if (value := getattr(self, name))
        ]
        return f"Guard({', '.join(parts)})"

    @property
    def proves(self) -> bool:
        """Whether a visitor has to prove something."""
        return bool(self.logins or self.access_tokens or self.webhooks)

    @property
    def closes(self) -> bool:
        """Whether it keeps out anybody who merely knows the address."""
        return self.proves or bool(self.allow_ips)


OPEN: Final = Guard()
"""Lets everybody in."""
