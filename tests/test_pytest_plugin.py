"""The fixtures, in a test run of somebody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import PATIENCE

THEIR_TEST = """
import http.server, threading, urllib.request
import pytest
from actors import TunnelManager

class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())

    def log_message(self, *words): ...

@pytest.fixture(scope="session")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()

def test_webhook(tunnel, server):
    public = tunnel(server.server_port)
    assert public.url.startswith("http://")
    assert public.url.endswith(public.local_url.removeprefix("http://127.0.0.1"))
    assert public.client.post("/webhook", content=b"paid").text == "PAID"
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(public.local_url + "/webhook", data=b"again") as response:
        assert response.read() == b"AGAIN"
    assert public.tunnel.metrics().streams_total == 2

def test_webhook_by_tls(tunnel, server):
    secure = tunnel(TunnelManager(server.server_port).with_local_edge_tls())
    assert secure.url.startswith("https://")
    assert secure.client.post("/webhook", content=b"paid").text == "PAID"

@pytest.mark.parametrize("number", [1, 2, 3])
def test_of_a_session(tunnel_session, server, number):
    public = tunnel_session(server.server_port)
    assert public.client.post("/webhook", content=b"paid").text == "PAID"
    assert public.tunnel.metrics().streams_total == number
"""

DEAD = "http://127.0.0.1:9"
"""A proxy that nobody runs."""


@pytest.mark.slow
def test_fixtures_in_a_run_of_somebody_else_who_has_proxies_set(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIR_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "actors.pytest_plugin", "-W", "error"]
    proxies = {f"{kind}_PROXY": DEAD for kind in ("HTTP", "HTTPS", "ALL")}
    environment = {**os.environ, **proxies, **{name.lower(): url for name, url in proxies.items()}}
    patience = 3 * PATIENCE  # an interpreter and two tunnels, one after the other
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=patience, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout
