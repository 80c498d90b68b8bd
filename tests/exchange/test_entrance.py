"""A request before several gates, and before one that judges by the body."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from actors.exchange import reasons
from actors.exchange.entrance import HOLD_TIMEOUT, TOO_LONG
from actors.exchange.gate import Need, Passed, Refusal, Reply
from actors.exchange.holding import MAX_HELD_BODIES, MAX_OF_ONE_VISITOR
from actors.exchange.request import Kind
from actors.exchange.response import Head
from actors.exchange.upload import MAX_GATHERED
from tests.exchange.test_exchange import Playbook

REFUSAL = Refusal(401, "a signature is wrong", reasons.GUARD_WEBHOOK_WRONG, ((b"X", b"y"),), is_told=False)
CHUNKED = ("Transfer-Encoding", "chunked")


def changed(play: Playbook, target: bytes, leave: Callable[[], None] | None = None) -> Passed:
    return Passed(play.request._replace(target=target, fields=()), leave)


def test_gates_are_asked_in_their_order() -> None:
    play = Playbook(gates=("first", "second"), warm=True)
    play.does("judge first")
    play.exchange.judged(None)
    play.does("judge second")
    play.exchange.judged(None)
    play.does("begin GET /")


def test_what_one_has_changed_is_what_the_next_and_the_origin_see() -> None:
    play = Playbook("GET", ("Authorization", "ours"), gates=("first", "second"), warm=True)
    play.exchange.judged(changed(play, b"/clean"))
    assert play.exchange.request.target == b"/clean"
    play.exchange.judged(None)
    play.does("judge first", "judge second", "begin GET /clean")
    assert b"ours" not in play.connection.head


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("method", "data"), [("POST", b"1234"), ("POST", b""), ("GET", b""), ("GET", b"1234")])
def test_changed_request_keeps_the_body_that_it_had(method: str, data: bytes, when: str) -> None:
    play = Playbook(method, gates=("first",), warm=True)

    def send() -> None:
        if data:
            play.exchange.data_received(data)
        play.exchange.eof_received()

    if when == "before":
        send()
    play.exchange.judged(changed(play, b"/clean"))
    if when == "after":
        send()
    assert f"begin {method} /clean" in play._done
    if data and (when == "before" or method == "POST"):
        assert b"chunked" in play.connection.head
        assert "to origin '4\\r\\n1234\\r\\n'" in play._done
    elif method == "POST":
        assert b"Content-Length: 0" in play.connection.head


@pytest.mark.parametrize("kind", [Kind.HTTP, Kind.WEBSOCKET, Kind.TCP])
def test_refusal_tells_its_status_and_nothing_else(kind: Kind) -> None:
    play = Playbook("POST" if kind is not Kind.TCP else "", kind=kind, gates=("first", "second"))
    play.exchange.judged(REFUSAL)
    if kind is Kind.TCP:
        play.does("judge first", "refuse Unauthorized")
    else:
        play.does("judge first", "respond 401 '401 Unauthorized\\n' end")
        assert (b"X", b"y") in play.fields
    assert play.exchange.error == "a signature is wrong"
    assert play.exchange.reason is reasons.GUARD_WEBHOOK_WRONG


def test_reply_is_the_gate_s_own_answer() -> None:
    play = Playbook(gates=("first",))
    play.exchange.judged(Reply(303, ((b"Location", b"/"),)))
    play.does("judge first", "respond 303 '' end")
    assert (play.exchange.status, play.exchange.is_substitute, play.exchange.reason) == (303, True, None)


def test_response_says_what_the_gates_want_and_not_what_the_origin_says_of_it() -> None:
    play = Playbook(gates=("first", "second"), warm=True)
    play.exchange.judged(Passed(play.request, fields=((b"X-Cache", b"no"),)))
    play.exchange.judged(Passed(play.request, fields=((b"X-More", b"1"),)))
    play.exchange.head_received(Head(200, [(b"x-cache", b"yes"), (b"A", b"b")], {}), b"", complete=True)
    assert play.fields == [(b"A", b"b"), (b"X-Cache", b"no"), (b"X-More", b"1")]


# --- by the body ---


@pytest.mark.parametrize("fields", [(), (CHUNKED,), (("Content-Length", "6"),)])
@pytest.mark.parametrize("first", ["need", "body"])
def test_body_is_held_whole_and_goes_on_byte_for_byte(fields: tuple[tuple[str, str], ...], first: str) -> None:
    play = Playbook("POST", *fields, gates=("first",), warm=True)
    if first == "need":
        play.exchange.judged(Need.BODY)
    play.exchange.data_received(b"abc")
    play.exchange.data_received(b"def")
    play.exchange.eof_received()
    if first == "body":
        play.exchange.judged(Need.BODY)
        play.does("judge first", "judge first by 'abcdef'")
    else:
        play.does("judge first", "credit 3", "credit 3", "judge first by 'abcdef'")
        assert play.timers == []
    assert len(play.holding) == 0
    play.exchange.judged(None)
    done = [each for each in play._done if not each.startswith("credit")]
    assert done[0] == "begin POST /"
    sent = "".join(each.removeprefix("to origin ").strip("'") for each in done[1:])
    assert sent == ("abcdef" if fields and fields[0][0] == "Content-Length" else r"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")


def test_nothing_goes_on_when_the_body_ends_before_the_verdict() -> None:
    """Nor to an origin that wants to know the length beforehand, for which bodies are gathered as well."""
    play = Playbook("POST", CHUNKED, gates=("first",), warm=True, chunked=False)
    play.exchange.judged(Need.BODY)
    play.exchange.data_received(b"abc")
    play.exchange.eof_received()
    play.does("judge first", "credit 3", "judge first by 'abc'")
    play.exchange.judged(REFUSAL)
    play.does("respond 401 '401 Unauthorized\\n' end")


@pytest.mark.parametrize("wanted", [False, True])
def test_origin_that_takes_no_chunks_gets_the_length_of_what_was_held(wanted: bool) -> None:
    play = Playbook("POST", CHUNKED, gates=("first",), warm=True, chunked=False)
    if wanted:
        play.exchange.judged(Need.BODY)
    play.exchange.data_received(b"abc")
    play.exchange.eof_received()
    play.exchange.judged(None)
    assert b"Content-Length: 3" in play.connection.head
    assert "to origin 'abc'" in play._done


@pytest.mark.parametrize(
    ("method", "fields", "kind"),
    [("GET", (), Kind.HTTP), ("POST", (("Content-Length", "0"),), Kind.HTTP), ("GET", (), Kind.WEBSOCKET)],
)
def test_no_body_is_waited_for_where_there_is_none(
    method: str, fields: tuple[tuple[str, str], ...], kind: Kind
) -> None:
    play = Playbook(method, *fields, kind=kind, gates=("first",))
    play.exchange.judged(Need.BODY)
    play.does("judge first", "judge first by ''")
    assert play.timers == []


def test_body_that_comes_after_it_was_judged_is_none() -> None:
    """A GET is judged by an empty body at once: what it sends then was looked at by nobody."""
    play = Playbook("GET", gates=("first",))
    play.exchange.judged(Need.BODY)
    play.exchange.judged(None)
    play.does("judge first", "judge first by ''", "connect")
    play.exchange.data_received(b"evil")
    (respond,) = play._done
    assert respond.startswith("respond 411")


@pytest.mark.parametrize("announced", [False, True])
def test_body_that_is_too_long_to_be_held(announced: bool) -> None:
    fields = (("Content-Length", str(MAX_GATHERED + 1)),) if announced else (CHUNKED,)
    play = Playbook("POST", *fields, gates=("first",))
    play.exchange.judged(Need.BODY)
    if not announced:
        play.exchange.data_received(b"x" * MAX_GATHERED)
        play.exchange.data_received(b"x")
    assert play._done[-1].startswith("respond 413")
    assert play.exchange.reason is TOO_LONG.reason
    assert (len(play.holding), play.timers) == (0, [])


def test_body_that_takes_too_long() -> None:
    play = Playbook("POST", CHUNKED, gates=("first",))
    play.exchange.judged(Need.BODY)
    assert len(play.holding) == 1
    play.fire(HOLD_TIMEOUT)
    assert play._done[-1] == "respond 408 '408 Request Timeout\\n' end"
    assert len(play.holding) == 0


class Stranger:
    """Whoever holds another body."""

    def __init__(self) -> None:
        self.has_left = False

    def make_room(self) -> None:
        self.has_left = True


def holding(play: Playbook, *visitors: str) -> list[Stranger]:
    """Strangers from these addresses hold bodies."""
    strangers = [Stranger() for _ in visitors]
    for stranger, visitor in zip(strangers, visitors, strict=True):
        assert play.holding.take(stranger, ipaddress.ip_address(visitor).packed)
    return strangers


def test_one_visitor_holds_a_part_of_the_places() -> None:
    play = Playbook("POST", CHUNKED, ("Cf-Connecting-Ip", "203.0.113.7"), gates=("first",))
    strangers = holding(play, *["203.0.113.7"] * MAX_OF_ONE_VISITOR)
    play.exchange.judged(Need.BODY)
    assert play._done[-1].startswith("respond 503")
    assert any(name == b"Retry-After" for name, _ in play.fields)
    assert len(play.holding) == MAX_OF_ONE_VISITOR
    assert not any(stranger.has_left for stranger in strangers)


def test_others_get_a_place_even_if_all_are_taken() -> None:
    """Strangers who say that a body will come, and send none, keep no sender of webhooks out."""
    play = Playbook("POST", CHUNKED, ("Cf-Connecting-Ip", "203.0.113.7"), gates=("first",), warm=True)
    strangers = holding(play, *(f"198.51.100.{number % 8}" for number in range(MAX_HELD_BODIES)))
    play.exchange.judged(Need.BODY)
    assert [stranger.has_left for stranger in strangers] == [True] + [False] * (MAX_HELD_BODIES - 1)
    assert len(play.holding) == MAX_HELD_BODIES
    play.exchange.data_received(b"abc")
    play.exchange.eof_received()
    assert play._done[-1] == "judge first by 'abc'"
    assert len(play.holding) == MAX_HELD_BODIES - 1


def test_who_was_there_for_longest_makes_room() -> None:
    play = Playbook("POST", CHUNKED, gates=("first",))
    play.exchange.judged(Need.BODY)
    strangers = holding(play, *(f"198.51.100.{number % 8}" for number in range(MAX_HELD_BODIES)))
    assert play._done[-1] == "respond 408 '408 Request Timeout\\n' end"
    assert play.exchange.reason is reasons.GUARD_BODY
    assert (len(play.holding), play.timers) == (MAX_HELD_BODIES, [])
    assert not any(stranger.has_left for stranger in strangers)


# --- its end ---


@pytest.mark.parametrize("end", ["answer", "reset", "refusal", "bad request"])
def test_whoever_let_it_in_is_told_once_that_it_has_left(end: str) -> None:
    left: list[str] = []
    play: Any = Playbook(gates=("first", "second"), warm=True)
    play.exchange.judged(changed(play, b"/" if end != "bad request" else b"no path", lambda: left.append("first")))
    if end == "refusal":
        play.exchange.judged(REFUSAL)
    elif end != "bad request":
        play.exchange.judged(changed(play, b"/", lambda: left.append("second")))
        assert left == []
        play.exchange.reset_received() if end == "reset" else play.exchange.response_ended()
    assert left == {"refusal": ["first"], "bad request": ["first"]}.get(end, ["second", "first"])


def test_verdict_after_the_end_takes_no_place() -> None:
    left: list[str] = []
    play = Playbook(gates=("first",), warm=True)
    play.exchange.reset_received()
    play.exchange.judged(changed(play, b"/", lambda: left.append("late")))
    play.does("judge first", "reset")
    assert left == ["late"]
