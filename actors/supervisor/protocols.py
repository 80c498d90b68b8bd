"""Which protocol a slot dials next: QUIC, or HTTP/2 where UDP is blocked. Pure.

QUIC is tried first. A dial that meets silence is followed by one over HTTP/2 at once; if that one succeeds, UDP counts
as blocked in this network, and for some minutes nobody waits for it again. While connections are on HTTP/2, one
of them tries QUIC now and then, beside the connection that serves; if it succeeds, the others follow one by one.
Only silence says something about UDP: no route, a refusal or a lost connection does not.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.bus import events
from actors.bus.messages import Protocol, ProtocolWish
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.slots import Slot, SlotState

MEMORY: Final = 600.0
"""Seconds for which a network counts as one without UDP, after a dial over QUIC that was not answered."""

RETURN_PAUSES: Final = (60.0, 120.0, 240.0, 480.0, 600.0)
"""Seconds on HTTP/2 before QUIC is tried the first, second, … time; the last one for all further."""

PATIENCE_WHERE_IT_WORKED: Final = 2
"""Dials over QUIC in vain, one after the other, before HTTP/2 is tried in a network in which QUIC has worked: the
first may have met an address of the edge that is down."""


class Protocols(msgspec.Struct):
    """What is known of this network."""

    wish: ProtocolWish = "auto"
    has_proxy: bool = False
    """HTTP/2 leaves through a proxy: that there is no route says something about UDP then."""
    by_name: bool = False
    """The edge is known by names, which only a proxy can resolve: there is nowhere to send UDP."""
    _worked: bool = False
    """Whether QUIC has worked in it."""
    _silent_until: float = 0.0
    _silence: str = ""
    """What the last dial over QUIC that was not answered said."""
    _return_at: float | None = None
    _returns: int = 0
    """Consecutive tries to return to QUIC, in vain."""

    @property
    def _has_choice(self) -> bool:
        return self.wish == "auto" and not self.by_name

    def choose(self, slot: Slot, now: float) -> Protocol:
        """What a dial of this slot is to speak."""
        if not self._has_choice:
            return "http2" if self.by_name or self.wish == "http2" else "quic"
        if slot.turned_to is not None:
            return slot.turned_to
        return "http2" if now < self._silent_until else "quic"

    def dial_failed(self, slot: Slot, end: WorkerEnd, message: str) -> bool:
        """A dial of this slot has ended so; return whether the other protocol is to be tried at once.

        After HTTP/2 it is QUIC's turn again, and not at once: both have been tried, and both count as one failure.
        """
        is_silence = end is WorkerEnd.DIAL_FAILED or (end is WorkerEnd.NO_ROUTE and self.has_proxy)
        if not self._has_choice or not is_silence:
            return False
        slot.in_vain += 1
        if slot.protocol == "quic":
            self._silence = message
            if self._worked and slot.turned_to is None and slot.in_vain < PATIENCE_WHERE_IT_WORKED:
                return False
        slot.in_vain = 0
        slot.turned_to = "http2" if slot.protocol == "quic" else "quic"
        return slot.turned_to == "http2"

    def registered(self, slot: Slot, slots: Sequence[Slot], now: float) -> None:
        """A slot's connection is registered."""
        if slot.protocol == "quic":
            self._worked, self._silent_until, self._returns = True, 0.0, 0
            self._return_at = now if _on(slots, "http2") else None  # the next one follows
        elif self._has_choice:
            if slot.turned_to == "http2" and not _on(slots, "quic"):
                self._silent_until = now + MEMORY
            if self._return_at is None:
                self._return_at = now + RETURN_PAUSES[0]
        slot.in_vain, slot.turned_to = 0, None

    def network_changed(self, slots: Sequence[Slot], now: float) -> None:
        """Nothing is known of the new one."""
        self._worked, self._silent_until, self._returns = False, 0.0, 0
        if self._return_at is not None:
            self._return_at = now
        for slot in slots:
            slot.in_vain, slot.turned_to = 0, None

    def returning(self, slots: Sequence[Slot], now: float) -> Slot | None:
        """The slot that is to try QUIC now, beside its connection: one at a time."""
        if self._return_at is None or now < self._return_at or any(slot.successor for slot in slots):
            return None
        return next(iter(_on(slots, "http2")), None)

    def return_failed(self, now: float, message: str) -> float:
        """That try was in vain; return the seconds until the next one."""
        self._returns += 1
        pause = RETURN_PAUSES[min(self._returns, len(RETURN_PAUSES) - 1)]
        self._return_at, self._silent_until, self._silence = now + pause, now + MEMORY, message
        return pause

    def news(self, slot: Slot) -> events.ProtocolChanged | None:
        """What is to be told of the protocol of a slot that was just registered: only if it is another one."""
        before = slot.spoke or ("http2" if self.wish == "http2" else "quic")
        slot.spoke = slot.protocol
        if slot.protocol == before:
            return None
        cause = "QUIC works in this network" if slot.protocol == "quic" else self._silence
        return events.ProtocolChanged(slot=slot.index, previous=before, to=slot.protocol, cause=cause)


def _on(slots: Sequence[Slot], protocol: Protocol) -> list[Slot]:
    """Those that are registered over it."""
    return [slot for slot in slots if slot.state is SlotState.REGISTERED and slot.protocol == protocol]
