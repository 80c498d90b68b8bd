"""What is kept of a tunnel, and when it is of use."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.messages import Credentials
from actors.supervisor import kept
from actors.supervisor.kept import Kept, NotOfUse, in_words

SERVICE = "https://api.example"
CREDENTIALS = Credentials("6e9c3b2a-0f0e-4f5e-9d55-0123456789ab", "https://a-b.example", "account", b"\x01secret")
KEPT = Kept.of(CREDENTIALS, service_url=SERVICE, client_id=b"c" * 16, assigned_at=12.5)


def read(content: bytes, *, unused: float = 0.0, service_url: str = SERVICE) -> Kept:
    return kept.read(content, service_url=service_url, unused=unused, keep_for=3600.0)


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(kept.write(KEPT)) | fields).encode()


def test_what_is_kept_is_read_again() -> None:
    assert read(kept.write(KEPT)) == KEPT
    assert read(kept.write(KEPT), unused=3600.0).credentials == CREDENTIALS
    assert read(changed(later="a field of a version to come")) == KEPT


def test_secret_shows_in_no_repr() -> None:
    assert "secret=…" in repr(KEPT)
    assert str(b"\x01secret") not in repr(KEPT)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b"[" * 100_000,
        b"\xff\xfe",
        kept.write(KEPT)[:-20],
        changed(secret=""),
        changed(secret="no base64"),
        changed(secret="eA==" * 2000),
        changed(tunnel_id="none"),
        changed(tunnel_id=CREDENTIALS.tunnel_id.upper()),
        changed(url="javascript:alert(1)"),
        changed(url="https://a-b.example/path"),
        changed(url="https://a-b.example\n"),
        changed(account_tag=""),
        changed(account_tag="é"),
        changed(client_id="AAAA"),
        changed(assigned_at="today"),
    ],
    ids=range(18),
)
def test_broken_file_is_of_no_use(content: bytes) -> None:
    with pytest.raises(NotOfUse, match="broken"):
        read(content)


@given(st.binary(max_size=300))
def test_no_bytes_do_any_harm(content: bytes) -> None:
    with pytest.raises(NotOfUse):
        read(content)


@given(st.data())
def test_no_change_of_a_file_does_any_harm(data: st.DataObject) -> None:
    content = bytearray(kept.write(KEPT))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(NotOfUse):
        read(bytes(content))


def test_tunnel_of_another_service_is_of_no_use() -> None:
    with pytest.raises(NotOfUse, match=r"of https://api\.example, .* https://other\.example"):
        read(kept.write(KEPT), service_url="https://other.example")


def test_tunnel_that_nobody_used_for_too_long_is_of_no_use() -> None:
    with pytest.raises(NotOfUse, match=r"last used 1\.5 h ago, .* kept for 1 h \(--keep-for\)"):
        read(kept.write(KEPT), unused=5400.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.0, "59 s"), (90.0, "1.5 min"), (86400.0, "1 d"), (31_622_400.0, "366 d")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
