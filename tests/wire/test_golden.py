"""Bytes of real Go peers (tests/data/wire-golden.json), field by field: a codec cannot find its own mistakes."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.wire import registration, rpc, schema
from actors.wire.connect import (
    ConnectionType,
    ConnectRequest,
    ConnectResponse,
    HeadReader,
    encode_request,
    encode_response,
)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "wire-golden.json").read_text())


def _calls() -> list[dict[str, Any]]:
    return [entry for entry in GOLDEN["client_control_stream"] if entry["message"] == "call"]


def test_client_control_stream_is_understood_message_by_message() -> None:
    session = rpc.RpcSession(serves=True)
    heard: list[rpc.Event] = []
    for entry in GOLDEN["client_control_stream"]:
        heard += session.receive(bytes.fromhex(entry["hex"]))
    register, configure, unregister, abort = heard

    assert isinstance(register, rpc.Called)
    fields = _calls()[0]["fields"]
    assert register.method.name == "registerConnection"
    options = register.params["options"]
    assert register.params["auth"] == {
        "accountTag": fields["account"],
        "tunnelSecret": bytes.fromhex(fields["secret"]),
    }
    assert register.params["tunnelId"].hex() == fields["tunnel"]
    assert register.params["connIndex"] == fields["idx"]
    assert options["client"]["features"] == fields["features"]
    assert options["client"]["version"] == fields["version"]
    assert options["client"]["arch"] == fields["arch"]
    assert options["client"]["clientId"].hex() == fields["client_id"]
    assert options["numPreviousAttempts"] == fields["prev"]
    assert options["replaceExisting"] is fields["replace"]

    assert isinstance(configure, rpc.Called)
    assert configure.method.name == "updateLocalConfiguration"
    assert configure.params["config"].decode() == _calls()[1]["fields"]["config"]
    assert isinstance(unregister, rpc.Called)
    assert unregister.method.name == "unregisterConnection"
    assert abort == rpc.Aborted("rpc: shutdown")


def test_edge_control_stream_answers_our_questions() -> None:
    session = rpc.RpcSession(serves=False)
    question = session.call(rpc.REGISTRATION["registerConnection"], {})
    bootstrap, returned = (bytes.fromhex(entry["hex"]) for entry in GOLDEN["edge_control_stream"])
    session.take_output()
    assert session.receive(bootstrap) == []
    (event,) = session.receive(returned)
    assert isinstance(event, rpc.Returned)
    assert event.question == question
    fields = GOLDEN["edge_control_stream"][1]["fields"]
    details = registration.read_result(event.results)
    assert isinstance(details, registration.Details)
    assert details.connection_id.replace("-", "") == fields["uuid"]
    assert details.location == fields["locationName"]
    assert details.remotely_managed is fields["tunnelIsRemotelyManaged"]


def test_our_bootstrap_and_finishes_are_the_real_client_s_bytes() -> None:
    ours = rpc.RpcSession(serves=False)
    ours.call(rpc.REGISTRATION["unregisterConnection"], {})
    bootstrap = bytes.fromhex(GOLDEN["client_control_stream"][0]["hex"])
    assert ours.take_output().startswith(bootstrap)
    for entry in GOLDEN["edge_control_stream"]:
        if entry["answerId"] == 0:
            ours.receive(bytes.fromhex(entry["hex"]))
    # `requireEarlyCancellationWorkaround` is newer than the Go peer's schema: it is the one bit that differs.
    real = bytes.fromhex(GOLDEN["client_control_stream"][2]["hex"])
    assert _finish(ours.take_output()) == _finish(real)


def test_our_calls_decode_to_the_real_client_s_fields() -> None:
    """The same parameters, encoded by us and by the real client, are the same to a server."""
    server = rpc.RpcSession(serves=True)
    real = [
        event
        for entry in GOLDEN["client_control_stream"]
        for event in server.receive(bytes.fromhex(entry["hex"]))
        if isinstance(event, rpc.Called)
    ]
    ours, other = rpc.RpcSession(serves=False), rpc.RpcSession(serves=True)
    for call in real:
        ours.call(call.method, call.params)
        (heard,) = other.receive(ours.take_output())
        assert isinstance(heard, rpc.Called)
        assert (heard.method, heard.params) == (call.method, call.params)


def test_our_bootstrap_return_is_the_real_edge_s_bytes() -> None:
    session = rpc.RpcSession(serves=True)
    session.receive(bytes.fromhex(GOLDEN["client_control_stream"][0]["hex"]))
    assert session.take_output().hex() == GOLDEN["edge_control_stream"][0]["hex"]


def test_our_abort_has_the_real_client_s_fields() -> None:
    session = rpc.RpcSession(serves=False)
    session.abort("rpc: shutdown")
    ours, real = _decode(session.take_output()), _decode(bytes.fromhex(GOLDEN["client_control_stream"][-1]["hex"]))
    assert (ours["abort"]["reason"], ours["abort"]["type"]) == (real["abort"]["reason"], real["abort"]["type"])


@pytest.mark.parametrize("entry", GOLDEN["edge_request_streams"], ids=["get", "post", "websocket"])
def test_request_streams(entry: dict[str, Any]) -> None:
    fields = entry["fields"]
    data = bytes.fromhex(entry["hex"])
    reader = HeadReader()
    request = reader.feed(data)
    assert isinstance(request, ConnectRequest)
    assert request.dest == fields["dest"]
    assert request.type is ConnectionType[fields["type"].upper()]
    assert [[key, value.decode()] for key, value in request.metadata] == fields["metadata"]
    assert reader.rest.decode() == fields["body"]
    assert encode_request(request) + reader.rest == data


@pytest.mark.parametrize("entry", GOLDEN["client_responses"], ids=["200", "head", "404"])
def test_responses(entry: dict[str, Any]) -> None:
    fields = entry["fields"]
    data = bytes.fromhex(entry["hex"])
    reader = HeadReader()
    response = reader.feed_response(data)
    assert isinstance(response, ConnectResponse)
    assert response.error == fields["error"]
    assert [[key, value.decode()] for key, value in response.metadata] == fields["metadata"]
    assert reader.rest.decode() == fields["body"]
    assert encode_response(response) + reader.rest == data


def _decode(message: bytes) -> Any:
    with schema.reading(schema.rpc.Message, message) as root:
        return root.to_dict()


def _finish(message: bytes) -> Any:
    decoded = _decode(message)
    decoded["finish"].pop("requireEarlyCancellationWorkaround")
    return decoded
