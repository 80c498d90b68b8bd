"""Slow, dead and hostile programs on the bus (rows Z1 and Z2 of docs/survival.md)."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
import zmq.asyncio

from actors.bus.messages import MAX_MESSAGE_BYTES
from tests.kit.invariants import trial
from tests.kit.origins import uvicorn_origin
from tests.kit.processes import running, supervisor
from tests.kit.queries import ask
from tests.kit.visitors import visitors

pytestmark = pytest.mark.slow

SUBSCRIBER = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(b"")
socket.recv_multipart()
print("heard", flush=True)
while True:
    socket.recv_multipart()
"""


def endpoints(state: Path) -> tuple[str, str]:
    """The event socket and the metrics socket."""
    found = json.loads((state / "tunnel.json").read_text())
    return found["events_endpoint"], found["metrics_endpoint"]


@pytest.mark.row("Z1")
async def test_subscribers_that_do_not_read_slow_nobody(state: Path) -> None:
    async with uvicorn_origin() as port, trial(port, state, "--events-format", "json") as made:
        events, _ = endpoints(state)
        context = zmq.asyncio.Context()
        try:
            crowd = []
            for _ in range(200):
                socket = context.socket(zmq.SUB)
                socket.setsockopt(zmq.RCVHWM, 1)
                socket.connect(events)
                socket.subscribe(b"")
                crowd.append(socket)  # none of them is ever read but the last
            async with running([sys.executable, "-c", SUBSCRIBER, events]) as stopped:
                await stopped.first_line()
                stopped.send(signal.SIGSTOP)
                async with visitors(made) as visits:
                    since = len(made.process.events())
                    await made.process.until(
                        lambda: sum(event["type"] == "stats" for event in made.process.events()[since:]) >= 4
                    )
                stopped.send(signal.SIGKILL)
            assert (visits.broken, visits.refused) == ([], [])
            last: dict[str, Any] = msgspec.json.decode((await crowd[-1].recv_multipart())[1])
            assert last["seq"] >= 1
        finally:
            context.destroy(linger=0)


@pytest.mark.row("Z1")
async def test_requesters_that_vanish_or_talk_nonsense_are_no_harm(state: Path, rounds: int) -> None:
    async with trial(None, state, "--metrics", "tcp://127.0.0.1:0") as made:
        _, metrics = endpoints(state)
        (actor,) = made.process.actors("metrics")
        context = zmq.asyncio.Context()
        try:
            for _ in range(50 * rounds):  # it asks and is gone
                socket = context.socket(zmq.REQ)
                socket.connect(metrics)
                await socket.send(b"snapshot")
                socket.close(linger=0)
            odd = context.socket(zmq.DEALER)
            odd.connect(metrics)
            for frames in ([b""], [b"", b""], [b"x"] * 50, [b"", b"prometheus", b"more"], [b"", os.urandom(100)]):
                await odd.send_multipart(frames)
            await odd.send(b"x" * (MAX_MESSAGE_BYTES + 1))
            odd.close(linger=0)
            host, port = metrics.removeprefix("tcp://").split(":")
            for garbage in (b"GET /metrics HTTP/1.1\r\n\r\n", os.urandom(1000), b"\xff" + bytes(8) + b"\x7f" * 100):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.write(garbage)
                await writer.drain()
                writer.close()
            two = await asyncio.gather(*(ask(metrics, b"prometheus") for _ in range(2)))
            assert all(b"tunnel_starts_total" in text for text in two)
        finally:
            context.destroy(linger=0)
        assert made.process.actors("metrics") == [actor]


@pytest.mark.row("Z1")
async def test_false_words_on_the_control_and_delta_sockets_are_not_believed(state: Path) -> None:
    """Another process of the same user, which alone can reach them."""
    async with trial(None, state) as made:
        folder = endpoints(state)[0].removesuffix("events")
        context = zmq.asyncio.Context()
        try:
            dealer = context.socket(zmq.DEALER)
            dealer.setsockopt(zmq.IDENTITY, b"worker-9.9")
            dealer.connect(f"{folder}control")
            push = context.socket(zmq.PUSH)
            push.connect(f"{folder}deltas")
            half_a_message = msgspec.msgpack.encode({"type": "stopped"})
            for payload in (b"", b"\x00", os.urandom(300), b"\x91" * 10_000, half_a_message):
                await dealer.send(payload)
                await push.send(payload)
            await made.process.logged("report that cannot be read")
            await made.process.logged("message that cannot be read")
        finally:
            context.destroy(linger=0)
        assert (await made.visitor.get("/uptime")).status_code == 200
        assert not {"connection_ended", "actor_restarted"} & {event["type"] for event in made.process.events()}


@pytest.mark.row("Z2")
async def test_endpoint_of_a_killed_instance_is_taken_over_and_that_of_a_living_one_is_not(
    state: Path, tmp_path: Path
) -> None:
    arguments = ["--events", f"ipc://{tmp_path}/ev", "--metrics", f"ipc://{tmp_path}/me"]
    async with trial(None, state, *arguments) as made:
        (tmp_path / "other").mkdir()
        async with supervisor("--hello-world", *arguments, state=tmp_path / "other") as second:
            assert await second.wait() == 10
            assert f"{tmp_path}/ev" in "\n".join(second.stderr)
            assert "another program listens there" in "\n".join(second.stderr)
        assert b"tunnel_starts_total" in await ask(f"ipc://{tmp_path}/me", b"prometheus")
        made.process.send(signal.SIGKILL)
        await made.process.wait()
        assert (tmp_path / "ev").is_socket(), "stale"
        async with trial(None, state, *arguments):  # and the same state folder: the lock went with the process
            assert b"tunnel_starts_total" in await ask(f"ipc://{tmp_path}/me", b"prometheus")
