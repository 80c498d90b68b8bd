"""What the documents show works: every block of Python runs, every command and every link exists."""

import asyncio
import json
import re
import shlex
import signal
import sys
import urllib.parse
from pathlib import Path

import httpx
import pytest

from actors.supervisor.cli import read_settings
from tests.kit.origins import free_port
from tests.kit.processes import PATIENCE, ROOT, running
from tests.kit.tunnel import tunnel

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
BLOCKS = [
    (f"{path.name}-{number}", language, text)
    for path in DOCUMENTS
    if path.exists()
    for number, (language, text) in enumerate(re.findall(r"^```(\w+)\n(.*?)^```", path.read_text(), re.M | re.S))
]


def blocks(language: str) -> list[object]:
    return [pytest.param(text, id=name) for name, kind, text in BLOCKS if kind == language]


def blocks_of(language: str, word: str) -> list[str]:
    return [text for _, kind, text in BLOCKS if kind == language and word in text]


def offline(text: str) -> str:
    """The same over the local edge, since there is no internet here."""
    text = re.sub(r"(?<!def )TunnelManager\((\d+)\)", r"TunnelManager(\1).with_local_edge()", text)
    local = r"Tunnel(__import__('actors').TunnelManager(\1).with_local_edge())"
    text = re.sub(r"(?<!\w)Tunnel\((\d+)\)", local, text)
    return re.sub(r"lifespan\((\d+)\)", r"lifespan(__import__('actors').TunnelManager(\1).with_local_edge())", text)


CALLS = {
    "FastAPI(lifespan=": """
import asyncio
async def served():
    async with app.router.lifespan_context(app) as state:
        print(state["tunnel_url"])
asyncio.run(served())
""",
    "def test_webhook(tunnel)": "print('a test: see test_pytest_plugin.py')",
}
"""What is done with a block that only defines something."""


async def until_gone(run_folders: Path) -> None:
    """Wait for a tunnel that was started and not shut down: it ends just after its program."""
    async with asyncio.timeout(PATIENCE):
        while list(run_folders.glob("tunnel-supervisor-*")):
            await asyncio.sleep(0.02)  # it is no child of ours: there is only its folder to look for


@pytest.mark.slow
@pytest.mark.parametrize("text", blocks("python"))
async def test_python_runs_beside_a_tunnel_and_says_something(text: str, tmp_path: Path, run_folders: Path) -> None:
    program = offline(text) + "".join(call for defined, call in CALLS.items() if defined in text)
    state = tmp_path / ".nexo" / "state"
    async with (
        tunnel(None, state),
        running([sys.executable, "-u", "-c", program], env={"HOME": str(tmp_path)}, cwd=ROOT) as process,
    ):
        assert await process.first_line()
        if "while True" not in text:
            assert await process.wait() == 0
        assert "Traceback" not in "\n".join(process.stderr)
    await until_gone(run_folders)


APPLICATIONS = {
    "flask": (
        "Tunnel(5000).start()",
        """
from flask import Flask, request
app = Flask("ours")
@app.post("/webhook")
def webhook():
    print("paid:", request.json["paid"])
    return {"seen": request.json}
app.run(port=5000)
""",
    ),
    "fastapi": (
        "FastAPI(lifespan=",
        """
import uvicorn
from fastapi import Request
@app.post("/webhook")
async def webhook(told: dict[str, int], request: Request):
    print("paid:", told["paid"], request.state.tunnel_url)
    return {"seen": told}
uvicorn.run(app, port=8000)
""",
    ),
    "starlette": (
        "FastAPI(lifespan=",
        """
import uvicorn
from starlette.responses import JSONResponse
async def webhook(request):
    told = await request.json()
    print("paid:", told["paid"], request.state.tunnel_url)
    return JSONResponse({"seen": told})
app.add_route("/webhook", webhook, methods=["POST"])
uvicorn.run(app, port=8000)
""",
    ),
}
"""Framework → what is in the README's block for it, and an application that comes after that block."""


@pytest.mark.slow
@pytest.mark.parametrize("framework", APPLICATIONS)
async def test_webhook_reaches_an_application_that_is_shown_as_the_readme_says(
    framework: str, tmp_path: Path, run_folders: Path
) -> None:
    mark, application = APPLICATIONS[framework]
    (text,) = [text for name, _, text in BLOCKS if name.startswith("README") and mark in text]
    if framework == "starlette":
        text = text.replace("fastapi", "starlette.applications").replace("FastAPI", "Starlette")
    program = offline(text) + application
    program = re.sub(r"\b[58]000\b", str(free_port()), program)
    async with running([sys.executable, "-W", "error", "-u", "-c", program], cwd=tmp_path) as process:
        url = await process.first_line()
        public = urllib.parse.urlsplit(url)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{public.port}", timeout=PATIENCE) as visitor:
            # Both print the address before the application listens.
            await process.until(lambda: "running on http://" in "\n".join(process.stderr).lower())
            answer = await visitor.post("/webhook", json={"paid": 42}, headers={"Host": public.netloc})
        assert answer.json() == {"seen": {"paid": 42}}
        await process.until(lambda: any(line.startswith("paid: 42") for line in process.stdout))
        process.send(signal.SIGINT)  # Ctrl-C
        await process.wait()
        assert "Traceback" not in "\n".join(process.stderr)
    await until_gone(run_folders)


@pytest.mark.parametrize("text", blocks("sh"))
def test_commands_exist_and_take_their_flags(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # beside the files that they name
    Path("token").write_text(json.loads((ROOT / "tests" / "data" / "named-tunnels-golden.json").read_text())["token"])
    for secret in ("access-token", "github-secret"):
        Path(secret).write_text("a-token-drawn-by-chance\n")
    Path("login").write_text("ann:sesame\n")
    for rules in blocks_of("yaml", "ingress:"):
        Path("config.yml").write_text(rules)
    for line in text.strip().splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert (ROOT / program).is_file(), line
        if program == "bin/tunnel-supervisor":
            read_settings(arguments, {})


def test_links_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text() if path.exists() else ""):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_program_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    internal = {"setup-venv", "setup_venv.py"}
    for path in (ROOT / "bin").iterdir():
        assert path.name in internal or f"bin/{path.name}" in readme, path.name


def test_every_application_tried_is_in_its_table() -> None:
    table = (ROOT / "docs" / "applications.md").read_text()
    for path in (ROOT / "tests" / "applications").glob("test_*.py"):
        assert f"](../tests/applications/{path.name})" in table, path.name
