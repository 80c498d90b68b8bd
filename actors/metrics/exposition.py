"""The counters as Prometheus text (exposition format 0.0.4) and as JSON. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from actors.errors import START_FAILURE_REASONS
from actors.metrics.registry import CounterRegistry

MAX_REASONS: Final = 16
"""Values that the label `reason` may take; what goes beyond them is counted as `other`."""

OTHER: Final = "other"


class Family(NamedTuple):
    """One metric: its samples are pairs of labels and value."""

    name: str
    help: str
    samples: list[tuple[Mapping[str, str], int]]


def families(registry: CounterRegistry) -> list[Family]:
    """The seven counters."""
    lifecycle, totals = registry.lifecycle, registry.totals
    tunnel = {"tunnel_id": registry.tunnel_id} if registry.tunnel_id else None

    def per_tunnel(name: str, text: str, value: int) -> Family:
        return Family(name, text, [(tunnel, value)] if tunnel else [])

    return [
        Family("tunnel_starts_total", "Starts that succeeded.", [({}, lifecycle.starts)]),
        Family(
            "tunnel_starts_failed_total",
            "Starts that failed, by reason.",
            [({"reason": reason}, count) for reason, count in cap_reasons(lifecycle.starts_failed).items()],
        ),
        Family("tunnel_shutdowns_total", "Stops that were asked for.", [({}, lifecycle.shutdowns)]),
        per_tunnel("tunnel_streams_total", "Request streams that the edge opened.", totals.streams),
        per_tunnel("tunnel_bytes_in_total", "Bytes of bodies and raw tunnels, edge to local.", totals.bytes_in),
        per_tunnel("tunnel_bytes_out_total", "Bytes of bodies and raw tunnels, local to edge.", totals.bytes_out),
        per_tunnel("tunnel_reconnects_total", "Registrations that replaced a lost connection.", lifecycle.reconnects),
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


def snapshot(registry: CounterRegistry) -> dict[str, Any]:
    """What `snapshot` answers."""
    return {
        "tunnel_id": registry.tunnel_id,
        "totals": msgspec.to_builtins(registry.totals),
        "reconnects": registry.lifecycle.reconnects,
        "starts": registry.lifecycle.starts,
        "starts_failed": registry.lifecycle.starts_failed,
        "shutdowns": registry.lifecycle.shutdowns,
        "generations": msgspec.to_builtins(list(registry.generations())),
    }
