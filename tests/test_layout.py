"""The shape of the code: what is pure stays pure, and every module has a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ACTORS = ROOT / "actors"

PURE = [
    "bus/addresses.py",
    "bus/events.py",
    "bus/inspection.py",
    "errors.py",
    "bus/guards.py",
    "bus/messages.py",
    "bus/routes.py",
    "bus/tally.py",
    "metrics/exposition.py",
    "metrics/prometheus.py",
    "metrics/registry.py",
    "local_edge/h2_words.py",
    "local_edge/hostnames.py",
    "local_edge/limits.py",
    "local_edge/local_address.py",
    "local_edge/registry.py",
    "quic_worker/bbr/filters.py",
    "quic_worker/bbr/model.py",
    "quic_worker/bbr/parameters.py",
    "quic_worker/bbr/path.py",
    "quic_worker/bbr/rate_sample.py",
    "quic_worker/ends.py",
    "quic_worker/engine.py",
    "quic_worker/proxy.py",
    "quic_worker/pulse.py",
    "quic_worker/engines/h2_engine.py",
    "quic_worker/engines/h2_frames.py",
    "quic_worker/engines/h2_lenient.py",
    "quic_worker/engines/hybrid.py",
    "quic_worker/engines/path_mtu.py",
    "exchange/access.py",
    "exchange/backend.py",
    "exchange/contained.py",
    "exchange/driver.py",
    "exchange/entrance.py",
    "exchange/exchange.py",
    "exchange/flow.py",
    "exchange/gate.py",
    "exchange/holding.py",
    "exchange/http1.py",
    "exchange/request.py",
    "exchange/ledger.py",
    "exchange/names.py",
    "exchange/observers.py",
    "exchange/origin_tls.py",
    "exchange/reasons.py",
    "exchange/response.py",
    "exchange/reuse.py",
    "exchange/socks.py",
    "exchange/tap.py",
    "exchange/upload.py",
    "exchange/rewrite.py",
    *(f"guard/{path.name}" for path in (ACTORS / "guard").glob("*.py")),
    "ingress/allowed.py",
    "ingress/defaults.py",
    "ingress/errors.py",
    "ingress/hostnames.py",
    "ingress/json_text.py",
    "ingress/local_file.py",
    "ingress/match.py",
    "ingress/model.py",
    "ingress/parse.py",
    "ingress/patterns.py",
    "ingress/routing.py",
    "ingress/rules.py",
    "ingress/services.py",
    "ingress/shapes.py",
    "ingress/versions.py",
    "inspector/bodies.py",
    "inspector/door.py",
    "inspector/edits.py",
    "inspector/har.py",
    "inspector/masks.py",
    "inspector/ngrok.py",
    "inspector/raw.py",
    "inspector/store.py",
    "inspector/views.py",
    "inspector/websocket.py",
    "wire/connect.py",
    "wire/framing.py",
    "wire/h2_heads.py",
    "wire/heads.py",
    "wire/offsets.py",
    "wire/registration.py",
    "wire/rpc.py",
    "wire/schema.py",
    "supervisor/counts.py",
    "supervisor/dice.py",
    "supervisor/edges.py",
    "supervisor/engines.py",
    "supervisor/failures.py",
    "supervisor/go_flags.py",
    "supervisor/habits.py",
    "supervisor/history.py",
    "supervisor/kept.py",
    "supervisor/outside.py",
    "supervisor/policy.py",
    "supervisor/protocols.py",
    "supervisor/proxies.py",
    "supervisor/readiness.py",
    "supervisor/renewal.py",
    "supervisor/restart.py",
    "supervisor/slots.py",
    "supervisor/succession.py",
    "supervisor/telling.py",
    "supervisor/token.py",
    "supervisor/vocabulary.py",
]
IMPURE = {"asyncio", "zmq", "socket", "os", "time", "structlog", "threading", "subprocess", "signal"}

TESTED_BY_RUNNING = {
    "processes/child.py",
    "processes/log.py",
    "hello_world/__main__.py",
    "local_edge/admin.py",
    "local_edge/api.py",
    "local_edge/cli.py",
    "local_edge/edge.py",
    "local_edge/front.py",
    "local_edge/h2_link.py",
    "local_edge/h2_server.py",
    "local_edge/h2_stream.py",
    "local_edge/pushes.py",
    "local_edge/quic_link.py",
    "local_edge/quic_server.py",
    "local_edge/service.py",
    "inspector/actor.py",
    "metrics/actor.py",
    "quic_worker/control.py",
    "quic_worker/dial.py",
    "quic_worker/inspected.py",
    "quic_worker/spare.py",
    "quic_worker/streams.py",
    "quic_worker/ways.py",
    "quic_worker/worker.py",
    "supervisor/bus_sockets.py",
    "supervisor/children.py",
    "supervisor/compose.py",
    "supervisor/ending.py",
    "supervisor/watcher.py",
    "supervisor/output.py",
    "supervisor/runner.py",
    "supervisor/statistics.py",
    "tools/events.py",
    "tools/metrics.py",
    "tools/running.py",
    "tools/stop.py",
}
"""I/O: shown to work by tests/integration, with the real processes around them."""

TESTED_WITH = {
    "api/asgi.py": "test_documents.py",
    "api/blocking.py": "api/test_manager.py",
    "api/tether.py": "api/test_handle.py",
    "api/notebook.py": "integration/test_embedded.py",
    "bus/curve.py": "integration/test_curve.py",
    "api/supervisor_process.py": "api/test_manager.py",
    "errors.py": "test_layout.py",
    "bus/events.py": "bus/test_messages.py",
    "bus/guards.py": "bus/test_routes.py",
    "guard/banner.py": "guard/test_sentry.py",
    "guard/wanted.py": "guard/test_values.py",
    "supervisor/guard_flags.py": "supervisor/test_guards.py",
    "supervisor/guard_file.py": "supervisor/test_guards.py",
    "supervisor/secret_files.py": "supervisor/test_guards.py",
    "local_edge/certificates.py": "quic_worker/test_connection.py",
    "local_edge/edge_engine.py": "quic_worker/test_connection.py",
    "local_edge/engines.py": "quic_worker/test_connection.py",
    "local_edge/tls.py": "quic_worker/test_connection.py",
    "metrics/process_wide.py": "api/test_manager.py",
    "metrics/prometheus.py": "metrics/test_exposition.py",
    "quic_worker/datagrams.py": "quic_worker/test_connection.py",
    "quic_worker/quic.py": "quic_worker/test_connection.py",
    "quic_worker/engines/picoquic_engine.py": "quic_worker/test_picoquic.py",
    "quic_worker/engines/picoquic_library.py": "quic_worker/test_picoquic.py",
    "quic_worker/engines/aioquic_credit.py": "quic_worker/test_connection.py",
    "quic_worker/engines/aioquic_engine.py": "quic_worker/test_connection.py",
    "quic_worker/engines/aioquic_tls.py": "quic_worker/engines/test_key_exchange.py",
    "quic_worker/engines/h2_lenient.py": "quic_worker/engines/test_h2_private.py",
    "quic_worker/engines/hybrid.py": "quic_worker/engines/test_key_exchange.py",
    "quic_worker/bbr/filters.py": "quic_worker/test_bbr.py",
    "quic_worker/bbr/model.py": "quic_worker/test_bbr.py",
    "quic_worker/bbr/parameters.py": "quic_worker/test_bbr.py",
    "quic_worker/bbr/path.py": "quic_worker/test_bbr.py",
    "quic_worker/bbr/rate_sample.py": "quic_worker/test_bbr.py",
    "quic_worker/edge_connection.py": "quic_worker/test_quic_edge.py",
    "quic_worker/h2_streams.py": "quic_worker/test_http2_edge.py",
    "quic_worker/http2.py": "quic_worker/test_http2_edge.py",
    "quic_worker/responder.py": "quic_worker/test_http2_edge.py",
    "quic_worker/tcp.py": "quic_worker/test_http2_edge.py",
    "quic_worker/ends.py": "supervisor/test_policy.py",
    "quic_worker/engine.py": "quic_worker/test_connection.py",
    "exchange/backend.py": "exchange/test_exchange.py",
    "exchange/gate.py": "exchange/test_exchange.py",
    "exchange/guard_gate.py": "exchange/test_router.py",
    "exchange/origin.py": "exchange/test_origin_pool.py",
    "exchange/contained.py": "exchange/test_exchange_faults.py",
    "exchange/driver.py": "exchange/test_exchange.py",
    "exchange/request.py": "exchange/test_exchange.py",
    "inspector/assets.py": "inspector/test_api.py",
    "inspector/feed.py": "inspector/test_api.py",
    "inspector/har.py": "inspector/test_foreign.py",
    "inspector/ngrok.py": "inspector/test_foreign.py",
    "inspector/raw.py": "inspector/test_foreign.py",
    "exchange/replays.py": "integration/test_inspector.py",
    "ingress/defaults.py": "ingress/test_parse.py",
    "ingress/errors.py": "ingress/test_parse.py",
    "ingress/json_text.py": "ingress/test_parse.py",
    "ingress/model.py": "ingress/test_parse.py",
    "ingress/rules.py": "ingress/test_parse.py",
    "ingress/services.py": "ingress/test_parse.py",
    "ingress/shapes.py": "ingress/test_parse.py",
    "ingress/allowed.py": "ingress/test_routing.py",
    "ingress/patterns.py": "ingress/test_match.py",
    "wire/schema.py": "wire/test_rpc.py",
    "supervisor/lifeline_input.py": "api/test_manager.py",
    "supervisor/flags.py": "supervisor/test_cli.py",
    "supervisor/flag_values.py": "supervisor/test_cli.py",
    "bus/tally.py": "metrics/test_registry.py",
    "tools/checks.py": "tools/test_doctor.py",
    "tools/completion.py": "tools/test_reference.py",
    "tools/requests.py": "integration/test_inspector.py",
    "tools/keys.py": "integration/test_curve.py",
    "tools/metrics_reference.py": "tools/test_reference.py",
    "tools/programs.py": "tools/test_reference.py",
    "supervisor/dice.py": "supervisor/test_restart.py",
    "supervisor/engines.py": "supervisor/test_policy.py",
    "supervisor/failures.py": "supervisor/test_policy.py",
    "supervisor/telling.py": "supervisor/test_policy.py",
    "supervisor/outside.py": "supervisor/test_policy.py",
    "supervisor/renewal.py": "supervisor/test_policy.py",
    "supervisor/publisher.py": "integration/test_main_job.py",
    "supervisor/rate_limit.py": "supervisor/test_start.py",
    "supervisor/vocabulary.py": "supervisor/test_policy.py",
    "supervisor/settings.py": "supervisor/test_cli.py",
}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_import_nothing_that_acts(name: str) -> None:
    imported = set()
    for node in ast.walk(ast.parse((ACTORS / name).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert not imported & IMPURE


def test_exchange_knows_no_transport() -> None:
    """What happens to a request is the same whatever brought it."""
    for path in (ACTORS / "exchange").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert not node.module.startswith(("actors.wire", "actors.quic_worker")), f"{path.name}: {node.module}"


def test_every_module_has_its_test() -> None:
    for path in ACTORS.rglob("*.py"):
        name = path.relative_to(ACTORS).as_posix()
        if name.startswith("compat/"):
            name, path = "compat.py", ACTORS / "compat.py"
        if path.name == "__init__.py" or (path.name == "__main__.py" and name not in TESTED_BY_RUNNING):
            continue
        if name in TESTED_BY_RUNNING:
            continue
        test = TESTED_WITH.get(name, path.relative_to(ACTORS).with_name(f"test_{path.name}").as_posix())
        assert (ROOT / "tests" / test).is_file(), f"{name} has no {test}"


READS_THE_CLOCK = {
    "bus/run_folder.py",  # the age of a folder
    "supervisor/publisher.py",  # stamps of events
    "supervisor/runner.py",  # started_at
    "supervisor/compose.py",  # the same, in tunnel.json
    "supervisor/cli.py",  # the stamp of an event
    "supervisor/keeper.py",  # how long ago a kept tunnel was used
    "supervisor/start.py",  # a rate limit is remembered across restarts
    "supervisor/provisioning.py",  # Retry-After as a date
    "exchange/access_keys.py",  # tokens expire
    "exchange/guard_gate.py",  # so do cookies and webhooks
    "tools/checks.py",  # is it right?
    "hello_world/__main__.py",
    "local_edge/certificates.py",
}
"""Where the real time may be asked for: it jumps, so that no timer, wait or deadline may depend on it."""


def test_timers_are_monotonic() -> None:
    found = set()
    for path in ACTORS.rglob("*.py"):
        text = path.read_text()
        if any(word in text for word in ("time.time()", "datetime.now(", "utcnow(", "monotonic_ns")):
            found.add(path.relative_to(ACTORS).as_posix())
    assert found <= READS_THE_CLOCK


def test_reasons_stay_below_the_promised_number() -> None:
    from actors import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TunnelError)]
    assert {kind.reason for kind in kinds} <= {*errors.START_FAILURE_REASONS, "other"}
    assert len(errors.START_FAILURE_REASONS) < 16


def test_nothing_depends_on_what_lies_beside_the_project() -> None:
    for path in [*ACTORS.rglob("*.py"), *(ROOT / "bin").iterdir()]:
        assert "../shared" not in path.read_text(errors="replace")


def test_every_package_s_init_lists_its_modules() -> None:
    for package in (path.parent for path in ACTORS.rglob("__init__.py") if "compat" not in path.parts):
        told = (package / "__init__.py").read_text()
        modules = {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
        modules |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
        assert not {name for name in modules if name not in told}, f"{package.name}/__init__.py does not list them"
