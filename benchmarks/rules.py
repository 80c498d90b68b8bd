"""`python -m benchmarks.rules`: what ingress rules cost: to take a configuration, and to route a request by it.

Rules of a hostname each (as most people have them), and all of one hostname, told apart by their paths. A new
configuration has mostly the patterns of the one before, so the second one is timed as well.
"""

import json
import statistics
import time
from typing import Any, Final

from actors.ingress.allowed import EVERYTHING
from actors.ingress.match import Table
from actors.ingress.versions import Applied, apply

COUNTS: Final = (1, 10, 100, 1000, 2000, 4999)
REQUESTS: Final = 2000
TARGET: Final = b"/api/none/items/4711.jpg?size=large"
"""Which meets the last rule only, the one for all."""


def configuration(count: int, *, one_host: bool) -> bytes:
    """`count` rules with a path, and the one for all."""
    rules: list[dict[str, Any]] = [
        {
            "hostname": "one.example" if one_host else f"host{number}.example",
            "path": rf"^/api/v{number}/[^/]+/items\.(jpg|png)$",
            "service": f"http://10.0.0.1:{1000 + number}",
        }
        for number in range(count)
    ]
    return json.dumps({"ingress": [*rules, {"service": "http_status:404"}]}).encode()


def taken(present: Applied, data: bytes) -> tuple[Applied, float]:
    """The next configuration, and the milliseconds that it took."""
    begin = time.perf_counter()
    applied, answer = apply(present, present.version + 1, data, hello_world=None, allowed=EVERYTHING)
    spent = time.perf_counter() - begin
    assert not answer.error, answer.error
    return applied, spent * 1e3


def routed(table: Table, host: bytes) -> float:
    """The median of the microseconds that the routing of a request takes."""
    spent = []
    for _ in range(REQUESTS):
        begin = time.perf_counter()
        table.find(host, TARGET)
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent) * 1e6


def main() -> None:
    """Print the table."""
    print("| rules | of | bytes | first, ms | again, ms | a request, µs (p50) |")
    print("|---|---|---|---|---|---|")
    for one_host in (False, True):
        for count in COUNTS:
            data = configuration(count, one_host=one_host)
            applied, first = taken(Applied(), data)
            applied, again = taken(applied, data)
            request = routed(Table(applied.routes.routes), b"one.example" if one_host else b"host0.example")
            whose = "one host" if one_host else "a host each"
            print(f"| {count} | {whose} | {len(data)} | {first:.0f} | {again:.0f} | {request:.1f} |")


if __name__ == "__main__":
    main()
