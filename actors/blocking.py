"""The Python API without `await`: for scripts, notebooks and programs that have no event loop.

    with Tunnel(8080) as tunnel:
        print(tunnel.url)

An event loop of its own runs in a thread; the program's, if there is one, is left alone. Any thread may call.
"""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from actors import DEFAULT_GRACE_PERIOD
from actors.events import AnyEvent
from actors.manager import Seconds, TunnelHandle, TunnelManager, TunnelMetrics

T = TypeVar("T")


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._begun: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        self._lock = threading.Lock()
        self._ended = False
        self._process = os.getpid()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="tunnel", daemon=True)
        self._thread.start()
        self._loop = self._begun.result()

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


class Tunnel:
    """A tunnel that serves from `start()`, or the `with` statement, until `shutdown()` or the program's end."""

    def __init__(self, what: TunnelManager | int | str | None = None) -> None:
        """`what`: a port, a URL, or a `TunnelManager` that says more."""
        self._manager = TunnelManager.of(what)
        self._lock = threading.RLock()
        """One start or shutdown at a time."""
        self._thread: _LoopThread | None = None
        self._last: TunnelHandle | None = None

    def start(self) -> Self:
        """Make the tunnel; return once it serves. After a shutdown: another one. One that serves is left alone.

        Raises:
            TunnelError: of the kind that says why it did not come up.
        """
        with self._lock:
            if self._thread is None:
                thread = _LoopThread()
                try:
                    self._last = thread.wait(self._manager.start)
                except BaseException:  # an interrupt too: no tunnel stays that nobody has a hold of
                    thread.end()
                    raise
                self._thread = thread
        return self

    @property
    def _handle(self) -> TunnelHandle:
        if self._last is None:
            raise RuntimeError("the tunnel was not started: use `with Tunnel(…) as tunnel:` or tunnel.start()")
        return self._last

    @property
    def url(self) -> str:
        """The public address."""
        return self._handle.url

    @property
    def local_url(self) -> str:
        """The local edge's own address, for clients that cannot resolve the name in `url`; empty without one."""
        return self._handle.local_url

    @property
    def local_ca(self) -> str:
        """Path of the PEM file to trust with `with_local_edge_tls`; else empty."""
        return self._handle.local_ca

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
        """What passed by now; after the end, what passed in all.

        Raises:
            PermanentFailure: the supervisor has given up. TunnelError: it ended for another reason of its own.
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

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
