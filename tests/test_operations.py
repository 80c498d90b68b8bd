"""docs/operations: what is there fits the metrics and the command line, and the programs that read it understand it."""

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from actors import DEFAULT_GRACE_PERIOD
from actors.bus.addresses import HostPort
from actors.bus.messages import LifecycleReport
from actors.bus.tally import Connected, Gauges, LifecycleCounts
from actors.exchange.ledger import Ledger
from actors.metrics.exposition import exposition
from actors.metrics.registry import CounterRegistry
from actors.supervisor.cli import read_settings
from actors.supervisor.settings import Settings
from tests.kit.operations import (
    FOLDER,
    block,
    dashboard,
    expressions,
    filled,
    instruction,
    metric_names,
    panels,
    rule_file,
)
from tests.kit.processes import PATIENCE, running
from tests.kit.tunnel import tunnel

TOKEN = base64.b64encode(
    json.dumps(
        {"a": "a" * 32, "t": "6e9c3b2a-0f0e-4f5e-9d55-0123456789ab", "s": base64.b64encode(bytes(32)).decode()}
    ).encode()
).decode()

ALERTS = FOLDER / "alerts.yml"
PORT = 20241


def exposed() -> dict[str, set[str]]:
    """Every metric that there can be, as Prometheus stores it, and its labels."""
    registry = CounterRegistry()
    ledger = Ledger(tunnel_id="t", slot=0, generation=1)
    ledger.answered(0.2)
    ledger.request_ended(200, 3.0)
    registry.apply(ledger.draft(Gauges(streams_in_flight=1, rtt=0.03)))
    counts = LifecycleCounts(
        reconnects={"t": 1}, actor_restarts={"metrics": 1}, connected=[Connected(0, 1)], started_at=1.0
    )
    registry.apply(LifecycleReport(1, counts))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(exposition(registry)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def promtool(*arguments: str | Path) -> None:
    """Run promtool; it must be content."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


# --- the dashboard ---


def test_names_of_metrics_are_found_in_expressions() -> None:
    text = 'sum by (le) (rate(a_bucket{x="b"}[5m])) / on (job) c offset 1h and changes(d:e[1h]) > 0.5e3 or vector(0)'
    assert metric_names(text) == {"a_bucket", "c", "d:e"}


@pytest.mark.parametrize("name", expressions())
def test_dashboard_asks_for_metrics_that_there_are(name: str) -> None:
    expression = expressions()[name]
    assert metric_names(filled(expression))
    assert metric_names(filled(expression)) <= set(exposed())
    for metric, matchers in re.findall(r"(\w+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)=~?\"", matchers))
        assert labels - {"instance"} <= exposed()[metric], f"{metric} has no such label"


def test_dashboard_leaves_out_no_metric() -> None:
    asked = set().union(*(metric_names(filled(expression)) for expression in expressions().values()))
    # A histogram is drawn from its buckets, and streams are shown as requests.
    unasked = {name for name in exposed() if not name.endswith(("_seconds_count", "_seconds_sum"))} - asked
    assert unasked == {"tunnel_streams_total"}


def test_dashboard_s_variables() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "tunnel_id"]
    assert variables["datasource"]["type"] == "datasource"
    for name in ("instance", "tunnel_id"):
        (metric,) = re.findall(rf"^label_values\((\w+).*, {name}\)$", variables[name]["query"]["query"])
        assert metric in exposed()
    for panel in panels():
        for asking in (panel, *panel["targets"]):
            assert asking["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]


def test_dashboard_s_panels_do_not_overlap() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert max(place["x"] + place["w"] for place in places) == 24


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(rule_file({name: filled(expression) for name, expression in expressions().items()}))
    promtool("check", "rules", path)


# --- alerts ---


@pytest.mark.parametrize("rule", alert_rules(), ids=lambda rule: rule["alert"])
def test_alerts_ask_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    assert metric_names(rule["expr"]) <= {*exposed(), "up"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["for"]


def test_alerts_do_what_they_say() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", FOLDER / "alerts_test.yml")


def test_every_alert_is_seen_firing_once() -> None:
    told = set(re.findall(r'alertname="(\w+)"', (FOLDER / "alerts_test.yml").read_text()))
    assert told == {rule["alert"] for rule in alert_rules()}


def test_scrape_configuration_of_the_readme(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(block("yaml"))
    shutil.copy(ALERTS, tmp_path)
    promtool("check", "config", tmp_path / "prometheus.yml")


# --- the image and where it runs ---


def as_in_the_image(*arguments: str) -> Settings:
    """What the supervisor takes the image's entry point to mean."""
    words = instruction("ENTRYPOINT")
    assert words[:4] == ["python", "-P", "-m", "actors.supervisor"]
    return read_settings([*words[4:], *arguments], {})


def test_containerfile() -> None:
    # Its wheel brings the program alone.
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), FOLDER / "Containerfile"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert as_in_the_image("--port", "8080").metrics_http == HostPort("0.0.0.0", PORT)


