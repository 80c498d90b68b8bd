"""What a person sees: boxes, codes and lines that fit, as a program at a terminal draws them."""

import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zxingcpp
from PIL import Image

from actors.bus import events
from actors.bus.tally import Totals
from actors.supervisor.terminal import MAX_HOSTNAMES, box, in_units, live_line, qr_code, stop_words
from tests.kit.processes import running
from tests.kit.terminal import Screen, at_terminal
from tests.supervisor.test_token import GOLDEN

URL = "https://four-random-words-here.trycloudflare.com"

STATS = events.Stats(
    url=URL,
    tunnel_id="t",
    connections=2,
    slots=2,
    streams_in_flight=3,
    totals=Totals(1234, 1_500_000, 999_999),
    reconnects=0,
    rtt=0.0123,
    key_exchanges=["X25519MLKEM768"],
    state="registered",
    serves=True,
    origin_reachable=True,
    origin="localhost:8080",
    pid=1,
    version="0",
)

BLOCKS = {" ": (0, 0), "▀": (1, 0), "▄": (0, 1), "█": (1, 1)}
"""Which half of a character is light."""


def read_code(rows: list[str]) -> str:
    """What a camera would read."""
    pixels = []
    for row in rows:
        pixels += [[255 * BLOCKS[character][half] for character in row] for half in (0, 1)]
    image = Image.new("L", (len(pixels[0]), len(pixels)))
    image.putdata([pixel for row in pixels for pixel in row])
    result: Any = zxingcpp.read_barcode(image.resize((image.width * 8, image.height * 8), Image.Resampling.NEAREST))
    return str(result.text)


def test_code_is_read_by_another_library() -> None:
    assert read_code(qr_code(URL, colors=False).splitlines()) == URL


def test_code_has_its_own_colours_where_there_are_any() -> None:
    assert all(line.startswith("\x1b[38;5;231m\x1b[48;5;16m") for line in qr_code(URL, colors=True).splitlines())


@pytest.mark.parametrize("width", [20, 52, 53, 80, 120])
def test_box_fits_or_is_left_out(width: int) -> None:
    lines = box([URL, "→ localhost:8080"], width).splitlines()
    framed = lines[0].startswith("┌")
    assert framed is (width >= len(URL) + 4)
    if framed:
        assert {len(line) for line in lines} == {len(URL) + 4}
    assert box([URL, "→ x"], 120, ascii_only=True).isascii()


@pytest.mark.parametrize("width", [10, 40, 79, 119])
def test_line_is_never_wider_than_the_terminal(width: int) -> None:
    assert len(live_line(STATS, width)) <= width


def test_line_says_it_all_where_there_is_room() -> None:
    line = live_line(STATS, 200)
    for text in ("random-words-here", "2/2 connections", "1234 requests", "3 in flight", "1.5 MB", "1 MB", "12 ms"):
        assert text in line


def test_line_says_where_requests_are_shown() -> None:
    assert ", see :4040, 1234 requests" in live_line(STATS, 200, "http://127.0.0.1:4040")
    assert ", see 192.0.2.1:4040, " in live_line(STATS, 200, "http://192.0.2.1:4040")
    assert ", see :4040" in live_line(STATS, 79, "http://127.0.0.1:4040"), "before what is of less use"


def test_line_of_a_tunnel_without_a_url_tells_its_rules() -> None:
    own = msgspec.structs.replace(STATS, url="", rules=3)
    assert live_line(own, 200).startswith("registered, 3 rules in force, 2/2 connections")
    waiting = msgspec.structs.replace(own, rules=0, serves=False)
    assert live_line(waiting, 200).startswith("registered, no rules yet, 2/2")
    assert live_line(msgspec.structs.replace(waiting, state="down"), 200).startswith("tunnel (down), ")


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (10**18, "1e+06 TB")]
)
def test_units(count: int, text: str) -> None:
    assert in_units(count) == text


def command(state: Path, *arguments: str) -> list[str | Path]:
    begin: list[str | Path] = [sys.executable, "-P", "-m", "actors.supervisor", "--state-dir", state]
    return [*begin, "--hello-world", "--local-edge", "--connections", "1", *arguments]


def has(screen: Screen, text: str) -> bool:
    return any(text in line for line in screen.lines)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
