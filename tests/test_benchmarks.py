"""What the benchmarks make of their figures. The figures themselves are no matter for a test."""

from pathlib import Path

from benchmarks import report, request_path
from benchmarks.tables import LINKS, Row


def test_table_has_medians_with_their_spread_and_says_which_are_void() -> None:
    rows = [Row("links", "requests", "ours", value, "/s", 0.2) for value in (100.0, 300.0, 200.0)]
    rows += [Row("links", "requests", "theirs", value, "/s", 0.9) for value in (7.0, 8.0, 9.0)]
    rows += [Row("links", "p50", "ours", 1.5, "ms")]
    text = report.markdown(rows)
    assert "links, 3 rounds:" in text
    assert "| requests | /s | 200 (100–300) | 8 (7–9, void) | 0.90 |" in text
    assert "| p50 | ms | 1.5 | – | – |" in text


def test_plots_are_the_same_for_the_same_rows(tmp_path: Path) -> None:
    rows = [Row("links", str(link), name, 1.0, "MB/s") for link in LINKS for name in ("bbr", "cubic")]
    report.plot(rows, tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(first) == {"links-20.svg", "links-100.svg"}
    report.plot(rows, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


async def test_request_that_is_measured_without_sockets_is_served() -> None:
    one, ended = request_path.whole_path()
    for count in (1, 2):
        one()
        assert ended() == count
