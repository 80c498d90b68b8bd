"""A tunnel for as long as an ASGI application serves: `FastAPI(lifespan=lifespan(8000))`, or Starlette's."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from actors.manager import TunnelManager


def lifespan(what: TunnelManager | int | str) -> Callable[[Any], AbstractAsyncContextManager[dict[str, str]]]:
    """What a framework takes as its lifespan. The URL is printed, and is `request.state.tunnel_url` to handlers.

    `what`: the port that the application will listen on, or a `TunnelManager` that says more.
    """
    manager = TunnelManager.of(what)

    @contextlib.asynccontextmanager
    async def around(app: Any) -> Any:
        async with manager as tunnel:
            print(tunnel.url, flush=True)
            yield {"tunnel_url": tunnel.url}

    return around
