"""Access before a real origin: keys from a real HTTPS server, and nothing that passes unseen."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from actors.bus.routes import Access, Origin, Route, Routes, Status
from actors.exchange import access, access_keys
from actors.exchange.access_keys import MAX_KEYS_BYTES, RETRY_INTERVAL, UNKNOWN_KEY_INTERVAL
from actors.exchange.request import Field, Kind, Request
from actors.local_edge.certificates import make_certificates, server_context
from tests.exchange.test_access import KEY, OTHER, jwk
from tests.exchange.test_router import Counted, Place, place
from tests.kit.origins import answer, read_head
from tests.kit.processes import PATIENCE


class Issuer:
    """What stands at an issuer's address. It counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk(KEY)]
        self.asked: list[bytes] = []
        self.instead: bytes | None = None
        """What it says in the place of its keys."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            self.asked.append((await read_head(reader)).split(b" ")[1])
            self.was_asked.set()
            await self.may_answer.wait()
            body = json.dumps({"keys": self.keys}).encode()
            writer.write(self.instead if self.instead is not None else answer(body))
            await writer.drain()
        writer.close()

    def token(self, key: rsa.RSAPrivateKey = KEY, kid: str = "one", **claims: Any) -> str:
        usual = {"iss": self.url, "aud": ["ours"], "exp": time.time() + 600}
        return jwt.encode({**usual, **claims}, key, algorithm="RS256", headers={"kid": kid})


class Clock:
    """The clock of the fetches."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Protected:
    """An origin behind Access."""

    def __init__(self, place: Place, issuer: Issuer, origin: Counted, clock: Clock) -> None:
        self.place = place
        self.issuer = issuer
        self.origin = origin
        self.clock = clock

    def request(
        self, *tokens: str, kind: Kind = Kind.HTTP, method: bytes = b"GET", fields: Sequence[Field] = ()
    ) -> Request:
        assertions = tuple((b"Cf-Access-Jwt-Assertion", token.encode()) for token in tokens)
        return Request(kind, method, b"/", b"a.example", (*assertions, *fields))

    async def status(self, *tokens: str, kind: Kind = Kind.HTTP) -> int | None:
        return await self.place.status(self.request(*tokens, kind=kind))


@pytest.fixture
async def protected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Protected]:
    certificates = make_certificates(("localhost",))
    (tmp_path / "roots.pem").write_bytes(certificates.authority_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "roots.pem"))
    clock = Clock()
    monkeypatch.setattr(access_keys, "monotonic", clock)
    issuer, origin = Issuer(), Counted(b"one")
    server = await asyncio.start_server(issuer.serve, "127.0.0.1", 0, ssl=server_context(certificates, tmp_path))
    issuer.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    async with server, place(origin) as (made, (destination,)):
        made.router.replace(Routes((Route(destination, access=Access(issuer.url, ("ours",))),)))
        yield Protected(made, issuer, origin, clock)


KINDS = pytest.mark.parametrize("kind", [Kind.HTTP, Kind.WEBSOCKET])


@KINDS
async def test_good_token_lets_in_and_the_keys_are_fetched_once(protected: Protected, kind: Kind) -> None:
    for _ in range(3):
        assert await protected.status(protected.issuer.token(), kind=kind) == 200
    assert protected.issuer.asked == [b"/cdn-cgi/access/certs"]
    assert len(protected.origin.heard) == 3


@KINDS
async def test_nobody_else_is_let_in(protected: Protected, kind: Kind) -> None:
    issuer = protected.issuer
    assert await protected.status(kind=kind) == 403
    assert issuer.asked == [], "nothing is fetched for who brings nothing"
    assert await protected.status(issuer.token(aud=["theirs"]), kind=kind) == 403
    for token in (
        *("nonsense", issuer.token(OTHER), issuer.token(exp=1), issuer.token(iss="https://else.example")),
        issuer.token(kid="unknown"),
    ):
        assert await protected.status(token, kind=kind) == 502
    assert await protected.status(issuer.token(), issuer.token(), kind=kind) == 502
    assert protected.origin.made == 0


async def test_raw_tunnel_needs_a_token_as_well(protected: Protected) -> None:
    assert await protected.status(kind=Kind.TCP) is None
    assert protected.origin.made == 0


async def test_nothing_of_the_body_reaches_the_origin_before_the_verdict(protected: Protected) -> None:
    protected.issuer.may_answer.clear()
    visitor = protected.place.begin(
        protected.request(protected.issuer.token(), method=b"POST", fields=[(b"Content-Length", b"4")])
    )
    (exchange,) = protected.place.exchanges._running
    exchange.data_received(b"body")
    exchange.eof_received()
    async with asyncio.timeout(PATIENCE):
        await protected.issuer.was_asked.wait()
        assert protected.origin.made == 0
        protected.issuer.may_answer.set()
        await protected.place.exchanges.idle()
    assert visitor.status == 200


