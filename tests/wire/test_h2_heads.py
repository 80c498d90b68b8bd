"""Heads over HTTP/2: the golden values of the real client, and what is refused."""

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.exchange.http1 import build_request_head
from actors.exchange.request import Field, Kind, Request
from actors.wire.h2_heads import (
    BY_ORIGIN,
    PURPOSE,
    RESPONSE_FIELDS,
    RESPONSE_META,
    Asked,
    Forbidden,
    Malformed,
    Purpose,
    answered,
    asked_by,
    trailers,
    tunnel_opened,
)

GOLDEN: Final[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "wire-http2-golden.json").read_text())

HEAD: Final[list[Field]] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"app.example.com"),
    (b":path", b"/p//q/../r;x?y=%zz"),
]


def raw(pairs: list[list[str]]) -> list[Field]:
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs]


def asked(*fields: Field, ended: bool = True, head: list[Field] | None = None) -> Request:
    """The request of a head with these fields."""
    outcome = asked_by([*(HEAD if head is None else head), *fields], ended=ended)
    assert isinstance(outcome, Asked)
    return outcome.request


def deserialised(text: bytes) -> list[Field]:
    """As the edge reads them."""
    fields = []
    for piece in filter(None, text.split(b";")):
        name, value = piece.split(b":")
        assert b"=" not in piece
        fields.append((_decoded(name), _decoded(value)))
    return fields


def _decoded(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)


# --- requests ---


@pytest.mark.parametrize("name", sorted(name for name, entry in GOLDEN["exchanges"].items() if "origin_saw" in entry))
def test_the_origin_sees_what_it_sees_with_the_real_client(name: str) -> None:
    """But for the fields that it adds by itself, and for bodies of no length (see below)."""
    entry = GOLDEN["exchanges"][name]
    if "request_of_the_probe" in entry:
        outcome = asked_by(raw(entry["request_of_the_probe"]), ended=False)
        expected = {tuple(pair) for pair in entry["origin_saw"]}
    else:
        method, path, given_fields = entry["request"]
        fields = raw([[name.lower(), value] for name, value in given_fields])
        head = raw([[":method", method], [":scheme", "https"], [":authority", "app.example.com"], [":path", path]])
        outcome = asked_by([*head, *fields], ended=not entry["origin_saw"]["body_bytes"])
        expected = {tuple(pair) for pair in entry["origin_saw"]["headers"]}
    assert isinstance(outcome, Asked)
    line, *sent = build_request_head(outcome.request).data.decode("latin-1").split("\r\n")[:-2]
    if "request" in entry:
        assert line == f"{entry['origin_saw']['line']} HTTP/1.1"
    added = {"Connection", "Cf-Warp-Tag-Id", "Accept-Encoding", "Upgrade", "Sec-WebSocket-Version"}
    ours = {tuple(field.split(": ", 1)) for field in sent}
    spelt = {("Sec-WebSocket-Version" if n == "Sec-Websocket-Version" else n, v) for n, v in expected}
    if name != "post_without_body":  # of which Go makes an empty chunked one
        assert {f for f in ours if f[0] not in added} == {f for f in spelt if f[0] not in added}


def test_names_are_spelt_as_over_quic() -> None:
    names = [b"x-forwarded-for", b"cf-ray", b"x_under", b"sec-websocket-key", b"a", b"x--y-"]
    spelt = [b"X-Forwarded-For", b"Cf-Ray", b"X_under", b"Sec-Websocket-Key", b"A", b"X--Y-"]
    assert [name for name, _ in asked(*[(name, b"1") for name in names]).fields] == spelt
    quic = json.loads((Path(__file__).parents[1] / "data" / "wire-golden.json").read_text())
    for request in quic["edge_request_streams"]:
        for key, value in request["fields"]["metadata"]:
            _, is_field, name = key.partition("HttpHeader:")
            if is_field and name.lower() not in ("connection", "upgrade"):
                assert asked((name.lower().encode(), value.encode())).fields == ((name.encode(), value.encode()),)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ([], Kind.HTTP),
        ([(PURPOSE, b"websocket")], Kind.WEBSOCKET),
        ([(PURPOSE, b"WebSocket")], Kind.HTTP),
        ([(b"cf-cloudflared-proxy-src", b"127.0.0.9")], Kind.TCP),
        ([(b"cf-cloudflared-proxy-src", b"")], Kind.HTTP),
        ([(PURPOSE, b"control-stream"), (b"cf-cloudflared-proxy-src", b"127.0.0.9")], Kind.TCP),
        ([(PURPOSE, b"control-stream")], Purpose.CONTROL),
        ([(PURPOSE, b"update-configuration")], Purpose.CONFIGURATION),
    ],
)
def test_one_field_tells_what_a_stream_is_for(fields: list[Field], kind: Kind | Purpose) -> None:
    outcome = asked_by([*HEAD, *fields], ended=False)
    if isinstance(outcome, Asked):
        assert outcome.request.kind is kind
        assert PURPOSE not in {name.lower() for name, _ in outcome.request.fields}
    else:
        assert outcome is kind


