"""What systemd wants to know: `sd_notify` (man 3 sd_notify), a datagram to the socket that $NOTIFY_SOCKET names."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Final

WATCHDOG_SHARE: Final = 0.5
"""Share of the watchdog's time after which it hears from us: man 3 sd_watchdog_enabled asks for half."""


class ServiceManager:
    """The manager that started this process; where there is none, nothing is said."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """`pid`: this process, since a watchdog can be meant for another one."""
        self._address = environment.get("NOTIFY_SOCKET", "")
        meant = environment.get("WATCHDOG_PID", str(pid)) == str(pid)
        microseconds = environment.get("WATCHDOG_USEC", "") if meant else ""
        self.watchdog_interval = int(microseconds) / 1e6 * WATCHDOG_SHARE if microseconds.isdecimal() else None
        """Seconds between two words to the watchdog; None: there is none."""

    def ready(self) -> None:
        """The tunnel serves for the first time."""
        self._notify("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._notify(f"STATUS={text}")

    def alive(self) -> None:
        """To the watchdog."""
        self._notify("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._notify("STOPPING=1")

    def _notify(self, message: str) -> None:
        if not self._address.startswith(("/", "@")):
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that is gone, or does not read, must not harm the tunnel.
        with (
            contextlib.suppress(OSError, ValueError),
            contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(message.encode(), address)
