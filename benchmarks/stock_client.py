"""The plain way to write such a client: aioquic's asyncio protocol and streams, httpx towards the origin.

`python -m benchmarks.stock_client PORT API EDGE CA`: one connection, plain requests, no reconnection, no back-pressure.
"""

import asyncio
import base64
import sys
import uuid
from collections.abc import AsyncIterator

import httpx
from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion

from actors import trust
from actors.errors import EdgeProtocolError
from actors.exchange.http1 import HOP_BY_HOP
from actors.wire import rpc
from actors.wire.connect import ConnectRequest, ConnectResponse, HeadReader, encode_response
from actors.wire.heads import HEADER_PREFIX, METHOD_KEY, STATUS_KEY
from actors.wire.registration import Registration


async def serve(origin: httpx.AsyncClient, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request."""
    head_reader = HeadReader()
    head = None
    while head is None:
        data = await reader.read(65536)
        if not data:
            return
        head = head_reader.feed(data)
    if not isinstance(head, ConnectRequest):
        return
    fields = dict(head.metadata)
    method = fields.pop(METHOD_KEY).decode()
    headers = [
        (key[len(HEADER_PREFIX) :].encode(), value) for key, value in head.metadata if key.startswith(HEADER_PREFIX)
    ]

    async def body() -> AsyncIterator[bytes]:
        if head_reader.rest:
            yield head_reader.rest
        while data := await reader.read(65536):
            yield data

    path = "/" + head.dest.split("/", 3)[3]
    content = body() if method == "POST" else None
    async with origin.stream(method, path, headers=headers, content=content) as response:
        metadata = [(STATUS_KEY, b"%d" % response.status_code)]
        for name, value in response.headers.raw:
            if name.lower() not in HOP_BY_HOP:
                metadata.append((HEADER_PREFIX + name.decode(), value))
        writer.write(encode_response(ConnectResponse("", tuple(metadata))))
        async for part in response.aiter_raw():
            writer.write(part)
            await writer.drain()
    writer.write_eof()


async def main(port: int, api: str, edge: str, authority: str) -> None:
    async with httpx.AsyncClient() as client:
        tunnel = (await client.post(f"{api}/tunnel")).json()["result"]
    configuration = QuicConfiguration(
        alpn_protocols=[trust.ALPN],
        server_name=trust.EDGE_SERVER_NAME,
        cafile=authority,
        supported_versions=[QuicProtocolVersion.VERSION_1],
    )
    tasks: set[asyncio.Task[None]] = set()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=None) as origin:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(serve(origin, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        host, _, udp_port = edge.rpartition(":")
        async with connect(host, int(udp_port), configuration=configuration, stream_handler=accept) as quic:
            reader, writer = await quic.create_stream()
            session = rpc.RpcSession(serves=False)
            registration = Registration(
                account_tag=tunnel["account_tag"],
                secret=base64.b64decode(tunnel["secret"]),
                tunnel_id=uuid.UUID(tunnel["id"]),
                connection_index=0,
                client_id=uuid.uuid4().bytes,
                previous_attempts=0,
                replace_existing=False,
            )
            session.call(rpc.REGISTRATION["registerConnection"], registration.params())
            writer.write(session.take_output())
            while data := await reader.read(65536):
                for event in session.receive(data):
                    if not isinstance(event, rpc.Returned):
                        raise EdgeProtocolError(f"the edge answered {event}")
                writer.write(session.take_output())
            await quic.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:5]))
