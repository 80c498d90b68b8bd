"""The metrics: which there are, as Prometheus text and as JSON. Pure. docs/metrics.md is made from it."""

import platform
from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import msgspec

from actors import __version__
from actors.bus.messages import QuicEngine
from actors.bus.tally import NO_RESPONSE, Details, Histogram, LifecycleCounts, Totals
from actors.errors import START_FAILURE_REASONS
from actors.exchange.reasons import GUARD, GUARDS
from actors.metrics.prometheus import Family, Sample, histogram, render
from actors.metrics.registry import CounterRegistry, TunnelCounters
from actors.quic_worker.ends import WorkerEnd

MAX_REASONS: Final = 16
"""Values that the label `reason` may take; what goes beyond them is counted as `other`."""

OTHER: Final = "other"

# What a label may be is there from the start, as 0: a rate does not see the first of a series that begins with 1.
STATUSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", NO_RESPONSE)
FAILURES: Final = tuple(end for end in WorkerEnd if end is not WorkerEnd.DRAINED)
REFUSALS: Final = tuple(reason.label.removeprefix(GUARD) for reason in GUARDS)
ACTORS: Final = ("worker", "spare", "metrics")


def families(lifecycle: LifecycleCounts, tunnels: Mapping[str, Totals]) -> list[Family]:
    """The seven promised counters. `tunnels`: what passed on each, by id; its reconnects are in `lifecycle`."""

    def per_tunnel(name: str, text: str, values: Mapping[str, int]) -> Family:
        return Family(name, text, [Sample({"tunnel_id": tunnel_id}, value) for tunnel_id, value in values.items()])

    streams, bytes_in, bytes_out = (
        {tunnel_id: getattr(totals, name) for tunnel_id, totals in tunnels.items()}
        for name in ("streams", "bytes_in", "bytes_out")
    )
    reconnects = {tunnel_id: lifecycle.reconnects.get(tunnel_id, 0) for tunnel_id in tunnels}
    failed = cap_reasons(lifecycle.starts_failed, START_FAILURE_REASONS)
    return [
        Family("tunnel_starts_total", "Starts that succeeded.", [Sample({}, lifecycle.starts)]),
        Family("tunnel_starts_failed_total", "Starts that failed, by reason.", _labelled("reason", failed)),
        Family("tunnel_shutdowns_total", "Stops that were asked for.", [Sample({}, lifecycle.shutdowns)]),
        per_tunnel("tunnel_streams_total", "Request streams that the edge opened.", streams),
        per_tunnel("tunnel_bytes_in_total", "Bytes of bodies and raw tunnels, edge to local.", bytes_in),
        per_tunnel("tunnel_bytes_out_total", "Bytes of bodies and raw tunnels, local to edge.", bytes_out),
        per_tunnel("tunnel_reconnects_total", "Registrations that replaced a lost connection.", reconnects),
    ]


def further_families(registry: CounterRegistry) -> list[Family]:
    """What there is beyond the seven."""
    lifecycle, tunnels = registry.lifecycle, registry.tunnels
    return [
        *_of_the_connections(registry),
        *_of_requests(tunnels),
        Family(
            "tunnel_actor_restarts_total",
            "Actors that were started again, by kind; worker: further tries to connect.",
            _labelled("actor", dict.fromkeys(ACTORS, 0) | lifecycle.actor_restarts),
        ),
        _counter(
            "tunnel_reports_refused_total",
            "Reports of workers that a full queue did not take; the next one made up for each.",
            tunnels,
            lambda tunnel: tunnel.tally.details.reports_refused,
        ),
        _counter(
            "tunnel_report_gaps_total",
            "Reports of workers that never came, by their sequence numbers; the next one made up for each.",
            tunnels,
            lambda tunnel: tunnel.gaps,
        ),
        Family(
            "tunnel_quic_engine",
            "1 for the engine of connections that are made from now on: it changes if picoquic crashes twice.",
            [Sample({"engine": engine}, int(engine == lifecycle.quic_engine)) for engine in get_args(QuicEngine)],
            "gauge",
        ),
        Family(
            "tunnel_build_info",
            "Always 1; what runs is in the labels.",
            [Sample({"version": __version__, "python": platform.python_version()}, 1)],
            "gauge",
        ),
        Family(
            "process_start_time_seconds",
            "When the supervisor started, as Unix time.",
            [Sample({}, lifecycle.started_at)],
            "gauge",
        ),
    ]


