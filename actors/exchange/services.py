"""Services of TCP as targets: one that a rule names, any that a visitor names (bastion), and any by SOCKS."""

import asyncio
import contextlib
import urllib.parse
from typing import Final

from actors.bus.addresses import HostPort, joined
from actors.bus.routes import Bastion, Socks, Tcp, hosts
from actors.exchange import reasons, socks
from actors.exchange.backend import Backend, OriginError, ResponseHandler
from actors.exchange.dial import NO_LIMIT, Dialler
from actors.exchange.http1 import NO_HEAD, RequestHead
from actors.exchange.origin import OriginConnection
from actors.exchange.reach import resolved
from actors.exchange.request import Kind, Request
from actors.exchange.websocket import WebSocketServer

DESTINATION_FIELD: Final = b"cf-access-jump-destination"
"""In which a client of Access says where a bastion shall take it."""

MAX_DESTINATION_BYTES: Final = 512
"""Of what it says: a name has 253 at most."""


class _Nobody:
    """Nobody keeps connections of a service: each serves one visitor (`Keeper`)."""

    def waits(self, connection: OriginConnection) -> None: ...
    def answers(self, connection: OriginConnection) -> None: ...
    def forget(self, connection: OriginConnection) -> None: ...


def _connection() -> OriginConnection:
    return OriginConnection(_Nobody())


class Service:
    """A target whose bytes are carried by a WebSocket, or by a raw tunnel."""

    answer: Final = None
    origin: Final = None

    def __init__(self, destination: Tcp | Bastion | Socks, closed: HostPort | None = None) -> None:
        """`closed`: see `Dialler`."""
        self._destination = destination
        self._closed = closed
        self.name: Final = str(destination)
        self._own = None
        if isinstance(destination, Tcp):
            self._own = _dialler(destination, destination.host, destination.port, closed=closed)

    @property
    def failures(self) -> int:
        """What a visitor names is nobody's failure."""
        return 0 if self._own is None else self._own.failures

    def reuse(self, request: Request, head: RequestHead) -> None:
        """Each visitor has a connection of its own."""

    async def connect(self, request: Request, head: RequestHead) -> Backend:
        if request.kind is not Kind.TCP and not head.upgrade:
            message = (
                f"this address is no web page but {self._destination}: use a client such as `cloudflared access tcp`"
            )
            raise OriginError(message, status=426, reason=reasons.NO_WEB_PAGE)
        if isinstance(self._destination, Tcp) and not self._destination.port:
            raise OriginError(f"{self._destination} has no port to connect to", reason=reasons.NO_PORT)
        service: Backend
        if isinstance(self._destination, Socks):
            service = SocksServer(self._destination, self._closed)
        else:
            dialler = self._own or _dialler(self._destination, *_wanted(request), closed=self._closed)
            service = await dialler.tcp(_connection)
        return service if request.kind is Kind.TCP else WebSocketServer(request, service)

    def release(self, backend: Backend) -> None: ...

    def close(self) -> None: ...


def _dialler(how: Tcp | Bastion | Socks, host: str, port: int, *addresses: str, closed: HostPort | None) -> Dialler:
    """What connects to the host, or to these addresses of it only."""
    name = str(how) if isinstance(how, Tcp) else joined(host, port)
    return Dialler(
        name,
        addresses or hosts(host),
        port,
        connect_timeout=how.connect_timeout,
        keep_alive_period=how.keep_alive_period,
        closed=closed,
    )


def _wanted(request: Request) -> tuple[str, int]:
    """Where a bastion shall take a visitor: the field has a host and a port, perhaps in a URL.

    Raises:
        OriginError: it does not say.
    """
    values = [value for name, value in request.fields if name.lower() == DESTINATION_FIELD]
    if len(values) != 1 or not values[0]:
        message = "the client does not say where to go (`cloudflared access tcp --destination HOST:PORT`)"
        raise OriginError(message, status=400, reason=reasons.NO_DESTINATION)
    text = values[0][:MAX_DESTINATION_BYTES].decode("latin-1")
    with contextlib.suppress(ValueError):
        text = urllib.parse.urlsplit(text).netloc or text
    try:
        address = HostPort.parse(text.partition("/")[0])
        if not address.port:
            raise ValueError("a port of 0")
    except ValueError as error:
        message = f"the client wants to go where nobody can: {str(error)!r}"
        raise OriginError(message, status=400, reason=reasons.NO_DESTINATION) from error
    return address.host, address.port