async def test_terminal(state: Path, columns: int) -> None:
    async with at_terminal(command(state, "--qr", "--log-requests", "--inspect"), columns=columns) as screen:
        await screen.until(lambda: has(screen, "1/1 connections"))
        url = next(line.strip("│ ") for line in screen.lines if line.startswith("│ http"))
        assert has(screen, "on this machine only")
        assert has(screen, "│ requests: http://127.0.0.1:40")
        assert has(screen, f"or http://127.0.0.1:{url.rpartition(':')[2]}, for programs")
        code = [line for line in screen.lines if line.startswith("█")]
        bottom = next(line for line in screen.lines if line and set(line) == {"▀"})
        assert read_code([*code, bottom]) == url
        async with running(["curl", "-s", "-o", "/dev/null", f"{url}/uptime?secret=1"]) as visiting:
            assert await visiting.wait() == 0
        await screen.until(lambda: has(screen, "path=/uptime") and has(screen, "1 requests"))
        assert b"secret=1" not in screen.raw
    assert screen.process.returncode == 0
    assert "exit_code=0" in "".join([line for line in screen.lines if line][-2:]), "the log has the last word"


@pytest.mark.slow
async def test_tunnel_without_a_url_at_a_terminal(state: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(GOLDEN["token"])
    (tmp_path / "token").chmod(0o644)
    rules = tmp_path / "rules.yml"
    hostnames = [f"{number}.example.com" for number in range(MAX_HOSTNAMES + 3)]
    lines = [f"  - {{hostname: {hostname}, service: http_status:200}}\n" for hostname in hostnames]
    rules.write_text("ingress:\n" + "".join(lines) + "  - service: http_status:404\n")
    begin: list[str | Path] = [sys.executable, "-P", "-m", "actors.supervisor", "--state-dir", state]
    run: list[str | Path] = [
        "run",
        "--token-file",
        tmp_path / "token",
        "--config",
        rules,
        "--local-edge",
        "--connections",
        "1",
    ]
    async with at_terminal([*begin, *run], columns=100) as screen:
        await screen.until(lambda: has(screen, "registered, 12 rules in force, 1/1 connections"))
        assert any(line.startswith("│ registered, 12 rules in force ") for line in screen.lines)
        assert has(screen, "│ 7.example.com ")
        assert not has(screen, "│ 8.example.com ")
        assert has(screen, "│ and 3 more ")
        assert has(screen, "│ or http://127.0.0.1:")
        assert has(screen, "on this machine only")
        assert has(screen, "every user of this machine can read")
        assert not has(screen, "https://")
    assert GOLDEN["token"].encode() not in screen.raw


@pytest.mark.slow
async def test_terminal_that_can_do_nothing(state: Path) -> None:
    env = {"TERM": "dumb", "PYTHONIOENCODING": "ascii"}
    async with at_terminal(command(state, "--qr"), columns=40, env=env) as screen:
        await screen.until(lambda: has(screen, "no QR code"))
    assert b"\x1b" not in screen.raw


@pytest.mark.slow
async def test_no_colours_where_they_are_not_wanted(state: Path) -> None:
    async with at_terminal(command(state, "--qr"), columns=80, env={"NO_COLOR": "1"}) as screen:
        await screen.until(lambda: has(screen, "1/1 connections"))
    assert b"\x1b[3" not in screen.raw
    assert b"\x1b[4" not in screen.raw


@pytest.mark.slow
async def test_none_of_it_when_piped(state: Path) -> None:
    async with running(command(state, "--qr", "--log-requests")) as process:
        await process.first_line()
        assert await process.stop() == 0
        assert len(process.stdout) == 1
        assert all(line.startswith("{") for line in process.stderr)


def test_stop_says_what_it_waits_for_and_how_it_is_ended_at_once() -> None:
    assert stop_words(0, 30.0, signal.SIGINT) == "stopping"
    assert stop_words(3, 0.0, None) == "stopping"
    assert stop_words(1, 30.0, signal.SIGINT) == (
        "stopping: waiting for 1 request in flight, up to 30 s; Ctrl-C once more ends it at once"
    )
    assert stop_words(2, 2.5, signal.SIGTERM) == (
        "stopping: waiting for 2 requests in flight, up to 2.5 s; a second SIGTERM ends it at once"
    )
    assert stop_words(2, 5.0, None) == "stopping: waiting for 2 requests in flight, up to 5 s"
