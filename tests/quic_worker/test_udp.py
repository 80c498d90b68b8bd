"""Datagrams over real sockets on loopback."""

import asyncio
import errno
import socket

import pytest

from actors.quic_worker.engine import Datagram
from actors.quic_worker.udp import ANY_ADDRESS, UdpSocket

LOOPBACK = ("127.0.0.1", 0)


class Receiver:
    def __init__(self) -> None:
        self.datagrams: list[Datagram] = []
        self.changed = asyncio.Event()

    def __call__(self, batch: list[Datagram]) -> None:
        self.datagrams += batch
        self.changed.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.datagrams) < count:
                self.changed.clear()
                await self.changed.wait()
        return [data for data, _ in self.datagrams]


@pytest.fixture(params=["offload", "plain"])
def offload(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With GSO and GRO, and as on a system that has neither."""
    if request.param == "plain":
        monkeypatch.setattr(UdpSocket, "_try", lambda *arguments: False)


@pytest.mark.usefixtures("offload")
@pytest.mark.parametrize(
    "sizes",
    [[1], [1200] * 3, [1200, 1200, 7], [7, 1200], [1200] * 200, [100, 200, 200, 100, 50, 50, 1200]],
    ids=str,
)
async def test_datagrams_arrive_as_they_were_sent(sizes: list[int]) -> None:
    receiver = Receiver()
    one = UdpSocket(LOOPBACK, socket.AF_INET, receiver)
    other = UdpSocket(LOOPBACK, socket.AF_INET, lambda batch: None)
    sent = [bytes([number % 256]) * size for number, size in enumerate(sizes)]
    other.send([(data, one.address) for data in sent])
    assert await receiver.until(len(sent)) == sent
    assert {address for _, address in receiver.datagrams} == {other.address}
    one.close()
    other.close()


async def test_two_destinations_in_one_batch() -> None:
    first, second = Receiver(), Receiver()
    one = UdpSocket(LOOPBACK, socket.AF_INET, first)
    two = UdpSocket(LOOPBACK, socket.AF_INET, second)
    sender = UdpSocket(ANY_ADDRESS[socket.AF_INET], socket.AF_INET, lambda batch: None)
    sender.send([(b"a", one.address), (b"b", two.address), (b"c", one.address)])
    assert await first.until(2) == [b"a", b"c"]
    assert await second.until(1) == [b"b"]
    for each in (one, two, sender):
        each.close()


async def test_full_socket_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver()
    one = UdpSocket(LOOPBACK, socket.AF_INET, receiver)
    other = UdpSocket(LOOPBACK, socket.AF_INET, lambda batch: None)
    full = other._socket

    class Full:
        """The socket when its buffer is full."""

        def sendto(self, *arguments: object) -> int:
            other._socket = full
            raise BlockingIOError

        def fileno(self) -> int:
            return full.fileno()

    other._segments = False
    other._socket = Full()  # type: ignore[assignment]
    other.send([(bytes([number]), one.address) for number in range(5)])
    other.send([(b"last", one.address)])
    assert await receiver.until(6) == [bytes([number]) for number in range(5)] + [b"last"]
    one.close()
    other.close()


async def test_send_that_is_refused_is_remembered() -> None:
    sender = UdpSocket(LOOPBACK, socket.AF_INET, lambda batch: None)
    sender.send([(b"x", ("255.255.255.255", 9))])
    assert sender.last_error is not None
    assert sender.last_error.errno in (errno.EACCES, errno.EINVAL, errno.ENETUNREACH)
    sender.close()


async def test_taken_port_is_an_error() -> None:
    one = UdpSocket(LOOPBACK, socket.AF_INET, lambda batch: None)
    with pytest.raises(OSError, match="in use"):
        UdpSocket(one.address, socket.AF_INET, lambda batch: None)
    one.close()
