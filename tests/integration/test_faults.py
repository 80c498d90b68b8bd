"""Faults beside the tunnel's way: they are said, and the tunnel goes on."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from actors.tools.keys import make_keys
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import running, supervisor
from tests.kit.tunnel import tunnel, tunnel_command

pytestmark = pytest.mark.slow

BROKEN = """
import sys
if any("actors.supervisor" in word for word in sys.orig_argv):
    from actors.supervisor import watcher, origin_watch, visibility
    async def fail(*_, **__):
        raise ZeroDivisionError("broken by a test")
    origin_watch._connects = visibility.probe = fail
    visibility.PROBE_RETRY = visibility.PROBE_INTERVAL = 0.2
    def fail_at_once(*_):
        raise ZeroDivisionError("broken by a test")
    watcher.network.sources = fail_at_once
"""
"""A sitecustomize.py that breaks the supervisor's watchers."""


async def test_look_out_that_fails_is_said_once_and_ends_no_tunnel(state: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    async with tunnel(None, state, "--probe", env={"PYTHONPATH": path}) as made:
        for what in ("origin", "network", "probe"):
            line = await made.process.logged(f'"what": "{what}"')
            assert "the tunnel goes on" in line["event"]
        made.process.actors("worker")[0].kill()
        await made.process.event("registered", generation=2)
        assert (await made.visitor.get("/uptime")).status_code == 200
        faults = [line for line in made.process.stderr if "internal fault" in line]
        assert len(faults) == 3
        assert await made.process.stop() == 0


async def test_stop_during_the_first_request_to_the_api_is_no_fault(state: Path) -> None:
    """The request is answered while the end has begun already."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def api(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        await go_on.wait()
        writer.write(answer(b'{"success":false,"errors":[{"code":1,"message":"closed"}]}'))

    async with scripted(api) as port:
        arguments = ["--hello-world", "--json", "--service-url", f"http://127.0.0.1:{port}"]
        async with supervisor(*arguments, state=state) as process:
            await process.event("starting")
            await asked.wait()
            process.send(signal.SIGTERM)
            await process.event("stopping")
            go_on.set()
            assert await process.wait() == 0
            assert not [line for line in process.stderr if "internal fault" in line]


@pytest.mark.parametrize("stdin", ["</dev/null", "<&-", "<{file}"], ids=["null", "closed", "file"])
async def test_lifeline_without_anybody_at_its_other_end_is_a_mistake(state: Path, tmp_path: Path, stdin: str) -> None:
    (file := tmp_path / "file").write_text("")
    redirection = stdin.format(file=file)
    async with running(["sh", "-c", f'exec "$@" {redirection}', "sh", *tunnel_command(state, "--lifeline")]) as process:
        assert await process.wait() == 2
        assert "--lifeline ends the tunnel with the program at the other end of stdin" in process.stderr[0]
        assert not [line for line in process.stderr if "Traceback" in line]


@pytest.mark.skipif(os.geteuid() != 0 or not sys.platform.startswith("linux"), reason="reads other processes' memory")
async def test_no_child_that_needs_no_key_has_the_bus_s_secret_in_memory(state: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_keys(keys, ["friend"])
    text = (keys / "server.key_secret").read_text()
    secret = text.partition('secret-key = "')[2].partition('"')[0].encode()
    assert len(secret) == 40
    guarded = ("--curve-key", keys / "server.key_secret", "--curve-clients", keys / "clients")
    async with tunnel(None, state, "--events", "tcp://127.0.0.1:0", *guarded) as made:
        assert holds(made.process.process.pid, secret), "the search finds it where it is"
        for actor in ("worker", "nursery", "hello_world"):
            (child,) = made.process.actors(actor)
            assert not holds(child.pid, secret), actor


def holds(pid: int, secret: bytes) -> bool:
    """Whether a process has these bytes in its writable memory."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if "rw" not in rights:
                continue
            begin, end = (int(edge, 16) for edge in span.split("-"))
            try:
                memory.seek(begin)
                found = secret in memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
            if found:
                return True
    return False
