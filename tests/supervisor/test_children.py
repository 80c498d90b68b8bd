"""The end of children, whatever they were just doing."""

import asyncio
from pathlib import Path

import psutil
import structlog

from actors.bus import sockets
from actors.bus.messages import HelloWorldOrders, SpareOrders
from actors.processes.tasks import Tasks
from actors.supervisor.children import Children, Name

HELPER = Name("hello_world", 0, 1)
SPARE = Name("spare", 0, 1)


async def test_those_that_are_just_being_started_are_ended_too(tmp_path: Path) -> None:
    """A spare was refused by the nursery and executed at the very end: it outlived the event loop, with a traceback."""
    failures: list[BaseException] = []
    ended: dict[Name, int] = {}
    context = sockets.make_context()
    tasks = Tasks(failures.append)
    children = Children(
        context,
        f"ipc://{tmp_path}/control",
        tasks,
        structlog.get_logger(),
        {},
        None,
        said=lambda name, message: None,
        exited=lambda name, status: ended.update({name: status}),
    )
    try:
        children.start(HELPER, HelloWorldOrders(str(HELPER), children.endpoint, "error", True))
        children.start(SPARE, SpareOrders(str(SPARE), children.endpoint, "error", True, "aioquic"))
        await asyncio.sleep(0)  # their tasks have begun, and no process runs yet
        await children.end("hello_world", "spare")
        assert ended.keys() == {HELPER, SPARE}
        assert not [child for child in psutil.Process().children() if "actors." in " ".join(child.cmdline())]
    finally:
        await tasks.cancel()
        context.destroy(linger=0)
    assert not failures