class SocksServer:
    """A `Backend` that is asked by SOCKS5 where to go, and then is the connection to there."""

    may_be_stale: Final = False
    reusable: Final = False

    def __init__(self, how: Socks, closed: HostPort | None = None) -> None:
        self._how = how
        self._closed = closed
        self._conversation = socks.Conversation()
        self._handler: ResponseHandler | None = None
        self._dialling: asyncio.Future[None] | None = None
        self._service: OriginConnection | None = None
        self._early = bytearray()
        """What came while the service was dialled: no more than the visitor has credit for."""
        self._has_ended = False
        self._is_paused = False

    def begin(self, handler: ResponseHandler, head: RequestHead, *, raw: bool = False) -> None:
        self._handler = handler

    def write(self, data: bytes) -> None:
        if self._service is not None:
            self._service.write(data)
        elif self._dialling is not None:
            self._early += data
        elif (handler := self._handler) is not None:
            try:
                if answer := self._conversation.feed(data):
                    handler.body_received(answer)
            except socks.Refused as refused:
                self._end(refused.reply)
            else:
                self._dial()

    def _dial(self) -> None:
        if (wanted := self._conversation.wanted) is None or (handler := self._handler) is None:
            return
        self._early += self._conversation.rest()
        handler.pause_upload()
        self._dialling = asyncio.ensure_future(self._go_to(wanted))  # noqa: TID251 - held, and cancelled with the rest

    async def _go_to(self, wanted: socks.Wanted) -> None:
        code = socks.FAILED
        try:
            service = await self._dialled(wanted)
        except socks.Refused:
            code = socks.NOT_ALLOWED
        except OriginError as error:
            code = socks.REFUSED if isinstance(error.__cause__, ConnectionRefusedError) else socks.UNREACHABLE
        except Exception as error:  # a fault of this program, which costs this exchange
            asyncio.get_running_loop().call_exception_handler({"message": "fault in SOCKS", "exception": error})
        else:
            self._connected(service)
            return
        self._end(socks.reply(code))

    async def _dialled(self, wanted: socks.Wanted) -> OriginConnection:
        """Connect to those addresses of a host that the rules allow: they are looked up once, so that a name cannot
        mean one when it is judged and another when it is dialled."""
        host, port = wanted
        try:
            async with asyncio.timeout(self._how.connect_timeout or NO_LIMIT):
                addresses = await resolved(host, port)
        except OSError as error:
            raise OriginError(f"cannot find {host}") from error
        addresses = [address for address in addresses if socks.allowed(self._how.rules, address, port)]
        if not addresses:
            raise socks.Refused(f"no rule allows {joined(host, port)}")
        return await _dialler(self._how, host, port, *addresses, closed=self._closed).tcp(_connection)

    def _connected(self, service: OriginConnection) -> None:
        handler = self._handler
        if handler is None:
            service.abort()
            return
        self._service = service
        service.begin(handler, NO_HEAD, raw=True)
        if self._is_paused:
            service.pause()
        handler.body_received(socks.reply(socks.SUCCEEDED))
        if self._early:
            service.write(bytes(self._early))
            self._early.clear()
        if self._has_ended:
            service.write_eof()
        handler.resume_upload()

    def _end(self, last: bytes) -> None:
        handler, self._handler = self._handler, None
        if handler is not None:
            if last:
                handler.body_received(last)
            handler.response_ended()

    def write_eof(self) -> None:
        self._has_ended = True
        if self._service is not None:
            self._service.write_eof()
        elif self._dialling is None:
            self._end(b"")  # before it has said where to go

    def pause(self) -> None:
        self._is_paused = True
        if self._service is not None:
            self._service.pause()

    def resume(self) -> None:
        self._is_paused = False
        if self._service is not None:
            self._service.resume()

    def abort(self) -> None:
        self._let_go()
        if self._service is not None:
            self._service.abort()

    def close(self) -> None:
        self._let_go()
        if self._service is not None:
            self._service.close()

    def _let_go(self) -> None:
        self._handler = None
        if self._dialling is not None:
            self._dialling.cancel()
