"""The Python API, against the local edge."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import actors
from actors import DEFAULT_GRACE_PERIOD, PermanentFailure, RateLimited, Tunnel, TunnelError, TunnelManager, lifespan
from actors.api.handed import Handed, handing
from actors.api.manager import TunnelHandle, TunnelMetrics
from actors.bus import events
from actors.bus.addresses import HostPort
from actors.errors import AlreadyRunning, DiscoveryError, EdgeUnreachable, ProvisioningError, UsageError
from actors.metrics import render_prometheus, render_prometheus_for
from actors.supervisor.cli import read_settings
from actors.supervisor.flags import make_parser
from actors.supervisor.settings import Inspecting
from tests.kit.origins import answer, read_head, scripted
from tests.kit.processes import PATIENCE, ROOT, local_edge
from tests.metrics.test_exposition import samples_of

pytestmark = pytest.mark.slow

LOCAL = TunnelManager().with_local_edge().with_timeout(20)
"""A page of its own over an edge of its own."""


def processes() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def visit(url: str, path: str = "/uptime", **options: object) -> httpx.Response:
    """As a visitor: not every resolver knows *.localhost."""
    parts = urllib.parse.urlsplit(url)
    with httpx.Client(timeout=PATIENCE) as client:
        return client.request(
            str(options.pop("method", "GET")),
            f"http://127.0.0.1:{parts.port}{path}",
            headers={"Host": parts.netloc},
            **options,  # type: ignore[arg-type]
        )


# --- a tunnel's life ---


async def test_start_serve_count_and_shut_down() -> None:
    handle = await LOCAL.with_timeout(timedelta(seconds=20)).with_connections(1).start()
    assert handle.url.startswith("http://")
    assert (handle.location, len(handle.tunnel_id), handle.state, handle.serves) == ("lab01", 36, "registered", True)
    response = await asyncio.to_thread(visit, handle.url, "/echo", method="POST", content=b"x" * 1000)
    assert response.content == b"x" * 1000
    assert await handle.metrics() == TunnelMetrics(1, 1000, 1000, 0), "true at once"
    await handle.shutdown_with(DEFAULT_GRACE_PERIOD)
    assert await handle.metrics() == TunnelMetrics(1, 1000, 1000, 0), "the last totals"
    assert not handle.serves
    assert processes() == []
    await handle.shutdown()  # once more is no error


async def test_context_manager_and_several_at_a_time() -> None:
    async with LOCAL as one, LOCAL as two:
        assert one.url != two.url
        assert one.tunnel_id != two.tunnel_id
        for handle in (one, two):
            assert (await asyncio.to_thread(visit, handle.url)).status_code == 200
    assert processes() == []


async def test_events_until_the_end() -> None:
    async with LOCAL as handle:
        kinds = []

        async def follow() -> None:
            kinds.extend([type(event) async for event in handle.events()])

        following = asyncio.create_task(follow())  # noqa: TID251 - awaited below
        await asyncio.sleep(0)  # it listens from here on
        await handle.shutdown_with(timedelta(seconds=5))
        async with asyncio.timeout(PATIENCE):
            await following
    assert events.Stopping in kinds
    assert kinds[-1] is events.Stopped
    assert [event async for event in handle.events()] == []


async def test_shutdown_lets_a_response_finish_within_the_grace_it_is_given() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        begun.set()
        await go_on.wait()
        writer.write(answer(b"whole"))

    async with scripted(serve) as port:
        handle = await TunnelManager(port).with_local_edge().start()
        request = asyncio.create_task(asyncio.to_thread(visit, handle.url, "/"))  # noqa: TID251 - awaited below
        await begun.wait()
        ending = asyncio.create_task(handle.shutdown_with(20))  # noqa: TID251 - awaited below
        async for event in handle.events():
            if isinstance(event, events.Unregistered):
                break
        go_on.set()
        assert (await request).text == "whole"
        await ending


async def test_private_state_folder_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TUNNEL_SUPERVISOR_PORT", "nonsense: this is for the command line")
    async with LOCAL:
        assert not (tmp_path / "home").exists()
    async with LOCAL.with_state_dir(tmp_path / "mine") as handle:
        assert actors.read_url_file(tmp_path / "mine" / "tunnel.url") == handle.url
        with pytest.raises(AlreadyRunning, match="holds"):
            await LOCAL.with_state_dir(tmp_path / "mine").start()
    assert actors.read_url_file(tmp_path / "mine" / "tunnel.url") is None


# --- starts that fail ---


async def test_each_failure_is_its_own_kind_and_is_counted() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        assert b"User-Agent: somebody/1.0" in head
        writer.write(answer(b"no", "403 Forbidden"))

    async def limit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(answer(b"error code: 1015", "429 Too Many Requests", Retry_After="77"))

    before = samples_of(render_prometheus())
    async with scripted(refuse) as refusing, scripted(limit) as limiting, local_edge() as edge:
        tunnel = TunnelManager(8080).with_user_agent("somebody/1.0")
        with pytest.raises(ProvisioningError, match="403"):
            await tunnel.with_service_url(f"http://127.0.0.1:{refusing}").start()
        with pytest.raises(RateLimited) as limited:
            await tunnel.with_service_url(f"http://127.0.0.1:{limiting}").start()
        assert 70 < limited.value.retry_after <= 77
        reach = tunnel.with_service_url(edge["api"])
        with pytest.raises(DiscoveryError, match=r"nowhere\.invalid"):
            await reach.with_edge("nowhere.invalid").start()
        with pytest.raises(EdgeUnreachable):
            await reach.with_edge("127.0.0.1:9").with_timeout(6).start()
    for mistake in (TunnelManager(0), TunnelManager("ftp://x"), tunnel.with_connections(9), tunnel.with_timeout(0)):
        with pytest.raises(UsageError):
            await mistake.start()
    after = samples_of(render_prometheus())
    for reason, count in {"api": 1, "rate_limited": 1, "discovery": 1, "quic_dial": 1, "usage": 4}.items():
        key = ("tunnel_starts_failed_total", (("reason", reason),))
        assert after[key] - before[key] == count
    assert processes() == []


async def test_transport_is_what_was_asked_for() -> None:
    asked = LOCAL.with_connections(1).with_quic_engine("aioquic").with_congestion_control("cubic").with_post_quantum()
    async with asked as handle:
        assert (await asyncio.to_thread(visit, handle.url)).status_code == 200
    with pytest.raises(UsageError, match="quic-engine"):
        await LOCAL.with_quic_engine("qh3").start()


async def test_start_that_is_cancelled_leaves_nobody() -> None:
    async with local_edge() as edge:
        start = TunnelManager(8080).with_service_url(edge["api"]).with_edge("127.0.0.1:9").start()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await start
    assert processes() == []


# --- giving up ---


async def test_permanent_failure_is_raised_by_metrics_and_the_shutdown_is_clean() -> None:
    async with local_edge() as edge, httpx.AsyncClient(base_url=edge["admin"]) as admin:
        tunnel = TunnelManager().with_service_url(edge["api"]).with_edge(edge["edge"]).with_edge_ca(edge["ca"])
        handle = await tunnel.with_connections(1).with_max_reconnect_attempts(2).with_log_level("error").start()
        await admin.post("/rules", json={"answer": "retry", "cause": "closed today", "times": 99})
        connection = (await admin.get("/connections")).json()[0]["id"]
        await admin.post(f"/connections/{connection}/drop", json={})
        async for event in handle.events():
            if isinstance(event, events.GaveUp):
                break
        with pytest.raises(PermanentFailure, match="closed today") as failure:
            await handle.metrics()  # at once, though its processes may still be ending
        assert failure.value.attempts == 2
        assert "tunnel_streams_total{" not in await render_prometheus_for([handle])
        await handle.shutdown()


# --- metrics ---


async def test_prometheus_text_for_handles() -> None:
    before = samples_of(render_prometheus())
    async with LOCAL as handle:
        await asyncio.to_thread(visit, handle.url, "/echo", method="POST", content=b"x" * 10)
        key = (("tunnel_id", handle.tunnel_id),)
        told = samples_of(await render_prometheus_for([handle]))
        assert told[("tunnel_bytes_in_total", key)] == 10
        assert told[("tunnel_reconnects_total", key)] == 0
        assert told[("tunnel_starts_total", ())] == before[("tunnel_starts_total", ())] + 1
    after = samples_of(render_prometheus())
    assert after[("tunnel_shutdowns_total", ())] == before[("tunnel_shutdowns_total", ())] + 1


# --- programs of all sorts ---


def test_without_an_event_loop() -> None:
    with Tunnel(LOCAL) as tunnel:
        assert visit(tunnel.url).status_code == 200
        assert tunnel.location == "lab01"
        assert tunnel.metrics().reconnects == 0
        first = next(iter(tunnel.events()))
        assert first.seq >= 1
    assert tunnel.metrics().streams_total == 1
    assert processes() == []
    assert not [thread for thread in threading.enumerate() if thread.name == "tunnel"]


async def test_blocking_twin_beside_a_running_loop_and_from_a_thread() -> None:
    with Tunnel(LOCAL) as here:
        there = await asyncio.to_thread(Tunnel(LOCAL).start)
        assert there.url != here.url
        assert (await asyncio.to_thread(visit, there.url)).status_code == 200
        await asyncio.to_thread(there.shutdown)
    with pytest.raises(RuntimeError, match="not started"):
        _ = Tunnel(8080).url
    with pytest.raises(UsageError):
        Tunnel(0).start()


PROGRAM = """
import asyncio, os, signal, sys
from actors import Tunnel, TunnelManager
manager = TunnelManager().with_local_edge().with_connections(1)
how = sys.argv[1]
if how == "forgets":
    Tunnel(manager).start()
