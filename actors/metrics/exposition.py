"""The counters as Prometheus text (exposition format 0.0.4) and as JSON. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from actors.errors import START_FAILURE_REASONS
from actors.messages import LifecycleCounts, Totals
from actors.metrics.registry import CounterRegistry

MAX_REASONS: Final = 16
"""Values that the label `reason` may take; what goes beyond them is counted as `other`."""

OTHER: Final = "other"


class Family(NamedTuple):
    """One metric: its samples are pairs of labels and value."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], int]]


def families(lifecycle: LifecycleCounts, tunnels: Mapping[str, Totals]) -> list[Family]:
    """The seven counters. `tunnels`: what passed on each, by id; its reconnects are in `lifecycle`."""

    def per_tunnel(name: str, text: str, values: Mapping[str, int]) -> Family:
        return Family(name, text, [({"tunnel_id": tunnel_id}, value) for tunnel_id, value in values.items()])

    streams, bytes_in, bytes_out = (
        {tunnel_id: getattr(totals, name) for tunnel_id, totals in tunnels.items()}
        for name in ("streams", "bytes_in", "bytes_out")
    )
    reconnects = {tunnel_id: lifecycle.reconnects.get(tunnel_id, 0) for tunnel_id in tunnels}
    return [
        Family("tunnel_starts_total", "Starts that succeeded.", [({}, lifecycle.starts)]),
        Family(
            "tunnel_starts_failed_total",
            "Starts that failed, by reason.",
            [({"reason": reason}, count) for reason, count in cap_reasons(lifecycle.starts_failed).items()],
        ),
        Family("tunnel_shutdowns_total", "Stops that were asked for.", [({}, lifecycle.shutdowns)]),
        per_tunnel("tunnel_streams_total", "Request streams that the edge opened.", streams),
        per_tunnel("tunnel_bytes_in_total", "Bytes of bodies and raw tunnels, edge to local.", bytes_in),
        per_tunnel("tunnel_bytes_out_total", "Bytes of bodies and raw tunnels, local to edge.", bytes_out),
        per_tunnel("tunnel_reconnects_total", "Registrations that replaced a lost connection.", reconnects),
    ]


def cap_reasons(counts: Mapping[str, int]) -> dict[str, int]:
    """All known reasons from the start, and at most `MAX_REASONS` in all."""
    capped = dict.fromkeys(START_FAILURE_REASONS, 0) | {OTHER: 0}
    for reason, count in counts.items():
        label = reason if reason in capped or len(capped) < MAX_REASONS else OTHER
        capped[label] = capped.get(label, 0) + count
    return capped


def render(metrics: Iterable[Family]) -> str:
    """Prometheus text."""
    lines: list[str] = []
    for name, text, samples in metrics:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
        for labels, value in samples:
            inner = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
            lines.append(f"{name}{{{inner}}} {value}" if inner else f"{name} {value}")
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def exposition(registry: CounterRegistry) -> str:
    """What `prometheus` answers."""
    totals = {tunnel_id: tunnel.totals for tunnel_id, tunnel in registry.tunnels.items()}
    return render(families(registry.lifecycle, totals))


def snapshot(registry: CounterRegistry) -> dict[str, Any]:
    """What `snapshot` answers: the lifecycle, and each tunnel, the present one under its id."""
    lifecycle = registry.lifecycle
    return {
        "tunnel_id": registry.tunnel_id,
        "starts": lifecycle.starts,
        "starts_failed": lifecycle.starts_failed,
        "shutdowns": lifecycle.shutdowns,
        "tunnels": {
            tunnel_id: {
                "totals": msgspec.to_builtins(tunnel.totals),
                "reconnects": lifecycle.reconnects.get(tunnel_id, 0),
                "generations": msgspec.to_builtins(list(tunnel.generations())),
            }
            for tunnel_id, tunnel in registry.tunnels.items()
        },
    }
