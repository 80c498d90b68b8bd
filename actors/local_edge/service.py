"""The four services of the local edge together: API, QUIC, front, admin."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from actors.errors import LocalSetupError
from actors.local_edge.admin import make_admin
from actors.local_edge.api import make_api
from actors.local_edge.certificates import Authority
from actors.local_edge.edge import PROBE_NAME, SERVER_NAME, EdgeRegistry, EdgeSession
from actors.local_edge.engines import edge_engines
from actors.local_edge.front import front
from actors.local_edge.front_tls import front_tls
from actors.local_edge.limits import UNLIMITED, Limits
from actors.local_edge.quic_server import QuicServer
from actors.local_edge.registry import Registry
from actors.processes.log import Logger
from actors.web.pages import Pages, serving

T = TypeVar("T")

HostPort = tuple[str, int]

ANY_PORT: Final[HostPort] = ("127.0.0.1", 0)

STOP_TIMEOUT: Final = 1.0
"""Seconds for open requests of the API and the admin endpoints at the end."""


class Endpoints(NamedTuple):
    """Where the services are, as the line on stdout says it."""

    api: str
    edge: str
    http: str
    """The front, as an address that needs no resolver: it leads to the tunnel, while there is one only."""
    admin: str
    ca: str
    """A PEM file with the authority that signs for the edge, and for the front with TLS."""


@contextlib.asynccontextmanager
async def local_edge(
    folder: Path,
    log: Logger,
    *,
    api: HostPort = ANY_PORT,
    quic: HostPort = ANY_PORT,
    http: HostPort = ANY_PORT,
    admin: HostPort = ANY_PORT,
    tls: bool = False,
    limits: Limits = UNLIMITED,
) -> AsyncIterator[Endpoints]:
    """Run the services until the block is left. The authority's certificate is written to `folder`.

    `tls`: the front speaks TLS. `limits`: what it allows visitors.

    Raises:
        LocalSetupError: an address cannot be bound.
    """
    registry: EdgeRegistry = Registry()
    authority = Authority()
    certificates = authority.issue((SERVER_NAME, PROBE_NAME))
    authority_file = folder / "local-edge-ca.pem"
    authority_file.write_bytes(authority.pem)
    context = front_tls(authority, folder) if tls else None
    scheme = "https" if tls else "http"
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        visitors = await _listening(
            "front", http, loop.create_server(lambda: front(registry, limits), *http, ssl=context)
        )
        stack.callback(visitors.close)
        http_address = visitors.sockets[0].getsockname()
        try:
            server = QuicServer(
                quic,
                edge_engines(certificates, (SERVER_NAME, PROBE_NAME)),
                make_session=lambda connection: EdgeSession(connection, registry, log),
            )
        except OSError as error:
            raise LocalSetupError(f"local edge: cannot bind UDP {_join(quic)}: {error.strerror}") from error
        stack.callback(server.close)
        api_url = await _serve(stack, make_api(registry, f"localhost:{http_address[1]}", scheme), api, "API")
        admin_url = await _serve(stack, make_admin(registry), admin, "admin")
        yield Endpoints(
            api=api_url,
            edge=_join(server.address),
            http=f"{scheme}://{_join(http_address[:2])}",
            admin=admin_url,
            ca=str(authority_file),
        )


async def _serve(stack: contextlib.AsyncExitStack, pages: Pages, address: HostPort, what: str) -> str:
    opened = stack.enter_async_context(serving(pages, *address, stop_timeout=STOP_TIMEOUT))
    return f"http://{_join(await _listening(what, address, opened))}"


async def _listening(what: str, address: HostPort, starting: Awaitable[T]) -> T:
    try:
        return await starting
    except OSError as error:
        raise LocalSetupError(
            f"local edge: cannot bind {what} to {_join(address)}: {error.strerror}. Choose another port, or 0 for any."
        ) from error


def _join(address: HostPort) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
