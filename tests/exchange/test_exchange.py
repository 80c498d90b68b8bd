"""The exchange as a machine of events and commands: no socket, no clock, no event loop (but in the faults' tests).

A `Playbook` is all that is around one exchange: the edge, the origin and the driver. What the exchange commands is
noted as one line each, in order, and `does` compares them with what is expected.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from actors.bus.routes import Origin
from actors.exchange import reasons
from actors.exchange.backend import Answer, OriginError, ResponseHandler, Target
from actors.exchange.exchange import BODY_TIMEOUT, HALF_CLOSED_TIMEOUT, Exchange
from actors.exchange.gate import Refusal, Way
from actors.exchange.holding import Holding
from actors.exchange.http1 import RequestHead
from actors.exchange.observers import Observed, Observer, Observers
from actors.exchange.request import Field, Kind, Request
from actors.exchange.response import Head
from actors.exchange.upload import MAX_GATHERED

OK = Head(200, [(b"Content-Type", b"text/plain")], {})
SWITCHING = Head(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")], {})


class Connection:
    """A backend that notes what it is asked."""

    def __init__(self, play: "Playbook", *, reused: bool = False) -> None:
        self._play = play
        self.may_be_stale = reused
        self.reusable = True

    def begin(self, handler: ResponseHandler, head: RequestHead, *, raw: bool = False) -> None:
        self._play.say(f"begin {'raw' if raw else head.data.partition(b' HTTP')[0].decode()}")
        self.head = head.data

    def write(self, data: bytes) -> None:
        self._play.say(f"to origin {data.decode()!r}")

    def write_eof(self) -> None:
        self._play.say("eof to origin")

    def pause(self) -> None:
        self._play.say("pause origin")

    def resume(self) -> None:
        self._play.say("resume origin")

    def abort(self) -> None:
        self._play.say("abort origin")

    def close(self) -> None:
        self._play.say("close origin")


class Playbook(Observer):
    """One exchange, and all that is around it: responder, target and driver."""

    id = 7
    name = "127.0.0.1:1"

    takes_trailers = False

    def __init__(
        self,
        method: str = "GET",
        *fields: tuple[str, str],
        kind: Kind = Kind.HTTP,
        target: str = "/",
        body: bytes = b"",
        warm: bool = False,
        is_full: bool = False,
        answer: Answer | None = None,
        gates: tuple[Any, ...] = (),
        observer: Observer | None = None,
        has_rules: bool = True,
        **origin: Any,
    ) -> None:
        self._done: list[str] = []
        self.told: list[str] = []
        self.reached_targets: list[str] = []
        self.sending = True
        self.is_full = is_full
        self.failures = 0
        self.time = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.origin = Origin(host="127.0.0.1", port=1, **origin)
        self.answer = answer
        self._gates = gates
        self.holding = Holding()
        self._has_rules = has_rules
        self._warm = warm
        self.observers = Observers(self, *([] if observer is None else [observer]))
        given = tuple((name.encode(), value.encode()) for name, value in fields)
        self.request = Request(kind, method.encode(), target.encode(), b"x.example", given)
        self.exchange = Exchange(self, self.request, self)
        self.exchange.start(body)

    def say(self, what: str) -> None:
        self._done.append(what)

    def does(self, *expected: str) -> None:
        """Since the last time, exactly this was commanded."""
        done, self._done = self._done, []
        assert done == list(expected)

    def connected(self, **details: Any) -> None:
        self.connection = Connection(self, **details)
        self.exchange.connected(self.connection)

    def fire(self, seconds: float) -> None:
        """The one timer that runs is due after so long; it is."""
        ((due, callback),) = self.timers
        assert due == seconds
        self.timers.clear()
        self.time += seconds
        callback()

    # --- the responder ---

    def respond(self, status: int, fields: Sequence[Field], body: bytes = b"", *, fin: bool = False) -> None:
        end = " end" if fin else ""
        self.say(f"respond {status} {body.decode()!r}{end}" if body or fin else f"respond {status}")
        self.sending = not fin
        self.fields = list(fields)

    def accept(self) -> None:
        self.say("accept")

    def refuse(self, message: str) -> None:
        self.say(f"refuse {message}")
        self.sending = False

    def write(self, data: bytes, *, fin: bool = False) -> None:
        self.say(f"to edge {data.decode()!r}{' end' if fin else ''}")
        self.sending = not fin

    def end(self, trailers: Sequence[Field] = ()) -> None:
        self.say("to edge '' end" + "".join(f" {name.decode()}={value.decode()}" for name, value in trailers))
        self.sending = False

    def reset(self) -> None:
        if self.sending:
            self.say("reset")
        self.sending = False

    def stop(self) -> None: ...

    def consumed(self, count: int) -> None:
        self.say(f"credit {count}")

    # --- the target ---

    def reuse(self, request: Request, head: RequestHead) -> Connection | None:
        self.connection = Connection(self, reused=True)
        return self.connection if self._warm else None

    async def connect_to(self) -> Connection:
        raise NotImplementedError

    def release(self, backend: object) -> None:
        assert backend is self.connection
        self.say("release origin")

    # --- the driver ---

    def route(self, request: Request) -> Any:
        return Way(self, self._gates) if self._has_rules else None  # type: ignore[arg-type]

    def await_rules(self, exchange: Exchange) -> None:
        self.say("await rules")

    def rules_come(self) -> None:
        self._has_rules = True
        self.exchange.routed(self.route(self.request))

    def judge(self, exchange: Exchange, gate: Any, body: bytes | None) -> None:
        self.say(f"judge {gate}" if body is None else f"judge {gate} by {body.decode()!r}")

    def now(self) -> float:
        return self.time

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        self.timers.append((seconds, callback))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def connect(self, exchange: Exchange, target: object) -> None:
        self.say("connect")

    def ended(self, exchange: Observed) -> None:
        """Both the driver's and an observer's: an exchange that ends tells both once."""
        self.told.append("ended")

    def fault(self, exchange: Exchange, error: Exception) -> None:
        self.say(f"fault {type(error).__name__}")

    # --- an observer ---

    def opened(self, exchange: Observed) -> None:
        self.told.append("opened")

    def reached(self, exchange: Observed, target: Target) -> None:
        self.reached_targets.append(target.name + (" again" if exchange.is_repeated else ""))

    def request_data(self, exchange: Observed, data: bytes) -> None:
        self.told.append(f"in {len(data)}")

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        self.told.append(f"answered {exchange.status} after {exchange.seconds:g}")

    def response_data(self, exchange: Observed, data: bytes) -> None:
        self.told.append(f"out {len(data)}")


def test_answer_that_comes_whole_is_one_write_and_leaves_the_connection_to_others() -> None:
    play = Playbook()
    play.does("connect")
    play.connected()
    play.does("begin GET /")
    play.exchange.eof_received()
    play.time += 2
    play.exchange.head_received(OK, b"hello", complete=True)
    play.does("respond 200 'hello' end", "release origin")
    assert play.told == ["opened", "answered 200 after 2", "out 5", "ended", "ended"]
    assert play.timers == []


def test_warm_connection_is_taken_at_once() -> None:
    play = Playbook(warm=True)
    play.does("begin GET /")


def test_trailers_go_on() -> None:
    play = Playbook(warm=True)
    play.exchange.head_received(OK, b"body", complete=False)
    play.exchange.response_ended([(b"X-Trailer", b"1")])
    play.does("begin GET /", "respond 200 'body'", "to edge '' end X-Trailer=1", "release origin")


def test_answer_in_pieces() -> None:
    play = Playbook(warm=True)
    play.exchange.head_received(OK, b"", complete=False)
    play.exchange.body_received(b"a")
    play.exchange.pause_writing()
    play.exchange.resume_writing()
    play.exchange.body_received(b"b")
    play.exchange.response_ended()
    play.does(
        *("begin GET /", "respond 200", "to edge 'a'", "pause origin", "resume origin", "to edge 'b'"),
        *("to edge '' end", "release origin"),
    )


def test_connection_that_may_not_be_used_again_is_closed() -> None:
    play = Playbook(warm=True)
    play.connection.reusable = False
    play.exchange.head_received(OK, b"", complete=True)
    play.does("begin GET /", "respond 200 '' end", "close origin")


def test_upload_with_a_length_gets_its_credit_as_the_origin_takes_it() -> None:
    play = Playbook("PUT", ("Content-Length", "6"), body=b"ab")
    play.connected()
    play.does("connect", "begin PUT /", "to origin 'ab'", "credit 2")
    play.exchange.pause_upload()
    play.exchange.data_received(b"cd")
    play.exchange.data_received(b"ef")
    play.does("to origin 'cd'", "to origin 'ef'")
    play.exchange.resume_upload()
    play.does("credit 4")
    play.exchange.eof_received()
    play.does()
    assert play.exchange.bytes_in == 6


@pytest.mark.parametrize("too_much", [True, False])
def test_body_of_another_length_than_was_said_breaks_both_sides_off(too_much: bool) -> None:
    play = Playbook("PUT", ("Content-Length", "3"))
    play.connected()
    play.does("connect", "begin PUT /")
    if too_much:
        play.exchange.data_received(b"abcd")
        play.does("credit 4", "reset", "abort origin")
    else:
        play.exchange.eof_received()
        play.does("reset", "abort origin")
    assert play.exchange.reason is reasons.WRONG_LENGTH


def test_early_answer_to_an_upload_stops_it() -> None:
    play = Playbook("POST", ("Transfer-Encoding", "chunked"), body=b"abc")
    play.connected()
    play.exchange.head_received(Head(413, [], {}), b"", complete=True)
    play.does(
        "connect", "begin POST /", "to origin '3\\r\\nabc\\r\\n'", "credit 3", "respond 413 '' end", "close origin"
    )


@pytest.mark.parametrize("what", ["data", "end", "time"])
def test_whether_a_body_comes_is_waited_for_if_nothing_says_so(what: str) -> None:
    play = Playbook("PATCH")
    play.does()
    if what == "data":
        play.exchange.data_received(b"x")
    elif what == "end":
        play.exchange.eof_received()
    else:
        play.fire(BODY_TIMEOUT)
    play.does("connect")
    assert play.timers == []
    play.connected()
    assert (b"Content-Length: 0" in play.connection.head) == (what == "end")
    assert (b"Transfer-Encoding: chunked" in play.connection.head) == (what != "end")


@pytest.mark.parametrize("body", ["", "ab"])
@pytest.mark.parametrize("has_ended", [False, True])
def test_request_that_waited_for_rules_is_what_it_would_have_been(body: str, has_ended: bool) -> None:
    play = Playbook("PATCH", has_rules=False)
    for sign in body:
        play.exchange.data_received(sign.encode())
    if has_ended:
        play.exchange.eof_received()
    play.does("await rules")
    play.rules_come()
    if not body and not has_ended:
        play.does()
        play.fire(BODY_TIMEOUT)
    play.does("connect")
    play.connected()
    begin, *passed = play._done
    assert begin == "begin PATCH /"
    chunks = [line for sign in body for line in (f"to origin '1\\r\\n{sign}\\r\\n'", "credit 1")]
    assert passed == chunks + (["to origin '0\\r\\n\\r\\n'"] if body and has_ended else [])
    assert (b"Content-Length: 0" in play.connection.head) == (has_ended and not body)


def test_visitor_who_leaves_while_rules_are_awaited_costs_nothing() -> None:
    play = Playbook(has_rules=False)
    play.exchange.reset_received()
    play.rules_come()
    play.does("await rules", "reset")


def test_request_that_makes_no_sense_is_refused_once_there_are_rules() -> None:
    play = Playbook("G(T", body=b"x", has_rules=False)
    play.does("await rules")
    play.rules_come()
    (refused,) = play._done
    assert refused.startswith("respond 400")


def test_body_that_nobody_expects_any_more_is_no_silent_loss() -> None:
    play = Playbook(warm=True)
    play.exchange.data_received(b"late")
    begin, credit, respond, end = play._done
    assert (begin, credit, end) == ("begin GET /", "credit 4", "close origin")
    assert respond.startswith("respond 411")
    assert play.exchange.reason is reasons.NO_LENGTH


@pytest.mark.parametrize("fields", [(), (("Transfer-Encoding", "chunked"),)])
def test_origin_that_takes_no_chunks_gets_the_body_once_its_length_is_known(
    fields: tuple[tuple[str, str], ...],
) -> None:
    play = Playbook("POST", *fields, body=b"ab", chunked=False)
    play.exchange.data_received(b"cd")
    play.does("credit 2", "credit 2")
    play.exchange.eof_received()
    play.does("connect")
    play.connected()
    play.does("begin POST /", "to origin 'ab'", "to origin 'cd'")
    assert play.connection.head.endswith(b"\r\nContent-Length: 4\r\n\r\n")
    assert b"chunked" not in play.connection.head
    assert play.exchange.bytes_in == 4


def test_body_of_a_known_length_is_held_by_nobody() -> None:
    play = Playbook("POST", ("Content-Length", "4"), body=b"ab", chunked=False)
    play.does("connect")
    play.connected()
    play.does("begin POST /", "to origin 'ab'", "credit 2")


def test_body_that_is_too_long_to_be_held_reaches_nobody() -> None:
    play = Playbook("POST", ("Transfer-Encoding", "chunked"), body=b"x" * MAX_GATHERED, chunked=False)
    play.does(f"credit {MAX_GATHERED}")
    play.exchange.data_received(b"x")
    credit, respond = play._done
    assert respond.startswith("respond 413")
    assert "longer than" in play.exchange.error
    assert (credit, play.exchange.reason) == ("credit 1", reasons.NOT_GATHERED)
    play.exchange.eof_received()


def test_connection_that_the_origin_had_just_closed_is_replaced_once() -> None:
    play = Playbook(warm=True)
    play.exchange.response_failed(OriginError("closed"))
    play.does("begin GET /", "connect")
    play.connected(reused=True)
    play.exchange.response_failed(OriginError("closed"))
    begin, respond, end = play._done
    assert (begin, end) == ("begin GET /", "close origin")
    assert play.reached_targets == ["127.0.0.1:1", "127.0.0.1:1 again"]
    assert respond.startswith("respond 502")


class Keeps(Observer):
    """Wants bodies also of requests that reach nobody."""

    keeps_bodies = True


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("ends", ["whole", "late"])
def test_body_for_nobody_is_waited_for_where_somebody_keeps_it(framing: str, ends: str) -> None:
    name, _, value = framing.partition(": ")
    play = Playbook("POST", (name, value), observer=Keeps(), body=b"ab")
    play.does("connect")
    play.exchange.connect_failed(OriginError("nobody there"))
    play.does()
    if ends == "late":
        play.fire(BODY_TIMEOUT)
    else:
        play.exchange.data_received(b"cde")
        if value == "chunked":
            play.does()
            play.exchange.eof_received()
        assert (play.exchange.held, play.exchange.is_heard_out) == (b"abcde", True)
    (respond,) = play._done
    assert respond.startswith("respond 502")
    assert not play.timers


def test_body_for_nobody_is_not_waited_for_else() -> None:
    play = Playbook("POST", ("Content-Length", "5"), body=b"ab")
    play.exchange.connect_failed(OriginError("nobody there"))
    _, respond = play._done
    assert respond.startswith("respond 502")
    play = Playbook("GET", observer=Keeps())
    play.exchange.connect_failed(OriginError("nobody there"))
    _, respond = play._done
    assert respond.startswith("respond 502"), "there is none"
    play = Playbook("POST", ("Content-Length", "5"), observer=Keeps())
    play.exchange.connect_failed(OriginError("nobody there"))
    play.exchange.reset_received()
    play.does("connect", "reset")
    assert not play.timers


def test_answer_that_breaks_off_is_not_taken_for_the_whole() -> None:
    play = Playbook(warm=True)
    play.exchange.head_received(OK, b"part", complete=False)
    play.exchange.response_failed(OriginError("closed"))
    play.does("begin GET /", "respond 200 'part'", "reset", "abort origin")
    assert (play.exchange.reason, play.exchange.error) == (reasons.BROKEN_OFF, "closed")
    assert not play.exchange.is_substitute


def test_slow_origin_has_its_time_from_when_the_request_has_left() -> None:
    play = Playbook("PUT", ("Content-Length", "1"), response_timeout=3)
    play.connected()
    assert play.timers == []
    play.exchange.data_received(b"x")
    play.does("connect", "begin PUT /", "to origin 'x'", "credit 1")
    play.fire(3)
    respond, end = play._done
    assert respond.startswith("respond 504")
    assert end == "close origin"


def test_answer_stops_the_clock() -> None:
    play = Playbook(warm=True, response_timeout=3)
    assert len(play.timers) == 1
    play.exchange.head_received(OK, b"", complete=False)
    assert play.timers == []


@pytest.mark.parametrize("leaves", [Exchange.reset_received, Exchange.stop_received])
def test_visitor_that_leaves_ends_both_sides(leaves: Callable[[Exchange], None]) -> None:
    play = Playbook(warm=True)
    leaves(play.exchange)
    play.does("begin GET /", "reset", "abort origin")
    assert play.told == ["opened", "ended", "ended"]
    leaves(play.exchange)
    assert play.told == ["opened", "ended", "ended"]


def test_visitor_that_leaves_before_there_is_a_connection() -> None:
    play = Playbook()
    play.exchange.reset_received()
    play.connected()
    play.does("connect", "reset", "abort origin")


def test_websocket() -> None:
    play = Playbook(kind=Kind.WEBSOCKET, body=b"early")
    play.connected()
    play.does("connect", "begin GET /")
    play.exchange.head_received(SWITCHING, b"hi", complete=False)
    play.does("respond 101 'hi'", "to origin 'early'", "credit 5")
    assert play.fields == SWITCHING.fields
    play.exchange.data_received(b"more")
    play.exchange.body_received(b"yes")
    play.exchange.response_ended()
    play.does("to origin 'more'", "credit 4", "to edge 'yes'", "to edge '' end")
    play.exchange.eof_received()
    play.does("eof to origin", "close origin")


def test_websocket_that_is_refused() -> None:
    play = Playbook(kind=Kind.WEBSOCKET, body=b"early")
    play.connected()
    play.exchange.head_received(Head(403, [], {}), b"", complete=True)
    play.does("connect", "begin GET /", "respond 403 '' end", "release origin")


def test_half_closed_tunnel_does_not_stay_for_ever() -> None:
    play = Playbook(kind=Kind.WEBSOCKET)
    play.connected()
    play.exchange.head_received(SWITCHING, b"", complete=False)
    play.exchange.response_ended()
    play.does("connect", "begin GET /", "respond 101", "to edge '' end")
    play.fire(HALF_CLOSED_TIMEOUT)
    play.does("abort origin")


def test_raw_tunnel() -> None:
    play = Playbook("", kind=Kind.TCP, body=b"SSH")
    play.connected()
    play.does("connect", "begin raw", "accept", "to origin 'SSH'", "credit 3")
    play.exchange.body_received(b"yes")
    play.exchange.eof_received()
    play.does("to edge 'yes'", "eof to origin")
    play.exchange.response_ended()
    play.does("to edge '' end", "close origin")


def test_raw_tunnel_that_cannot_be_had() -> None:
    play = Playbook("", kind=Kind.TCP)
    play.exchange.connect_failed(OriginError("nobody there"))
    play.does("connect", "refuse nobody there")


def test_too_many_at_once() -> None:
    play = Playbook("HEAD", is_full=True)
    play.does("respond 503 '' end")
    assert play.exchange.method == "HEAD"


def test_target_may_answer_by_itself_at_once() -> None:
    for kind in (Kind.HTTP, Kind.WEBSOCKET):
        play = Playbook("POST", kind=kind, body=b"what nobody reads", answer=Answer(418))
        play.does("respond 418 '' end")
        assert (play.fields, play.timers, play.exchange.reason) == ([], [], None)
        assert play.told == ["opened", "ended", "ended"]


REFUSAL = Refusal(403, "not you", reasons.ACCESS_ABSENT)


@pytest.mark.parametrize("first", ["verdict", "body"])
@pytest.mark.parametrize("fields", [(), (("Transfer-Encoding", "chunked"),), (("Content-Length", "4"),)])
def test_nothing_reaches_the_target_before_the_gate_has_let_it_through(
    first: str, fields: tuple[tuple[str, str], ...]
) -> None:
    play = Playbook("POST", *fields, gates=("first",), warm=True)
    play.does("judge first")
    assert play.timers == [], "nobody waits for a body that may never be wanted"
    if first == "verdict":
        play.exchange.judged(None)
    play.exchange.data_received(b"1234")
    play.exchange.eof_received()
    if first == "body":
        play.does()
        play.exchange.judged(None)
    assert play._done[0] == "begin POST /"
    assert "credit 4" in play._done


def test_body_that_never_comes_is_waited_for_only_once_the_gate_is_open() -> None:
    play = Playbook("POST", gates=("first",))
    play.exchange.eof_received()
    play.does("judge first")
    play.exchange.judged(None)
    play.does("connect")
    play.connected()
    assert b"Content-Length: 0" in play.connection.head


@pytest.mark.parametrize("kind", [Kind.HTTP, Kind.WEBSOCKET])
def test_gate_that_refuses_is_the_end(kind: Kind) -> None:
    play = Playbook("POST", kind=kind, gates=("first",), warm=True, body=b"secret")
    play.exchange.judged(REFUSAL)
    _, respond = play._done
    assert respond.startswith("respond 403")
    assert (play.exchange.reason, play.exchange.error) == (reasons.ACCESS_ABSENT, "not you")
    assert not play.exchange.is_admitted
    assert not play.reached_targets


def test_gate_that_refuses_a_raw_tunnel() -> None:
    play = Playbook("", kind=Kind.TCP, gates=("first",), body=b"SSH")
    play.exchange.judged(REFUSAL)
    play.does("judge first", "refuse not you")


def test_gate_comes_before_an_answer_of_the_target_s_own() -> None:
    play = Playbook(gates=("first",), answer=Answer(200))
    play.does("judge first")
    play.exchange.judged(None)
    play.does("respond 200 '' end")


@pytest.mark.parametrize("refusal", [None, REFUSAL])
def test_verdict_on_somebody_who_has_left(refusal: Refusal | None) -> None:
    play = Playbook(gates=("first",), warm=True)
    play.exchange.reset_received()
    play.exchange.judged(refusal)
    play.does("judge first", "reset")


def test_fault_in_a_gate_lets_nobody_through() -> None:
    play = Playbook(gates=("first",), warm=True)
    play.exchange.fault(ZeroDivisionError())
    _, fault, respond = play._done
    assert fault == "fault ZeroDivisionError"
    assert respond.startswith("respond 502")


def test_raw_tunnel_to_a_target_without_connections_is_refused() -> None:
    play = Playbook("", kind=Kind.TCP, answer=Answer(418))
    play.does("connect")


def test_refused_request_reaches_nobody() -> None:
    play = Playbook("GET", ("Content-Length", "1"), ("Transfer-Encoding", "chunked"))
    (respond,) = play._done
    assert respond.startswith("respond 400")
    assert "both Content-Length and Transfer-Encoding" in play.exchange.error


def test_origin_of_another_name() -> None:
    play = Playbook("GET", ("Origin", "https://x.example"), warm=True, host_header="own.example")
    assert b"\r\nHost: own.example\r\nOrigin: http://own.example\r\n" in play.connection.head
    moved = Head(302, [(b"Location", b"http://own.example/a")], {})
    play.exchange.head_received(moved, b"", complete=True)
    assert play.fields == [(b"Location", b"https://x.example/a")]
    assert play.exchange.is_renamed


def test_fault_gives_502_or_a_reset() -> None:
    play = Playbook()
    play.exchange.fault(ZeroDivisionError())
    connect, fault, respond = play._done
    assert (connect, fault) == ("connect", "fault ZeroDivisionError")
    assert respond.startswith("respond 502")
    play = Playbook(warm=True)
    play.exchange.head_received(OK, b"", complete=False)
    play.write = play.connect_to  # type: ignore[assignment,method-assign]
    play.exchange.body_received(b"x")
    play.does("begin GET /", "respond 200", "fault TypeError", "abort origin", "reset")