elif how == "ends-its-loop":
    asyncio.run(manager.start())
else:
    tunnel = Tunnel(manager).start()
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exits":
        os._exit(3)
    raise RuntimeError("a program that fails")
"""


@pytest.mark.parametrize("how", ["forgets", "ends-its-loop", "killed", "exits", "raises"])
def test_tunnel_ends_with_its_program(how: str, run_folders: Path) -> None:
    mark = f"tunnel-of-{how}-{os.getpid()}"  # in the environment of all its processes
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how],
        cwd=ROOT,
        env={**os.environ, "TUNNEL_TEST_MARK": mark},
        timeout=PATIENCE,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = {"killed": -signal.SIGKILL, "exits": 3, "raises": 1}.get(how, 0)
    assert done.returncode == expected, done.stderr
    assert how == "raises" or "Traceback" not in done.stderr
    _, alive = psutil.wait_procs([one for one in psutil.process_iter() if has_mark(one, mark)], timeout=PATIENCE)
    assert alive == []


def has_mark(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("TUNNEL_TEST_MARK") == mark
    except psutil.Error:
        return False


async def test_secrets_are_in_no_argument_and_no_environment() -> None:
    async with LOCAL as handle:
        assert handle._process is not None
        for process in [psutil.Process(handle._process.pid), *processes()]:
            assert "secret" not in " ".join(process.cmdline())
            assert not [name for name in process.environ() if name.startswith("TUNNEL_SUPERVISOR")]
        assert os.getpid() != handle._process.pid


NO_METHODS = {
    "port": "TunnelManager(PORT)",
    "url": "TunnelManager(URL)",
    "hello_world": "TunnelManager()",
    "json": "the API reads events on the supervisor's stdout: it is always given",
    "lifeline": "the API holds the supervisor's stdin: it is always given",
    "owner": "this process, or the reloader's: it is always given",
    "qr": "for a person at a terminal; the API's supervisor has none",
    "config": "with_ingress; of flags a program has its own configuration",
    "inspect": "with_inspector(), and the three that belong to it",
    "inspect_body": "with_inspector(body=…)",
    "inspect_mask": "with_inspector(mask=…)",
    "inspect_password_file": "with_inspector(password_file=…)",
    "token": "TunnelManager.from_token(TOKEN)",
    "token_file": "TunnelManager.from_token(PATH)",
    "credentials_file": "TunnelManager.from_credentials_file(PATH)",
    "version": "ends the program; actors.__version__",
    "help": "ends the program; help(TunnelManager)",
}
"""Flags that are no method of the manager, and why."""

VALUES: dict[str, tuple[object, ...]] = {
    "timeout": (timedelta(seconds=5),),
    "grace_period": (5,),
    "keep_for": (timedelta(hours=12),),
    "origin_response_timeout": (5.5,),
    "origin_keep_alive": (1.5,),
    "remote_services": ("http", "unix"),
    "edge": ("192.0.2.1:1", "192.0.2.2"),
    "edge_ip_version": ("4",),
    "edge_ca": (Path(actors.__file__).parent / "data" / "edge-roots.pem",),
    "origin_ca": (Path(actors.__file__).parent / "data" / "edge-roots.pem",),
    "events": ("tcp://127.0.0.1:0",),
    "metrics": ("tcp://127.0.0.1:1",),
    "metrics_http": ("127.0.0.1:0",),
    "events_format": ("json",),
    "congestion_control": ("cubic",),
    "quic_engine": ("aioquic",),
    "protocol": ("http2",),
    "log_level": ("info",),
    "connections": (3,),
    "max_streams": (7,),
    "max_reconnect_attempts": (4,),
    "service_url": ("http://127.0.0.1:1",),
    "allow_ip": ("10.0.0.0/8", "::1"),
    "deny_ip": ("10.1.0.0/16",),
    "allow_path": ("/hooks",),
    "deny_path": ("/admin", "/x"),
    "rate_limit": ("10/s,burst=20",),
    "max_in_flight": (50,),
    "verify_webhook": ("github=FILE", "slack=FILE"),
    "expires": (timedelta(hours=8),),
}
"""What is given to a method that takes no text."""


def test_inspector_has_one_method_for_its_flags(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    password.chmod(0o600)
    given: dict[str, Any] = {"body": 10, "mask": ["X-A", "X-B"], "password_file": password}
    for manager, inspecting in (
        (TunnelManager(1).with_inspector(), Inspecting()),
        (TunnelManager(1).with_inspector(body=0), Inspecting(body_limit=0)),
        (
            TunnelManager(1).with_inspector("0.0.0.0:7", **given),
            Inspecting(HostPort("0.0.0.0", 7), False, 10, ("x-a", "x-b"), "correct horse"),
        ),
    ):
        with handing() as handed:
            assert read_settings(manager._arguments(handed), {}).inspecting == inspecting


def test_every_flag_has_its_method() -> None:
    actions = {action.dest: action for action in make_parser()._actions}
    methods = {name.removeprefix("with_") for name in dir(TunnelManager) if name.startswith("with_")}
    methods -= {"ingress", "inspector"}
    assert methods == actions.keys() - NO_METHODS.keys()
    assert actions.keys() >= NO_METHODS.keys()
    for name in methods:
        is_switch = actions[name].nargs == 0
        values = () if is_switch else VALUES.get(name, ("some-text",))
        made = getattr(TunnelManager(1), f"with_{name}")(*values)
        given = make_parser().parse_args(made._arguments(Handed()))
        assert getattr(given, name) not in (None, False), name
        if is_switch:
            off = make_parser().parse_args(getattr(made, f"with_{name}")(False)._arguments(Handed()))
            assert not getattr(off, name), name


def test_names_are_importable_from_the_package() -> None:
    for name in actors.__all__:
        assert getattr(actors, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = actors.nothing
    assert issubclass(PermanentFailure, TunnelError)
    assert TunnelHandle is actors.TunnelHandle


# --- what programs do to it ---


def test_it_ends_when_nothing_holds_it(caplog: pytest.LogCaptureFixture) -> None:
    tunnel = Tunnel(LOCAL.with_connections(1)).start()
    assert repr(tunnel) == f"<Tunnel {tunnel.url} (registered)>"
    url = tunnel.url
    (supervisor,) = psutil.Process().children()
    del tunnel
    supervisor.wait(PATIENCE)
    assert f"tunnel: {url} has ended, since nothing holds its Tunnel any more" in caplog.messages


def test_one_that_has_ended_by_itself_starts_again() -> None:
    with Tunnel(LOCAL.with_connections(1)) as tunnel:
        first = tunnel.url
        psutil.Process().children()[0].terminate()
        for _ in tunnel.events():
            continue
        assert tunnel.state == "stopped"
        assert tunnel.start().url != first


async def test_end_of_the_program_ends_an_orderly_stop_at_once() -> None:
    """A second Ctrl-C, while `shutdown` waits for what is in flight."""
    begun = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        begun.set()
        await reader.read()

    async with scripted(serve) as port:
        handle = await TunnelManager(port).with_local_edge().with_connections(1).start()
        request = asyncio.create_task(asyncio.to_thread(visit, handle.url, "/"))  # noqa: TID251 - awaited below
        await begun.wait()
        ending = asyncio.create_task(handle.shutdown_with(3600))  # noqa: TID251 - awaited below
        async for event in handle.events():
            if isinstance(event, events.Unregistered):
                break
        handle.let_go()
        async with asyncio.timeout(PATIENCE):
            await ending
            with contextlib.suppress(httpx.HTTPError):
                await request


async def test_lifespan_without_a_tunnel_where_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = TunnelManager(8000).with_service_url("http://127.0.0.1:9/")
    nowhere = nowhere.with_edge("nowhere.invalid")
    async with lifespan(nowhere, required=False)(None) as state:
        assert state == {"tunnel_url": None}
    assert "the application serves without" in caplog.text
    with pytest.raises(TunnelError):
        async with lifespan(nowhere)(None):
            pass
    with pytest.raises(UsageError):
        async with lifespan(0, required=False)(None):
            pass


def test_it_may_be_started_again() -> None:
    tunnel = Tunnel(LOCAL.with_connections(1))
    with tunnel:
        first = tunnel.url
    assert (tunnel.state, tunnel.serves) == ("stopped", False)
    with tunnel:
        assert tunnel.url != first
        assert visit(tunnel.url).status_code == 200
        assert tunnel.start().url == tunnel.url, "one that serves is left alone"
    assert processes() == []


def test_threads_may_start_ask_and_shut_down_at_once() -> None:
    tunnel = Tunnel(LOCAL.with_connections(1))

    def ask_until_the_end() -> None:
        while tunnel.state != "stopped":
            assert tunnel.metrics().streams_total == 0

    with ThreadPoolExecutor(8) as threads, tunnel:
        list(threads.map(lambda _: tunnel.start(), range(4)))
        assert len([child for child in psutil.Process().children() if child.is_running()]) == 1
        asking = [threads.submit(ask_until_the_end) for _ in range(3)]
        hearing = threads.submit(lambda: list(tunnel.events()))
        ending = [threads.submit(tunnel.shutdown) for _ in range(3)]
        for future in (*asking, *ending):
            future.result(PATIENCE)
        hearing.result(PATIENCE)
    assert processes() == []
    assert tunnel.metrics() == TunnelMetrics()


def test_interrupted_start_leaves_nothing() -> None:
    program = "from actors import Tunnel, TunnelManager\n" + (
        "try:\n"
        "    Tunnel(TunnelManager(1).with_service_url('http://127.0.0.1:1')).start()\n"
        "except KeyboardInterrupt:\n"
        "    import psutil; print(psutil.Process().children(recursive=True))\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + PATIENCE
        while not psutil.Process(process.pid).children(recursive=True):
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE)[0].strip() == "[]"


FORKS = """
import os, signal
from actors import Tunnel, TunnelManager
tunnel = Tunnel(TunnelManager().with_local_edge().with_connections(1)).start()
if os.fork() == 0:
    try:
        tunnel.metrics()
    except RuntimeError as error:
        os.write(1, f"{os.getpid()} {tunnel._last._process.pid} {error}\\n".encode())
signal.pause()
"""


def test_fork_of_the_program_does_not_keep_the_tunnel(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stdout is not None
        fork, supervisor, *words = process.stdout.readline().split()
        try:
            process.kill()
            psutil.Process(int(supervisor)).wait(PATIENCE)
            assert psutil.Process(int(fork)).is_running()
            assert " ".join(words).endswith("of which this one is a fork")
        finally:
            os.kill(int(fork), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while left := list(tmp_path.iterdir()):
        assert time.monotonic() < deadline, left


async def test_private_files_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    async with LOCAL.with_connections(1) as tunnel:
        assert tunnel.serves
    assert list(tmp_path.iterdir()) == []
