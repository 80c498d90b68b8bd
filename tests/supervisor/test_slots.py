"""What a worker without a last word died of."""

import pytest

from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.slots import Slot, SlotState, Worker


@pytest.mark.parametrize(
    ("state", "killed", "status", "end", "word"),
    [
        (SlotState.STARTING, False, 1, WorkerEnd.NEVER_READY, "exit status 1"),
        (SlotState.DIALING, False, -11, WorkerEnd.CRASHED, "killed by signal 11"),
        (SlotState.REGISTERED, False, 0, WorkerEnd.CRASHED, "exit status 0"),
        (SlotState.REGISTERED, True, -9, WorkerEnd.HEARTBEAT_MISSED, "did not answer"),
    ],
)
def test_death_without_a_word_is_named(state: SlotState, killed: bool, status: int, end: WorkerEnd, word: str) -> None:
    named, message = Slot(generation=1, state=state, killed=killed).unsaid(status)
    assert named is end
    assert word in message


def test_words_of_other_generations_and_of_ended_workers_are_not_its_own() -> None:
    slot = Slot(generation=3, state=SlotState.REGISTERED)
    assert slot.worker(3) is slot
    assert slot.worker(2) is None
    slot.state = SlotState.WAITING
    assert slot.worker(3) is None


def test_successor_and_own_worker_change_places() -> None:
    slot, successor = Slot(), Worker()
    slot.next_generation(slot, "http2", 1.0, warm=False)
    slot.next_generation(successor, "quic", 2.0, warm=True)
    assert (slot.worker(1), slot.worker(2), slot.successor) == (slot, successor, successor)
    slot.change_places(successor)
    assert (slot.generation, slot.protocol, slot.warm, slot.last_seen) == (2, "quic", True, 2.0)
    assert (successor.generation, successor.protocol, successor.warm, successor.last_seen) == (1, "http2", False, 1.0)
    assert slot.worker(1) is successor