def test_target_and_host_stay_as_they_are() -> None:
    request = asked((b"host", b"other.example.com"))
    assert (request.method, request.target, request.host) == (b"GET", b"/p//q/../r;x?y=%zz", b"app.example.com")
    assert request.fields == ((b"Host", b"other.example.com"),), "which the head rules refuse"
    assert asked((b"host", b"app.example.com")).fields == ()
    without = [field for field in HEAD if field[0] != b":authority"]
    assert asked((b"host", b"other.example.com"), head=without).host == b"other.example.com"
    assert asked(head=without).host == b""  # and is refused with 400


@pytest.mark.parametrize(
    ("fields", "ended", "framing"),
    [
        ([], True, []),
        ([], False, [b"Transfer-Encoding"]),
        ([(b"content-length", b"5")], False, [b"Content-Length"]),
        ([(b"content-length", b"0")], True, [b"Content-Length"]),
        ([(PURPOSE, b"websocket")], False, []),
        ([(b"cf-cloudflared-proxy-src", b"::1")], False, []),
    ],
)
def test_a_body_is_announced_as_over_http1(fields: list[Field], ended: bool, framing: list[bytes]) -> None:
    names = [name for name, _ in asked(*fields, ended=ended).fields]
    assert [name for name in names if name in (b"Transfer-Encoding", b"Content-Length")] == framing


def test_cookies_become_one_field() -> None:
    fields = asked((b"a", b"1"), (b"cookie", b"x=1"), (b"b", b"2"), (b"cookie", b"y=2")).fields
    assert fields == ((b"A", b"1"), (b"Cookie", b"x=1; y=2"), (b"B", b"2"))


def test_expect_is_answered_and_not_passed_on() -> None:
    outcome = asked_by([*HEAD, (b"expect", b"100-Continue")], ended=False)
    assert isinstance(outcome, Asked)
    assert outcome.awaits_continue
    assert b"Expect" not in dict(outcome.request.fields)
    outcome = asked_by([*HEAD, (b"expect", b"else")], ended=False)
    assert isinstance(outcome, Asked)
    assert not outcome.awaits_continue


@pytest.mark.parametrize(
    "head",
    [
        [],
        HEAD[1:],
        [HEAD[0], *HEAD[2:]],
        HEAD[:3],
        [*HEAD, HEAD[0]],
        [*HEAD, (b":protocol", b"websocket")],
        [*HEAD, (b":status", b"100")],
        [(b"a", b"b"), *HEAD],
        [*HEAD, (b"X-One", b"1")],
        [*HEAD, (b"", b"1")],
        [*HEAD, (b"x one", b"1")],
        [*HEAD, (b"x\xe9", b"1")],
        [*HEAD[:3], (b":path", b"")],
        [*HEAD[:3], (b":path", b"x")],
        [*HEAD[:3], (b":path", b"*")],
        [*HEAD[:3], (b":path", b"https://h/")],
        [HEAD[0], (b":scheme", b"ftp"), *HEAD[2:]],
    ],
    ids=repr,
)
def test_malformed_heads_are_none(head: list[Field]) -> None:
    with pytest.raises(Malformed):
        asked_by(head, ended=True)


def test_options_may_ask_for_everything() -> None:
    head = [(b":method", b"OPTIONS"), *HEAD[1:3], (b":path", b"*")]
    assert asked(head=head).target == b"*"


