"""FastAPI: its page of documentation calls it, and a redirect to a path with a slash leads to the public address."""

import asyncio
from pathlib import Path

import pytest

from tests.applications.kit import Environment, Public, behind_tunnel, npm_installed, opened, pip_installed, served
from tests.kit.origins import free_port

APPLICATION = """
import sys

import uvicorn
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles

app = FastAPI(docs_url=None)
app.mount("/static", StaticFiles(directory=sys.argv[2]))

@app.get("/docs", include_in_schema=False)
def docs():
    return get_swagger_ui_html(
        openapi_url="/openapi.json", title="docs",
        swagger_js_url="/static/swagger-ui-bundle.js", swagger_css_url="/static/swagger-ui.css", swagger_favicon_url="",
    )

@app.get("/items/")
def items():
    return {"items": ["one", "two"]}

uvicorn.run(app, port=int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    return pip_installed(folder, "fastapi", "uvicorn")


@pytest.fixture(scope="module")
def swagger(folder: Path) -> Path:
    """The page's script, which is elsewhere fetched from the internet."""
    return npm_installed(folder, "swagger-ui-dist") / "node_modules" / "swagger-ui-dist"


async def test_documentation_and_redirect(
    environment: Environment, swagger: Path, state: Path, tmp_path: Path, *, tls: bool
) -> None:
    (tmp_path / "application.py").write_text(APPLICATION)
    port = free_port()
    command: list[str | Path] = [environment.program(), tmp_path / "application.py", str(port), swagger]
    async with served(port, *command, cwd=tmp_path), behind_tunnel(port, state, tls=tls) as public:
        await asyncio.to_thread(look, public, tmp_path)


def look(public: Public, folder: Path) -> None:
    with opened(public, "/items", folder) as page:
        page.element("body", '{"items":["one","two"]}')
        assert page.browser.current_url == f"{public.page}/items/"
        page.browser.get(f"{public.page}/docs")
        page.element(".opblock-summary").click()
        page.element("button", "Try it out").click()
        page.element("button", "Execute").click()
        page.element(".live-responses-table .response-col_status", "200")
        page.element(".live-responses-table", '"two"')
