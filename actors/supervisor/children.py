"""The supervisor's children: their processes, and the control socket on which they are spoken to."""

import asyncio
import contextlib
import signal
from collections.abc import Callable
from typing import Final, NamedTuple

import zmq

from actors.bus import sockets
from actors.bus.messages import (
    DECODE_ERRORS,
    MAX_CONTROL_BYTES,
    ChildOrders,
    Down,
    Ready,
    Stopped,
    Up,
    decode_up,
    encode,
)
from actors.errors import ExitCode, LocalSetupError
from actors.processes.forked import Forked
from actors.processes.lifeline import Child
from actors.processes.log import Logger
from actors.processes.nursery import Nursery
from actors.processes.tasks import Tasks
from actors.supervisor.restart import READY_TIMEOUT

LAST_WORD_TIMEOUT: Final = 0.3
"""Seconds for the last word of a child that has exited by itself: it may still be on its way."""

END_PATIENCE: Final = 3.0
"""Seconds between TERM and KILL for a child at the end."""

MODULES: Final = {
    "worker": "actors.quic_worker",
    "spare": "actors.quic_worker.spare",
    "metrics": "actors.metrics",
    "inspector": "actors.inspector",
    "local_edge": "actors.local_edge",
    "hello_world": "actors.hello_world",
}
"""What is run for which actor."""

CRASHES: Final = frozenset(
    -number for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
)
"""Exit statuses of a process that a fault in machine code has ended, its own or a library's. KILL and TERM are none of
these: we send them, and so does the kernel when memory runs out."""

NURSED: Final = ("spare", "worker", "metrics", "inspector")
"""Those that are started again, from a nursery where there is one."""


