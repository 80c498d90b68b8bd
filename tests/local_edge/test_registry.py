"""Tunnels and registrations, as the local edge judges them."""

import uuid
from typing import Any

import pytest

from actors.errors import UsageError
from actors.local_edge import registry
from actors.local_edge.registry import Connection, Refused, Registry, Rule, Tunnel


def params(tunnel: Tunnel, index: int = 0, *, replace: bool = False, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "auth": {"accountTag": tunnel.account_tag, "tunnelSecret": tunnel.secret},
        "tunnelId": tunnel.id.bytes,
        "connIndex": index,
        "options": {"client": {"clientId": b"c" * 16}, "replaceExisting": replace},
    }
    return made | changes


def registered(edge: Registry[str], tunnel: Tunnel, index: int = 0, session: str = "s") -> Connection[str]:
    connection = edge.register(session, params(tunnel, index))
    assert isinstance(connection, Connection)
    return connection


def test_round_robin_over_the_connections_of_a_host() -> None:
    edge: Registry[str] = Registry()
    one, two = edge.new_tunnel("localhost:1"), edge.new_tunnel("localhost:1")
    connections = [registered(edge, one, index) for index in range(3)]
    other = registered(edge, two)
    turns = [edge.route(one.hostname) for _ in range(6)]
    assert turns[:3] == turns[3:]
    assert {turn.index for turn in turns if turn} == {0, 1, 2}
    assert edge.route(two.hostname) is other
    assert edge.route("UNKNOWN") is None, "two tunnels: whose would it be?"
    assert edge.route(two.hostname.upper().replace(":1", ":2")) is other, "any case; and ports are forwarded"
    assert edge.serving() == [one, two]
    connections[0].draining = True
    assert all(turn is not connections[0] for turn in (edge.route(one.hostname) for _ in range(4)))
    edge.remove(other.id)
    assert edge.route("127.0.0.1:1") is not None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"auth": {"accountTag": "x", "tunnelSecret": b"wrong"}}, "secret"),
        ({"auth": {}}, "secret"),
        ({"tunnelId": uuid.uuid4().bytes}, "no such tunnel"),
        ({"tunnelId": b"short"}, "UUID"),
        ({"options": {}}, "client id"),
    ],
)
def test_registration_is_checked(changes: dict[str, Any], cause: str) -> None:
    edge: Registry[str] = Registry()
    outcome = edge.register("s", params(edge.new_tunnel("x"), **changes))
    assert isinstance(outcome, Refused)
    assert cause in outcome.cause
    assert not outcome.should_retry


def test_index_that_is_held_is_a_duplicate_unless_it_is_to_be_replaced() -> None:
    edge: Registry[str] = Registry()
    tunnel = edge.new_tunnel("x")
    first = registered(edge, tunnel)
    assert edge.register("s", params(tunnel)) == Refused("EDUPCONN", should_retry=True)
    second = edge.register("s", params(tunnel, replace=True))
    assert isinstance(second, Connection)
    assert edge.connections() == [second]
    assert first.id != second.id


def test_rules_are_used_up_in_turn() -> None:
    edge: Registry[str] = Registry()
    tunnel = edge.new_tunnel("x")
    for rule in (
        {"answer": "retry", "cause": "busy", "retry_after": 2, "index": 1},
        {"answer": "permanent", "times": 2},
        {"answer": "silence"},
    ):
        edge.rules.append(Rule.from_json(rule))
    outcomes = [edge.register("s", params(tunnel, index)) for index in (0, 1, 0, 0, 0)]
    assert outcomes[1] == Refused("busy", 2.0, True)
    assert [type(outcome) for outcome in outcomes] == [Refused, Refused, Refused, type(None), Connection]


@pytest.mark.parametrize("rule", [{}, {"answer": "maybe"}, {"answer": "retry", "times": "x"}])
def test_bad_rules(rule: dict[str, Any]) -> None:
    with pytest.raises((UsageError, ValueError)):
        Rule.from_json(rule)


def test_tunnels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "MAX_TUNNELS", 2)
    edge: Registry[str] = Registry()
    first = edge.new_tunnel("x")
    edge.new_tunnel("x")
    edge.new_tunnel("x")
    assert isinstance(edge.register("s", params(first)), Refused)


def test_secret_shows_in_no_repr() -> None:
    tunnel = Registry[str]().new_tunnel("x")
    assert repr(tunnel.secret) not in repr(tunnel)


def test_unknown_connection_is_explained() -> None:
    with pytest.raises(UsageError, match="nobody"):
        Registry[str]().connection("nobody")
