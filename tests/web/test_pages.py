"""Small pages, on a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime

import httpx
import pytest

from actors.web import pages
from actors.web.http_server import HttpConnection, Request, Responder
from actors.web.pages import Answer, Asked, Pages, Route, as_json, serving, text
from tests.kit.processes import PATIENCE


async def told(asked: Asked) -> Answer:
    return as_json({"method": asked.method, "names": asked.names, "body": asked.json()})


async def faulty(asked: Asked) -> Answer:
    raise RuntimeError("a fault of the page's own")


async def hello(asked: Asked) -> Answer:
    return text("hello\n")


ROUTES = [
    Route("GET", "/", hello),
    Route("GET", "/faulty", faulty),
    Route("POST", "/things/{id}/parts/{part}", told),
    Route("DELETE", "/things/{id}/parts/{part}", told),
]


@contextlib.asynccontextmanager
async def client(*more: Route) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        serving(Pages([*ROUTES, *more]), "127.0.0.1", 0, stop_timeout=0.1) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as made,
    ):
        yield made


async def test_paths_with_names_in_them_and_bodies_in_json() -> None:
    async with client() as asked:
        answer = await asked.post("/things/a%20b/parts/2?x=1", json={"c": 3})
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.json() == {"method": "POST", "names": {"id": "a b", "part": "2"}, "body": {"c": 3}}
        assert (await asked.delete("/things/1/parts/2")).json()["body"] == {}


async def test_answer_says_when_it_was_made() -> None:
    async with client() as asked:
        told = parsedate_to_datetime((await asked.get("/")).headers["date"])
        assert told.tzinfo is not None


async def test_head_is_get_without_a_body() -> None:
    async with client() as asked:
        answer = await asked.head("/")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == "6"
        assert (await asked.get("/")).text == "hello\n", "on the same connection"


async def test_other_paths_and_methods_are_told_apart() -> None:
    async with client() as asked:
        for path in ("/things", "/things/1/parts/", "/things/1/parts/2/"):
            assert (await asked.get(path)).status_code == 404, path
        answer = await asked.put("/things/1/parts/2")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, DELETE")
        answer = await asked.post("/")
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_fault_costs_its_own_request_and_is_told() -> None:
    faults = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["exception"]))
    async with client() as asked:
        assert (await asked.get("/faulty")).status_code == 500
        assert (await asked.get("/")).status_code == 200
    assert [str(fault) for fault in faults] == ["a fault of the page's own"]


async def test_body_that_is_too_large_is_refused_and_not_held() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield bytes(pages.MAX_BODY_BYTES // 2)

    async with client() as asked:
        assert (await asked.post("/things/1/parts/2", content=parts())).status_code == 413
        assert (await asked.get("/")).status_code == 200


async def test_client_that_says_nothing_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "IDLE_TIMEOUT", 0.05)
    async with serving(Pages(ROUTES), "127.0.0.1", 0, stop_timeout=0.1) as address:
        for begun in (b"", b"GET / HTTP/1.1\r\nHos", b"POST /things/1/parts/2 HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(begun)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
            writer.close()


async def test_pipelined_request_is_not_taken_for_the_end_of_the_first() -> None:
    answered = []
    go_on = asyncio.Event()

    async def slow(asked: Asked) -> Answer:
        answered.append(asked.body)
        await go_on.wait()
        return text("slow\n")

    async with serving(Pages([Route("POST", "/", slow)]), "127.0.0.1", 0, stop_timeout=0.1) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na" * 2)
        await asyncio.sleep(0)
        go_on.set()
        answer = await asyncio.wait_for(reader.read(), PATIENCE)
        assert answer.count(b"HTTP/1.1 200") == 1
        assert answered == [b"a"]
        writer.close()


async def test_the_end_waits_for_answers_and_then_for_nobody() -> None:
    begun, go_on, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def waiting(asked: Asked) -> Answer:
        begun.set()
        await go_on.wait()
        return text("late\n")

    async def endless(asked: Asked) -> Answer:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    routes = [Route("GET", "/waiting", waiting), Route("GET", "/endless", endless)]
    async with httpx.AsyncClient(timeout=PATIENCE) as asked, asyncio.TaskGroup() as group:
        async with serving(Pages(routes), "127.0.0.1", 0, stop_timeout=PATIENCE) as (host, port):
            late = group.create_task(asked.get(f"http://{host}:{port}/waiting"))
            await begun.wait()
            asyncio.get_running_loop().call_soon(go_on.set)
        assert (await late).text == "late\n"
        async with serving(Pages(routes), "127.0.0.1", 0, stop_timeout=0.01) as (host, port):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            reader, other = await asyncio.open_connection(host, port)
            other.write(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 404 " in await reader.readline(), "so that the first one is being served"
        async with asyncio.timeout(PATIENCE):
            await cancelled.wait()
        writer.close()
        other.close()


async def test_every_answer_has_what_it_is_to_have() -> None:
    made = Pages(ROUTES, fields=((b"X-A", b"1"),), max_body=10)
    async with (
        serving(made, "127.0.0.1", 0, stop_timeout=0.1) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as asked,
    ):
        for path in ("/", "/nowhere", "/things/1/parts/2"):
            assert (await asked.get(path)).headers["X-A"] == "1"
        answer = await asked.post("/things/1/parts/2", content=b"x" * 11)
        assert (answer.status_code, answer.headers["X-A"]) == (413, "1")


async def test_handler_knows_query_and_fields() -> None:
    async def parameters(asked: Asked) -> Answer:
        return as_json({"parameters": asked.parameters, "host": dict(asked.fields)[b"Host"].decode()})

    async with client(Route("GET", "/asked", parameters)) as asked:
        told = (await asked.get("/asked?a=%20b&a=c&d", headers={"Host": "x"})).json()
        assert told == {"parameters": {"a": "c", "d": ""}, "host": "x"}


async def test_answer_that_waits_for_no_body() -> None:
    def serve(connection: HttpConnection, request: Request) -> Responder:
        return pages.answered(connection, text("no\n", 403), ((b"X-A", b"1"),))

    async with (
        serving(serve, "127.0.0.1", 0, stop_timeout=0.1) as (host, port),
        httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as asked,
    ):
        for body in (b"", b"x" * 5_000_000):
            answer = await asked.post("/", content=body)
            assert (answer.status_code, answer.text, answer.headers["X-A"]) == (403, "no\n", "1")


async def test_answer_that_comes_later_is_for_who_waits_for_it() -> None:
    sent = []

    def serve(connection: HttpConnection, request: Request) -> Responder:
        later = 0.05 if request.target == b"/later" else 1e6
        made = pages.answered(connection, text("no\n", 403), after=later)
        sent.append(made)
        return made

    async with serving(serve, "127.0.0.1", 0, stop_timeout=0.1) as (host, port):
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as asked:
            assert (await asked.get("/later")).status_code == 403
        _, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
        while len(sent) < 2:
            await asyncio.sleep(0)
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE):
            while not sent[1]._timer.cancelled():  # type: ignore[attr-defined]
                await asyncio.sleep(0)


async def test_address_that_is_taken() -> None:
    async with serving(Pages(ROUTES), "127.0.0.1", 0, stop_timeout=0.1) as (host, port):
        with pytest.raises(OSError, match="address already in use"):
            async with serving(Pages(ROUTES), host, port, stop_timeout=0.1):
                pass


def test_json_that_is_no_object_is_refused() -> None:
    for body in (b"[]", b"{", b"1"):
        with pytest.raises(ValueError):  # noqa: PT011 - json's own says what is wrong
            Asked("POST", "/", {}, body).json()
    assert json.loads(as_json([1]).body) == [1]
