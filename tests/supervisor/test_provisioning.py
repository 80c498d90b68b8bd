"""The tunnel API: every answer gets its own error, and none shows a body."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import (
    ApiMalformed,
    ApiRefused,
    ApiRejected,
    ApiServerError,
    ApiUnreachable,
    LocalSetupError,
    ProvisioningError,
    RateLimited,
)
from actors.supervisor import provisioning
from actors.supervisor.provisioning import (
    MAX_BODY_BYTES,
    MAX_RETRY_AFTER,
    parse_retry_after,
    public_url,
    read_answer,
    request_tunnel,
)
from tests.kit.origins import answer, read_head, scripted

pytestmark = pytest.mark.row("A1")

SECRET = b"\x01very secret indeed, 32 bytes it is"
TUNNEL = {
    "id": "d64b25e7-c9f8-4e83-8e69-ed4678edb63a",
    "name": "qt-x",
    "hostname": "a-b-c-d.trycloudflare.com",
    "account_tag": "0" * 32,
    "secret": base64.b64encode(SECRET).decode(),
}
HTML = b"<!DOCTYPE html><html>busy, the secret is hunter2</html>"


def body(**changes: Any) -> bytes:
    result = {name: value for name, value in (TUNNEL | changes).items() if value is not None}
    return json.dumps({"success": True, "result": result, "errors": []}).encode()


def read(status: int, data: bytes, retry_after: str | None = None) -> Any:
    return read_answer("https://api.example", status, retry_after, data)


def test_tunnel() -> None:
    credentials = read(200, body())
    assert credentials.url == "https://a-b-c-d.trycloudflare.com"
    assert credentials.secret == SECRET
    assert "secret indeed" not in repr(credentials)
    assert TUNNEL["secret"] not in repr(credentials)


@pytest.mark.parametrize(
    ("status", "data", "kind", "words"),
    [
        (429, b"error code: 1015", RateLimited, "rate limited.*429"),
        (500, b"error code: 1101", ApiServerError, r"500 \(error code 1101\)"),
        (503, HTML, ApiServerError, "503"),
        (403, HTML, ApiRejected, "403"),
        (302, b"", ApiRejected, "302"),
        (200, HTML, ApiMalformed, "HTML"),
        (200, b"error code: 1015", ApiMalformed, "1015"),
        (200, b"", ApiMalformed, "no JSON"),
        (200, b"[" * 50_000, ApiMalformed, "no JSON"),
        (200, b"[]", ApiMalformed, "no tunnel"),
        (200, b'{"success": true}', ApiMalformed, "no tunnel"),
        (200, b'{"success": true, "result": {"id": NaN}}', ApiMalformed, "empty or missing"),
        (200, body(id=""), ApiMalformed, "id is empty"),
        (200, body(id="not-a-uuid"), ApiMalformed, "no UUID"),
        (200, body(hostname=None), ApiMalformed, "hostname"),
        (200, body(hostname="a b"), ApiMalformed, "hostname"),
        (200, body(secret="***"), ApiMalformed, "base64"),
        (200, body(account_tag="\ud800"), ApiMalformed, "account tag"),
        (200, body(secret=7), ApiMalformed, "secret is empty or missing"),
        (200, b'{"success":false,"errors":[{"code":1003,"message":"no"}]}', ApiRefused, r"no \(1003\)"),
        (200, b'{"success":false,"errors":"x"}', ApiRefused, "no reason"),
    ],
)
def test_every_answer_has_its_own_error(status: int, data: bytes, kind: type[ProvisioningError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        read(status, data)
    assert type(caught.value) is kind
    assert "hunter2" not in str(caught.value)


@given(st.binary(max_size=200), st.integers(100, 599))
def test_garbage_raises_the_documented_errors_only(data: bytes, status: int) -> None:
    with pytest.raises(ProvisioningError):
        read(status, data)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0.0), ("", 0.0), ("90", 90.0), (" 5 ", 5.0), ("-5", 0.0), ("soon", 0.0), ("9" * 30, MAX_RETRY_AFTER)],
)
def test_retry_after_in_seconds(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value) == seconds


def test_retry_after_as_a_date() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert parse_retry_after("Wed, 21 Oct 2115 07:28:00 GMT") == MAX_RETRY_AFTER
    assert parse_retry_after("Mon, 01 Jan 99999999999999999999 00:00:00 GMT") == 0.0
    assert parse_retry_after("Mon, 01 Jan 2020 00:00:00 +99999999999999999999") == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:1"), ("HTTPS_PROXY", "ftp://x"), ("SSL_CERT_FILE", "/nonexistent")],
)
async def test_environment_that_cannot_be_used_is_explained(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(LocalSetupError, match=r"HTTPS_PROXY.*SSL_CERT_FILE"):
        await request_tunnel("https://api.invalid")


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("a.trycloudflare.com", "https://a.trycloudflare.com"),
        ("https://a.trycloudflare.com/", "https://a.trycloudflare.com"),
        ("http://a.localhost:80", "http://a.localhost:80"),
        ("a/b", None),
        ("a b", None),
        ("", None),
        ("https://", None),
        ("user@host", None),
        ("a\nb", None),
    ],
)
def test_public_url(hostname: str, url: str | None) -> None:
    assert public_url(hostname) == url


async def test_over_the_wire() -> None:
    heads = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(answer(body()))

    async with scripted(serve) as port:
        credentials = await request_tunnel(f"http://127.0.0.1:{port}/")
    assert credentials.tunnel_id == TUNNEL["id"]
    assert heads[0].startswith(b"POST /tunnel HTTP/1.1\r\n")
    assert b"content-type: application/json" in heads[0].lower()
    assert b"user-agent: tunnel-supervisor/" in heads[0].lower()
    assert b"content-length: 0" in heads[0].lower()


async def test_oversized_body_is_not_read_to_its_end() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" " * 8192)
            await writer.drain()

    async with scripted(serve) as port:
        with pytest.raises(ApiMalformed, match=str(MAX_BODY_BYTES)):
            await request_tunnel(f"http://127.0.0.1:{port}")


async def test_slow_body_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning, "DEADLINE", 0.3)
    forever = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        await forever.wait()

    async with scripted(serve) as port:
        with pytest.raises(ApiUnreachable, match="did not answer"):
            await request_tunnel(f"http://127.0.0.1:{port}")
        forever.set()


async def test_nobody_there() -> None:
    async with scripted(lambda reader, writer: asyncio.sleep(0)) as port:
        pass
    with pytest.raises(ApiUnreachable, match="cannot reach"):
        await request_tunnel(f"http://127.0.0.1:{port}")


async def test_connection_that_is_cut() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")

    async with scripted(serve) as port:
        with pytest.raises(ApiUnreachable):
            await request_tunnel(f"http://127.0.0.1:{port}")


async def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(await reader.readline())
        writer.write(b"HTTP/1.1 503 no\r\nContent-Length: 0\r\n\r\n")

    async with scripted(proxy) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        with pytest.raises(ApiUnreachable):
            await request_tunnel("https://api.trycloudflare.example")
    assert lines == [b"CONNECT api.trycloudflare.example:443 HTTP/1.1\r\n"]
