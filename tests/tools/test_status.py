"""tunnel-status: what it says for people. (Its exit codes, with a living tunnel: integration/test_survival_edge.py)"""

import json
from pathlib import Path

import msgspec
import pytest

from actors.bus.tally import Totals
from actors.supervisor.state_folder import StateFolder
from actors.tools.running import Status, state_folder
from actors.tools.status import Look, Stats, as_json, in_words, look, parser
from tests.supervisor.test_state_folder import STATE

STATS = Stats(
    url=STATE.url,
    state="degraded",
    serves=True,
    connections=1,
    slots=2,
    streams_in_flight=3,
    totals=Totals(7, 8, 9),
    reconnects=4,
    rtt=0.012,
    origin_reachable=True,
    origin=STATE.origin,
    pid=1,
    version="0",
    key_exchanges=["X25519MLKEM768"],
)


def test_words_for_a_tunnel_that_serves() -> None:
    words = in_words(Look(Status.SERVES, STATE, STATS), Path("x"))
    assert words.startswith(f"{STATE.url}\n")
    for text in ("degraded", "1 of 2, 12 ms round trip", "7, 3 of them in flight", STATE.origin):
        assert text in words


def test_words_for_a_tunnel_that_has_no_url() -> None:
    state = msgspec.structs.replace(STATE, url="", hostnames=[f"{number}.example" for number in range(22)])
    stats = msgspec.structs.replace(STATS, url="", tunnel_id="an-id", rules=3, configuration_version=7, origin="")
    words = in_words(Look(Status.SERVES, state, stats), Path("x"))
    assert words.startswith("tunnel an-id\n             0.example\n")
    assert "19.example\n             and 2 more\n" in words
    assert "rules        3 in force, version 7" in words
    assert "origin" not in words
    none = msgspec.structs.replace(stats, rules=0, configuration_version=-1)
    assert "rules        none yet\n" in in_words(Look(Status.DOES_NOT_SERVE, state, none), Path("x"))
    assert in_words(Look(Status.SILENT, state), Path("x")).startswith(f"tunnel {state.tunnel_id}\n")


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Look(Status.NOT_RUNNING), "no tunnel runs in x"),
        (Look(Status.SILENT, STATE), "kill -CONT 1"),
        (Look(Status.SILENT, msgspec.structs.replace(STATE, state="stopping")), "state        stopping"),
        (Look(Status.SILENT), "nothing is heard from x"),
    ],
)
def test_words_where_there_is_nothing_to_see(found: Look, text: str) -> None:
    assert text in in_words(found, Path("x"))


def test_json_is_one_line() -> None:
    text = as_json(Look(Status.SERVES, STATE, STATS))
    assert "\n" not in text
    assert json.loads(text)["stats"]["state"] == "degraded"


async def test_endpoint_that_nobody_serves_is_silence(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.acquire()
    folder.write(STATE)
    assert (await look(tmp_path, timeout=0.1)).status is Status.SILENT
    folder.release()
    assert (await look(tmp_path, timeout=0.1)).status is Status.NOT_RUNNING


def test_tools_find_a_tunnel_in_the_folders_that_need_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEXO_HOME", str(tmp_path))
    monkeypatch.delenv("TUNNEL_SUPERVISOR_STATE_DIR", raising=False)
    unnamed = parser().parse_args([])
    assert state_folder(unnamed) == tmp_path / "state"
    first, second = StateFolder(tmp_path / "state"), StateFolder(tmp_path / "state")
    first.acquire_usual()
    second.acquire_usual()
    assert state_folder(unnamed) == tmp_path / "state"
    assert str(tmp_path / "state-2") in capsys.readouterr().err, "the other one is named"
    first.release()
    assert state_folder(unnamed) == tmp_path / "state-2"
    assert state_folder(parser().parse_args(["--state-dir", "/x"])) == Path("/x")
    assert capsys.readouterr().err == ""
    second.release()
