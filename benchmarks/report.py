"""The rows as tables in Markdown, and as plots."""

import statistics
from collections import defaultdict
from pathlib import Path
from typing import Final

from benchmarks.tables import BUSY, LINKED, LINKS, Row

Cells = dict[str, dict[str, list[Row]]]
"""By what is measured, and by client."""


def markdown(rows: list[Row]) -> str:
    """A table for each kind: medians, and in brackets the least and the most; void where the link was the brake."""
    parts = []
    for table in dict.fromkeys(row.table for row in rows):
        cells: Cells = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row.table == table:
                cells[row.what][row.client].append(row)
        names = list(dict.fromkeys(name for by_client in cells.values() for name in by_client))
        rounds = max(len(found) for by_client in cells.values() for found in by_client.values())
        lines = [f"{table}, {rounds} {'round' if rounds == 1 else 'rounds'}:", ""]
        lines += [f"| | unit | {' | '.join(names)} | edge or link, share of a core |", "|---" * (len(names) + 3) + "|"]
        for what, by_client in cells.items():
            found = [row for name in names for row in by_client.get(name, [])]
            busiest = max(row.edge_share for row in found)
            texts = [_cell(by_client.get(name, [])) for name in names]
            share = f"{busiest:.2f}" if busiest else "–"
            lines.append(f"| {what} | {found[0].unit} | {' | '.join(texts)} | {share} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _cell(found: list[Row]) -> str:
    if not found:
        return "–"
    values = [row.value for row in found]
    busy = found[0].table in LINKED and statistics.median(row.edge_share for row in found) > BUSY
    void = ", void" if busy else ""
    spread = f" ({_short(min(values))}–{_short(max(values))}{void})" if len(values) > 1 else void
    return _short(statistics.median(values)) + spread


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plot(rows: list[Row], folder: Path) -> None:
    """Throughput against loss, for each line: links-<Mbit>.svg."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tunnel-supervisor"  # the same rows make the same file
    from matplotlib import pyplot

    for megabits in (20, 100):
        lines = [link for link in LINKS if link.megabits == megabits]
        lines = [link for link in lines if link.round_trip_ms == lines[0].round_trip_ms]
        figure, axes = pyplot.subplots(figsize=(6, 3.2), layout="constrained")
        for name in dict.fromkeys(row.client for row in rows if row.table == "links"):
            medians = []
            for link in lines:
                values = [row.value for row in rows if (row.table, row.client, row.what) == ("links", name, str(link))]
                medians.append(statistics.median(values) * 8)
            axes.plot([str(link.loss_percent) for link in lines], medians, marker="o", label=name)
        axes.axhline(megabits, color="grey", linestyle=":", linewidth=1)
        axes.set(
            xlabel="loss, %",
            ylabel="Mbit/s of one response",
            ylim=(0, megabits * 1.1),
            title=f"{megabits} Mbit/s, {lines[0].round_trip_ms} ms",
        )
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / f"links-{megabits}.svg", metadata=METADATA)
        pyplot.close(figure)


METADATA: Final = {"Date": None}
