"""git over smart HTTP: clone, a push in chunks and a fetch, with git's own server program behind a small web server."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.applications.kit import VERSIONS, Environment, Public, behind_tunnel, pip_installed, served
from tests.kit.origins import free_port
from tests.kit.processes import running

SERVER = """
import subprocess, sys
from cheroot.wsgi import Server

def git(environ, start_response):
    fields = {name: str(value) for name, value in environ.items() if name.startswith(("HTTP_", "REQUEST_", "CONTENT_"))}
    fields |= {"PATH_INFO": environ["PATH_INFO"], "QUERY_STRING": environ["QUERY_STRING"], "REMOTE_USER": "ann"}
    fields |= {"GIT_PROJECT_ROOT": sys.argv[2], "GIT_HTTP_EXPORT_ALL": "1", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    if fields.get("HTTP_TRANSFER_ENCODING") == "chunked":
        print("chunked", flush=True)
    body = environ["wsgi.input"].read()
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=fields)
    head, _, answer = done.stdout.partition(b"\\r\\n\\r\\n")
    fields = [tuple(line.split(": ", 1)) for line in head.decode().split("\\r\\n")]
    status = dict(fields).get("Status", "200 OK")
    start_response(status, [field for field in fields if field[0] != "Status"])
    return [answer]

server = Server(("127.0.0.1", int(sys.argv[1])), git)
try:
    server.start()
finally:
    server.stop()
"""

SIZE = 5_000_000
"""Bytes of the file: more than git sends in one piece (http.postBuffer)."""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    if shutil.which("git") is None:
        pytest.skip("git is not there (apt-get install git)")
    VERSIONS.add(subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip())
    (folder / "server.py").write_text(SERVER)
    return pip_installed(folder, "cheroot")


async def git(folder: Path, public: Public | None, *arguments: str | Path) -> list[str]:
    """A git that has nobody's settings; what it printed."""
    who = {f"GIT_{role}_{what}": "ann@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    async with running(
        ["git", *arguments], cwd=folder, env={**who, **own, **(public.trust if public else {})}
    ) as process:
        assert await process.wait() == 0, process.stderr
        return process.stdout


async def test_clone_push_and_fetch(
    environment: Environment, folder: Path, state: Path, tmp_path: Path, *, tls: bool
) -> None:
    bare, mine, theirs = tmp_path / "served" / "it.git", tmp_path / "mine", tmp_path / "theirs"
    bare.mkdir(parents=True)
    await git(bare, None, "init", "--bare", "--initial-branch", "main")
    port = free_port()
    async with (
        served(port, environment.program(), folder / "server.py", str(port), bare.parent, cwd=folder) as server,
        behind_tunnel(port, state, tls=tls) as public,
    ):
        for clone in (mine, theirs):
            await git(tmp_path, public, "clone", f"{public.local}/it.git", clone)
        (mine / "file").write_bytes(os.urandom(SIZE))
        await git(mine, None, "add", "file")
        await git(mine, None, "commit", "-m", "a file")
        await git(mine, public, "push", "origin", "HEAD:main")
        assert "chunked" in server.stdout
        await git(theirs, public, "pull", "origin", "main")
    assert (theirs / "file").read_bytes() == (mine / "file").read_bytes()
    assert await git(bare, None, "rev-parse", "main") == await git(mine, None, "rev-parse", "HEAD")
