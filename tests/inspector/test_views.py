"""Exchanges as people and programs are told of them."""

import base64

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from actors.bus.inspection import Answered, Ended, Head, Part
from actors.inspector import har, ngrok, raw, views
from actors.inspector.edits import Edits, replay_of
from actors.inspector.masks import Masks
from tests.kit.seen import MASKS, part, recorded, store

SECRETS = [(b"AUTHORIZATION", b"Bearer s3cret"), (b"cookie", b"s3cret=1"), (b"X-Api-Key", b"s3cret"), (b"A", b"plain")]


def test_summary() -> None:
    fields = [(b"Cf-Connecting-Ip", b"192.0.2.7"), (b"Content-Type", b"application/json")]
    entry = recorded(fields=fields, body=b"abc", rule="a.example → x", replay_of="0.1.9")
    assert views.summary(entry) == {
        "id": "0.1.1",
        "sequence": entry.sequence,
        "started": 1_700_000_001.0,
        "method": "GET",
        "host": "a.example",
        "target": "/",
        "kind": "http",
        "status": 200,
        "state": "ended",
        "seconds": 0.02,
        "request_bytes": 3,
        "response_bytes": 2,
        "content_type": "text/plain",
        "visitor": "192.0.2.7",
        "rule": "a.example → x",
        "error": "",
        "reason": "",
        "replay_of": "0.1.9",
        "messages": 0,
    }


def test_details_mask_secrets_until_asked() -> None:
    entry = recorded(fields=SECRETS, answer_fields=[(b"Set-Cookie", b"s3cret=2")])
    masked = views.details(entry, Masks(["X-API-KEY"]), unmasked=False)
    assert "s3cret" not in str(masked)
    assert masked["request"]["fields"][0] == ["AUTHORIZATION", "[masked]", True]
    assert masked["request"]["fields"][3] == ["A", "plain", False]
    assert masked["response"]["fields"] == [["Set-Cookie", "[masked]", True]]
    shown = views.details(entry, Masks(["X-API-KEY"]), unmasked=True)
    assert str(shown).count("s3cret") == 4


def test_secret_in_a_target_is_shown_nowhere_until_asked() -> None:
    entry = recorded(target="/hook?hub.mode=subscribe&hub.verify_token=s3cret&hub.challenge=7")
    masked = [
        views.summary(entry),
        views.details(entry, MASKS, unmasked=False),
        har.entry_of(entry, MASKS, unmasked=False),
        ngrok.captured(entry, MASKS),
        raw.request_head(entry, MASKS, unmasked=False),
    ]
    assert "s3cret" not in str(masked)
    assert b"s3cret" not in base64.b64decode(ngrok.captured(entry, MASKS)["request"]["raw"])
    for asked in ({"path": "s3cret"}, {"text": "s3cret"}):
        assert entry not in views.Wanted(asked, MASKS)
    assert "s3cret" in views.details(entry, MASKS, unmasked=True)["request"]["line"]
    assert str(har.entry_of(entry, MASKS, unmasked=True)).count("s3cret") == 2
    made = replay_of(entry, Edits(target=views.summary(entry)["target"]), MASKS, 1)
    assert made.head.target == entry.head.target


def test_details_of_what_did_not_come_to_an_answer() -> None:
    open_part = Part(1, 5.0, head=Head("http", b"POST", b"", b"a", []), request=[b"ab"], request_bytes=9)
    (entry,) = store(open_part).newest()
    told = views.details(entry, MASKS, unmasked=False)
    assert told["target"] == "/"
    assert told["response"] is None
    assert told["times"] == {"received": 0.0, "connected": None, "first_byte": None, "ended": None}
    assert told["request"]["body"] == {"size": 9, "kept": 2, "complete": False, "type": ""}
    assert (told["origin"], told["repeated"], told["websocket"], told["can_replay"]) == ("", False, None, False)
    failed = part(2, answered=None, reached=None, ended=Ended(0.1, 502, "origin_refuses", "refused", "start it", True))
    (entry,) = store(failed).newest()
    told = views.details(entry, MASKS, unmasked=False)
    assert (told["error"], told["hint"], told["response"]["is_own"]) == ("refused", "start it", True)
    assert told["can_replay"]


