"""JupyterLab: a notebook's cell run in its page. It compares Origin with Host, before POST and on its WebSockets."""

import asyncio
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests.applications.kit import Environment, Public, behind_tunnel, opened, pip_installed, served
from tests.kit.origins import free_port

NOTEBOOK = """{"cells": [{"cell_type": "code", "id": "a", "source": "print(6 * 7)", "metadata": {}, "outputs": [],
"execution_count": null}], "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3",
"language": "python"}}, "nbformat": 4, "nbformat_minor": 5}"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    return pip_installed(folder, "jupyterlab")


def command(environment: Environment, port: int) -> list[str | Path]:
    token = "--IdentityProvider.token=open-sesame"
    return [environment.program("jupyter"), "lab", "--no-browser", "--allow-root", f"--port={port}", token]


async def test_cell_is_run(environment: Environment, state: Path, tmp_path: Path, *, tls: bool) -> None:
    (tmp_path / "six.ipynb").write_text(NOTEBOOK)
    port = free_port()
    async with (
        served(port, *command(environment, port), cwd=tmp_path),
        behind_tunnel(port, state, "--host-header", "rewrite", tls=tls) as public,
    ):
        await asyncio.to_thread(look, public, tmp_path)


def look(public: Public, folder: Path) -> None:
    with opened(public, "/lab/tree/six.ipynb?token=open-sesame", folder) as page:
        page.element(".jp-Notebook .cm-content", "print").click()
        page.element(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        page.element(".jp-Notebook .cm-content", "print").send_keys(Keys.SHIFT, Keys.ENTER)
        page.element(".jp-OutputArea-output", "42")


async def test_host_is_refused_without_the_flag(environment: Environment, state: Path, tmp_path: Path) -> None:
    port = free_port()
    async with (
        served(port, *command(environment, port), cwd=tmp_path),
        behind_tunnel(port, state, tls=True) as public,
    ):
        await asyncio.to_thread(see_the_refusal, public, tmp_path)


def see_the_refusal(public: Public, folder: Path) -> None:
    with opened(public, "/lab?token=open-sesame", folder) as page:
        page.element("body", "403")