class Name(NamedTuple):
    """A child's name for ever: `worker-0.3` is the third generation of slot 0."""

    actor: str
    slot: int
    generation: int

    def __str__(self) -> str:
        return f"{self.actor}-{self.slot}.{self.generation}"

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Read a name.

        Raises:
            ValueError: it is none.
        """
        actor, _, number = text.rpartition("-")
        slot, generation = number.split(".")
        return cls(actor, int(slot), int(generation))


class _Running:
    """One child, from just before it is started until its end has been told."""

    def __init__(self, name: Name) -> None:
        self.child: Child | None = None
        self.next_orders: ChildOrders | None = None
        """What it is to get as soon as there is somebody to give it to."""
        self.doomed = False
        """To be killed, as soon as there is something to kill."""
        self.gone = asyncio.Event()
        self.become(name)

    def become(self, name: Name) -> None:
        """It has this name from now on, and has said nothing under it."""
        self.name = name
        self.ready: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self.last_word = asyncio.Event()


class Children:
    """All children. `said` is called with their messages, `exited` with their exit status."""

    def __init__(
        self,
        context: sockets.Context,
        endpoint: str,
        tasks: Tasks,
        log: Logger,
        head_start: dict[str, Forked],
        nursery: Nursery | None,
        *,
        said: Callable[[Name, Up], None],
        exited: Callable[[Name, int], None],
    ) -> None:
        self._socket = sockets.make_socket(context, zmq.SocketType.ROUTER, limit=MAX_CONTROL_BYTES)
        self.endpoint = sockets.bind(self._socket, endpoint)
        self._tasks = tasks
        self._log = log
        self._said = said
        self._exited = exited
        self._head_start = head_start
        """By module, those that run already and were not started yet."""
        self._nursery = nursery
        self._running: dict[Name, _Running] = {}
        tasks.start(self._listen(), name="control")

    def start(self, name: Name, orders: ChildOrders) -> None:
        """Start a child; its end, and a start that fails, are told to `exited`."""
        running = self._running[name] = _Running(name)
        self._tasks.start(self._run(running, orders), name=str(name))

    def adopt(self, spare: Name, name: Name, orders: ChildOrders) -> None:
        """Give a child that waits for orders its orders, and its name: from now on it is `name`."""
        running = self._running.pop(spare)
        running.become(name)
        self._running[name] = running
        if running.child is not None:
            self._tasks.start(running.child.give(orders), name=f"orders for {name}")
        else:
            running.next_orders = orders

    async def ready(self, name: Name) -> dict[str, str]:
        """Wait until a child is up; return the endpoints that it bound.

        Raises:
            LocalSetupError: it does not come up.
        """
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                return await asyncio.shield(self._running[name].ready)
        except TimeoutError:
            raise LocalSetupError(f"the {name.actor} actor did not come up within {READY_TIMEOUT:.0f} s") from None

    def tell(self, name: Name, message: Down) -> None:
        """Give a child an order."""
        if not sockets.try_send(self._socket, str(name).encode(), encode(message)):
            self._log.debug("order not sent: the child is gone", to=str(name))  # its exit is seen elsewhere

    def tell_all(self, actor: str, message: Down) -> None:
        """Give all children of an actor an order."""
        for name in list(self._running):
            if name.actor == actor:
                self.tell(name, message)

    def kill(self, name: Name) -> None:
        """Kill a child, without a word."""
        if (running := self._running.get(name)) is not None:
            running.doomed = True
            if running.child is not None:
                running.child.send_signal(signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill them all."""
        for name in list(self._running):
            self.kill(name)

    async def end(self, *actors: str) -> None:
        """End the children of these actors: TERM, and KILL for those that do not go."""
        ending = [entry for name, entry in self._running.items() if name.actor in actors]
        for entry in ending:
            entry.doomed = entry.child is None  # it is just being started
        await asyncio.gather(*(entry.child.end(patience=END_PATIENCE) for entry in ending if entry.child is not None))
        # Until its end has been told, a child's last word may still be on its way.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                await asyncio.gather(*(entry.gone.wait() for entry in ending))

    async def last_word(self, name: Name) -> None:
        """Wait until a child that was told to end has said its last word and is gone, or END_PATIENCE is over."""
        running = self._running.get(name)
        if running is None or running.child is None or not running.ready.done():
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_PATIENCE):
                await running.last_word.wait()
                await running.child.wait()

    # --- processes ---

    async def _run(self, running: _Running, orders: ChildOrders) -> None:
        try:
            await self._live(running, orders)
        finally:  # also after a fault of ours: who waits for this end must not wait for ever
            self._running.pop(running.name, None)
            running.gone.set()

    async def _live(self, running: _Running, orders: ChildOrders) -> None:
        status = await self._run_process(running, orders)
        if status >= 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORD_TIMEOUT):
                    await running.last_word.wait()
        name = running.name
        if not running.ready.done():
            running.ready.set_exception(
                LocalSetupError(f"the {name.actor} actor ended with status {status} before it was up; see the log")
            )
            running.ready.exception()  # seen here, in case nobody waits for it
        del self._running[name]
        self._exited(name, status)

    async def _run_process(self, running: _Running, orders: ChildOrders) -> int:
        name = running.name
        module = MODULES[name.actor]
        try:
            forked = self._head_start.pop(module, None)
            if forked is None and self._nursery is not None and name.actor in NURSED:
                forked = await self._nursery.fork(module)
            running.child = await Child.start(module, orders, forked)
        except OSError as error:
            self._log.error("cannot start a process", child=str(name), error=error.strerror)
            return int(ExitCode.LOCAL_SETUP)
        self._log.debug("child started", child=str(name), pid=running.child.pid)
        if running.next_orders is not None:
            await running.child.give(running.next_orders)
        if running.doomed:
            running.child.send_signal(signal.SIGKILL)
        return await running.child.wait()

    # --- the control socket ---

    async def _listen(self) -> None:
        while True:
            identity, *_, payload = await self._socket.recv_multipart()
            try:
                name, message = Name.parse(identity.decode()), decode_up(payload)
            except (*DECODE_ERRORS, ValueError) as error:
                self._log.warning("message that cannot be read", error=type(error).__name__)
                continue
            running = self._running.get(name)
            if running is None:
                continue  # nobody of ours: a late word, or somebody else's
            if isinstance(message, Ready) and not running.ready.done():
                running.ready.set_result(message.endpoints)
            self._said(name, message)
            if isinstance(message, Stopped):
                running.last_word.set()
