"""What the inspector knows of its tunnel, from the events of a supervisor."""

import asyncio
from typing import Any

import msgspec
import pytest
import zmq

from actors.bus import sockets
from actors.inspector import tunnel
from actors.inspector.tunnel import Tunnel
from tests.kit.processes import PATIENCE

STATS = {"url": "https://a.example", "tunnel_id": "t", "state": "visible", "serves": True, "origin": "localhost:80"}


async def test_it_follows_the_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    context = sockets.make_context()
    told = sockets.make_socket(context, zmq.SocketType.PUB)
    endpoint = sockets.bind(told, "tcp://127.0.0.1:*")
    known = Tunnel(origin="localhost:80", hostnames=["b.example", "*.example.org"])
    assert (known.urls, known.said.state) == (["https://b.example"], "starting"), "of a tunnel of one's own"
    following = asyncio.create_task(known.follow(context, endpoint))  # noqa: TID251 - cancelled below

    async def until(topic: str, event: dict[str, Any], what: Any) -> None:
        payload = msgspec.msgpack.encode({"type": topic, **event})
        async with asyncio.timeout(PATIENCE):
            while not what():
                sockets.try_send(told, topic.encode(), b"\xc1")
                sockets.try_send(told, topic.encode(), payload)
                await asyncio.sleep(0.01)  # a subscriber is there some time after it has connected

    await until("configuration_applied", {"hostnames": ["c.example"]}, lambda: known.urls == ["https://c.example"])
    await until("state", STATS, lambda: known.said.serves)
    assert known.urls == ["https://a.example"]
    await until("stats", STATS | {"state": "degraded"}, lambda: known.said.state == "degraded")
    monkeypatch.setattr(tunnel, "FRESH", -1.0)
    assert (known.said.state, known.said.serves) == ("silent", False), "a supervisor that says nothing"
    following.cancel()
    await asyncio.wait((following,))
    context.destroy(linger=0)
