"""Prometheus text, exposition format 0.0.4. Pure."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from actors.bus.tally import BOUNDS, Histogram

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """One value. `suffix`: what stands behind the family's name, for the parts of a histogram."""

    labels: Mapping[str, str]
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """One metric with all its samples."""

    name: str
    help: str
    samples: Iterable[Sample]
    type: Literal["counter", "gauge", "histogram"] = "counter"


def histogram(labels: Mapping[str, str], value: Histogram) -> list[Sample]:
    """The samples of one histogram: cumulative buckets, sum and count."""
    bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
    running = itertools.accumulate(value.buckets)
    buckets = [Sample({**labels, "le": le}, count, "_bucket") for le, count in zip(bounds, running, strict=True)]
    return [*buckets, Sample(labels, value.seconds, "_sum"), Sample(labels, value.count, "_count")]


def render(families: Iterable[Family]) -> str:
    """The text."""
    lines: list[str] = []
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
        for labels, value, suffix in family.samples:
            inner = ",".join(f'{key}="{_escape(label)}"' for key, label in labels.items())
            lines.append(f"{family.name}{suffix}{{{inner}}} {value}" if inner else f"{family.name}{suffix} {value}")
    return "\n".join(lines) + "\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
