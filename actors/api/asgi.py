"""A tunnel for as long as an ASGI application serves: `FastAPI(lifespan=lifespan(8000))`, or Starlette's."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from actors.api.manager import TunnelManager
from actors.api.program_log import LOGGER
from actors.errors import TunnelError, UsageError


def lifespan(
    what: TunnelManager | int | str, *, required: bool = True
) -> Callable[[Any], AbstractAsyncContextManager[dict[str, str | None]]]:
    """What a framework takes as its lifespan. The URL is printed, and is `request.state.tunnel_url` to handlers.

    `what`: the port that the application will listen on, or a `TunnelManager` that says more.
    `required`: False lets the application serve without a tunnel where there is none to be had (offline, rate limited);
    the reason is logged, and `tunnel_url` is None.
    """
    manager = TunnelManager.of(what)

    @contextlib.asynccontextmanager
    async def around(app: Any) -> Any:
        try:
            tunnel = await manager.begin()
        except UsageError:
            raise
        except TunnelError as error:
            if required:
                raise
            LOGGER.warning("tunnel: there is none, and the application serves without: %s", error)
            yield {"tunnel_url": None}
            return
        try:
            if tunnel.url:
                print(f"{tunnel.url}\n", end="", flush=True)  # in one write: other workers print theirs
            yield {"tunnel_url": tunnel.url}
        finally:
            await tunnel.shutdown()

    return around
