"""gRPC: a real client and a real server, over HTTP/2 to the edge, where trailers pass. Before the server stands nginx,
which speaks HTTP/1.1 to us and HTTP/2 to it."""

import asyncio
import contextlib
import shutil
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.applications.kit import NOTHING_OF_OURS, Environment, pip_installed
from tests.kit import foreign_edge
from tests.kit.origins import free_port, until_listening
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import tunnel

SERVER = textwrap.dedent(
    """
    import sys
    from concurrent import futures
    import grpc

    def say(request, context):
        context.set_trailing_metadata((("x-trailing", "yes"),))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
        return b"said " + request

    def count(request, context):
        for number in range(int(request)):
            yield b"%d" % number

    handler = grpc.method_handlers_generic_handler("t.Echo", {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Count": grpc.unary_stream_rpc_method_handler(count),
    })
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port("127.0.0.1:" + sys.argv[1])
    server.start()
    server.wait_for_termination()
    """
)

CLIENT = textwrap.dedent(
    """
    import sys
    import grpc

    options = [("grpc.default_authority", sys.argv[2]), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(sys.argv[1], options=options) as channel:
        say = channel.unary_unary("/t.Echo/Say")
        answer, call = say.with_call(b"hello", timeout=20)
        print(answer, call.code(), dict(call.trailing_metadata())["x-trailing"])
        try:
            say(b"fail", timeout=20)
        except grpc.RpcError as error:
            print(error.code(), error.details())
        print(list(channel.unary_stream("/t.Echo/Count")(b"3", timeout=20)))
        print(len(say(bytes(3_000_000), timeout=20)))
    """
)


@contextlib.asynccontextmanager
async def server(environment: Environment) -> AsyncIterator[int]:
    port = free_port()
    command = [str(environment.program()), "-c", SERVER, str(port)]
    async with running(command, env=NOTHING_OF_OURS) as process:
        await until_listening(port, process)
        yield port


@contextlib.asynccontextmanager
async def nginx(folder: Path, upstream: int) -> AsyncIterator[int]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    port, config = free_port(), folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr; user root;
        events {{ worker_connections 64; }}
        http {{
            access_log off; client_body_temp_path {folder}/body; client_max_body_size 0;
            proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
            server {{ listen 127.0.0.1:{port}; location / {{ grpc_pass grpc://127.0.0.1:{upstream}; }} }}
        }}
        """
    )
    async with running([program, "-c", str(config), "-p", str(folder), "-e", "stderr"]) as process:
        await until_listening(port, process)
        yield port


async def test_grpc(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, foreign_program: Path) -> None:
    """The foreign edge's front takes visitors over HTTP/2 in plain text, as gRPC's clients speak it on loopback."""
    monkeypatch.setenv(foreign_edge.VARIABLE, str(foreign_program))
    environment = pip_installed(tmp_path, "grpcio")
    async with (
        server(environment) as upstream,
        nginx(tmp_path, upstream) as port,
        tunnel(port, state, "--protocol", "http2") as made,
    ):
        front = made.edge["http"].removeprefix("http://")
        asked = await asyncio.create_subprocess_exec(
            environment.program(), "-c", CLIENT, front, made.host, stdout=asyncio.subprocess.PIPE, env=NOTHING_OF_OURS
        )
        async with asyncio.timeout(3 * PATIENCE):
            said, _ = await asked.communicate()
    assert said.decode().splitlines() == [
        "b'said hello' StatusCode.OK yes",
        "StatusCode.FAILED_PRECONDITION as asked",
        "[b'0', b'1', b'2']",
        "3000005",
    ]
