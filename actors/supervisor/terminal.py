"""What a person at a terminal sees besides the log: the URL in a box, a QR code, and one line that lives.

The line is drawn without a newline, and whoever logs erases it first (`log.py`); it comes back with the next `stats`.
"""

import io
import os
import signal
import sys
import urllib.parse
from typing import Final

from actors.bus import events
from actors.processes import log
from actors.supervisor.output import OutputWriter
from actors.supervisor.readiness import SERVING, in_words

WHITE_ON_BLACK: Final = "\x1b[38;5;231m\x1b[48;5;16m"
"""The blocks of the code are its light parts: white on black whatever the terminal's own colours, or it is inverted."""

RESET: Final = "\x1b[0m"

QUIET_ZONE: Final = 2
"""Modules of light around the code: the standard wants 4, readers do with 2, and screens are small."""

UNITS: Final = ("B", "kB", "MB", "GB", "TB")

MAX_HOSTNAMES: Final = 8
"""Hostnames of a tunnel of one's own that are shown: more would push the log off the screen."""

DEFAULT_WIDTH: Final = 80
"""Columns, where the terminal does not say."""


class Terminal:
    """Shows the tunnel on stderr, which is a terminal."""

    def __init__(self, *, with_code: bool, who: list[str]) -> None:
        """`with_code`: a QR code too. `who`: may come, in lines."""
        self._writer = OutputWriter("stderr")
        self._with_code = with_code
        self._who = who
        self._origin = ""
        self._ways: list[str] = []
        """How else a local edge is reached, and whom to trust then."""
        self._inspector = ""
        self._hostnames: list[str] = []
        """Those of a tunnel of one's own, which has no URL."""
        self._shown = ""

    def __call__(self, event: events.Event) -> None:
        """Show what is news to a person."""
        match event:
            case events.Starting():
                self._origin = event.origin
                self._ways = (
                    [f"or {event.local_url}, for programs that cannot resolve its name"] if event.local_url else []
                )
                self._inspector = event.inspector_url
                self._ways += [f"trust {event.local_ca}"] if event.local_ca else []
            case events.ConfigurationApplied():
                self._hostnames = event.hostnames
            case events.StateChanged() if event.url and event.serves and event.url != self._shown:
                self._shown = event.url
                self._show([event.url, *self._ways], event.url)
            case events.StateChanged() if (
                not event.url and event.state in SERVING and in_words(event.rules) != self._shown
            ):
                self._shown = in_words(event.rules)
                self._show([self._shown, *_few(self._hostnames), *self._ways], "")
            case events.Stats() if log.is_lively() and _is_in_front() and not self._writer.is_behind:
                self._writer.write(f"{log.ERASE_LINE}{live_line(event, _width() - 1, self._inspector)}\r")

    def _show(self, lines: list[str], url: str) -> None:
        plain = "utf" not in (sys.stderr.encoding or "").lower()
        origin = [f"→ {self._origin}"] if self._origin else []
        inspector = [f"requests: {self._inspector}"] if self._inspector else []
        text = box([*lines, *origin, *inspector, *self._who], _width(), ascii_only=plain)
        if self._with_code and url:
            text += (
                "no QR code: this terminal's encoding has no blocks (set LANG to a UTF-8 one)\n"
                if plain
                else qr_code(url, colors=log.has_colors())
            )
        self._writer.write((log.ERASE_LINE if log.is_lively() else "") + text)

    def close(self) -> None:
        """The last line stays the log's."""
        if log.is_lively():
            self._writer.write(log.ERASE_LINE)
        self._writer.close()


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or DEFAULT_WIDTH
    except (AttributeError, OSError, ValueError):
        return DEFAULT_WIDTH


def _is_in_front() -> bool:
    """Whether this is the terminal's foreground job: one in the background is not to draw over another's work."""
    try:
        return os.tcgetpgrp(sys.stderr.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):
        return False


def _few(hostnames: list[str]) -> list[str]:
    more = len(hostnames) - MAX_HOSTNAMES
    return [*hostnames[:MAX_HOSTNAMES], *([f"and {more} more"] if more > 0 else [])]


def box(lines: list[str], width: int, *, ascii_only: bool = False) -> str:
    """Lines in a frame; without one where the terminal is too narrow for it."""
    if ascii_only:
        lines = [line.replace("→", "->") for line in lines]
    inner = max(map(len, lines)) + 2
    if inner + 2 > width:
        return "\n".join(lines) + "\n"
    corners, across, down = ("++++", "-", "|") if ascii_only else ("┌┐└┘", "─", "│")
    rows = [f"{down} {line.ljust(inner - 2)} {down}" for line in lines]
    top, bottom = corners[0] + across * inner + corners[1], corners[2] + across * inner + corners[3]
    return "\n".join([top, *rows, bottom]) + "\n"


def qr_code(url: str, *, colors: bool) -> str:
    """The URL as a QR code of half blocks."""
    import segno  # here, since few ask for it

    out = io.StringIO()
    segno.make(url, error="l", micro=False).terminal(out=out, compact=True, border=QUIET_ZONE)
    rows = out.getvalue().rstrip("\n").splitlines()
    return "".join(f"{WHITE_ON_BLACK}{row}{RESET}\n" if colors else f"{row}\n" for row in rows)


def live_line(stats: events.Stats, width: int, inspector: str = "") -> str:
    """How it is, on one line of at most `width` columns: what does not fit is left out from the right."""
    parts = [
        _name(stats),
        f"{stats.connections}/{stats.slots} connections" + (" over HTTP/2" if "http2" in stats.protocols else ""),
        *([f"see {inspector.removeprefix('http://').removeprefix('127.0.0.1')}"] if inspector else []),
        f"{stats.totals.streams} requests",
        f"{stats.streams_in_flight} in flight",
        f"in {in_units(stats.totals.bytes_in)}",
        f"out {in_units(stats.totals.bytes_out)}",
        *([f"{stats.rtt * 1000:.0f} ms"] if stats.rtt else []),
    ]
    line = parts[0]
    for part in parts[1:]:
        if len(line) + len(part) + 2 > width:
            break
        line += f", {part}"
    return line[:width]


def _name(stats: events.Stats) -> str:
    hostname = urllib.parse.urlsplit(stats.url).hostname
    if hostname is None and stats.tunnel_id and stats.state in SERVING:
        return in_words(stats.rules)
    return (hostname or ("tunnel" if stats.tunnel_id else "no tunnel")) + ("" if stats.serves else f" ({stats.state})")


def stop_words(in_flight: int, grace: float, number: signal.Signals | None) -> str:
    """What a stop waits for, and how it is ended at once. `number`: the signal that asked for it, if one did."""
    if not in_flight or not grace:
        return "stopping"
    requests = "1 request" if in_flight == 1 else f"{in_flight} requests"
    words = f"stopping: waiting for {requests} in flight, up to {grace:g} s"
    if number is None:
        return words
    again = "Ctrl-C once more" if number == signal.SIGINT else f"a second {number.name}"
    return f"{words}; {again} ends it at once"


def in_units(count: int) -> str:
    """Bytes for people: three digits and an SI unit."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.3g} {UNITS[unit]}"
