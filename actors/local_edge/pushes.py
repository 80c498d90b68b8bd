"""Configurations that the edge pushes to the connections of a tunnel, as the dashboard makes it do."""

import asyncio
from collections.abc import Sequence
from typing import Any

from actors.errors import EdgeProtocolError
from actors.local_edge.edge import EdgeSession
from actors.local_edge.registry import Connection, Tunnel
from actors.wire import rpc


async def push(
    tunnel: Tunnel, connections: Sequence[Connection[EdgeSession]], version: int, configuration: bytes
) -> list[dict[str, Any]]:
    """Push to all of them at once, and return what each answers: `latestAppliedVersion` and `err`, or `failure`.

    What a client has applied says which hostnames lead to the tunnel.
    """
    answers = await asyncio.gather(*(_pushed(entry, version, configuration) for entry in connections))
    if any(answer.get("latestAppliedVersion") == version and not answer["err"] for answer in answers):
        tunnel.learn(configuration)
    return list(answers)


async def _pushed(entry: Connection[EdgeSession], version: int, configuration: bytes) -> dict[str, Any]:
    told: dict[str, Any] = {
        "connection": str(entry.id),
        "client_id": entry.client_id.hex(),
        "index": entry.index,
        "protocol": entry.session.link.protocol,
    }
    params = {"version": version, "config": configuration}
    try:
        answer = await entry.session.link.call(rpc.CONFIGURATION["updateConfiguration"], params)
    except EdgeProtocolError as error:
        return {**told, "failure": str(error)}
    return {**told, **answer["result"]}
