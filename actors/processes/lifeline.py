"""How a child process is started, gets its orders, and ends with its parent.

The orders, the tunnel's secret among them, go down the child's stdin as one message: not by argv or the environment,
where any process could read them. stdin then stays open, and its end tells the child that the parent is gone,
however it died. PR_SET_PDEATHSIG is the second belt, for a child that is stopped and cannot read.

Not `multiprocessing`: it runs the parent's script again in every child, pickles, and blocks.
"""

import asyncio
import contextlib
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from typing import Final, Protocol, Self, TypeVar

import msgspec

from actors import __version__
from actors.bus.messages import (
    DECODE_ERRORS,
    MAX_CONTROL_BYTES,
    OTHER_VERSION_STATUS,
    SCHEMA_VERSION,
    ChildOrders,
    encode,
)
from actors.processes import means, text
from actors.processes.dispositions import take_signals
from actors.processes.forked import KILL_PATIENCE, UNKNOWN_STATUS, Forked

_HEAD: Final = struct.Struct(">3sBI")
"""What comes before orders, in all versions: `_MAGIC`, the version of the schema, and the length of the message."""

_MAGIC: Final = b"TSO"
"""Tells orders from what somebody types."""

MAX_ORDERS_BYTES: Final = MAX_CONTROL_BYTES
"""Orders are a few hundred bytes, and the routes of the tunnel; the API decides how long the secret is."""

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36

Orders = TypeVar("Orders", bound=ChildOrders)

STDIN: Final = 0


class _Process(Protocol):
    """What `Child` asks of a process: `_Executed` here, `actors.processes.forked.Forked`."""

    @property
    def pid(self) -> int: ...
    async def write(self, data: bytes) -> None: ...
    async def wait(self) -> int: ...
    def send_signal(self, number: signal.Signals) -> None: ...


class _Executed:
    """A process that runs an interpreter of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pid = process.pid
        self.wait = process.wait
        self.send_signal = process.send_signal
        self._stdin = process.stdin

    @classmethod
    async def start(cls, module: str) -> Self:
        return cls(
            await asyncio.create_subprocess_exec(
                # -P: a folder named `actors` where the user happens to be must not shadow ours.
                *(sys.executable, "-P", "-m", module),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=None,
                start_new_session=True,
            )
        )

    async def write(self, data: bytes) -> None:
        assert self._stdin is not None
        self._stdin.write(data)
        # A child that died at once is seen by `wait`, which knows more than a broken pipe.
        with contextlib.suppress(ConnectionError):
            await self._stdin.drain()


class Child:
    """The parent's view of a child process."""

    def __init__(self, process: _Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, orders: ChildOrders, forked: Forked | None = None) -> "Child":
        """Start `python -m module` and hand it its orders; `forked`: it was started already, but for these.

        Its stderr is ours; its stdout is closed, since ours is for the URL alone. It gets a session of its own, so
        that a Ctrl-C on the terminal reaches the supervisor only.

        Raises:
            OSError: no process can be started.
        """
        child = cls(forked or await _Executed.start(module))
        await child.give(orders)
        return child

    async def give(self, orders: ChildOrders) -> None:
        """Hand it orders: the first ones, or further ones that it waits for."""
        payload = encode(orders)
        await self._process.write(_HEAD.pack(_MAGIC, SCHEMA_VERSION, len(payload)) + payload)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; return its exit status (negative: the signal that killed it), or `UNKNOWN_STATUS`."""
        return await self._process.wait()

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the child has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def end(self, *, patience: float) -> int:
        """TERM, wait up to `patience` seconds, KILL. Return the exit status; unknown, if not even KILL ends it."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, KILL_PATIENCE)):
            self.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await self.wait()
        return UNKNOWN_STATUS


def read_orders(kind: type[Orders]) -> Orders:
    """The child's first act: protect itself, and wait for its orders on stdin.

    Exits with status 0 when the parent goes away before it gave any, and with `OTHER_VERSION_STATUS` if the parent runs
    the code of another version, as it was when it started: the package was changed since.
    """
    take_signals()
    means.say_refusals(sys.argv[0])
    text.any_stream_will_do()
    protect_secrets()
    parent = os.getppid()
    die_with_parent(parent)
    magic, schema, length = _HEAD.unpack(_read_exactly(_HEAD.size))
    if magic != _MAGIC or not 0 < length <= MAX_ORDERS_BYTES:
        sys.exit(f"{sys.argv[0]}: this program is started by tunnel-supervisor, not by hand")
    payload = _read_exactly(length)
    try:
        if schema != SCHEMA_VERSION:
            raise msgspec.ValidationError(f"their schema is {schema}, not {SCHEMA_VERSION}")
        orders = msgspec.msgpack.decode(payload, type=kind)
    except DECODE_ERRORS as error:
        # The message names a field at most, never its value.
        print(f"{sys.argv[0]}: version {__version__} cannot read these orders: {error}", file=sys.stderr)
        sys.exit(OTHER_VERSION_STATUS)
    call_itself(orders.identity)
    return orders


def _read_exactly(count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(STDIN, count - len(parts))
        if not part:
            sys.exit(0)
        parts += part
    return bytes(parts)


def on_parent_gone(callback: Callable[[], None]) -> None:
    """Call `callback` in the running event loop when the parent is gone."""
    loop = asyncio.get_running_loop()

    def readable() -> None:
        with contextlib.suppress(BlockingIOError):
            if os.read(STDIN, 1024):
                return  # nothing is said there after the orders
            loop.remove_reader(STDIN)
            callback()

    os.set_blocking(STDIN, False)
    loop.add_reader(STDIN, readable)


class _Prctl(Protocol):
    def __call__(self, option: int, argument: int | bytes) -> int: ...


def _prctl() -> _Prctl | None:
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    function: _Prctl = ctypes.CDLL(None, use_errno=True).prctl
    return function


def call_itself(name: str) -> None:
    """Be `name` for ps and top, which else see one `python` like the other (Linux)."""
    if (prctl := _prctl()) is not None:
        prctl(_PR_SET_NAME, name.encode())


def adopt_orphans() -> bool:
    """Be the parent of all descendants whose own parent ends; return whether the kernel grants it (Linux)."""
    prctl = _prctl()
    return prctl is not None and prctl(_PR_SET_CHILD_SUBREAPER, 1) == 0


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies (Linux; elsewhere the lifeline alone does it).

    Called from the main thread, which also started the child in the parent: the signal follows threads.
    """
    if (prctl := _prctl()) is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(0)


def protect_secrets() -> None:
    """No core file of this process: it would hold the tunnel's secret."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if (prctl := _prctl()) is not None:
        prctl(_PR_SET_DUMPABLE, 0)
