"""WebDAV: WsgiDAV, and a client of another author's: PUT, MKCOL, MOVE, COPY, PROPFIND, DELETE.

MOVE and COPY name their destination by its whole address, which must be the server's own."""

from pathlib import Path

import pytest

from tests.applications.kit import Environment, behind_tunnel, pip_installed, said_by, served
from tests.kit.origins import free_port

CLIENT = """
import io, ssl, sys
from webdav4.client import Client

client = Client(sys.argv[1], verify=ssl.create_default_context())
client.upload_fileobj(io.BytesIO(bytes(range(256)) * 20_000), "a.bin")
client.mkdir("folder with spaces")
client.move("a.bin", "folder with spaces/b é.bin")
client.copy("folder with spaces/b é.bin", "c.bin")
back = io.BytesIO()
client.download_fileobj("c.bin", back)
print(back.getvalue() == bytes(range(256)) * 20_000)
client.remove("c.bin")
print(sorted(client.ls("/", detail=False)), client.ls("folder with spaces", detail=False))
"""


@pytest.fixture(scope="module")
def environment(folder: Path) -> Environment:
    (folder / "client.py").write_text(CLIENT)
    return pip_installed(folder, "wsgidav", "cheroot", "webdav4")


@pytest.mark.parametrize("flags", [(), ("--host-header", "rewrite")], ids=["bare", "rewrite"])
async def test_files_are_moved(
    environment: Environment, folder: Path, state: Path, tmp_path: Path, flags: tuple[str, ...], *, tls: bool
) -> None:
    (files := tmp_path / "files").mkdir()
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--auth", "anonymous", "--no-config"]
    async with (
        served(port, environment.program("wsgidav"), *where, "--root", files, cwd=folder),
        behind_tunnel(port, state, *flags, tls=tls) as public,
    ):
        said = await said_by(environment.program(), folder / "client.py", public, public.local)
    assert said == ["True", "['folder with spaces'] ['folder with spaces/b é.bin']"]
    assert (files / "folder with spaces" / "b é.bin").read_bytes() == bytes(range(256)) * 20_000