async def test_visitor_who_leaves_meanwhile_leaves_nothing(protected: Protected) -> None:
    protected.issuer.may_answer.clear()
    protected.place.begin(protected.request(protected.issuer.token()))
    async with asyncio.timeout(PATIENCE):
        await protected.issuer.was_asked.wait()
        (exchange,) = protected.place.exchanges._running
        exchange.reset_received()
        await protected.place.exchanges.idle()
    protected.issuer.may_answer.set()
    assert await protected.status(protected.issuer.token()) == 200
    assert len(protected.origin.heard) == 1


async def test_many_who_come_at_once_are_one_fetch(protected: Protected) -> None:
    protected.issuer.may_answer.clear()
    visitors = [protected.place.begin(protected.request(protected.issuer.token())) for _ in range(9)]
    async with asyncio.timeout(PATIENCE):
        await protected.issuer.was_asked.wait()
        protected.issuer.may_answer.set()
        await protected.place.exchanges.idle()
    assert [visitor.status for visitor in visitors] == [200] * 9
    assert len(protected.issuer.asked) == 1


async def test_unknown_key_is_looked_for_once_in_a_while(protected: Protected) -> None:
    issuer = protected.issuer
    assert await protected.status(issuer.token()) == 200
    for kid in ("a", "b", "c"):
        assert await protected.status(issuer.token(kid=kid)) == 502
    assert len(issuer.asked) == 1
    issuer.keys.append(jwk(OTHER, "two"))
    assert await protected.status(issuer.token(OTHER, "two")) == 502, "it is new, and nobody asks so soon"
    protected.clock.now += UNKNOWN_KEY_INTERVAL
    assert await protected.status(issuer.token(OTHER, "two")) == 200
    assert len(issuer.asked) == 2


async def test_key_that_is_withdrawn_is_good_no_longer(protected: Protected) -> None:
    issuer = protected.issuer
    assert await protected.status(issuer.token()) == 200
    issuer.keys = [jwk(OTHER, "two")]
    protected.clock.now += access_keys.LIFETIME
    assert await protected.status(issuer.token()) == 502
    assert await protected.status(issuer.token(OTHER, "two")) == 200


async def test_keys_hold_on_while_new_ones_cannot_be_had(protected: Protected) -> None:
    issuer = protected.issuer
    assert await protected.status(issuer.token()) == 200
    issuer.instead = b"HTTP/1.1 500 No\r\n\r\n"
    protected.clock.now += access_keys.LIFETIME
    assert await protected.status(issuer.token()) == 200
    assert await protected.status(issuer.token(OTHER)) == 502
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    "instead",
    [
        b"HTTP/1.1 500 No\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
        b"",
        b"not HTTP at all\r\n\r\n",
        answer(b"{}"),
        answer(b" " * (MAX_KEYS_BYTES + 1)),
    ],
    ids=["500", "elsewhere", "nothing", "noise", "no keys", "too much"],
)
async def test_keys_that_cannot_be_had_let_nobody_in_and_are_not_asked_for_all_the_time(
    protected: Protected, instead: bytes
) -> None:
    issuer = protected.issuer
    issuer.instead = instead
    for _ in range(3):
        assert await protected.status(issuer.token()) == 502
    assert len(issuer.asked) == 1
    issuer.instead = None
    protected.clock.now += RETRY_INTERVAL
    assert await protected.status(issuer.token()) == 200


async def test_issuer_that_does_not_answer_holds_nobody_for_long(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_keys, "FETCH_TIMEOUT", 0.05)
    protected.issuer.may_answer.clear()
    assert await protected.status(protected.issuer.token()) == 502
    protected.issuer.may_answer.set()


async def test_issuer_with_a_certificate_of_somebody_else(
    protected: Protected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    server_noise = asyncio.get_running_loop()
    server_noise.set_exception_handler(lambda _, context: None)
    assert await protected.status(protected.issuer.token()) == 502
    assert protected.issuer.asked == []


async def test_keys_stay_known_when_the_routes_change(protected: Protected) -> None:
    issuer = protected.issuer
    assert await protected.status(issuer.token()) == 200
    protected.place.router.replace(Routes((Route(Status(204), access=Access(issuer.url, ("theirs",))),)))
    assert await protected.status(issuer.token(aud="theirs")) == 204
    assert await protected.status(issuer.token()) == 403
    assert len(issuer.asked) == 1


async def test_fault_in_the_gate_lets_nobody_in(protected: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> None:
        raise ZeroDivisionError

    faults: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    monkeypatch.setattr(access, "verdict", raises)
    assert await protected.status(protected.issuer.token()) == 502
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    assert protected.origin.made == 0


async def test_other_routes_are_open(protected: Protected) -> None:
    demanded = Access(protected.issuer.url, ("ours",))
    routes = (Route(Status(204), path="^/open"), Route(Origin(host="127.0.0.1", port=1), access=demanded))
    protected.place.router.replace(Routes(routes))
    assert await protected.place.status(Request(Kind.HTTP, b"GET", b"/open", b"a.example", ())) == 204
    assert await protected.status() == 403