def _of_the_connections(registry: CounterRegistry) -> list[Family]:
    lifecycle, tunnels = registry.lifecycle, registry.tunnels
    here = {"tunnel_id": registry.tunnel_id}
    present = tunnels.get(registry.tunnel_id, TunnelCounters())
    now = [(str(connection.slot), present.gauges(connection)) for connection in lifecycle.connected]
    return [
        Family(
            "tunnel_serves",
            "1 while a visitor gets an answer of the origin's, else 0.",
            [Sample({}, int(lifecycle.serves and lifecycle.origin_reachable))],
            "gauge",
        ),
        Family(
            "tunnel_origin_reachable",
            "0 from when nothing was found at the origin's port until something is, else 1.",
            [Sample({}, int(lifecycle.origin_reachable))],
            "gauge",
        ),
        Family("tunnel_rules", "Rules in force; 0: every request gets 503.", [Sample({}, lifecycle.rules)], "gauge"),
        Family(
            "tunnel_configuration_version",
            "Of the rules that the service pushed; -1 while there are none of it.",
            [Sample({}, lifecycle.configuration_version)],
            "gauge",
        ),
        Family(
            "tunnel_configurations_refused_total",
            "Configurations that the service pushed, and that could not be kept to.",
            [Sample({}, lifecycle.configurations_refused)],
        ),
        Family("tunnel_connections", "Connections that are registered now.", [Sample({}, len(now))], "gauge"),
        Family(
            "tunnel_connections_wanted", "Connections that there should be.", [Sample({}, lifecycle.slots)], "gauge"
        ),
        Family(
            "tunnel_connection_info",
            "Always 1; what the connection speaks, and the key exchange that was agreed, is in the labels.",
            [
                Sample(
                    {
                        **here,
                        "slot": str(connection.slot),
                        "protocol": connection.protocol,
                        "key_exchange": connection.key_exchange,
                    },
                    1,
                )
                for connection in lifecycle.connected
            ],
            "gauge",
        ),
        Family(
            "tunnel_registrations_total",
            "Registrations that the edge took.",
            [Sample({}, lifecycle.registrations)],
        ),
        Family(
            "tunnel_connection_failures_total",
            "Connections that failed or were lost, by reason.",
            _labelled("reason", cap_reasons(lifecycle.connection_failures, FAILURES)),
        ),
        Family(
            "tunnel_streams_in_flight",
            "Requests that are running now.",
            [Sample({**here, "slot": slot}, gauges.streams_in_flight) for slot, gauges in now],
            "gauge",
        ),
        Family(
            "tunnel_rtt_seconds",
            "Smoothed round-trip time to the edge.",
            [Sample({**here, "slot": slot}, gauges.rtt) for slot, gauges in now if gauges.rtt],
            "gauge",
        ),
        _counter(
            "tunnel_packets_sent_total",
            "Packets of ours: QUIC's, or TCP's segments where the kernel counts them.",
            tunnels,
            lambda tunnel: tunnel.tally.details.packets_sent,
        ),
        _counter(
            "tunnel_packets_lost_total",
            "Those of them that were lost.",
            tunnels,
            lambda tunnel: tunnel.tally.details.packets_lost,
        ),
    ]


