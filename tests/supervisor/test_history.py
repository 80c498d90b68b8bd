"""A fault in the field, played again here."""

import os
import random
import signal
from pathlib import Path

import msgspec
import pytest

from actors.bus.messages import Credentials
from actors.errors import ApiServerError
from actors.quic_worker.ends import WorkerEnd
from actors.supervisor import vocabulary
from actors.supervisor.history import KEPT, Recording
from actors.supervisor.policy import Policy
from actors.supervisor.vocabulary import Command, Finish, RenewFailed, StopAsked, WorkerRegistered
from tests.kit.playbook import Playbook
from tests.kit.tunnel import tunnel


def unlucky(seed: int) -> tuple[Playbook, list[Command]]:
    """A life of failures, some hundred events long; and the last that was said in it."""
    play = Playbook(3, seed=seed, spare=True, max_attempts=4)
    rng = random.Random(seed)
    play.begin()
    play.register(0)
    said: list[Command] = []
    while not play.policy.finished:
        slot = rng.randrange(3)
        ended = rng.choice([WorkerEnd.CONNECTION_LOST, WorkerEnd.DIAL_FAILED, WorkerEnd.DUPLICATE_CONNECTION])
        said = [*play.wait(rng.uniform(0.1, 20.0)), *play.end(ended, slot=slot)]
    return play, said


@pytest.mark.parametrize("seed", range(20))
def test_what_was_written_leads_to_the_same_end(seed: int) -> None:
    play, said = unlucky(seed)
    recording = Recording.read(play.history.text())
    assert KEPT // 2 < len(recording.told) <= KEPT
    assert not recording.policy.finished
    *_, last = recording.replay()
    assert msgspec.json.encode(recording.policy) == msgspec.json.encode(play.policy)
    assert repr(list(last)) == repr(said[-len(last) :])
    assert isinstance(last[-1], Finish)


def test_event_that_the_policy_stumbles_over_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    play = Playbook(1)
    play.begin()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Policy, "_registered", broken)
    with pytest.raises(ZeroDivisionError):
        play.register()
    recording = Recording.read(play.history.text())
    assert isinstance(recording.told[-1][1], WorkerRegistered)
    with pytest.raises(ZeroDivisionError):
        list(recording.replay())


def test_errors_come_back_as_what_they_are() -> None:
    play = Playbook(1, renew=True)
    play(RenewFailed(ApiServerError("the API said no", status=503)))
    (_, (_, told)) = Recording.read(play.history.text()).told
    assert isinstance(told, RenewFailed)
    assert type(told.error) is ApiServerError
    assert str(told.error) == "the API said no"
    with pytest.raises(msgspec.ValidationError):
        Recording.read(play.history.text().replace("ApiServerError", "os"))


def test_it_is_bounded_however_long_a_tunnel_lives() -> None:
    play = Playbook(4)
    play.begin()
    for slot in range(4):
        play.register(slot)
    sizes = set()
    for _ in range(50):
        play.wait(60.0)
        sizes.add(len(play.history.text()))
    assert max(sizes) < 40_000


def test_policy_is_told_no_secret() -> None:
    kinds: list[type[msgspec.Struct]] = [
        kind for kind in vars(vocabulary).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    kinds.append(Policy)
    fields = {str(field.type) for kind in kinds for field in msgspec.structs.fields(kind)}
    assert not [name for name in fields if Credentials.__name__ in name or "bytes" in name]


BROKEN = """
import sys
if any("actors.supervisor" in word for word in sys.orig_argv):
    from actors.supervisor import policy
    def broken(*_):
        raise ZeroDivisionError("broken by a test")
    policy.Policy._stop = broken
"""
"""A sitecustomize.py that breaks the judgement of a stop."""


@pytest.mark.slow
async def test_fault_is_written_with_what_led_to_it_and_played_again(state: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    async with tunnel(None, state, env={"PYTHONPATH": path}) as made:
        made.process.send(signal.SIGTERM)
        line = await made.process.logged('"history"')
        recording = Recording.read(line["history"])
        assert isinstance(recording.told[-1][1], StopAsked)
        assert any(isinstance(event, WorkerRegistered) for _, event in recording.told)
        list(recording.replay())
        assert recording.policy.stop_deadline is not None, "here nothing is broken"
        assert await made.process.wait() == 1, "a tunnel that nobody judges ends"
