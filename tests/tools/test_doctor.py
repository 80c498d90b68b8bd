"""tunnel-doctor against the local edge, and against what is wrong."""

import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from actors.bus.messages import EdgeAddress, ProtocolWish
from actors.supervisor.visibility import probe
from actors.tools import checks
from actors.tools.checks import Finding, Verdict
from tests.kit.origins import answer, read_head, scripted, uvicorn_origin
from tests.kit.processes import PATIENCE, local_edge, python, running

pytestmark = pytest.mark.slow


async def examine(state: Path, *arguments: str | int) -> tuple[int, dict[str, Finding]]:
    async with running(python("actors.tools.doctor", "--json", "--state-dir", state, *arguments)) as process:
        code = await process.wait()
        findings = [Finding(**told | {"verdict": Verdict(told["verdict"])}) for told in json.loads(process.stdout[0])]
        return code, {finding.check: finding for finding in findings}


async def test_nothing_is_wrong(state: Path) -> None:
    async with local_edge() as edge, uvicorn_origin() as port:
        reach = ("--service-url", edge["api"], "--edge", edge["edge"], "--edge-ca", edge["ca"], "--port", port)
        code, findings = await examine(state, *reach)
        assert code == 0
        for check in ("versions", "proxies", "state folder", "origin", "API", "clock", f"QUIC {edge['edge']}"):
            assert findings[check].verdict is Verdict.PASS, findings[check]
        assert "quic.cftunnel.com, argotunnel" in findings[f"QUIC {edge['edge']}"].found
        assert "h2.cftunnel.com, over TCP" in findings[f"HTTP/2 {edge['edge']}"].found
        assert findings["verdict"] == Finding("verdict", Verdict.PASS, "a tunnel will use QUIC")
        code, findings = await examine(state, *reach, "--protocol", "http2")
        assert (code, findings["verdict"].found) == (0, "a tunnel will use HTTP/2")
        async with running(python("actors.tools.doctor", "--state-dir", state, *reach)) as process:
            assert await process.wait() == 0
            assert all(line[:4] in {"PASS", "WARN"} for line in process.stdout)


async def test_tunnel_of_ones_own_needs_no_api(state: Path) -> None:
    async with local_edge() as edge:
        silent = ("--service-url", "http://127.0.0.1:1")
        code, findings = await examine(state, "run", "--edge", edge["edge"], "--edge-ca", edge["ca"], *silent)
        assert code == 0
        assert not {"API", "clock"} & findings.keys()
        assert findings["verdict"] == Finding("verdict", Verdict.PASS, "a tunnel will use QUIC")


@pytest.mark.parametrize("patience", [checks.PATIENCE, PATIENCE])
async def test_silent_edge(patience: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever patience ends first."""
    monkeypatch.setattr(checks, "PATIENCE", patience)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        finding = await checks.quic(EdgeAddress("127.0.0.1", silent.getsockname()[1]), None)
    assert finding.found.startswith("no answer within ")
    assert finding.advice.startswith("allow UDP to port")


async def test_edge_that_is_not_trusted_or_silent(state: Path) -> None:
    async with local_edge() as edge:
        code, findings = await examine(state, "--service-url", edge["api"], "--edge", edge["edge"])
        assert code == 1
        assert "the handshake failed" in findings[f"QUIC {edge['edge']}"].found
    code, findings = await examine(state, "--service-url", "http://127.0.0.1:1", "--edge", "127.0.0.1:9", "--port", "1")
    assert code == 1
    assert findings["API"].verdict is Verdict.FAIL
    assert findings["QUIC 127.0.0.1:9"].advice.startswith("allow UDP to port 9")
    assert findings["HTTP/2 127.0.0.1:9"].verdict is Verdict.FAIL
    assert findings["verdict"].found == "a tunnel cannot reach the edge"
    assert findings["origin"].verdict is Verdict.WARN
    assert all(finding.advice for finding in findings.values() if finding.verdict is not Verdict.PASS)


QUIC, HTTP2 = Finding("QUIC a", Verdict.PASS, "in 9 ms"), Finding("HTTP/2 a", Verdict.PASS, "in 9 ms")
NO_QUIC, NO_HTTP2 = (Finding(works.check, Verdict.FAIL, "silence", "allow it") for works in (QUIC, HTTP2))


@pytest.mark.parametrize(
    ("reached", "wish", "verdict", "word"),
    [
        ((QUIC, HTTP2), "auto", Verdict.PASS, "will use QUIC"),
        ((QUIC, NO_HTTP2), "auto", Verdict.PASS, "will use QUIC"),
        ((NO_QUIC, HTTP2), "auto", Verdict.WARN, "will use HTTP/2"),
        ((NO_QUIC, NO_HTTP2), "auto", Verdict.FAIL, "cannot reach the edge"),
        ((QUIC, HTTP2), "http2", Verdict.PASS, "will use HTTP/2"),
        ((QUIC, NO_HTTP2), "http2", Verdict.FAIL, "cannot reach the edge by HTTP/2"),
        ((NO_QUIC, HTTP2), "quic", Verdict.FAIL, "cannot reach the edge by QUIC"),
    ],
)
def test_verdict_says_what_a_tunnel_will_do(
    reached: tuple[Finding, ...], wish: ProtocolWish, verdict: Verdict, word: str
) -> None:
    *others, last = checks.verdict(reached, wish)
    assert (last.check, last.verdict) == ("verdict", verdict)
    assert word in last.found
    assert any(finding.verdict is Verdict.FAIL for finding in others) is (
        verdict is Verdict.FAIL and any(finding.verdict is Verdict.FAIL for finding in reached)
    )


@pytest.mark.parametrize(
    ("off", "verdict"), [(5, Verdict.PASS), (-90, Verdict.WARN), (7200, Verdict.FAIL), (-7200, Verdict.FAIL)]
)
def test_clock(off: float, verdict: Verdict) -> None:
    now = datetime.now(UTC)
    (finding,) = checks.clock(format_datetime(now - timedelta(seconds=off), usegmt=True), now)
    assert finding.verdict is verdict
    assert ("ahead" if off > 0 else "behind") in finding.found


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:9"), ("HTTPS_PROXY", "ftp://x"), ("SSL_CERT_FILE", "/nonexistent")],
)
async def test_surroundings_that_are_wrong_are_findings(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (finding,) = await checks.api("https://192.0.2.1:1/")
    assert finding.verdict is Verdict.FAIL


def test_clock_with_nothing_to_compare() -> None:
    assert checks.clock(None, datetime.now(UTC)) == checks.clock("soon", datetime.now(UTC)) == []


def test_one_address_of_each_region_and_family() -> None:
    addresses = [EdgeAddress(host, 7844, region) for region in ("a", "b") for host in ("192.0.2.1", "192.0.2.2", "::1")]
    assert [(chosen.region, chosen.host) for chosen in checks.choose(addresses)] == [
        *(("a", "192.0.2.1"), ("a", "::1")),
        *(("b", "192.0.2.1"), ("b", "::1")),
    ]


async def test_a_proxy_is_not_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"here"))

    async with scripted(serve) as port:
        for host in ("127.0.0.1", "localhost"):
            (found, *_) = await checks.api(f"http://{host}:{port}/")
            assert found.verdict is checks.Verdict.PASS, found
        assert await probe(f"http://some-words.localhost:{port}/") is None
