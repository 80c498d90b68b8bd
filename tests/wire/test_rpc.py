"""Cap'n Proto RPC: both ends, splits, hostility."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import EdgeProtocolError
from actors.wire import rpc, schema

REGISTER = rpc.REGISTRATION["registerConnection"]
CONFIGURE = rpc.CONFIGURATION["updateConfiguration"]


def pair() -> tuple[rpc.RpcSession, rpc.RpcSession]:
    return rpc.RpcSession(serves=False), rpc.RpcSession(serves=True)


def test_question_and_answer() -> None:
    client, server = pair()
    question = client.call(CONFIGURE, {"version": 7, "config": b"{}"})
    (called,) = server.receive(client.take_output())
    assert isinstance(called, rpc.Called)
    assert called.params == {"version": 7, "config": b"{}"}
    server.answer(called.answer, called.method, {"result": {"latestAppliedVersion": 3, "err": "no"}})
    (returned,) = client.receive(server.take_output())
    assert returned == rpc.Returned(question, {"result": {"latestAppliedVersion": 3, "err": "no"}})
    assert server.receive(client.take_output()) == []  # the Finishes


def test_second_call_goes_to_the_imported_capability() -> None:
    client, server = pair()
    for _ in range(3):
        client.call(CONFIGURE, {})
        (called,) = server.receive(client.take_output())
        assert isinstance(called, rpc.Called)
        server.answer(called.answer, called.method, {})
        assert len(client.receive(server.take_output())) == 1


def test_exception_is_a_failure_with_its_reason() -> None:
    client, server = pair()
    question = client.call(REGISTER, {})
    (called,) = server.receive(client.take_output())
    assert isinstance(called, rpc.Called)
    server.refuse(called.answer, "not today")
    assert client.receive(server.take_output()) == [rpc.Failed(question, "not today")]


def test_side_without_an_interface_says_so() -> None:
    client, other = rpc.RpcSession(serves=False), rpc.RpcSession(serves=False)
    question = client.call(REGISTER, {})
    assert other.receive(client.take_output()) == []
    (failed,) = client.receive(other.take_output())
    assert isinstance(failed, rpc.Failed)
    assert failed.question == question
    assert "not implemented" in failed.reason


def test_unknown_method_is_answered_as_unimplemented() -> None:
    client, server = pair()
    question = client.call(REGISTER._replace(method_id=99), {})
    assert server.receive(client.take_output()) == []
    (failed,) = client.receive(server.take_output())
    assert isinstance(failed, rpc.Failed)
    assert failed.question == question


def test_message_that_is_not_understood_is_echoed_as_unimplemented() -> None:
    message = schema.rpc.Message.new_message()
    message.init("provide").questionId = 5
    session = rpc.RpcSession(serves=True)
    assert session.receive(message.to_bytes()) == []
    with schema.reading(schema.rpc.Message, session.take_output()) as root:
        assert str(root.which()) == "unimplemented"
        assert root.unimplemented.provide.questionId == 5


def test_disembargo_is_echoed() -> None:
    message = schema.rpc.Message.new_message()
    disembargo = message.init("disembargo")
    disembargo.init("target").importedCap = 0
    disembargo.init("context").senderLoopback = 42
    session = rpc.RpcSession(serves=True)
    session.receive(message.to_bytes())
    with schema.reading(schema.rpc.Message, session.take_output()) as root:
        assert root.disembargo.context.receiverLoopback == 42


def test_unimplemented_call_fails_its_question() -> None:
    client, _ = pair()
    question = client.call(REGISTER, {})
    message = schema.rpc.Message.new_message()
    message.init("unimplemented").init("call").questionId = question
    (failed,) = client.receive(message.to_bytes())
    assert isinstance(failed, rpc.Failed)


def test_abort_is_told() -> None:
    client, server = pair()
    server.abort("enough")
    assert client.receive(server.take_output()) == [rpc.Aborted("enough")]


@pytest.mark.parametrize("kind", ["release", "resolve"])
def test_bookkeeping_needs_no_answer(kind: str) -> None:
    message = schema.rpc.Message.new_message()
    message.init(kind)
    session = rpc.RpcSession(serves=True)
    assert session.receive(message.to_bytes()) == []
    assert session.take_output() == b""


def test_questions_without_finish_are_bounded() -> None:
    session = rpc.RpcSession(serves=True)
    with pytest.raises(EdgeProtocolError, match="Finish"):
        for number in range(rpc.MAX_ANSWERS + 1):
            message = schema.rpc.Message.new_message()
            message.init("bootstrap").questionId = number
            session.receive(message.to_bytes())


@given(st.integers(1, 600))
def test_stream_may_be_split_anywhere(step: int) -> None:
    client, server = pair()
    client.call(REGISTER, {"auth": {"accountTag": "tag", "tunnelSecret": b"s" * 32}, "tunnelId": b"t" * 16})
    data = client.take_output()
    heard = [event for start in range(0, len(data), step) for event in server.receive(data[start : start + step])]
    assert [type(event) for event in heard] == [rpc.Called]


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_garbage_raises_the_documented_error_only(data: bytes) -> None:
    for serves in (True, False):
        try:
            rpc.RpcSession(serves=serves).receive(data)
        except EdgeProtocolError:
            continue


@settings(max_examples=500)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_mutated_messages_raise_the_documented_error_only(where: int, what: bytes) -> None:
    client, server = pair()
    client.call(REGISTER, {"auth": {"accountTag": "tag", "tunnelSecret": b"s" * 32}, "tunnelId": b"t" * 16})
    data = bytearray(client.take_output())
    where %= len(data)
    data[where : where + len(what)] = what
    try:
        for event in server.receive(bytes(data)):
            if isinstance(event, rpc.Called):
                server.answer(event.answer, event.method, {})
        client.receive(server.take_output())
    except EdgeProtocolError:
        return
