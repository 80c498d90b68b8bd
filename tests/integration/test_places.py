"""Folders, users and files whose names are not ASCII, in the locales that people have: the whole way."""

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.kit.processes import PATIENCE, ROOT, running

pytestmark = pytest.mark.slow

NAME = "josé €"

_LITERALLY: Mapping[str, str] = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Python is not to take UTF-8 for a C locale by itself."""

LOCALES: dict[str, Mapping[str, str]] = {
    "utf-8": {"LC_ALL": "C.UTF-8"},
    # From 3.13 on Python loads no compiled module from a path that the locale cannot spell, if it is taken literally.
    "c": {"LC_ALL": "C", **(_LITERALLY if sys.version_info < (3, 13) else {})},
    "latin-1": {"LC_ALL": "de_DE.ISO-8859-1", **_LITERALLY},
}


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where glibc finds the locale that is no longer installed anywhere."""
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/de_DE").exists():
        pytest.skip("the package locales is not installed")
    made = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(folder / "de_DE.ISO-8859-1")]
    subprocess.run(made, check=True, capture_output=True)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of that name, with the checkout and all packages in it."""
    home = tmp_path / NAME
    home.mkdir()
    shutil.copytree(ROOT / "actors", home / "actors")
    packages = home / "packages"
    packages.symlink_to(sysconfig.get_path("purelib"))
    for folder in ("tmp", "run"):
        (home / folder).mkdir(mode=0o700)
    yield home
    assert not [*(home / "run").iterdir(), *(home / "tmp").glob("tunnel-supervisor-*")]


def environment(home: Path, locale: Mapping[str, str], locales: Path) -> dict[str, str]:
    return {
        **locale,
        "LOCPATH": str(locales) if "de_DE" in locale["LC_ALL"] else "",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "XDG_RUNTIME_DIR": str(home / "run"),
        "NEXO_HOME": "",
        "PYTHONPATH": f"{home}:{home / 'packages'}",
    }


@pytest.mark.parametrize("locale", LOCALES)
async def test_whole_way_from_a_folder_whose_name_is_not_ascii(home: Path, locale: str, locales: Path) -> None:
    env = environment(home, LOCALES[locale], locales)
    config = home / "größe.toml"
    config.write_text("hello-world = true\nlocal-edge = true\nconnections = 1\n", encoding="utf-8")

    def program(module: str, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", f"actors.{module}", *arguments]

    async with running(program("supervisor", "--json", "--config", config.name), env=env, cwd=home) as process:
        url = urlsplit((await process.event("state", serves=True))["url"])
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as visitor:
            answer = await visitor.get(f"http://127.0.0.1:{url.port}/uptime", headers={"Host": url.netloc})
            assert answer.status_code == 200
        state = home / ".nexo" / "state"
        assert urlsplit((state / "tunnel.url").read_text().strip()).netloc == url.netloc
        assert json.loads((state / "tunnel.json").read_text())["serves"]
        for tool in ("status", "metrics"):
            async with running(program(f"tools.{tool}"), env=env, cwd=home) as looking:
                assert await looking.wait() == 0, looking.stderr
        async with running(program("tools.stop"), env=env, cwd=home) as stopping:
            assert await stopping.wait() == 0, stopping.stderr
        assert await process.wait() == 0
        assert "Traceback" not in "\n".join(process.stderr)
        assert not list(state.glob("tunnel.json")) + list(state.glob("tunnel.url"))


THEIR_TEST = """
import http.server, threading

def test_visit(tunnel, tmp_path):
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert tunnel(server.server_port).client.get("/").status_code == 200
    server.shutdown()
    server.server_close()
"""


@pytest.mark.parametrize("locale", ["c"])
async def test_fixture_of_pytest_and_the_python_api_there(home: Path, locale: str) -> None:
    (home / "test_theirs.py").write_text(THEIR_TEST)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-W", "error", "test_theirs.py"]
    command += ["-p", "no:asyncio", "-p", "actors.pytest_plugin"]
    async with running(command, env=environment(home, LOCALES[locale], home), cwd=home) as process:
        assert await process.wait() == 0, process.stdout
    assert "1 passed" in "\n".join(process.stdout)
