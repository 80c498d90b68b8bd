"""The metrics actor: the counters of all connections, past and present, and their Prometheus text.

    registry.py      what was counted (pure)
    exposition.py    which metrics there are, as Prometheus text and as JSON (pure)
    prometheus.py    the format of the text (pure)
    actor.py         the sockets
    http.py          the same over HTTP, and readiness (--metrics-http)
    process_wide.py  the lifecycle counters of a program that uses the Python API

It can be killed at any moment: a new one is told what was counted (`KnownCounts`), and every report carries running
totals.

For programs that use the Python API: `render_prometheus()`, and `await render_prometheus_for(handles)`.
"""

import asyncio
from collections.abc import Iterable
from typing import Protocol

import msgspec

from actors.bus.tally import Totals
from actors.errors import TunnelError
from actors.metrics import process_wide
from actors.metrics.exposition import families
from actors.metrics.prometheus import render

__all__ = ["render_prometheus", "render_prometheus_for"]


class Counters(Protocol):
    """What is asked of a handle's `metrics()`."""

    @property
    def streams_total(self) -> int: ...
    @property
    def bytes_in(self) -> int: ...
    @property
    def bytes_out(self) -> int: ...
    @property
    def reconnects(self) -> int: ...


class Handle(Protocol):
    """A `TunnelHandle`, as far as it matters here."""

    @property
    def tunnel_id(self) -> str: ...
    async def metrics(self) -> Counters: ...


def render_prometheus() -> str:
    """The lifecycle counters of this process, as Prometheus text."""
    return render(families(process_wide.lifecycle(), {}))


async def render_prometheus_for(handles: Iterable[Handle]) -> str:
    """The same, with the counters of these tunnels; one that has given up, or does not answer, has none."""
    asked = list(handles)
    answers = await asyncio.gather(*map(_ask, asked))
    totals: dict[str, Totals] = {}
    reconnects: dict[str, int] = {}
    for handle, told in zip(asked, answers, strict=True):
        if told is None:
            continue
        totals[handle.tunnel_id] = Totals(told.streams_total, told.bytes_in, told.bytes_out)
        reconnects[handle.tunnel_id] = told.reconnects
    lifecycle = msgspec.structs.replace(process_wide.lifecycle(), reconnects=reconnects)
    return render(families(lifecycle, totals))


async def _ask(handle: Handle) -> Counters | None:
    """All at once: one that is stuck costs its timeout, not the others' counters."""
    try:
        return await handle.metrics()
    except TunnelError:
        return None
