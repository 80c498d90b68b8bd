"""The services of the local edge together: API, the edge over QUIC and HTTP/2, front, admin."""

import asyncio
import contextlib
import errno
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from actors.bus.messages import Credentials
from actors.errors import LocalSetupError
from actors.local_edge.admin import make_admin
from actors.local_edge.api import make_api
from actors.local_edge.certificates import Authority
from actors.local_edge.edge import PROBE_NAME, EdgeRegistry
from actors.local_edge.engines import edge_engines
from actors.local_edge.front import front
from actors.local_edge.front_tls import front_tls
from actors.local_edge.h2_server import H2Server
from actors.local_edge.limits import UNLIMITED, Limits
from actors.local_edge.quic_link import SERVER_NAME, QuicLink
from actors.local_edge.quic_server import QuicServer
from actors.local_edge.registry import Registry
from actors.processes.tasks import Tasks
from actors.web.pages import Pages, serving

T = TypeVar("T")

HostPort = tuple[str, int]

ANY_PORT: Final[HostPort] = ("127.0.0.1", 0)

STOP_TIMEOUT: Final = 1.0
"""Seconds for open requests of the API and the admin endpoints at the end."""

BIND_TRIES: Final = 50
"""Free UDP ports that are tried until the TCP port of the same number is free too."""


class Endpoints(NamedTuple):
    """Where the services are, as the line on stdout says it."""

    api: str
    edge: str
    """Over UDP."""
    tcp: str
    """The edge over TCP; the same address, unless another was asked for."""
    http: str
    """The front, as an address that needs no resolver: it leads to the tunnel, while there is one only."""
    admin: str
    ca: str
    """A PEM file with the authority that signs for the edge, and for the front with TLS."""


@contextlib.asynccontextmanager
async def local_edge(
    folder: Path,
    *,
    api: HostPort = ANY_PORT,
    quic: HostPort = ANY_PORT,
    tcp: HostPort | None = None,
    http: HostPort = ANY_PORT,
    admin: HostPort = ANY_PORT,
    tls: bool = False,
    limits: Limits = UNLIMITED,
    known: Credentials | None = None,
) -> AsyncIterator[Endpoints]:
    """Run the services until the block is left. The authority's certificate is written to `folder`.

    `tcp`: where the edge listens for HTTP/2; None: the address of `quic`, as at Cloudflare. `tls`: the front speaks
    TLS. `limits`: what it allows visitors. `known`: a tunnel that it serves though its API did not give it away.

    Raises:
        LocalSetupError: an address cannot be bound.
    """
    registry: EdgeRegistry = Registry()
    authority = Authority()
    names = (SERVER_NAME, PROBE_NAME)
    make_engine = edge_engines(authority.issue(names), names)
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
        tasks = Tasks(lambda error: loop.call_exception_handler({"message": "fault in the edge", "exception": error}))
        stack.push_async_callback(tasks.cancel)
        over_tcp = H2Server(registry, authority, folder, tasks)
        over_udp = await _bind_both(
            quic,
            tcp,
            lambda: QuicServer(quic, make_engine, make_session=lambda connection: QuicLink(connection, registry)),
            over_tcp,
        )
        stack.callback(over_udp.close)
        stack.callback(over_tcp.close)
        domain = f"localhost:{http_address[1]}"
        if known is not None:
            registry.know(uuid.UUID(known.tunnel_id), known.account_tag, known.secret, domain)
        api_url = await _serve(stack, make_api(registry, domain, scheme), api, "API")
        admin_url = await _serve(stack, make_admin(registry, over_udp, over_tcp, domain), admin, "admin")
        yield Endpoints(
            api=api_url,
            edge=_join(over_udp.address),
            tcp=_join(over_tcp.address),
            http=f"{scheme}://{_join(http_address[:2])}",
            admin=admin_url,
            ca=str(authority_file),
        )


async def _bind_both(
    quic: HostPort, tcp: HostPort | None, make: Callable[[], QuicServer], over_tcp: H2Server
) -> QuicServer:
    """Bind UDP, and TCP: the same port, if it has no address of its own."""
    for tries_left in reversed(range(BIND_TRIES)):
        try:
            over_udp = make()
        except OSError as error:
            raise LocalSetupError(f"local edge: cannot bind UDP {_join(quic)}: {error.strerror}") from error
        address = tcp or over_udp.address
        try:
            await over_tcp.listen(address)
        except OSError as error:
            over_udp.close()
            if tcp is None and quic[1] == 0 and error.errno == errno.EADDRINUSE and tries_left:
                continue  # the port is another's
            raise LocalSetupError(f"local edge: cannot bind TCP {_join(address)}: {error.strerror}") from error
        return over_udp
    raise AssertionError("the last try returns or raises")


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
