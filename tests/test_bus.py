"""Every socket has its limits; endpoints are checked."""

import pytest
import zmq

from actors import bus
from actors.errors import LocalSetupError, UsageError
from actors.messages import MAX_MESSAGE_BYTES


async def test_every_socket_has_its_limits() -> None:
    context = bus.make_context()
    kinds = (zmq.ROUTER, zmq.DEALER, zmq.PUSH, zmq.PULL, zmq.PUB, zmq.SUB, zmq.REQ)
    for kind in kinds:
        socket = bus.make_socket(context, zmq.SocketType(kind), identity="a-0.1")
        assert socket.getsockopt(zmq.LINGER) == bus.LINGER_MS
        assert socket.getsockopt(zmq.SNDHWM) == socket.getsockopt(zmq.RCVHWM) == bus.HIGH_WATER_MARK
        assert socket.getsockopt(zmq.MAXMSGSIZE) == MAX_MESSAGE_BYTES
        socket.close()
    context.destroy(linger=0)


async def test_router_says_what_it_cannot_route() -> None:
    context = bus.make_context()
    router = bus.make_socket(context, zmq.SocketType.ROUTER)
    with pytest.raises(zmq.ZMQError):
        await router.send_multipart([b"nobody", b"x"], zmq.DONTWAIT)
    context.destroy(linger=0)


async def test_taken_endpoint_is_explained_and_a_wildcard_gets_its_number() -> None:
    context = bus.make_context()
    one, other = (bus.make_socket(context, zmq.SocketType.PUB) for _ in range(2))
    endpoint = bus.bind(one, "tcp://127.0.0.1:*")
    assert int(endpoint.rsplit(":", 1)[1])
    with pytest.raises(LocalSetupError, match=endpoint):
        bus.bind(other, endpoint)
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
    assert bus.check_endpoint(given, flag="--events") == taken


@pytest.mark.parametrize(
    "given", ["", "x", "tcp://*:5", "tcp://10.0.0.1:5", "tcp://127.0.0.1", "inproc://x", "ipc://@x"]
)
def test_bad_endpoints(given: str) -> None:
    with pytest.raises(UsageError, match="--events"):
        bus.check_endpoint(given, flag="--events")


def test_run_folder_is_private_and_short() -> None:
    folder = bus.make_run_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(str(folder / "metrics")) < bus.MAX_IPC_PATH
    folder.rmdir()