def _of_requests(tunnels: Mapping[str, TunnelCounters]) -> list[Family]:
    def histograms(of: Callable[[Details], Histogram]) -> list[Sample]:
        return [
            sample
            for tunnel_id, tunnel in tunnels.items()
            for sample in histogram({"tunnel_id": tunnel_id}, of(tunnel.tally.details))
        ]

    return [
        Family(
            "tunnel_requests_total",
            "HTTP requests that have ended, by class of the response's status; none: there was no response.",
            [
                Sample({"tunnel_id": tunnel_id, "status": status}, count)
                for tunnel_id, tunnel in tunnels.items()
                for status, count in (dict.fromkeys(STATUSES, 0) | tunnel.tally.details.responses).items()
            ],
        ),
        Family(
            "tunnel_guard_refused_total",
            "Requests that the guard refused, by reason: what visitors are not told.",
            [
                Sample({"tunnel_id": tunnel_id, "reason": reason}, count)
                for tunnel_id, tunnel in tunnels.items()
                for reason, count in (dict.fromkeys(REFUSALS, 0) | tunnel.tally.details.refused).items()
            ],
        ),
        Family(
            "tunnel_request_duration_seconds",
            "From a request's head to the end of both directions.",
            histograms(lambda details: details.duration),
            "histogram",
        ),
        Family(
            "tunnel_request_first_byte_seconds",
            "From a request's head to the head of the origin's response.",
            histograms(lambda details: details.first_byte),
            "histogram",
        ),
    ]


def _counter(
    name: str, text: str, tunnels: Mapping[str, TunnelCounters], value: Callable[[TunnelCounters], int]
) -> Family:
    return Family(
        name, text, [Sample({"tunnel_id": tunnel_id}, value(tunnel)) for tunnel_id, tunnel in tunnels.items()]
    )


def _labelled(label: str, values: Mapping[str, int]) -> list[Sample]:
    return [Sample({label: name}, value) for name, value in values.items()]


def cap_reasons(counts: Mapping[str, int], known: tuple[str, ...] = ()) -> dict[str, int]:
    """All known reasons from the start, and at most `MAX_REASONS` in all."""
    capped = dict.fromkeys(known, 0) | {OTHER: 0}
    for reason, count in counts.items():
        label = reason if reason in capped or len(capped) < MAX_REASONS else OTHER
        capped[label] = capped.get(label, 0) + count
    return capped


def exposition(registry: CounterRegistry) -> str:
    """What `prometheus` answers."""
    totals = {tunnel_id: tunnel.tally.totals for tunnel_id, tunnel in registry.tunnels.items()}
    return render([*families(registry.lifecycle, totals), *further_families(registry)])


def snapshot(registry: CounterRegistry) -> dict[str, Any]:
    """What `snapshot` answers: the lifecycle, and each tunnel, the present one under its id."""
    lifecycle = registry.lifecycle
    return {
        "tunnel_id": registry.tunnel_id,
        "starts": lifecycle.starts,
        "starts_failed": lifecycle.starts_failed,
        "shutdowns": lifecycle.shutdowns,
        "registrations": lifecycle.registrations,
        "connection_failures": lifecycle.connection_failures,
        "actor_restarts": lifecycle.actor_restarts,
        "connections": [
            {
                "slot": connection.slot,
                "generation": connection.generation,
                "protocol": connection.protocol,
                "key_exchange": connection.key_exchange,
            }
            for connection in lifecycle.connected
        ],
        "tunnels": {
            tunnel_id: {
                "totals": msgspec.to_builtins(tunnel.tally.totals),
                "details": msgspec.to_builtins(tunnel.tally.details),
                "reconnects": lifecycle.reconnects.get(tunnel_id, 0),
                "generations": [
                    {
                        "slot": entry.slot,
                        "generation": entry.generation,
                        "totals": msgspec.to_builtins(entry.tally.totals),
                    }
                    for entry in tunnel.generations()
                ],
            }
            for tunnel_id, tunnel in registry.tunnels.items()
        },
    }
