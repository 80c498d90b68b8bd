"""Row S1: what could be read in two ways is refused, and the origin sees the benign requests alone."""

import asyncio
from pathlib import Path

import pytest

from tests.kit.origins import answer, read_head, scripted
from tests.kit.tunnel import tunnel
from tests.kit.vectors import GOOD, vectors

pytestmark = pytest.mark.slow


async def test_no_vector_reaches_the_origin(state: Path, request: pytest.FixtureRequest) -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append((await read_head(reader)).split(b"\r\n")[0])
            writer.write(answer(b"canary"))

    table = list(vectors())
    if request.config.getoption("--protocol") == "http2":
        # Its frames say how a body is coded, and its heads have one method: the edges have no words for these.
        table = [vector for vector in table if not vector[0].startswith(("V7", "V12"))]
    assert len(table) >= 150
    async with scripted(serve) as port, tunnel(port, state, "--refuse-underscore-twins") as made:
        for number, (name, dest, metadata) in enumerate(table):
            answered = await made.open_stream(dest=dest, metadata=metadata, body="5\r\nhello\r\n0\r\n\r\n")
            said = bytes.fromhex(answered["data"])
            refused = any(status in said for status in (b"400", b"414", b"431")) or answered["ended"] == "reset"
            assert refused, name
            if number % 10 == 0:
                assert (await made.visitor.get(f"/canary/{number}")).text == "canary"
    assert seen == [b"GET /canary/%d HTTP/1.1" % number for number in range(0, len(table), 10)]


@pytest.mark.parametrize(
    ("announced", "body"),
    [
        (("Content-Length", "5"), "hello" + "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
        (("Content-Length", "0"), "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
        (("X", "no length at all"), "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
        (("Content-Length", "500"), "short"),
        (("Transfer-Encoding", "chunked"), "0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
    ids=["longer", "not empty", "unannounced", "shorter", "chunks inside"],
)
async def test_body_that_is_not_what_was_announced_makes_no_second_request(
    state: Path, announced: tuple[str, str], body: str
) -> None:
    """V8, V9: what the origin gets is one request, whole or broken off."""
    received = bytearray()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            received.extend(data)
            if received.endswith(b"0\r\n\r\n") or announced[0] == "X" or announced[1] == "0":
                writer.write(answer(b"ok"))
        ended.set()

    async with scripted(serve) as port, tunnel(port, state) as made:
        metadata = [*GOOD, (f"HttpHeader:{announced[0]}", announced[1])]
        await made.open_stream(dest="https://a.example/", metadata=metadata, body=body, timeout=1)
        async with asyncio.timeout(20):
            await ended.wait() if announced[1] in ("5", "500") else None
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    assert head.count(b"HTTP/1.1") == (1 if head else 0)
    if announced[0] in ("Transfer-Encoding", "X"):
        assert rest == b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body.encode())
    else:
        assert b"evil" not in rest
