"""Every socket has its limits; endpoints are checked."""

import socket
from pathlib import Path

import pytest
import zmq

from actors.bus import sockets
from actors.bus.messages import MAX_MESSAGE_BYTES
from actors.errors import LocalSetupError, UsageError


async def test_every_socket_has_its_limits() -> None:
    context = sockets.make_context()
    kinds = (zmq.ROUTER, zmq.DEALER, zmq.PUSH, zmq.PULL, zmq.PUB, zmq.SUB, zmq.REQ)
    for kind in kinds:
        socket = sockets.make_socket(context, zmq.SocketType(kind), identity="a-0.1")
        assert socket.getsockopt(zmq.LINGER) == sockets.LINGER_MS
        assert socket.getsockopt(zmq.SNDHWM) == socket.getsockopt(zmq.RCVHWM) == sockets.HIGH_WATER_MARK
        assert socket.getsockopt(zmq.MAXMSGSIZE) == MAX_MESSAGE_BYTES
        socket.close()
    context.destroy(linger=0)


async def test_router_says_what_it_cannot_route() -> None:
    context = sockets.make_context()
    router = sockets.make_socket(context, zmq.SocketType.ROUTER)
    with pytest.raises(zmq.ZMQError):
        await router.send_multipart([b"nobody", b"x"], zmq.DONTWAIT)
    context.destroy(linger=0)


async def test_taken_endpoint_is_explained_and_a_wildcard_gets_its_number() -> None:
    context = sockets.make_context()
    one, other = (sockets.make_socket(context, zmq.SocketType.PUB) for _ in range(2))
    endpoint = sockets.bind(one, "tcp://127.0.0.1:*")
    assert int(endpoint.rsplit(":", 1)[1])
    with pytest.raises(LocalSetupError, match=endpoint):
        sockets.bind(other, endpoint)
    one.close()
    other.close()
    context.destroy(linger=0)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("ipc:///tmp/x", "ipc:///tmp/x"),
        ("tcp://127.0.0.1:5", "tcp://127.0.0.1:5"),
        ("tcp://localhost:0", "tcp://127.0.0.1:*"),
        ("tcp://[::1]:*", "tcp://[::1]:*"),
    ],
)
def test_good_endpoints(given: str, taken: str) -> None:
    assert sockets.check_endpoint(given, flag="--events") == taken


@pytest.mark.parametrize(
    "given", ["", "x", "tcp://*:5", "tcp://10.0.0.1:5", "tcp://127.0.0.1", "inproc://x", "ipc://@x"]
)
def test_bad_endpoints(given: str) -> None:
    with pytest.raises(UsageError, match="--events"):
        sockets.check_endpoint(given, flag="--events")


async def test_try_send_says_whether_the_socket_took_it() -> None:
    context = sockets.make_context()
    router, push = (sockets.make_socket(context, zmq.SocketType(kind)) for kind in (zmq.ROUTER, zmq.PUSH))
    assert not sockets.try_send(router, b"nobody", b"x")
    push.connect("inproc://nobody")
    sent = [sockets.try_send(push, b"x") for _ in range(sockets.HIGH_WATER_MARK + 10)]
    assert sent[0]
    assert not sent[-1]
    router.close()
    push.close()
    context.destroy(linger=0)


async def test_ipc_path_that_is_in_use_or_no_socket_is_left_alone(tmp_path: Path) -> None:
    context = sockets.make_context()
    one, other = (sockets.make_socket(context, zmq.SocketType.PUB) for _ in range(2))
    sockets.bind(one, f"ipc://{tmp_path}/live")
    with pytest.raises(LocalSetupError, match="another program listens"):
        sockets.bind(other, f"ipc://{tmp_path}/live")
    (tmp_path / "file").write_text("precious")
    with pytest.raises(LocalSetupError, match="no socket"):
        sockets.bind(other, f"ipc://{tmp_path}/file")
    assert (tmp_path / "file").read_text() == "precious"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(f"{tmp_path}/stale")
    sockets.bind(other, f"ipc://{tmp_path}/stale")
    sockets.remove_socket_file(f"ipc://{tmp_path}/stale")
    assert not (tmp_path / "stale").exists()
    one.close()
    other.close()
    context.destroy(linger=0)
