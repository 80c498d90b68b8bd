"""A bus that is offered to the network: for those with a key on the list, and for nobody else."""

import asyncio
import json
import re
import stat
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
import zmq.auth

from actors.bus.curve import guard, read_curve, read_keys
from actors.errors import UsageError
from actors.tools.keys import make_keys
from tests.kit.processes import PATIENCE, python, running
from tests.kit.tunnel import tunnel

pytestmark = pytest.mark.slow

ANY_HOST = "0.0.0.0"

HANDSHAKE_ENDS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_DISCONNECTED
)


def keys_of(folder: Path, name: str) -> tuple[bytes, bytes]:
    public, secret = zmq.auth.load_certificate(folder / f"{name}.key_secret")
    assert secret is not None
    return public, secret


class Client:
    """A plain ZeroMQ client, as any program would make it; every handshake's end is on record."""

    def __init__(self, kind: zmq.SocketType, port: int, keys: tuple[bytes, bytes] | None, server: bytes) -> None:
        self.context = zmq.asyncio.Context()
        self.socket = self.context.socket(kind)
        if keys is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey = keys
            self.socket.curve_serverkey = server
        self.monitor = self.socket.get_monitor_socket(HANDSHAKE_ENDS)
        self.socket.connect(f"tcp://127.0.0.1:{port}")

    async def is_let_in(self) -> bool:
        """Whether the server took the handshake."""
        async with asyncio.timeout(PATIENCE):
            number, _ = await self.monitor.recv_multipart()
        return int.from_bytes(number[:2], "little") == zmq.EVENT_HANDSHAKE_SUCCEEDED

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.disable_monitor()
        self.context.destroy(linger=0)


async def test_only_clients_of_the_list_come_in(state: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    make_keys(keys, ["friend", "stranger"])
    (keys / "clients" / "stranger.key").unlink()
    server = keys_of(keys, "server")
    arguments = ("--events", f"tcp://{ANY_HOST}:0", "--metrics", f"tcp://{ANY_HOST}:0")
    guarded = ("--curve-key", keys / "server.key_secret", "--curve-clients", keys / "clients")
    async with tunnel(None, state, *arguments, *guarded) as made:
        lines = [json.loads(line) for line in made.process.stderr if "with a key" in line]
        ports = {line["event"]: int(line["endpoint"].rpartition(":")[2]) for line in lines}
        events, metrics = ports["events for clients with a key"], ports["metrics for clients with a key"]
        friend, stranger = keys_of(keys, "friend"), keys_of(keys, "stranger")
        wrong = zmq.curve_keypair()[0]
        for kind, port in ((zmq.SUB, events), (zmq.REQ, metrics)):
            for own, theirs, welcome in (
                (friend, server[0], True),
                (stranger, server[0], False),
                (None, server[0], False),
                (friend, wrong, False),
            ):
                with Client(kind, port, own, theirs) as client:
                    assert await client.is_let_in() is welcome, (kind, own is None)
        with Client(zmq.SUB, events, friend, server[0]) as client:
            client.socket.subscribe(b"stats")
            assert (await client.socket.recv_multipart())[0] == b"stats"
        friends = ("--curve-key", keys / "friend.key_secret", "--curve-server-key", keys / "server.key")
        ask = python("actors.tools.metrics", "--json", "--endpoint", f"tcp://127.0.0.1:{metrics}", *friends)
        async with running(ask) as asking:
            assert await asking.wait() == 0
            assert json.loads(asking.stdout[0])["tunnel_id"]
        about = json.loads((state / "tunnel.json").read_text())
        assert about["events_endpoint"].startswith("ipc://"), "programs of this machine need no key"
        async with running(python("actors.tools.status", "--state-dir", state)) as looking:
            assert await looking.wait() == 0
        told = [*made.process.stdout, *made.process.stderr]
        assert not any(server[1].decode() in line for line in told)


async def test_without_keys_the_network_is_refused(state: Path) -> None:
    begin = python("actors.supervisor", "--hello-world", "--state-dir", state, "--events", f"tcp://{ANY_HOST}:5555")
    async with running(begin) as process:
        assert await process.wait() == 2
        assert "--curve-key" in process.stderr[0]


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    made = make_keys(tmp_path, ["a"])
    assert all(not stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made)
    before = (tmp_path / "server.key_secret").read_bytes()
    assert {path.name for path in make_keys(tmp_path, ["a", "b"])} == {"b.key", "b.key_secret"}
    assert (tmp_path / "server.key_secret").read_bytes() == before
    assert {path.name for path in (tmp_path / "clients").iterdir()} == {"a.key", "b.key"}
    curve = read_curve(tmp_path / "server.key_secret", tmp_path / "clients")
    assert curve.secret.decode() not in repr(curve)


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    make_keys(tmp_path, ["a"])
    secret = tmp_path / "server.key_secret"
    with pytest.raises(UsageError, match="holds no secret key"):
        read_keys(_private(tmp_path / "server.key"))
    with pytest.raises(UsageError, match="cannot read the key"):
        read_keys(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(UsageError, match="nobody could come in"):
            read_curve(secret, tmp_path / folder)
    short = tmp_path / "clients" / "short.key"
    short.write_text(re.sub('.{5}"\n', '"\n', (tmp_path / "clients" / "a.key").read_text()))
    with pytest.raises(UsageError, match="holds no public key"):
        read_curve(secret, tmp_path / "clients")
    secret.chmod(0o640)
    with pytest.raises(UsageError, match="others may read"):
        read_keys(secret)


async def test_with_nobody_to_judge_nobody_comes_in(tmp_path: Path) -> None:
    make_keys(tmp_path, ["a"])
    curve = read_curve(tmp_path / "server.key_secret", tmp_path / "clients")
    with zmq.asyncio.Context() as context:
        socket = context.socket(zmq.PUB)
        guard(socket, curve)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with Client(zmq.SUB, port, keys_of(tmp_path, "a"), curve.public) as client:
            assert not await client.is_let_in()
        socket.close(linger=0)


def _private(path: Path) -> Path:
    path.chmod(0o600)
    return path
