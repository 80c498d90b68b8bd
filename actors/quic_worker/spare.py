"""`python -m actors.quic_worker.spare`: a worker without orders yet.

It has done its imports, which take longer than dialing and registering together. It beats like any other child; when
its orders come, on stdin, it is a worker.
"""

import asyncio
import sys

from actors.bus.messages import SpareOrders, WorkerOrders
from actors.processes import event_loop, lifeline
from actors.processes.child import beat_until
from actors.quic_worker import ways
from actors.quic_worker.worker import live


async def _wait_for_orders(orders: SpareOrders) -> None:
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_reader(lifeline.STDIN, arrived.set)  # or the parent is gone: `read_orders` sees it
    await beat_until(arrived, orders, {})
    asyncio.get_running_loop().remove_reader(lifeline.STDIN)


def main() -> int:
    """Wait, then run one worker to its end; return the process's exit status."""
    orders = lifeline.read_orders(SpareOrders)
    ways.load("quic", orders.engine)
    event_loop.run(_wait_for_orders(orders))
    return live(lifeline.read_orders(WorkerOrders))


if __name__ == "__main__":
    sys.exit(main())
