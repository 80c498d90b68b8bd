"""What every simple child of the supervisor does: say that it is ready, beat, and end when it is told to."""

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Final

import zmq

from actors import bus, lifeline
from actors.messages import ChildOrders, Heartbeat, Ready, encode

HEARTBEAT_INTERVAL: Final = 1.0
"""Seconds between heartbeats to the supervisor."""


async def serve_until_told(orders: ChildOrders, endpoints: Mapping[str, str]) -> None:
    """Report as ready with `endpoints`, then beat until TERM comes. Ends the process if the parent goes away."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    lifeline.on_parent_gone(lambda: os._exit(0))
    context = bus.make_context()
    socket = bus.make_socket(context, zmq.SocketType.DEALER, identity=orders.identity)
    socket.connect(orders.control_endpoint)
    try:
        await socket.send(encode(Ready(dict(endpoints))))
        while not stop.is_set():
            await socket.send(encode(Heartbeat()))
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL):
                    await stop.wait()
            except TimeoutError:
                continue
    finally:
        socket.close()
        context.term()
