"""Tunnels and registrations, as the local edge judges them."""

import base64
import json
import uuid
from typing import Any

import pytest

from actors.errors import UsageError
from actors.local_edge import registry
from actors.local_edge.registry import Connection, Refused, Registry, Rule, Tunnel


def params(
    tunnel: Tunnel, index: int = 0, *, replace: bool = False, client: bytes = b"c" * 16, **changes: Any
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "auth": {"accountTag": tunnel.account_tag, "tunnelSecret": tunnel.secret},
        "tunnelId": tunnel.id.bytes,
        "connIndex": index,
        "options": {"client": {"clientId": client}, "replaceExisting": replace},
    }
    return made | changes


def registered(edge: Registry[str], tunnel: Tunnel, index: int = 0, client: bytes = b"c" * 16) -> Connection[str]:
    connection = edge.register("s", params(tunnel, index, client=client))
    assert isinstance(connection, Connection)
    return connection


def test_round_robin_over_the_connections_of_a_host() -> None:
    edge: Registry[str] = Registry()
    one, two = edge.new_tunnel("localhost:1"), edge.new_tunnel("localhost:1")
    connections = [registered(edge, one, index) for index in range(3)]
    other = registered(edge, two)
    turns = [edge.route(one.hostname, 0.0) for _ in range(6)]
    assert turns[:3] == turns[3:]
    assert {turn.index for turn in turns if turn} == {0, 1, 2}
    assert edge.route(two.hostname, 0.0) is other
    assert edge.route("UNKNOWN", 0.0) is None, "two tunnels: whose would it be?"
    assert edge.route(two.hostname.upper().replace(":1", ":2"), 0.0) is other, "any case; and ports are forwarded"
    assert edge.serving() == [one, two]
    connections[0].draining = True
    assert all(turn is not connections[0] for turn in (edge.route(one.hostname, 0.0) for _ in range(4)))
    edge.remove(other.id)
    assert edge.route("127.0.0.1:1", 0.0) is not None


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


def test_replicas_are_no_duplicates_and_share_the_requests() -> None:
    """A token on two machines: the same tunnel and indices, another client id."""
    edge: Registry[str] = Registry()
    tunnel = edge.new_named("localhost:1")
    replicas = {registered(edge, tunnel, index, client) for client in (b"a" * 16, b"b" * 16) for index in (0, 1)}
    assert edge.register("s", params(tunnel, 1, client=b"a" * 16)) == Refused("EDUPCONN", should_retry=True)
    chosen = [edge.route(tunnel.hostname, 0.0) for _ in range(8)]
    assert set(chosen) == replicas
    assert all(chosen.count(each) == 2 for each in replicas)


def test_tunnels_have_turns_of_their_own() -> None:
    """Visitors of two tunnels who take turns, too, reach all connections of both."""
    edge: Registry[str] = Registry()
    tunnels = [edge.new_tunnel("localhost:1"), edge.new_tunnel("localhost:1")]
    connections = {registered(edge, tunnel, index) for tunnel in tunnels for index in (0, 1)}
    assert {edge.route(tunnel.hostname, 0.0) for _ in range(4) for tunnel in tunnels} == connections


def test_silent_connection_is_passed_over_until_it_speaks() -> None:
    edge: Registry[str] = Registry()
    tunnel = edge.new_named("localhost:1")
    lost, lives = registered(edge, tunnel, 0), registered(edge, tunnel, 1)
    heard = 0
    lost.heard, lives.heard = (lambda: heard), None
    later = registry.SILENCE + 0.001

    def chosen(now: float) -> set[Connection[str] | None]:
        return {edge.route(tunnel.hostname, now) for _ in range(4)}

    assert chosen(0.0) == chosen(registry.SILENCE) == {lost, lives}
    assert chosen(later) == {lives}
    heard += 1
    assert chosen(later) == {lost, lives}
    heard += 1
    assert chosen(7.0) == {lost, lives}, "it has spoken since it was given one"
    edge.remove(lives.id)
    assert chosen(9.0) == {lost}, "there is no other"


def test_named_tunnel_is_known_by_its_token() -> None:
    edge: Registry[str] = Registry()
    made = edge.new_named("localhost:1")
    said = json.loads(base64.b64decode(made.token))
    assert (said["t"], said["a"], base64.b64decode(said["s"])) == (str(made.id), made.account_tag, made.secret)
    assert made.hostname == f"{made.id}.localhost:1"
    registered(edge, made)
    with pytest.raises(UsageError, match="known already"):
        edge.know(made.id, "a", b"s", "localhost:1")
    edge.drop_tunnel(str(made.id))
    assert isinstance(edge.register("s", params(made)), Refused), "it is unknown again"
    assert isinstance(edge.register("s", params(edge.know(made.id, "a", b"s", "x"))), Connection)


def test_names_of_a_named_tunnel() -> None:
    """Its id's, those that its configuration names, and no others once it was given some."""
    edge: Registry[str] = Registry()
    one, two = edge.new_named("localhost:1"), edge.new_named("localhost:1")
    first, second = registered(edge, one), registered(edge, two)
    one.learn(b'{"ingress":[{"hostname":"*.example.com"},{"hostname":"app.example.com"},{}]}')
    two.learn(b'{"ingress":[{"hostname":"b.example.com","path":"^/b"},{"service":"http_status:404"}]}')
    assert edge.route(f"{one.id}.localhost:8", 0.0) is edge.route("APP.example.com:8", 0.0) is first
    assert edge.route("c.example.com", 0.0) is first
    assert edge.route("b.example.com", 0.0) is second, "it says more than the wildcard"
    assert edge.route("example.com", 0.0) is None
    assert (one.hostname, two.hostname) == ("app.example.com", "b.example.com")
    one.hostnames = ("x.example",)
    assert edge.route("x.example", 0.0) is first
    assert edge.route("app.example.com", 0.0) is None
    assert one.hostname == "x.example"


def test_quick_tunnel_has_one_name_whatever_its_rules_say() -> None:
    tunnel = Registry[str]().new_tunnel("localhost:1")
    tunnel.learn(b'{"ingress":[{"hostname":"app.example.com"},{}]}')
    assert tunnel.names == (tunnel.given,)


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
