"""When a child is started again, and the waits between two tries. Pure.

`policy.py` judges the workers by it. The other actors (the helpers) are judged here, all in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from actors.bus import events
from actors.bus.messages import HEARTBEAT_INTERVAL
from actors.errors import LocalSetupError
from actors.supervisor.dice import Dice
from actors.supervisor.vocabulary import (
    Announce,
    Command,
    Finish,
    HelperBeat,
    HelperExited,
    HelperReady,
    KillHelper,
    SpawnHelper,
)

BACKOFF: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before the next try after the first, second, … consecutive failure; the last one for all further."""

MIN_JITTER: Final = 0.5
"""A wait is between this share of its value and all of it, so that many clients do not come back as one."""

MISSED_HEARTBEATS: Final = 3
"""A child that missed so many is killed: it is stopped or stuck, and a worker's edge still sends it requests."""

HEARTBEAT_SLACK: Final = 0.5
"""Seconds for a beat to arrive on a busy machine."""

PATIENCE: Final = MISSED_HEARTBEATS * HEARTBEAT_INTERVAL + HEARTBEAT_SLACK
"""Seconds without a word after which a child counts as hung."""

READY_TIMEOUT: Final = 20.0
"""Seconds for a child to come up; imports take 0.3 s, on a machine that swaps much longer. A spare that becomes a
worker gets them too: on such a machine its new sockets and its first word can take seconds."""

HELPER_HEALTHY_AFTER: Final = 60.0
"""Seconds between two ends of another actor after which they have nothing to do with each other."""

SPARE: Final = "spare"
"""The actor that is a worker without orders."""


@dataclass(frozen=True)
class HelperSpec:
    """How an actor that is no worker is treated. One that ends is started again, if it is not significant."""

    significant: bool = False
    """Its end is the end of the supervisor (OTP's word)."""
    needed: bool = True
    """The tunnel cannot begin before this actor is up."""


HELPERS: Final = {
    "metrics": HelperSpec(),
    SPARE: HelperSpec(needed=False),
    "inspector": HelperSpec(),
    "local_edge": HelperSpec(significant=True),
    "hello_world": HelperSpec(significant=True),
}


def backoff(tries: int, dice: Dice) -> float:
    """Seconds to wait after so many consecutive failures."""
    return BACKOFF[min(tries, len(BACKOFF)) - 1] * dice.uniform(MIN_JITTER, 1.0)


class Helpers(msgspec.Struct):
    """The actors that are no workers: who is up, who is coming up, and who is due to be started again."""

    _seen: dict[str, float] = {}
    """When each that is up was last heard of."""
    _were_up: set[str] = set()
    _failures: dict[str, tuple[int, float]] = {}
    _due: dict[str, float] = {}
    _ordered: dict[str, float] = {}
    """When each that is not up yet was to be started."""

    has_spare: bool = True
    """One is up, on its way, or due to be started again. The first is started together with the metrics actor, before
    there is a tunnel: it becomes the first worker, also of those who want none later."""

    def take_spare(self) -> tuple[bool, bool]:
        """The spare becomes a worker: return whether there is one, and whether it is up already."""
        is_up, is_coming = SPARE in self._seen, SPARE in self._ordered
        if is_up or is_coming:
            self._seen.pop(SPARE, None)
            self._ordered.pop(SPARE, None)
            self.has_spare = False
        return is_up or is_coming, is_up

    def order_spare(self, now: float) -> list[Command]:
        """Have a spare started, if there is none."""
        if self.has_spare:
            return []
        self.has_spare = True
        return [self.order(SPARE, now)]

    def is_up(self, name: str) -> bool:
        """Whether it has said that it is ready, and has not ended since."""
        return name in self._seen

    def order(self, name: str, now: float) -> SpawnHelper:
        """Have one started."""
        self._ordered[name] = now
        return SpawnHelper(name)

    def is_silent(self, now: float) -> bool:
        """Whether one that is up says nothing."""
        return any(now - seen > PATIENCE for seen in self._seen.values())

    def slept(self, seconds: float) -> None:
        """This process slept for so long: nobody could be heard in that time."""
        self._seen = {name: seen + seconds for name, seen in self._seen.items()}
        self._ordered = {name: since + seconds for name, since in self._ordered.items()}

    def handle(self, event: HelperReady | HelperBeat | HelperExited, now: float, dice: Dice) -> Sequence[Command]:
        """Take an event; return what is to be done about it."""
        match event:
            case HelperReady(name):
                self._were_up.add(name)
                self._ordered.pop(name, None)
                self._seen[name] = now
            case HelperBeat(name):
                if name in self._seen:
                    self._seen[name] = now
            case HelperExited(name, status):
                return self._exited(name, status, now, dice)
        return []

    def tick(self, now: float) -> list[Command]:
        """Return what is due: kill those that hang, start those that have ended."""
        hung = [name for name, seen in self._seen.items() if now - seen > PATIENCE]
        hung += [name for name, since in self._ordered.items() if now - since > READY_TIMEOUT]
        for name in hung:
            self._seen.pop(name, None)
            self._ordered.pop(name, None)
        due = [name for name, at in self._due.items() if now >= at]
        for name in due:
            del self._due[name]
        return [*(KillHelper(name) for name in hung), *(self.order(name, now) for name in due)]

    def _exited(self, name: str, status: int, now: float, dice: Dice) -> Sequence[Command]:
        self._seen.pop(name, None)
        self._ordered.pop(name, None)
        spec, words = HELPERS[name], name.replace("_", " ")
        if spec.needed and name not in self._were_up:
            return [Finish(LocalSetupError(f"the {words} actor ended with status {status} during the start"))]
        if spec.significant:
            return [Finish(LocalSetupError(f"the {words} ended with status {status}, and the tunnel with it"))]
        failures, last = self._failures.get(name, (0, 0.0))
        failures = failures + 1 if now - last < HELPER_HEALTHY_AFTER else 1
        self._failures[name] = (failures, now)
        announcement = Announce(events.ActorRestarted(actor=name, exit_status=status))
        if failures == 1:
            return [announcement, self.order(name, now)]
        self._due[name] = now + backoff(failures - 1, dice)
        return [announcement]
