"""The local edge alone, and to a client that shares no code with it (qh3)."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from qh3.asyncio.client import connect
from qh3.quic.configuration import QuicConfiguration

from tests.kit.processes import PATIENCE, local_edge, python, running, supervisor

pytestmark = [pytest.mark.slow, pytest.mark.local_edge_only("it is the local edge that is tested")]


async def handshake(edge: dict[str, str], server_name: str, alpn: str) -> None:
    """A QUIC handshake by an engine that offers X25519MLKEM768 as browsers do."""
    host, port = edge["edge"].rsplit(":", 1)
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=[alpn], server_name=server_name, cafile=edge["ca"], idle_timeout=1.0
    )
    async with asyncio.timeout(PATIENCE), connect(host, int(port), configuration=configuration) as client:
        await client.wait_connected()


async def test_tunnels_have_names_of_four_words() -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        answers = [(await client.post(f"{edge['api']}/tunnel")).json() for _ in range(3)]
        assert all(answer["success"] for answer in answers)
        names = {answer["result"]["hostname"] for answer in answers}
        assert len(names) == 3
        port = edge["http"].rsplit(":", 1)[1]
        for name in names:
            words, domain = name.removeprefix("http://").split(".", 1)
            assert len(words.split("-")) == 4
            assert domain == f"localhost:{port}"


async def test_nothing_registered_is_530() -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        response = await client.post(edge["http"], content=b"x" * 100_000)
        assert response.status_code == 530
        assert "1033" in response.text


@pytest.mark.parametrize("name", ["quic.cftunnel.com", "probe.cftunnel.com"])
async def test_foreign_client_with_a_post_quantum_key_share(name: str) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        await handshake(edge, name, "argotunnel")
        log = (await client.get(f"{edge['admin']}/log")).json()
        assert [entry["server_name"] for entry in log if entry["event"] == "handshake"] == [name]


@pytest.mark.parametrize(("name", "alpn"), [("other.example", "argotunnel"), ("quic.cftunnel.com", "h3")])
async def test_wrong_name_and_wrong_protocol_are_not_served(name: str, alpn: str) -> None:
    async with local_edge() as edge, httpx.AsyncClient() as client:
        with pytest.raises(ConnectionError):
            await handshake(edge, name, alpn)
        assert (await client.get(f"{edge['admin']}/log")).json() == []


async def test_garbage_harms_nobody() -> None:
    async with local_edge() as edge:
        host, port = edge["edge"].rsplit(":", 1)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(host, int(port))
        )
        initial = bytes.fromhex("c000000001 08 0102030405060708 08 0102030405060708")
        for data in (
            *(b"\x00", b"\xff", b"\xc0" * 5, initial, initial + b"\xff" * 1300, initial + bytes(1300)),
            *(
                bytes.fromhex("c0ff00001d") + bytes(1300),
                b"\x40" * 1300,
                b"\xc0" * 1300,
                b"\xf0" + initial[1:] + bytes(1300),
            ),
        ):
            transport.sendto(data)
        transport.close()
        await handshake(edge, "quic.cftunnel.com", "argotunnel")


async def test_token_is_tried_without_cloudflare(tmp_path: Path, state: Path) -> None:
    """`run --local-edge`: the edge is told of the tunnel, whose own edge is far away."""
    token = tmp_path / "token"
    token.touch(0o600)
    said = {"a": "a" * 32, "t": "11111111-2222-4333-8444-555555555555", "s": base64.b64encode(bytes(32)).decode()}
    token.write_bytes(base64.b64encode(json.dumps(said).encode()))
    arguments = ("run", "--token-file", token, "--local-edge", "--hello-world", "--json")
    async with supervisor(*arguments, state=state) as process:
        local_url = (await process.event("starting"))["local_url"]
        await process.event("registered")
        async with httpx.AsyncClient(base_url=local_url) as visitor:
            for host in (httpx.URL(local_url).netloc.decode(), f"{said['t']}.localhost", "app.example.com"):
                assert (await visitor.get("/", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tunnels", {"token": "x"}),
        ("POST", "/tunnels", {"token": base64.b64encode(b"{}").decode()}),
        ("POST", "/tunnels", {"secret": "x"}),
        ("PATCH", "/tunnels/none", {}),
        ("POST", "/tunnels/none/push", {"version": 1, "config": {}}),
        ("POST", "/rules", {"answer": "perhaps"}),
        ("POST", "/rules", [1]),
        ("POST", "/connections/none/drop", {}),
        ("DELETE", "/tunnels/none", {}),
        ("POST", "/connections/none/call", {"method": "x"}),
    ],
)
async def test_admin_explains_mistakes(method: str, path: str, body: Any) -> None:
    async with local_edge() as edge, httpx.AsyncClient(base_url=edge["admin"]) as admin:
        response = await admin.request(method, path, json=body)
        assert response.status_code == 400
        assert response.json()["error"]


async def test_port_that_is_taken_is_explained() -> None:
    async with local_edge() as edge:
        taken = edge["http"].removeprefix("http://")
        async with running(python("actors.local_edge.cli", "--http", taken)) as process:
            assert await process.wait() == 10
            assert taken in process.stderr[0]
            assert "Traceback" not in "\n".join(process.stderr)