def test_messages_of_a_websocket() -> None:
    client, server = Connection(ConnectionType.CLIENT), Connection(ConnectionType.SERVER)
    said = client.send(TextMessage("hi")) + client.send(BytesMessage(b"\x00"))
    answered = server.send(CloseConnection(1000, "done"))
    raw = [(0.1, True, said), (0.2, False, answered)]
    entry = recorded(kind="websocket", answered=Answered(0.05, 101, []), raw=raw, answer=b"", status=101)
    assert views.summary(entry)["messages"] == 3
    told = views.details(entry, MASKS, unmasked=False)
    first, second, third = told["websocket"]["messages"]
    assert (first["from"], first["kind"], first["data"], first["at"]) == ("visitor", "text", "hi", 0.1)
    assert second["base64"] == "AA=="
    assert (third["from"], third["kind"], third["code"], third["reason"]) == ("origin", "close", 1000, "done")
    assert not told["can_replay"]


def test_why_there_is_no_replay() -> None:
    assert views.why_no_replay(recorded()) == ""
    assert "cut off" in views.why_no_replay(recorded(request=[b"a"], request_bytes=5))
    assert "guard" in views.why_no_replay(recorded(head=Head("http", b"GET", b"/", b"a", [], is_stripped=True)))
    assert "WebSocket" in views.why_no_replay(recorded(kind="tcp"))
    assert "come to its end" in views.why_no_replay(recorded(request=[b"a"], request_bytes=5, ended=None))


@pytest.mark.parametrize(
    ("fields", "body", "may"),
    [
        ([], b"", True),
        ([(b"Content-Length", b"3")], b"abc", True),
        ([(b"Content-Length", b"4")], b"abc", False),
        ([(b"transfer-encoding", b"chunked")], b"abc", False),
        ([(b"transfer-encoding", b"chunked")], b"", False),
        ([], b"abc", False),
    ],
)
def test_body_that_may_still_be_coming_is_not_replayed(
    fields: list[tuple[bytes, bytes]], body: bytes, may: bool
) -> None:
    running = recorded(fields=fields, body=body, ended=None)
    assert (views.why_no_replay(running) == "") == may
    assert views.why_no_replay(recorded(fields=fields, body=body)) == ""


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, "abcd"),
        ({"method": "post"}, "b"),
        ({"status": "404"}, "c"),
        ({"status": "4XX"}, "c"),
        ({"status": "2xx"}, "ab"),
        ({"status": "error"}, "cd"),
        ({"path": "HOOK"}, "b"),
        ({"text": "needle"}, "b"),
        ({"text": "refused"}, "d"),
        ({"text": "x-thing: YES"}, "a"),
        ({"since": "1700000002", "until": "1700000003"}, "bc"),
        ({"method": "GET", "status": "404"}, "c"),
        ({"text": "s3cret"}, ""),
        ({"method": "GE"}, ""),
    ],
)
def test_what_is_looked_for(asked: dict[str, str], found: str) -> None:
    made = store(
        part(1, fields=[*SECRETS[:2], (b"X-Thing", b"yes")]),
        part(2, "POST", "/Hook/1", body=b'{"a":"NEEDLE"}'),
        part(3, status=404, ended=Ended(0.1, 404)),
        part(4, answered=None, status=502, ended=Ended(0.1, None, "visitor_left", "refused", "")),
    )
    wanted = views.Wanted(asked, MASKS)
    assert "".join("abcd"[entry.order[1]] for entry in made.oldest() if entry in wanted) == found


@pytest.mark.parametrize(
    "asked", [{"status": "4x"}, {"status": "many"}, {"since": "yesterday"}, {"until": "1e"}, {"status": "²"}]
)
def test_what_makes_no_sense_is_said(asked: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="give"):
        views.Wanted(asked, MASKS)


def test_counts() -> None:
    assert views.count_of({}, "limit", 5, 10) == 5
    assert views.count_of({"limit": "99"}, "limit", 5, 10) == 10
    for text in ("-1", "many", "²", "9" * 30):
        with pytest.raises(ValueError, match="whole number"):
            views.count_of({"limit": text}, "limit", 5, 10)


def test_bytes_that_are_no_utf_8() -> None:
    entry = recorded(fields=[(b"A", b"\xe4\xff")], target="/")
    assert views.details(entry, MASKS, unmasked=False)["request"]["fields"] == [["A", "äÿ", False]]
