"""The Python API without `await`: for scripts, notebooks and programs that have no event loop.

    with Tunnel(8080) as tunnel:
        print(tunnel.url)

An event loop of its own runs in a thread; the program's, if there is one, is left alone. Any thread may call.
"""

import asyncio
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from actors import DEFAULT_GRACE_PERIOD
from actors.api import notebook
from actors.api.handle import Seconds, TunnelHandle, TunnelMetrics
from actors.api.manager import TunnelManager
from actors.api.program_log import LOGGER
from actors.bus.events import AnyEvent
from actors.errors import LocalSetupError

T = TypeVar("T")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        """Raises:
        LocalSetupError: there is no thread, or no event loop, to be had.
        """
        self._begun: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._lock = threading.Lock()
        self._ended = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="tunnel", daemon=True)
        try:
            self._thread.start()
            self._loop = self._begun.result()
        except (OSError, RuntimeError) as error:
            raise LocalSetupError(
                f"cannot run an event loop for the tunnel: {error}. Has this program too many open files, or threads?"
            ) from error

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            if self._begun.done():
                raise
            self._begun.set_exception(error)  # whoever started this thread waits for it

    async def _live(self) -> None:
        self._stop = asyncio.Event()
        self._begun.set_result(asyncio.get_running_loop())
        await self._stop.wait()

    def wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do `work` there.

        Raises:
            concurrent.futures.CancelledError: the loop has ended, or ends meanwhile.
            RuntimeError: this process was forked from the one that has the loop.
        """
        if os.getpid() != self._process:
            raise RuntimeError("the tunnel belongs to the process that started it, of which this one is a fork")
        with self._lock:  # what is submitted here is begun before the loop ends, and so cancelled by its end
            if self._ended:
                raise concurrent.futures.CancelledError
            future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        return future.result()

    def end(self) -> None:
        """End the loop; what still runs there is cancelled, and is given the time to end in order."""
        with self._lock:
            if not self._ended and os.getpid() == self._process:
                self._ended = True
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def abandon(self, handle: TunnelHandle) -> None:
        """End the tunnel and the loop, and wait for nothing: its `Tunnel` is no more. (Python calls, in any thread.)"""

        def stop() -> None:
            if handle.state != "stopped":
                LOGGER.warning("tunnel: %s has ended, since nothing holds its Tunnel any more", handle.name)
            self._stop.set()

        if os.getpid() == self._process and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(stop)


class Tunnel:
    """A tunnel that serves from `start()`, or the `with` statement, until `shutdown()` or the program's end.

    It also ends when nothing holds this object any more: by `del`, or when the last name for it is given to another.
    """

    def __init__(self, what: TunnelManager | int | str | None = None) -> None:
        """`what`: a port, a URL, or a `TunnelManager` that says more."""
        self._manager = TunnelManager.of(what)
        self._lock = threading.RLock()
        """One start or shutdown at a time."""
        self._thread: _LoopThread | None = None
        self._last: TunnelHandle | None = None
        self._abandoned: weakref.finalize[[TunnelHandle], Tunnel] | None = None
        """What Python does when this object is no more."""

    def __repr__(self) -> str:
        handle = self._last
        return f"<Tunnel {handle.name} ({handle.state})>" if handle is not None else "<Tunnel (not started)>"

    def start(self) -> Self:
        """Make the tunnel; return once it serves. After its end: another one. One that is there is left alone.

        In a notebook, one that an earlier run of the cell made has ended.

        Raises:
            TunnelError: of the kind that says why it did not come up.
        """
        with self._lock:
            if self._thread is not None and self._handle.state != "stopped":
                return self
            notebook.end_earlier(self._manager.origin)
            self._start()
            notebook.remember(self._manager.origin, self)
        return self

    def _start(self) -> None:
        with self._lock:
            self.shutdown()  # of one that has ended by itself
            thread = _LoopThread()
            try:
                self._last = thread.wait(self._manager.begin)
            except BaseException:  # an interrupt too: no tunnel stays that nobody has a hold of
                thread.end()
                raise
            self._thread = thread
            self._abandoned = weakref.finalize(self, thread.abandon, self._last)
            self._abandoned.atexit = False  # the program's end is the tunnel's anyway

    @property
    def _handle(self) -> TunnelHandle:
        if self._last is None:
            raise RuntimeError("the tunnel was not started: use `with Tunnel(…) as tunnel:` or tunnel.start()")
        return self._last

    @property
    def url(self) -> str:
        """The public address; empty for a tunnel of one's own, which has `hostnames`."""
        return self._handle.url

    @property
    def hostnames(self) -> list[str]:
        """Those that the rules of a tunnel of one's own name, as they have them; at most `MAX_TOLD_HOSTNAMES`."""
        return self._handle.hostnames

    @property
    def configuration_version(self) -> int:
        """Of the rules that the service sent; -1: it has sent none, or they are this machine's own."""
        return self._handle.configuration_version

    @property
    def local_url(self) -> str:
        """The local edge's own address, for clients that cannot resolve the name in `url`; empty without one."""
        return self._handle.local_url

    @property
    def local_ca(self) -> str:
        """Path of the PEM file to trust with `with_local_edge_tls`; else empty."""
        return self._handle.local_ca

    @property
    def inspector_url(self) -> str:
        """Where requests are shown, with `with_inspector`; else empty."""
        return self._handle.inspector_url

    @property
    def location(self) -> str:
        """The edge's point of presence of the connection that was registered first."""
        return self._handle.location

    @property
    def tunnel_id(self) -> str:
        """The tunnel's id, a UUID."""
        return self._handle.tunnel_id

    @property
    def state(self) -> str:
        """`registered`, `visible`, `degraded`, `down`, …, `stopped`: see the README."""
        return self._handle.state

    @property
    def serves(self) -> bool:
        """Whether a visitor who opens the URL now gets an answer."""
        return self._handle.serves

    def metrics(self) -> TunnelMetrics:
        """What passed by now, a request that was answered just before included; after the end, what passed in all.

        Raises:
            PermanentFailure: the supervisor has given up. TunnelError: it ended for another reason of its own, or does
                not answer.
        """
        handle, thread = self._handle, self._thread
        if thread is not None:
            try:
                return thread.wait(handle.metrics)
            except concurrent.futures.CancelledError:
                pass  # another thread has shut it down meanwhile
        return handle.last_metrics()

    def events(self) -> Iterator[AnyEvent]:
        """What happens from now on, until the end."""
        coming, thread = self._handle.events(), self._thread

        async def following() -> AnyEvent | None:
            return await anext(coming, None)

        try:
            while thread is not None and (event := thread.wait(following)) is not None:
                yield event
        except concurrent.futures.CancelledError:
            return  # another thread has shut it down meanwhile

    def shutdown(self, grace: Seconds = DEFAULT_GRACE_PERIOD) -> None:
        """Stop in order: no new requests, and `grace` for those in flight. Returns when all has ended."""
        with self._lock:
            if self._thread is not None:
                self._thread.wait(lambda: self._handle.shutdown_with(grace))
                self._thread.end()
                self._thread = None
                if self._abandoned is not None:
                    self._abandoned.detach()

    def let_go(self) -> None:
        """End it at once, and wait for nothing."""
        if self._last is not None:
            self._last.let_go()

    def __enter__(self) -> Self:
        with self._lock:
            if self._thread is None or self._handle.state == "stopped":
                self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
