"""What ops tools do: ask the metrics actor."""

import json
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio


async def ask(endpoint: str, query: bytes) -> bytes:
    """One question, one answer."""
    context = zmq.asyncio.Context()
    try:
        socket = context.socket(zmq.REQ)
        socket.connect(endpoint)
        await socket.send(query)
        answer: bytes = await socket.recv()
        return answer
    finally:
        context.destroy(linger=0)


async def snapshot(state: Path) -> dict[str, Any]:
    """What the metrics actor has counted for the present tunnel of the supervisor with this state folder."""
    endpoint = json.loads((state / "tunnel.json").read_text())["metrics_endpoint"]
    told: dict[str, Any] = json.loads(await ask(endpoint, b"snapshot"))
    return {**told, **told["tunnels"][told["tunnel_id"]]}
