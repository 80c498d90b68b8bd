"""What every simple child of the supervisor does: say that it is ready, beat, and end when it is told to."""

import asyncio
import os
import signal
from collections.abc import Mapping

import zmq

from actors.bus import sockets
from actors.bus.messages import HEARTBEAT_INTERVAL, ChildOrders, Heartbeat, Ready, Stopped, encode
from actors.processes import lifeline


async def serve_until_told(orders: ChildOrders, endpoints: Mapping[str, str]) -> None:
    """Report as ready with `endpoints`, then beat until TERM comes. Ends the process if the parent goes away."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    lifeline.on_parent_gone(lambda: os._exit(0))
    await beat_until(stop, orders, endpoints)


async def beat_until(stop: asyncio.Event, orders: ChildOrders, endpoints: Mapping[str, str]) -> None:
    """Report as ready with `endpoints`, beat until `stop` is set, and say a last word."""
    context = sockets.make_context()
    socket = sockets.make_socket(context, zmq.SocketType.DEALER, identity=orders.identity)
    socket.connect(orders.control_endpoint)
    try:
        sockets.try_send(socket, encode(Ready(dict(endpoints))))
        while not stop.is_set():
            sockets.try_send(socket, encode(Heartbeat()))
            try:
                async with asyncio.timeout(HEARTBEAT_INTERVAL):
                    await stop.wait()
            except TimeoutError:
                continue
        sockets.try_send(socket, encode(Stopped(reason="stopped")))
    finally:
        socket.close()
        context.term()
