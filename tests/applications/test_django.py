"""Django: a form posts. It compares Host with a list, and Origin with Host; set up for a proxy, it insists on https."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.applications.kit import NOTHING_OF_OURS, Environment, Public, behind_tunnel, opened, pip_installed, served
from tests.kit.origins import free_port

PASSWORD = "a long one, for nobody"

FOR_A_PROXY = """
from its.settings import *

ALLOWED_HOSTS = ["localhost", "127.0.0.1", ".trycloudflare.com"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = USE_X_FORWARDED_HOST = True
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    environment = pip_installed(folder, "django")
    env = {**os.environ, **NOTHING_OF_OURS, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    subprocess.run([environment.program("django-admin"), "startproject", "its", folder], check=True)
    manage = [environment.program(), folder / "manage.py"]
    subprocess.run([*manage, "migrate", "-v", "0"], check=True, env=env)
    who = ["--noinput", "--username", "ann", "--email", "ann@example.com", "-v", "0"]
    subprocess.run([*manage, "createsuperuser", *who], check=True, env=env)
    (folder / "for_a_proxy.py").write_text(FOR_A_PROXY)
    return environment


def command(environment: Environment, folder: Path, port: int, settings: str = "its.settings") -> list[str | Path]:
    where = [f"127.0.0.1:{port}", "--settings", settings]
    return [environment.program(), folder / "manage.py", "runserver", "--noreload", *where]


async def test_form_posts(environment: Environment, folder: Path, state: Path, tmp_path: Path, *, tls: bool) -> None:
    port = free_port()
    async with (
        served(port, *command(environment, folder, port), cwd=folder),
        behind_tunnel(port, state, "--host-header", "rewrite", tls=tls) as public,
    ):
        await asyncio.to_thread(log_in, public, tmp_path)


def log_in(public: Public, folder: Path) -> None:
    with opened(public, "/admin", folder) as page:
        page.element("#id_username").send_keys("ann")
        page.element("#id_password").send_keys(PASSWORD)
        page.element("input[type=submit]").click()
        page.element("h1", "Site administration")
        assert page.browser.current_url == f"{public.page}/admin/"


@pytest.mark.parametrize("flags", [(), ("--host-header", "rewrite", "--forwarded-host")], ids=["bare", "forwarded"])
async def test_form_posts_when_set_up_for_a_proxy(
    environment: Environment, folder: Path, state: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    port = free_port()
    async with (
        served(port, *command(environment, folder, port, "for_a_proxy"), cwd=folder),
        behind_tunnel(port, state, *flags, tls=True) as public,
    ):
        await asyncio.to_thread(log_in, public, tmp_path)


async def test_host_is_refused_without_the_flag(
    environment: Environment, folder: Path, state: Path, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        served(port, *command(environment, folder, port), cwd=folder),
        behind_tunnel(port, state, tls=True) as public,
    ):
        await asyncio.to_thread(see_the_refusal, public, tmp_path)


def see_the_refusal(public: Public, folder: Path) -> None:
    with opened(public, "/admin/", folder) as page:
        page.element("h1", "DisallowedHost")
