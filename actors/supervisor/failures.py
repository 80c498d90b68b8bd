"""What the end of a worker means: does it count, how long to wait, where to try next, is it the end? Pure."""

from collections.abc import Sequence
from typing import Final

from actors.errors import (
    EdgeUnreachable,
    NoConnection,
    PermanentFailure,
    RefusedByEdge,
    RegistrationFailed,
    TunnelError,
)
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.dice import Dice
from actors.supervisor.edges import EdgeAddresses
from actors.supervisor.protocols import Protocols
from actors.supervisor.restart import backoff
from actors.supervisor.slots import HEALTHY_AFTER, Slot, SlotState
from actors.supervisor.vocabulary import WorkerStopped

MAX_RETRY_AFTER: Final = 300.0
"""Seconds; an edge that asks for a longer wait gets a try after these."""

FREE_DUPLICATES: Final = 5
"""Refusals as a duplicate that count for nothing: the edge forgets a dead connection within 5 s."""

NOT_REGISTERED: Final = frozenset(
    (
        WorkerEnd.REFUSED_FOR_GOOD,
        WorkerEnd.REGISTRATION_REFUSED,
        WorkerEnd.REGISTRATION_FAILED,
        WorkerEnd.DUPLICATE_CONNECTION,
    )
)
"""Ends for which the edge, and not the way to it, is the cause."""

REFUSED: Final = NOT_REGISTERED - {WorkerEnd.REGISTRATION_FAILED}
"""Ends for which the edge gave a reason."""

UNREACHED: Final = frozenset((WorkerEnd.DIAL_FAILED, WorkerEnd.NO_ROUTE))
"""Ends for which the way to the address is the cause."""


def judge(
    slot: Slot,
    before: SlotState,
    word: WorkerStopped,
    edges: EdgeAddresses,
    protocols: Protocols,
    now: float,
    *,
    is_online: bool,
    dice: Dice,
) -> float:
    """Count the failure, and choose the next address and protocol; return the seconds to wait.

    `before`: the state in which the worker ended. `is_online`: whether this machine has a way out, else nothing counts.
    """
    if word.end is WorkerEnd.DUPLICATE_CONNECTION:
        slot.duplicates += 1
        slot.failures += slot.duplicates > FREE_DUPLICATES
        elsewhere = edges.move_on(slot.index, now, unreachable=False)
        return 0.0 if elsewhere and slot.duplicates == 1 else backoff(slot.duplicates, dice)
    if before is SlotState.REGISTERED and now - slot.registered_at >= HEALTHY_AFTER:
        slot.forget_failures()
        return 0.0  # the first try after a healthy life is made at once, at its own address
    if before is SlotState.STARTING and slot.warm:
        return 0.0  # the spare died before it got its orders: no try was made
    if before is SlotState.DIALING and protocols.dial_failed(slot, word.end, word.message):
        edges.move_on(slot.index, now, unreachable=True, elsewhere=True)
        return 0.0  # it is only half of a try: the other protocol comes next
    slot.tries += 1
    # The first without a route may be of the wrong IP version; what has a route and never gets there counts.
    if is_online and (word.end is not WorkerEnd.NO_ROUTE or slot.tries > 1):
        slot.failures += 1
    if before is SlotState.DIALING:
        edges.move_on(slot.index, now, unreachable=word.end in UNREACHED)
    if word.end is WorkerEnd.NO_ROUTE and slot.tries == 1:
        return 0.0  # there may be one to another address, of the other IP version
    return backoff(slot.tries, dice)


def is_beyond_mending(slot: Slot, slots: Sequence[Slot], max_attempts: int) -> bool:
    """Whether to give up a tunnel that was up, after a failure of `slot`: not while another one was only just lost."""
    if any(other.state is SlotState.REGISTERED for other in slots):
        return False
    hopeless = (SlotState.REFUSED, SlotState.IDLE)
    others = [other for other in slots if other is not slot and other.state not in hopeless]
    return 0 < max_attempts <= slot.failures and all(other.failures for other in others)


def giving_up(slot: Slot, word: WorkerStopped) -> PermanentFailure:
    """The error of a tunnel that is given up."""
    advice = "Start again when the network is back, or use --max-reconnect-attempts 0 to try for ever."
    if word.end is WorkerEnd.OTHER_VERSION:
        advice = "Start again: the tunnel then runs the new code, with another URL."
    return PermanentFailure(
        slot.failures,
        f"gave up after {slot.failures} consecutive failures to connect to the edge; the last one: "
        f"{word.end}: {word.message or 'no message'}. {advice}",
    )


def refused(word: WorkerStopped, *, dropped: bool, is_own: bool) -> RefusedByEdge:
    """The error of a tunnel that the edge refuses for good. `dropped`: it had taken it."""
    hint = " With --renew, another one is asked for." if dropped else ""
    if is_own:
        hint = " Was the tunnel deleted, or its token replaced? The dashboard shows the present one."
    return RefusedByEdge(f"the tunnel was refused by the edge for good: {word.message}.{hint}")


def failed_start(timeout: float, word: WorkerStopped | None) -> TunnelError:
    """The error of a start in which no connection was registered. `word`: the last failure, if there was one."""
    within = f"no connection to the edge was registered within {timeout:g} s"
    if word is None:
        return NoConnection(f"{within}; try a longer --timeout")
    message = f"{within}; the last try: {word.message or word.end}"
    if word.end in UNREACHED:
        return EdgeUnreachable(message)
    return RegistrationFailed(message) if word.end in NOT_REGISTERED else NoConnection(message)
