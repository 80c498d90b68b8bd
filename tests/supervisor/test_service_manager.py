"""sd_notify, as a socket of our own hears it."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.supervisor.service_manager import ServiceManager


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        yield listener


def test_what_is_said(manager: socket.socket) -> None:
    said = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()}, 1)
    said.status("up")
    said.ready()
    said.alive()
    said.stopping()
    assert [manager.recv(100) for _ in range(4)] == [b"STATUS=up", b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_watchdog_hears_twice_in_its_time_and_only_from_the_process_it_means() -> None:
    assert ServiceManager({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 7).watchdog_interval == 5.0
    assert ServiceManager({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, 7).watchdog_interval is None
    assert ServiceManager({"WATCHDOG_USEC": "soon"}, 7).watchdog_interval is None


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody-listens-here", "relative"])
def test_manager_that_is_not_there_is_no_error(address: str) -> None:
    ServiceManager({"NOTIFY_SOCKET": address}, 1).ready()
