"""What client and edge say on the control stream."""

import json
import uuid

import pytest

from actors.errors import EdgeProtocolError
from actors.wire.registration import (
    Details,
    Refusal,
    Registration,
    architecture,
    local_configuration,
    read_result,
)

REGISTRATION = Registration("tag", b"the secret" * 3, uuid.UUID(int=7), 2, b"c" * 16, 300, True)


def test_params() -> None:
    params = REGISTRATION.params()
    assert params["auth"] == {"accountTag": "tag", "tunnelSecret": b"the secret" * 3}
    assert params["tunnelId"] == uuid.UUID(int=7).bytes
    assert params["options"]["numPreviousAttempts"] == 255
    assert params["options"]["replaceExisting"] is True


def test_secret_shows_in_no_repr() -> None:
    assert "secret=…" in repr(REGISTRATION)
    assert "the secret" not in repr(REGISTRATION)
    assert "the secret" not in f"{REGISTRATION}"


def test_architecture_is_go_style() -> None:
    system, machine = architecture().split("_", 1)
    assert system in ("linux", "darwin")
    assert machine not in ("x86_64", "aarch64")


def test_details() -> None:
    identifier = uuid.uuid4()
    details = {"uuid": identifier.bytes, "locationName": "bog01", "tunnelIsRemotelyManaged": True}
    assert read_result({"result": {"result": {"connectionDetails": details}}}) == Details(
        str(identifier), "bog01", True
    )


@pytest.mark.parametrize(
    ("cause", "should_retry", "duplicate", "permanent"),
    [
        ("Unauthorized", False, False, True),
        ("busy", True, False, False),
        ("EDUPCONN", False, True, False),
        ("EDUPCONN", True, True, False),
    ],
)
def test_refusals(cause: str, should_retry: bool, duplicate: bool, permanent: bool) -> None:
    error = {"cause": cause, "retryAfter": 2_500_000_000, "shouldRetry": should_retry}
    refusal = read_result({"result": {"result": {"error": error}}})
    assert refusal == Refusal(cause, 2.5, should_retry)
    assert isinstance(refusal, Refusal)
    assert (refusal.is_duplicate, refusal.is_permanent) == (duplicate, permanent)


def test_negative_wait_is_none() -> None:
    error = {"cause": "", "retryAfter": -5, "shouldRetry": True}
    assert read_result({"result": {"result": {"error": error}}}) == Refusal("", 0.0, True)


@pytest.mark.parametrize(
    "results",
    [{}, {"result": {}}, {"result": {"result": {"connectionDetails": {"uuid": b"short", "locationName": ""}}}}],
)
def test_neither(results: dict[str, object]) -> None:
    with pytest.raises(EdgeProtocolError):
        read_result(results)


def test_local_configuration_has_the_rules_and_what_goes_without_saying() -> None:
    assert json.loads(local_configuration('[{"service":"http_status:404"}]', "http2")) == {
        "__configuration_flags": {"protocol": "http2"},
        "ingress": [{"service": "http_status:404"}],
        "warp-routing": {},
    }


def test_remote_configuration_is_claimed_where_it_is_taken() -> None:
    taking = REGISTRATION._replace(takes_configuration=True).params()["options"]["client"]["features"]
    assert taking == ["allow_remote_config", *REGISTRATION.params()["options"]["client"]["features"]]
    assert sorted(taking) == taking
