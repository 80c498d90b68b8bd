"""The inspector's socket, with a worker that is played here."""

import asyncio

import structlog
import zmq

from actors.bus import inspection, sockets
from actors.bus.addresses import HostPort
from actors.bus.messages import InspectorOrders
from actors.inspector.actor import Inspector
from actors.inspector.edits import Edits
from tests.kit.seen import batch_of, part, recorded

ORDERS = InspectorOrders(
    identity="inspector-0.1",
    control_endpoint="",
    log_level="error",
    log_json=False,
    endpoint="tcp://127.0.0.1:*",
    events_endpoint="",
    http=HostPort("127.0.0.1", 0),
    may_move=False,
    avoid=[],
    body_limit=100,
    mask=[],
    token="t",
    password="",
    origin="",
    hostnames=[],
)


async def replayed(context: sockets.Context) -> int:
    """Have a new inspector replay an exchange; the number that the worker is given for it."""
    inspector = Inspector(ORDERS, context, structlog.get_logger())
    worker = sockets.make_socket(context, zmq.SocketType.DEALER, identity="worker-0.1")
    worker.connect(inspector._socket.getsockopt_string(zmq.LAST_ENDPOINT))
    await worker.send(inspection.encode(batch_of()))
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(inspector.listen())
        while not inspector._workers():
            await asyncio.sleep(0)
        asked = tasks.create_task(inspector.replay(recorded(), Edits()))
        replay = inspection.decode_replay(await worker.recv())
        await worker.send(inspection.encode(batch_of(part(7, replay=replay.number))))
        assert await asked == "0.1.7"
        listening.cancel()
    return int(replay.number)


async def test_number_of_a_replay_is_none_of_the_inspector_before() -> None:
    """Replays of that one may still run, and are told of with theirs."""
    context = sockets.make_context()
    first, second = await replayed(context), await replayed(context)
    assert second > first
    context.destroy(linger=0)
