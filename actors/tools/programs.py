"""The programs of the project with their flags, but for the one that completes them (`completion.py`)."""

import argparse
from collections.abc import Callable
from typing import Final

from actors.local_edge import cli as local_edge
from actors.supervisor import flags
from actors.tools import doctor, events, ingress, keys, metrics, requests, status, stop

PARSERS: Final[tuple[Callable[[], argparse.ArgumentParser], ...]] = (
    flags.make_parser,
    status.parser,
    stop.parser,
    events.parser,
    requests.parser,
    metrics.parser,
    doctor.parser,
    ingress.parser,
    keys.parser,
    local_edge.make_parser,
)
