"""What a worker without a last word died of."""

import pytest

from actors.quic_worker.ends import WorkerEnd
from actors.supervisor.slots import Slot, SlotState
from actors.supervisor.vocabulary import WorkerBeat


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
    named, message = Slot(0, 1, state, killed=killed).unsaid(status)
    assert named is end
    assert word in message


def test_words_of_other_generations_and_of_ended_workers_are_not_its_own() -> None:
    slot = Slot(0, 3, SlotState.REGISTERED)
    assert slot.is_of(WorkerBeat(0, 3))
    assert not slot.is_of(WorkerBeat(0, 2))
    slot.state = SlotState.WAITING
    assert not slot.is_of(WorkerBeat(0, 3))
