"""The guards of a tunnel: the flags', and those of rules that say something else. Their secrets are read here."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from actors.bus.guards import MAX_GUARDS, OPEN, Guard
from actors.bus.routes import Routes
from actors.errors import UsageError
from actors.guard import values
from actors.guard.wanted import NOTHING, GuardWanted
from actors.supervisor import secret_files

MAX_ALL_BYTES: Final = 1024 * 1024
"""Of all guards together: they are part of the orders of each worker."""

T = TypeVar("T")


@dataclass(frozen=True)
class Guards:
    """What requests have to pass. The secrets show in no repr."""

    common: Guard = OPEN
    """Of all rules that say nothing else, those that the service pushes among them."""
    of_rules: tuple[Guard | None, ...] = ()
    """Of the rules of a file; None: the common one."""
    variables: tuple[str, ...] = ()
    """With secrets that were taken from there."""

    def over(self, routes: Routes) -> Routes:
        """These routes, each with its guard."""
        if self.common == OPEN and not any(self.of_rules):
            return routes
        guards = [self.common]
        made = []
        own = self.of_rules or (None,) * len(routes.routes)
        for route, guard in zip(routes.routes, own, strict=True):
            if guard is not None:
                guards.append(guard)
            number = 0 if guard is None else len(guards) - 1
            made.append(msgspec.structs.replace(route, guard=None if guards[number] == OPEN else number))
        return msgspec.structs.replace(routes, routes=tuple(made), guards=tuple(guards))

    @property
    def counts_together(self) -> bool:
        """Whether its workers have something to count together."""
        return any(guard.rate is not None or guard.max_in_flight for guard in (self.common, *self.of_rules) if guard)

    @property
    def each(self) -> list[Guard]:
        """The guard of each rule, as far as they are known."""
        return [self.common if own is None else own for own in self.of_rules] or [self.common]

    def in_words(self) -> list[str]:
        """Who may come: lines for a person at a terminal."""
        closed = [guard for guard in self.each if guard.closes]
        if not closed:
            return ["public: whoever knows the address can use it", HOW_TO_CLOSE]
        names = {
            "a login": any(guard.logins for guard in closed),
            "an access token": any(guard.access_tokens for guard in closed),
            "a signed webhook": any(guard.webhooks for guard in closed),
            "an address that is allowed": any(guard.allow_ips for guard in closed),
        }
        who = " or ".join(name for name, is_so in names.items() if is_so)
        return [f"guarded: it takes {who}" + ("" if len(closed) == len(self.each) else ", but for some rules")]

    def is_open(self, routes: Routes) -> bool:
        """Whether anybody gets to all that is behind these routes."""
        guards = [routes.guards[route.guard] if route.guard is not None else OPEN for route in routes.routes]
        return not any(guard.closes for guard in guards) and not any(route.access for route in routes.routes)


HOW_TO_CLOSE: Final = "to close it: --access-token-file FILE, or --auth-file FILE"

OPEN_DOOR: Final = (
    "whoever knows the address can use what is behind it, where each visitor looks like this machine itself; "
    "--access-token-file FILE or --auth-file FILE lets in whom you choose"
)
"""Said at the start of a tunnel that nothing closes."""


def read(
    common: GuardWanted, of_rules: Sequence[GuardWanted | None], environment: Mapping[str, str], warnings: list[str]
) -> Guards:
    """Read all secrets, and make the guards.

    Raises:
        UsageError: a file cannot be read, or makes no sense; no message shows any of it.
    """
    reader = _Reader(environment, warnings)
    made = Guards(
        reader.guard(common, ""),
        tuple(
            None if wanted is None else reader.guard(wanted.over(common), f"rule #{number}: guard: ")
            for number, wanted in enumerate(of_rules, 1)
        ),
        tuple(reader.variables),
    )
    own = [guard for guard in made.of_rules if guard is not None]
    if len(own) >= MAX_GUARDS:
        raise UsageError(f"{len(own)} rules have a guard of their own; there can be {MAX_GUARDS - 1}")
    if sum(len(msgspec.msgpack.encode(guard)) for guard in (made.common, *own)) > MAX_ALL_BYTES:
        raise UsageError(
            f"the guards of all rules have more than {MAX_ALL_BYTES} bytes: name fewer networks, or wider ones"
        )
    return made


class _Reader:
    """Reads each secret once, however many rules name it."""

    def __init__(self, environment: Mapping[str, str], warnings: list[str]) -> None:
        self._environment = environment
        self._warnings = warnings
        self._contents: dict[str, bytes] = {}
        self.variables: dict[str, None] = {}

    def guard(self, wanted: GuardWanted, where: str) -> Guard:
        """`where`: who asks for it, if that is a rule."""
        if wanted == NOTHING:
            return OPEN
        logins = self._made(wanted.auth_file, f"{where}--auth-file", "who may come", values.logins)
        tokens = self._made(
            wanted.access_token_file, f"{where}--access-token-file", "who may come", values.access_tokens
        )
        if any(len(token) < values.GOOD_TOKEN for token in tokens or ()):
            self._warn(
                f"{where}--access-token-file {wanted.access_token_file}: a token of less than {values.GOOD_TOKEN} "
                "characters can be guessed; make one by: openssl rand -hex 16"
            )
        webhooks = []
        for text in wanted.verify_webhook or ():
            sender, place = values.webhook(text)
            flag = f"{where}--verify-webhook {sender}"
            read = functools.partial(values.secrets, sender)
            made = self._made(place, flag, "the secret of your webhooks", read)
            assert made is not None
            webhooks.append(made)
        return Guard(
            logins or (),
            tokens or (),
            tuple(webhooks),
            tuple(map(values.network, wanted.allow_ip or ())),
            tuple(map(values.network, wanted.deny_ip or ())),
            wanted.allow_path or (),
            wanted.deny_path or (),
            values.rate(wanted.rate_limit) if wanted.rate_limit else None,
            values.in_flight(wanted.max_in_flight) if wanted.max_in_flight else 0,
            bool(wanted.banner),
        )

    def _made(self, place: str | None, flag: str, what: str, make: Callable[[bytes], T]) -> T | None:
        if not place:
            return None
        if (name := secret_files.variable_of(place)) is not None:
            self.variables[name] = None
        if place not in self._contents:
            self._contents[place] = secret_files.read(place, flag, what, self._environment, self._warnings)
        try:
            return make(self._contents[place])
        except ValueError as error:
            raise UsageError(f"{flag} {place}: {error}") from None

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)


def environment_of(variables: Mapping[str, str]) -> Mapping[str, str]:
    """Where `env:NAME` is looked for: a program's check of its flags looks where its supervisor will."""
    return variables or os.environ


NO_GUARDS: Final = Guards()
