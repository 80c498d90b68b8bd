"""tunnel-doctor against the local edge, and against what is wrong."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from actors.bus.messages import EdgeAddress
from actors.supervisor.visibility import probe
from actors.tools import checks
from actors.tools.checks import Finding, Verdict
from tests.kit.origins import answer, read_head, scripted, uvicorn_origin
from tests.kit.processes import local_edge, python, running

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
        async with running(python("actors.tools.doctor", "--state-dir", state, *reach)) as process:
            assert await process.wait() == 0
            assert all(line[:4] in {"PASS", "WARN"} for line in process.stdout)


async def test_edge_that_is_not_trusted_or_silent(state: Path) -> None:
    async with local_edge() as edge:
        code, findings = await examine(state, "--service-url", edge["api"], "--edge", edge["edge"])
        assert code == 1
        assert "the handshake failed" in findings[f"QUIC {edge['edge']}"].found
    code, findings = await examine(state, "--service-url", "http://127.0.0.1:1", "--edge", "127.0.0.1:9", "--port", "1")
    assert code == 1
    assert findings["API"].verdict is Verdict.FAIL
    assert findings["QUIC 127.0.0.1:9"].advice.startswith("allow UDP to port 9")
    assert findings["TCP 127.0.0.1:9"].verdict is Verdict.WARN
    assert findings["origin"].verdict is Verdict.WARN
    assert all(finding.advice for finding in findings.values() if finding.verdict is not Verdict.PASS)


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
