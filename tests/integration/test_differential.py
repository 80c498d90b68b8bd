"""The same requests straight to an origin and through the tunnel: the answers are equal, but for what is of one hop."""

import asyncio
import contextlib
import hashlib
import itertools
import operator
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from tests.kit.origins import (
    BLOCK,
    answer,
    free_port,
    http_server_origin,
    nginx_origin,
    read_head,
    scripted,
    until_listening,
    uvicorn_origin,
)
from tests.kit.processes import ROOT, running
from tests.kit.tunnel import tunnel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OF_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "date", "te", "trailer", "upgrade"}


class Case(NamedTuple):
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes | None
    chunked: bool = False


def cases() -> list[Case]:
    """300 and more, of every kind that a client can send."""
    targets = [
        "/",
        "/big",
        "/small",
        "/nothing",
        "/a/../b",
        "/a%20b?q=%2F&q=a+b",
        "//double",
        "/;p?x",
        "/%C3%A4",
        "/up/x",
    ]
    fields: list[tuple[tuple[str, str], ...]] = [
        (),
        (("Accept-Encoding", "gzip"),),
        (("Range", "bytes=0-9"),),
        (("If-None-Match", '"x"'), ("Cookie", "a=1; b=2")),
        (("X-Twice", "1"), ("X-Twice", "2")),
        (("Accept-Encoding", "identity"), ("User-Agent", "")),
        (("If-Modified-Since", "Wed, 21 Oct 2065 07:28:00 GMT"),),
    ]
    made = [
        Case(method, target, field, None)
        for method, target, field in itertools.product(("GET", "HEAD"), targets, fields)
    ]
    bodies = [b"", b"x", b"hello world" * 100, BLOCK * 3]
    for method, target, body, chunked in itertools.product(
        ("POST", "PUT", "PATCH", "DELETE"), ("/", "/up", "/small", "/nothing"), bodies, (False, True)
    ):
        made.append(Case(method, target, (("Content-Type", "application/x-test"),), body, chunked))
    made += [Case(method, "/", (), None) for method in ("OPTIONS", "DELETE", "PROPFIND", "M-SEARCH")]
    made += [Case("GET", f"/small?{number}", (), None) for number in range(50)]
    made += [Case(method, "/up", (), None) for method in ("POST", "PUT", "PATCH", "MKCOL")]  # no length, no body
    made += [Case(method, "/", (), b"a body", chunked) for method in ("GET", "OPTIONS") for chunked in (False, True)]
    made += [
        Case("GET", "/small", (("X_A", "1"), ("X-A", "2")), None),
        Case("GET", "/small", (("X-Large", "a" * 5000),), None),
        Case("GET", "/small?" + "a" * 3000, (), None),
        Case("GET", "/small", (("Upgrade", "h2c"),), None),
    ]
    return made


Outcome = tuple[int, list[tuple[str, str]], str]


async def ask(client: httpx.AsyncClient, case: Case) -> Outcome:
    async def chunks() -> AsyncIterator[bytes]:
        yield case.body or b""

    content = chunks() if case.chunked else case.body
    client.cookies.clear()  # or what is asked depends on which answers came before
    request = client.build_request(case.method, "http://ignored/", headers=list(case.fields), content=content)
    request.url = client.base_url.copy_with(raw_path=case.target.encode())
    request.headers["Host"] = "the.same"
    response = await client.send(request, stream=True)
    raw = b"".join([part async for part in response.aiter_raw()])
    await response.aclose()
    fields = [(name.lower(), value) for name, value in response.headers.multi_items() if name.lower() not in OF_ONE_HOP]
    # Sorted by name, as stable as Python sorts: an edge may change the order of fields that have different ones.
    fields.sort(key=operator.itemgetter(0))
    return response.status_code, fields, hashlib.sha256(raw).hexdigest()


