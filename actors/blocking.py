"""The Python API without `await`: for scripts, notebooks and programs that have no event loop.

    with Tunnel(8080) as tunnel:
        print(tunnel.url)

An event loop of its own runs in a thread; the program's, if there is one, is left alone.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from actors import DEFAULT_GRACE_PERIOD
from actors.events import AnyEvent
from actors.manager import Seconds, TunnelHandle, TunnelManager, TunnelMetrics

T = TypeVar("T")


class Tunnel:
    """A tunnel that serves from `start()`, or the `with` statement, until `shutdown()`."""

    def __init__(self, what: TunnelManager | int | str | None = None) -> None:
        """`what`: a port, a URL, or a `TunnelManager` that says more."""
        self._manager = what if isinstance(what, TunnelManager) else TunnelManager(what)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: TunnelHandle | None = None

    def start(self) -> Self:
        """Make the tunnel; return once it serves.

        Raises:
            TunnelError: of the kind that says why it did not come up.
        """
        if self._running is not None:
            return self
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tunnel", daemon=True)
        self._thread.start()
        try:
            self._running = self._wait(self._manager.start())
        except BaseException:
            self._end_loop()
            raise
        return self

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    @property
    def _handle(self) -> TunnelHandle:
        if self._running is None:
            raise RuntimeError("the tunnel was not started: use `with Tunnel(…) as tunnel:` or tunnel.start()")
        return self._running

    @property
    def url(self) -> str:
        """The public address."""
        return self._handle.url

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
        """`registered`, `visible`, `degraded`, `down`, …: see the README."""
        return self._handle.state

    @property
    def serves(self) -> bool:
        """Whether a visitor who opens the URL now gets an answer."""
        return self._handle.serves

    def metrics(self) -> TunnelMetrics:
        """What passed by now; after the end, what passed in all.

        Raises:
            PermanentFailure: the supervisor has given up.
        """
        if self._loop is None:
            return self._handle.last_metrics()
        return self._wait(self._handle.metrics())

    def events(self) -> Iterator[AnyEvent]:
        """What happens from now on, until the end."""
        coming = self._handle.events()

        async def following() -> AnyEvent | None:
            return await anext(coming, None)

        while self._loop is not None and (event := self._wait(following())) is not None:
            yield event

    def shutdown(self, grace: Seconds = DEFAULT_GRACE_PERIOD) -> None:
        """Stop in order: no new requests, and `grace` for those in flight. Returns when all has ended."""
        if self._loop is not None and self._running is not None:
            self._wait(self._running.shutdown_with(grace))
            self._end_loop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
