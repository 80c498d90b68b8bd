"""The fixture, in a test run of somebody else's."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import PATIENCE

THEIR_TEST = """
import http.server, threading, urllib.request
from actors import TunnelManager

class Webhook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.upper())

    def log_message(self, *words): ...

def test_webhook(tunnel):
    server = http.server.HTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    public = tunnel(server.server_port)
    assert public.url.startswith("http://")
    assert public.client.post("/webhook", content=b"paid").text == "PAID"
    with urllib.request.urlopen(public.local_url + "/webhook", data=b"again") as response:
        assert response.read() == b"AGAIN"
    secure = tunnel(TunnelManager(server.server_port).with_local_edge_tls())
    assert secure.url.startswith("https://")
    assert secure.client.post("/webhook", content=b"paid").text == "PAID"
    assert public.tunnel.metrics().streams_total <= 2
    server.shutdown()
    server.server_close()
"""


@pytest.mark.slow
def test_fixture_in_a_run_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIR_TEST)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "actors.pytest_plugin", "-W", "error"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