async def outcome(client: httpx.AsyncClient, case: Case) -> Outcome | str:
    try:
        return await ask(client, case)
    except httpx.HTTPError as error:
        return type(error).__name__


async def compare(port: int, state: Path, *, bodies: bool) -> None:
    """Ask for everything twice."""
    made_cases = cases()
    assert len(made_cases) >= 300
    if not bodies:
        made_cases = [case for case in made_cases if not case.body] * 2
    base = f"http://127.0.0.1:{port}"
    async with tunnel(port, state) as made, httpx.AsyncClient(base_url=base, timeout=30) as direct:
        limit = asyncio.Semaphore(8)

        async def one(case: Case) -> tuple[Case, Outcome | str, Outcome | str]:
            async with limit:
                return case, await outcome(direct, case), await outcome(made.visitor, case)

        compared = await asyncio.gather(*(one(case) for case in made_cases))
    assert [entry for entry in compared if entry[1] != without_added_length(entry[2], entry[1])] == []


def without_added_length(through: Outcome | str, direct: Outcome | str) -> Outcome | str:
    """An edge that has the whole of an answer that came in chunks may say its length (RFC 9110 section 8.6)."""
    if isinstance(through, str) or isinstance(direct, str) or any(name == "content-length" for name, _ in direct[1]):
        return through
    status, fields, digest = through
    return status, [field for field in fields if field[0] != "content-length"], digest


@contextlib.asynccontextmanager
async def gunicorn(folder: Path) -> AsyncIterator[int]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "tests.kit.wsgi_app:app",
        "--bind",
        f"127.0.0.1:{port}",
        "--threads",
        "4",
    ]
    async with running(command, cwd=ROOT) as process:
        await until_listening(port, process)
        yield port


@contextlib.asynccontextmanager
async def aiohttp(folder: Path) -> AsyncIterator[int]:
    async with running([sys.executable, "-m", "tests.kit.aiohttp_app"], cwd=ROOT) as process:
        yield int(await process.first_line())


@contextlib.asynccontextmanager
async def raw(folder: Path) -> AsyncIterator[int]:
    """Whatever a head asks for, in every framing that HTTP/1.1 knows, with fields given twice."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        method, target, _ = head.split(b" ", 2)
        lowered = head.lower()
        if b"content-length: " in lowered:
            await reader.readexactly(int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0]))
        elif b"transfer-encoding: chunked" in lowered:
            while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                await reader.readexactly(size + 2)
        twice = b"Set-Cookie: a=1\r\nSet-Cookie: b=\xe4\r\nX-Empty:\r\n"
        if method == b"HEAD":
            writer.write(b"HTTP/1.1 200 OK\r\n" + twice + b"Content-Length: 1234\r\n\r\n")
        elif target == b"/nothing":
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 None\r\n" + twice + b"\r\n")
        else:
            body = target * 10
            match ("length", "chunked", "close")[len(target) % 3]:
                case "length":
                    writer.write(answer(body).replace(b"\r\n\r\n", b"\r\n" + twice + b"\r\n", 1))
                case "chunked":
                    framed = b"%x;ext=1\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body)
                    writer.write(b"HTTP/1.1 200 OK\r\n" + twice + b"Transfer-Encoding: chunked\r\n\r\n" + framed)
                case _:
                    writer.write(b"HTTP/1.0 200 OK\r\n" + twice + b"\r\n" + body)

    async with scripted(serve) as port:
        yield port


@contextlib.asynccontextmanager
async def nginx(folder: Path) -> AsyncIterator[int]:
    async with nginx_origin(folder, free_port()) as port:
        yield port


def uvicorn(folder: Path) -> AbstractAsyncContextManager[int]:
    return uvicorn_origin()


def http_server(folder: Path) -> AbstractAsyncContextManager[int]:
    return http_server_origin(folder / "www")


@pytest.mark.parametrize(
    "origin", [uvicorn, aiohttp, gunicorn, nginx, http_server, raw], ids=lambda origin: origin.__name__
)
async def test_answers_are_equal(
    origin: Callable[[Path], AbstractAsyncContextManager[int]], state: Path, tmp_path: Path
) -> None:
    www = tmp_path / "www"
    (www / "up").mkdir(parents=True)
    (www / "big").write_bytes(BLOCK * 20)
    (www / "small").write_bytes(b"small")
    (www / "index.html").write_bytes(b"<p>index")
    async with origin(tmp_path) as port:
        # http.server closes on a body that it does not read: whether its answer arrives then is a matter of luck.
        await compare(port, state, bodies=origin is not http_server)


CHUNKED = b"Transfer-Encoding: chunked\r\n"

LOOSE = {
    "lf": b"HTTP/1.1 200 OK\nX-Seen: yes\nContent-Length: 5\n\nhello",
    "lf_until_close": b"HTTP/1.0 200 OK\nX-Seen: yes\n\nhello",
    "no_reason": b"HTTP/1.1 404\r\nX-Seen: yes\r\nContent-Length: 5\r\n\r\nhello",
    "twice": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Seen: yes\r\nContent-Length: 5\r\n\r\nhello",
    "beside_chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX-Seen: yes\r\n"
    + CHUNKED
    + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nX-Seen:\r\n yes\r\nContent-Length: 5\r\n\r\nhello",
    "blank_after_size": b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\n" + CHUNKED + b"\r\n5  \r\nhello\r\n0  \r\n\r\n",
    "lf_in_chunks": b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\n" + CHUNKED + b"\r\n5\nhello\n0\n\n",
    "many_fields": b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\nContent-Length: 5\r\n"
    + b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(300))
    + b"\r\nhello",
    "chunked_1_0": b"HTTP/1.0 200 OK\r\nX-Seen: yes\r\n" + CHUNKED + b"\r\n5\r\nhello\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 103 Hints\nLink: </x>\n\nHTTP/1.1 200 OK\nX-Seen: yes\nContent-Length: 5\n\nhello",
    "surplus": b"HTTP/1.1 200 OK\r\nX-Seen: yes\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nevil",
}
"""Answers that are not by the book, as CGI scripts, devices and one-liners give them."""

SPLIT = {
    "differing_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "nul": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello",
    "cr_alone": b"HTTP/1.1 200 OK\r\nX: a\rContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "blank_first": b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 5\r\n\r\nhello",
}
"""Answers that two readers could take for two different ones."""


@contextlib.asynccontextmanager
async def answering(answers: dict[str, bytes]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[(await read_head(reader)).split(b" ")[1].decode().strip("/")])

    async with scripted(serve) as port:
        yield port


async def curl(url: str, *arguments: str) -> list[str]:
    """The body, and the status behind it, as curl reads them."""
    command = ["curl", "-sS", "--http1.1", "--max-time", "30", "-w", "\n%{http_code}", *arguments, url]
    async with running(command) as process:
        await process.wait()
    return process.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_loose_answers_arrive_as_curl_reads_them_without_a_tunnel(state: Path) -> None:
    async with answering(LOOSE) as port, tunnel(port, state) as made:
        for name in LOOSE:
            direct = await curl(f"http://127.0.0.1:{port}/{name}")
            assert direct[0] == "hello"
            assert await curl(f"{made.edge['http']}/{name}", "-H", f"Host: {made.host}") == direct, name
            seen = await made.visitor.get(f"/{name}")
            assert (seen.headers["x-seen"], seen.text) == ("yes", "hello"), name
            assert seen.headers.get("x-299") == ("299" if name == "many_fields" else None)


async def test_what_could_be_split_is_refused(state: Path) -> None:
    async with answering(SPLIT) as port, tunnel(port, state) as made:
        for name in SPLIT:
            refused = await made.visitor.get(f"/{name}")
            assert refused.status_code == 502
            assert "cannot be read" in refused.text
