"""`python -m actors.local_edge`: the local edge as a child of the supervisor (`--local-edge`)."""

import asyncio
from pathlib import Path

from actors.bus.messages import LocalEdgeOrders
from actors.local_edge.limits import CLOUDFLARE, UNLIMITED
from actors.local_edge.service import local_edge
from actors.processes import lifeline, log
from actors.processes.child import serve_until_told


async def _main(orders: LocalEdgeOrders) -> None:
    logger = log.configure(level=orders.log_level, as_json=orders.log_json, actor=orders.identity)
    log.watch(asyncio.get_running_loop(), logger)
    limits = CLOUDFLARE if orders.as_cloudflare else UNLIMITED
    folder = Path(orders.run_folder)
    async with local_edge(folder, tls=orders.tls, limits=limits, known=orders.tunnel) as endpoints:
        await serve_until_told(orders, endpoints._asdict())


asyncio.run(_main(lifeline.read_orders(LocalEdgeOrders)))
