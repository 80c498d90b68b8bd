"""Routes on the bus."""

import msgspec

from actors.bus.messages import MAX_CONTROL_BYTES, Reroute, encode
from actors.bus.routes import Access, Bastion, IpRule, Origin, Route, Routes, Socks, Status, Tcp

ALL = Routes(
    (
        Route(Origin(host="127.0.0.1", port=8080), hostname="*.example.com", path="^/api/", access=Access("", ("a",))),
        Route(Tcp("127.0.0.1", 22, "ssh://127.0.0.1")),
        Route(Bastion()),
        Route(Socks((IpRule("10.0.0.0/8", (80, 443), allow=True),))),
        Route(Status(404)),
    ),
    version=7,
)


def test_each_destination_comes_back_as_it_was() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(ALL), type=Routes) == ALL


def test_what_is_shown_of_them_is_what_rules_say() -> None:
    shown = [str(route.destination) for route in ALL.routes]
    assert shown == ["127.0.0.1:8080", "ssh://127.0.0.1", "bastion", "socks-proxy", "http_status:404"]


def test_routes_can_be_keys() -> None:
    assert len({route.destination for route in ALL.routes}) == len(ALL.routes)


def test_a_plain_route_is_small() -> None:
    """2000 of them pass between two processes as one message."""
    assert len(msgspec.msgpack.encode(Route(Origin(host="127.0.0.1", port=8080), hostname="a.example.com"))) < 120


def test_the_largest_configuration_fits_into_one_message() -> None:
    """Of 1 MiB, made of the shortest rules; and with every name as long as it can be."""
    shortest = len('{"service":"http_status:1"},')
    many = Routes((Route(Status(404)),) * (1024 * 1024 // shortest))
    assert len(encode(Reroute(many))) < MAX_CONTROL_BYTES
    origin = Origin(host="h" * 200, port=8080, host_header="x" * 200, server_name="y" * 200)
    named = Route(origin, hostname="a" * 250, path="/" * 200)
    assert len(encode(Reroute(Routes((named,) * (1024 * 1024 // 1000))))) < MAX_CONTROL_BYTES


def test_routes_know_whether_the_first_is_for_all_and_what_names_there_are() -> None:
    status = Status(404)
    for first, is_for_all in (
        (Route(status), True),
        (Route(status, hostname="*"), True),
        (Route(status, path="x"), False),
    ):
        assert Routes((first, Route(status, hostname="a.b"))).begins_with_all == is_for_all
        assert Routes((first, Route(status, hostname="a.b"))).hostnames == ["a.b"]
    assert not Routes().begins_with_all