@pytest.mark.parametrize(
    "field",
    [
        (b"connection", b"close"),
        (b"keep-alive", b"1"),
        (b"proxy-connection", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"upgrade", b"h2c"),
        (b"te", b"gzip"),
    ],
)
def test_fields_of_a_connection_are_refused(field: Field) -> None:
    with pytest.raises(Forbidden, match="is not valid in HTTP/2"):
        asked_by([*HEAD, field], ended=True)


def test_te_trailers_is_the_one_that_passes() -> None:
    assert asked((b"te", b"trailers")).fields == ((b"Te", b"trailers"),)


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=6), st.booleans())
def test_nothing_else_is_raised(fields: list[Field], ended: bool) -> None:
    for head in (fields, [*HEAD, *fields]):
        try:
            asked_by(head, ended=ended)
        except (Malformed, Forbidden):
            continue


# --- responses ---


@pytest.mark.parametrize("token", GOLDEN["serialized"]["tokens"], ids=lambda token: str(token["name"]))
def test_serialised_fields_are_those_of_the_real_client(token: dict[str, str]) -> None:
    field = (token["name"].encode(), bytes.fromhex(token["value_hex"]))
    assert dict(answered(200, [field]))[RESPONSE_FIELDS] == token["token"].encode()
    assert deserialised(token["token"].encode()) == [field]


def test_all_of_them_together() -> None:
    text = GOLDEN["serialized"]["string"].encode()
    assert dict(answered(200, deserialised(text)))[RESPONSE_FIELDS] == text


@pytest.mark.parametrize("name", GOLDEN["serialized"]["dropped"])
def test_fields_between_edge_and_client_are_no_origin_s(name: str) -> None:
    for spelt in (name, name.upper()):
        assert answered(200, [(spelt.encode(), b"1")]) == answered(200, [])


@pytest.mark.parametrize(
    "name", sorted(name for name, entry in GOLDEN["exchanges"].items() if entry.get("answer", {}).get("origin_headers"))
)
def test_answers_are_those_of_the_real_client(name: str) -> None:
    """But for what is an artefact of Go: the real fields `date` and `content-type`, and the order of the others."""
    answer = GOLDEN["exchanges"][name]["answer"]
    expected = {name: value for name, value in answer["h2"] if name not in ("date", "content-type")}
    ours = {
        name.decode(): value.decode("latin-1")
        for name, value in answered(answer["status"], raw(answer["origin_headers"]))
    }
    serialised = RESPONSE_FIELDS.decode()
    assert set(ours.pop(serialised).split(";")) == set(expected.pop(serialised).split(";"))
    assert ours == expected


def test_no_field_is_an_empty_one() -> None:
    assert answered(204, []) == [(b":status", b"204"), (RESPONSE_FIELDS, b""), (RESPONSE_META, BY_ORIGIN)]


def test_an_upgrade_is_a_success() -> None:
    entry = GOLDEN["exchanges"]["websocket"]
    fields = answered(101, raw(entry["origin_headers"]))
    assert fields[0] == (b":status", b"200")
    assert (b"Upgrade", b"websocket") in deserialised(dict(fields)[RESPONSE_FIELDS])


def test_a_raw_tunnel_is_opened_as_the_real_client_does() -> None:
    head = raw(GOLDEN["exchanges"]["tcp"]["request_of_the_probe"])
    expected = [tuple(field) for field in raw(GOLDEN["exchanges"]["tcp"]["response"]) if field[0] != b"date"]
    assert tunnel_opened(asked(head=head, ended=False)) == expected
    request = asked((b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="), head=head, ended=False)
    fields = dict(deserialised(dict(tunnel_opened(request))[RESPONSE_FIELDS]))
    assert fields[b"Sec-WebSocket-Accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_trailers_are_ordinary_fields() -> None:
    given_fields = [(b"X-Trailer", b"1"), (b"Connection", b"x"), (b"cf-int-x", b"1"), (b"a b", b"1"), (b"x", b"1\n")]
    assert trailers(given_fields) == [(b"x-trailer", b"1")]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=9)), max_size=6))
def test_what_is_serialised_can_be_read_again(fields: list[Field]) -> None:
    internal = (b"cf-int-", b"cf-cloudflared-", b"cf-proxy-", b":")
    kept = [field for field in fields if not field[0].lower().startswith(internal)]
    assert deserialised(dict(answered(200, fields))[RESPONSE_FIELDS]) == kept
