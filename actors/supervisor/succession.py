"""One connection takes another's place while that one still serves. Pure.

The edge wants a connection to end (GOAWAY), or QUIC is to be had again: a successor is started beside the slot's own
worker. When it is registered, the two change places, and the predecessor finishes what runs on it. A successor that
does not get so far harms nobody.
"""

from typing import Final

from actors.bus.messages import Protocol
from actors.supervisor.dice import Dice
from actors.supervisor.protocols import Protocols
from actors.supervisor.restart import backoff
from actors.supervisor.slots import Slot, SlotState, Worker
from actors.supervisor.vocabulary import DrainWorker, WorkerStopped

GRACE: Final = 600.0
"""Seconds that a predecessor gets for what runs on it: nobody is in a hurry, and downloads and WebSockets are long."""

MARGIN: Final = 2.0
"""Seconds beyond that after which a predecessor that should have ended is killed."""

ROOM_PAUSE: Final = 1.0
"""Seconds that the edge gets to take note of an unregistration."""

MAX_BESIDE: Final = 3
"""Workers beside a slot's own: an edge or a network that changes its mind all the time must not pile them up."""


def may_begin(slot: Slot) -> bool:
    """Whether a successor can be started."""
    return slot.successor is None and len(slot.beside) < MAX_BESIDE


def take_over(slot: Slot, successor: Worker, now: float) -> DrainWorker:
    """The successor is registered: it is the slot's own worker from now on."""
    slot.change_places(successor)
    predecessor = successor
    predecessor.state, predecessor.ends_by = SlotState.DRAINING, now + GRACE + MARGIN
    return DrainWorker(slot.index, predecessor.generation, GRACE)


def fill_in(slot: Slot, successor: Worker) -> None:
    """The slot's own worker has ended first: the successor is its own, however far it has come."""
    slot.change_places(successor)
    slot.beside.remove(successor)


def failed(slot: Slot, successor: Worker, word: WorkerStopped, protocols: Protocols, dice: Dice, now: float) -> float:
    """A successor was not registered; return the seconds until there may be another."""
    if successor.state is SlotState.STARTING and successor.warm:
        return 0.0  # the spare died before it got its orders: no try was made
    if not slot.leaving:
        return protocols.return_failed(now, word.message)
    slot.tries += 1
    slot.wake_at = now + max(backoff(slot.tries, dice), word.retry_after)
    return slot.wake_at - now


def make_room(slot: Slot, protocol: Protocol, now: float) -> DrainWorker:
    """The edge takes no second connection of the same number: the old one unregisters, and then the next one dials."""
    predecessor = Worker()
    slot.change_places(predecessor)
    slot.beside.append(predecessor)
    predecessor.state, predecessor.ends_by = SlotState.DRAINING, now + GRACE + MARGIN
    slot.generation, slot.state, slot.wake_at = predecessor.generation, SlotState.WAITING, now + ROOM_PAUSE
    slot.turned_to = protocol
    return DrainWorker(slot.index, predecessor.generation, GRACE)
