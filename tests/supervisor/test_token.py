"""Tokens and credentials files: what is taken, what is refused, and that no refusal shows any of it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.messages import Credentials
from actors.errors import UsageError
from actors.supervisor.token import looks_like_token, read_credentials, read_token, tunnel_id

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "named-tunnels-golden.json").read_text())
PARTS: dict[str, str] = GOLDEN["token_json"]
OF_IT = Credentials(tunnel_id=PARTS["t"], url="", account_tag=PARTS["a"], secret=bytes(range(32)))
OTHER_ID = "99999999-2222-4333-8444-555555555555"


def token(**parts: object) -> str:
    """A token of these parts beside the golden ones; None: without it."""
    kept = {name: value for name, value in ({**PARTS, **parts}).items() if value is not None}
    return base64.b64encode(json.dumps(kept).encode()).decode()


def refusal(text: str, **options: str) -> str:
    with pytest.raises(UsageError) as raised:
        read_token(text, "the token", **options)
    assert raised.value.__cause__ is None
    return str(raised.value)


def test_golden_tokens_are_read() -> None:
    assert read_token(GOLDEN["token"], "it") == (OF_IT, "")
    assert read_token(GOLDEN["token_with_endpoint"], "it") == (OF_IT, "us")


@pytest.mark.parametrize(
    "text",
    [
        f"  {GOLDEN['token']}\r\n",
        "\n".join(GOLDEN["token"][at : at + 40] for at in range(0, 200, 40)),
        "\r\n".join(GOLDEN["token"][at : at + 7] for at in range(0, 200, 7)),
        base64.b64encode(json.dumps({key.upper(): value for key, value in PARTS.items()}).encode()).decode(),
        token(x="unknown", e=None),
        token(e=""),
        base64.b64encode(('{"a":"0",' + json.dumps(PARTS)[1:]).encode()).decode(),
        *(token(t=t) for t in ("{" + PARTS["t"] + "}", "urn:uuid:" + PARTS["t"], PARTS["t"].replace("-", ""))),
        token(t=PARTS["t"].upper()),
        token(s=PARTS["s"][:20] + "\r\n" + PARTS["s"][20:]),
    ],
)
def test_what_the_go_client_takes_is_taken(text: str) -> None:
    assert read_token(text, "it") == (OF_IT, "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        (GOLDEN["token"].rstrip("="), "not base64 with its padding"),
        (GOLDEN["token"][:50], "not base64 with its padding"),
        (GOLDEN["token"].replace("e", "-"), "not base64 with its padding"),
        (GOLDEN["token"][:52], "no JSON object"),
        (base64.b64encode(b"[]").decode(), "no JSON object"),
        (base64.b64encode(b"\xff\xfe").decode(), "no JSON object"),
        (base64.b64encode(b"[" * 90_000).decode(), "no JSON object"),
        ("cloudflared tunnel run --token " + GOLDEN["token"], "blanks inside"),
        (json.dumps(GOLDEN["credentials_file"]), "--credentials-file"),
        ("tokén", "not base64"),
        (token(a=None), "account tag is missing"),
        (token(a="xyz"), "account tag is not 32 hex digits"),
        (token(a=5), "account tag (a) is no text"),
        (token(t=None), "tunnel id is missing"),
        (token(t="mine"), "tunnel id is no UUID"),
        (token(t="{" + PARTS["t"]), "tunnel id is no UUID"),
        (token(s=None), "its secret has 0 bytes, and a tunnel's has 32"),
        (token(s="AAAA"), "its secret has 3 bytes, and a tunnel's has 32"),
        (token(s=PARTS["s"].rstrip("=")), "secret is not base64"),
        (token(e="../x"), "endpoint is no region"),
        (token(e={}), "endpoint (e) is no text"),
    ],
)
def test_what_cannot_be_a_token_is_refused_in_words(text: str, complaint: str) -> None:
    assert complaint in refusal(text)


def test_token_of_another_tunnel_than_the_named_one_is_refused() -> None:
    assert read_token(GOLDEN["token"], "it", named=PARTS["t"].upper()).credentials == OF_IT
    assert read_token(GOLDEN["token"], "it", named="by-name").credentials == OF_IT
    assert OTHER_ID in refusal(GOLDEN["token"], named=OTHER_ID)


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.b64encode(raw).decode())))
def test_anything_is_a_token_or_a_usage_error(text: str) -> None:
    try:
        read_token(text, "it")
    except UsageError as error:
        assert error.exit_code == 2  # noqa: PT017 - any of many


@given(
    at=st.integers(0, len(GOLDEN["token"]) - 1),
    change=st.sampled_from(["", "A", "\n", "=", "-", "{", "é", " "]),
)
def test_no_error_shows_a_part_of_the_token(at: int, change: str) -> None:
    broken = GOLDEN["token"][:at] + change + GOLDEN["token"][at + 1 :]
    try:
        read_token(broken, "the token in FILE")
    except UsageError as error:
        shown = str(error)
        pieces = [GOLDEN["token"][start : start + 8] for start in range(0, len(GOLDEN["token"]) - 8, 4)]
        assert not [piece for piece in pieces if piece in shown]
        assert PARTS["s"][:8] not in shown
        assert PARTS["a"][:8] not in shown


def test_credentials_file_is_read() -> None:
    content = json.dumps(GOLDEN["credentials_file"]).encode()
    assert read_credentials(content, "it") == (OF_IT, "")
    assert read_credentials(b"\xef\xbb\xbf" + content, "it") == (OF_IT, "")
    assert read_credentials(content, "it", named=PARTS["t"]) == (OF_IT, "")
    assert read_credentials(content, "it", named="by-name") == (OF_IT, "")
    with pytest.raises(UsageError, match=f"{OTHER_ID} was named"):
        read_credentials(content, "it", named=OTHER_ID)


def test_old_credentials_file_needs_the_name_of_its_tunnel() -> None:
    old = {name: value for name, value in GOLDEN["credentials_file"].items() if name != "TunnelID"}
    content = json.dumps(old).encode()
    assert read_credentials(content, "it", named=PARTS["t"]) == (OF_IT, "")
    for named in ("", "by-name"):
        with pytest.raises(UsageError, match="has no TunnelID"):
            read_credentials(content, "it", named=named)


@pytest.mark.parametrize("content", [b"", b"\x00", b"[]", b"null", GOLDEN["token"].encode()])
def test_what_is_no_credentials_file_is_refused(content: bytes) -> None:
    with pytest.raises(UsageError, match="no JSON object"):
        read_credentials(content, "it")


def test_words_that_are_tokens_by_mistake_are_known() -> None:
    assert looks_like_token(GOLDEN["token"])
    assert looks_like_token(" " + GOLDEN["token"])
    assert not any(map(looks_like_token, ("8080", "eye", "/etc/token", "http://eyes.example:80/")))


def test_ids_are_written_one_way() -> None:
    assert tunnel_id(PARTS["t"].upper()) == PARTS["t"]
    assert tunnel_id("a-name") is None
