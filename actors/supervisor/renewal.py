"""When to ask for another tunnel: after the service has dropped one (`--renew`), or refuses one that was kept. Pure."""

from typing import Final

import msgspec

from actors.errors import ApiServerError, ApiUnreachable, DiscoveryError, TunnelError
from actors.supervisor.dice import Dice
from actors.supervisor.restart import BACKOFF, backoff

WAIT: Final = 60.0
"""Seconds by which the waits of `BACKOFF` are multiplied between two renewals: the API counts tunnels."""

HEALTHY_AFTER: Final = 600.0
"""Seconds that a tunnel must last for the next renewal to be made at once."""


class Renewal(msgspec.Struct):
    """The first renewal is made at once. After one that did not last, the next one waits: longer each time."""

    active: bool = False
    """The old tunnel is gone, and there is no new one yet."""
    is_kept: bool = False
    """An earlier supervisor had the tunnel: the edge may hold that one's connections, or have forgotten the tunnel."""
    _due_at: float | None = None
    """When it is to be asked for; None while it is, or none is wanted."""
    _failures: int = 0
    """Consecutive tries to get one, in vain."""
    _in_a_row: int = 0
    """Renewals of tunnels that did not last."""
    _begun_at: float = 0.0

    def begun(self, now: float, *, kept: bool) -> None:
        """There is a tunnel. `kept`: an earlier supervisor had it."""
        self.active, self.is_kept, self._due_at, self._failures, self._begun_at = False, kept, None, 0, now

    def dropped(self, now: float) -> None:
        """There is none any more."""
        if now - self._begun_at >= HEALTHY_AFTER:
            self._in_a_row = 0
        wait = WAIT * BACKOFF[min(self._in_a_row, len(BACKOFF)) - 1] if self._in_a_row else 0.0
        self._in_a_row += 1
        self.active, self._due_at = True, now + wait

    def failed(self, error: TunnelError, max_attempts: int, now: float, dice: Dice) -> bool:
        """No other was to be had; return whether it is tried again: what may pass, as often as a connection."""
        self._failures += 1
        exhausted = 0 < max_attempts <= self._failures
        if exhausted or not isinstance(error, ApiServerError | ApiUnreachable | DiscoveryError):
            return False
        self._due_at = now + backoff(self._failures, dice)
        return True

    def take_if_due(self, now: float) -> bool:
        """Whether it is to be asked for now; says so once."""
        if self._due_at is None or now < self._due_at:
            return False
        self._due_at = None
        return True
