"""nginx: parts of a file, one and several, with the conditions under which they are sent."""

import email
import ssl
from email.message import Message
from pathlib import Path

import httpx

from tests.applications.kit import VERSIONS, behind_tunnel
from tests.kit.origins import BLOCK, free_port, nginx_origin


def parts_of(response: httpx.Response) -> list[Message]:
    """The parts of a multipart answer."""
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    payload = email.message_from_bytes(head + response.content).get_payload()
    assert isinstance(payload, list)
    return [part for part in payload if isinstance(part, Message)]


async def test_ranges(state: Path, tmp_path: Path, *, tls: bool) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "blob.bin").write_bytes(BLOCK * 10)
    whole = BLOCK * 10
    async with nginx_origin(tmp_path, free_port()) as port, behind_tunnel(port, state, tls=tls) as public:
        trusting = ssl.create_default_context(cafile=public.ca) if tls else True
        async with httpx.AsyncClient(base_url=public.local, verify=trusting, trust_env=False) as client:
            first = await client.get("/blob.bin", headers={"Range": "bytes=100-199"})
            assert (first.status_code, first.headers["content-range"]) == (206, f"bytes 100-199/{len(whole)}")
            assert first.content == whole[100:200]
            VERSIONS.add(first.headers["server"])

            last = await client.get("/blob.bin", headers={"Range": "bytes=-70000", "If-Range": first.headers["etag"]})
            assert (last.status_code, last.content) == (206, whole[-70_000:])

            stale = await client.get("/blob.bin", headers={"Range": "bytes=0-9", "If-Range": '"another"'})
            assert (stale.status_code, stale.content) == (200, whole)

            several = await client.get("/blob.bin", headers={"Range": "bytes=0-9,65530-65545,-5"})
            assert several.status_code == 206
            assert [part["content-range"] for part in parts_of(several)] == [
                f"bytes 0-9/{len(whole)}",
                f"bytes 65530-65545/{len(whole)}",
                f"bytes {len(whole) - 5}-{len(whole) - 1}/{len(whole)}",
            ]
            bodies = [part.get_payload(decode=True) for part in parts_of(several)]
            assert bodies == [whole[:10], whole[65530:65546], whole[-5:]]

            beyond = await client.get("/blob.bin", headers={"Range": f"bytes={len(whole)}-"})
            assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")