@pytest.mark.slow
async def test_image_is_healthy_while_a_visitor_would_be_served(state: Path) -> None:
    python, *words = instruction("HEALTHCHECK")
    assert python == "python"
    async with tunnel(None, state, "--metrics-http", "127.0.0.1:0") as made:
        address = (await made.process.logged("metrics over HTTP"))["address"]
        port = address.removesuffix("/metrics").rpartition(":")[2]
        probe = [sys.executable, *(word.replace(str(PORT), port) for word in words)]

        async def until_it_says(status: int) -> None:
            async with asyncio.timeout(PATIENCE):
                while True:
                    async with running(probe) as process:
                        if await process.wait() == status:
                            return

        await until_it_says(0)
        await made.admin.post("/rules", json={"answer": "retry", "times": 99})
        (connection,) = await made.connections()
        await made.admin.post(f"/connections/{connection['id']}/drop", json={})
        await until_it_says(1)
        await made.admin.delete("/rules")
        await until_it_says(0)
        assert await made.process.stop() == 0
        await until_it_says(1)


MANIFESTS = ["kubernetes.yaml", "kubernetes-token.yaml"]


def deployment(manifest: str) -> dict[str, Any]:
    return dict(next(yaml.safe_load_all((FOLDER / manifest).read_text()))["spec"])


@pytest.mark.parametrize("version", ["1.25", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("manifest", MANIFESTS)
def test_kubernetes_takes_the_manifest(manifest: str, version: str) -> None:
    for resource in yaml.safe_load_all((FOLDER / manifest).read_text()):
        kubernetes_validate.validate(resource, version, strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_kubernetes_manifest_fits_the_image(manifest: str, tmp_path: Path) -> None:
    pod = deployment(manifest)["template"]
    (container,) = pod["spec"]["containers"]
    (tmp_path / "token").write_text(TOKEN)
    arguments = [word.replace("/run/secrets/tunnel", str(tmp_path)) for word in container["args"]]
    settings = as_in_the_image(*arguments)
    assert settings.renew is (settings.tunnel is None)
    assert settings.max_reconnect_attempts == 0
    assert pod["spec"]["terminationGracePeriodSeconds"] > DEFAULT_GRACE_PERIOD
    assert pod["spec"]["enableServiceLinks"] is False
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(PORT)
    assert container["ports"] == [{"name": "metrics", "containerPort": PORT}]
    text = (FOLDER / "Containerfile").read_text()
    user = pod["spec"]["securityContext"]["runAsUser"]
    assert f"USER {user}:{user}\n" in text
    mounted = {volume["mountPath"] for volume in container["volumeMounts"]}
    assert mounted - {"/run/secrets/tunnel"} == {*re.findall(r"NEXO_HOME=(\S+)", text), "/tmp"}
    assert {volume["name"] for volume in container["volumeMounts"]} == {one["name"] for one in pod["spec"]["volumes"]}
    started = "/ready" if settings.tunnel is None else "/healthcheck"
    for probe, path in (("startup", started), ("readiness", "/ready"), ("liveness", "/healthcheck")):
        assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": "metrics"}


def test_replicas_are_rolled_one_by_one_and_read_their_token_from_a_file() -> None:
    made, budget = list(yaml.safe_load_all((FOLDER / "kubernetes-token.yaml").read_text()))
    spec = made["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == budget["spec"]["selector"]["matchLabels"] == labels
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (volume,) = [one for one in pod["volumes"] if "secret" in one]
    (mount,) = [one for one in container["volumeMounts"] if one["name"] == volume["name"]]
    assert f"--token-file={mount['mountPath']}/token" in container["args"]
    assert mount["readOnly"]
    assert volume["secret"]["defaultMode"] == 0o440
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    assert "env" not in container, "a variable is in every process, and in what describes the pod"


# --- systemd ---

UNITS = [FOLDER.parent / "tunnel-supervisor.service", *sorted(FOLDER.glob("*.service"))]


def command_of(unit: Path) -> list[str]:
    """The words of its ExecStart, as a user with this home would run them."""
    found = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit.read_text(), re.M)
    assert found is not None
    return found[1].replace("\\\n", " ").replace("%h", "/home/somebody").split()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_the_unit(unit: Path, tmp_path: Path) -> None:
    if (analyze := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not installed (apt-get install systemd)")
    copy = tmp_path / unit.name
    program = shutil.which("true")  # a path that systemd takes as it is, wherever this checkout lies
    assert program is not None
    copy.write_text(unit.read_text().replace(f"ExecStart={_program(unit)}", f"ExecStart={program}"))
    done = subprocess.run([analyze, "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _program(unit: Path) -> str:
    match = re.search(r"^ExecStart=(\S+)", unit.read_text(), re.M)
    assert match is not None
    return match[1]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_supervisor_takes_the_unit_s_command(unit: Path, tmp_path: Path) -> None:
    (tmp_path / "tunnel-token").write_text(TOKEN)
    program, *words = [word.replace("${CREDENTIALS_DIRECTORY}", str(tmp_path)) for word in command_of(unit)]
    assert program.endswith("/bin/tunnel-supervisor")
    settings = read_settings(words, {})
    assert settings.max_reconnect_attempts == 0
    text = unit.read_text()
    assert "Type=notify\n" in text
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.M)
    assert int(patience) > DEFAULT_GRACE_PERIOD
    (not_after,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.M)
    assert {"2", "9", "10"} <= set(not_after.split())
    if settings.keep_for is not None or settings.tunnel is not None:
        assert "Restart=always\n" in text
        assert "StartLimitIntervalSec=0\n" in text
    if settings.keep_for is not None:
        assert "--state-dir" in words, "another tunnel may have the usual one, and then it would not start"
