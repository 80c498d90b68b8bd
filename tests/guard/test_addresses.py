"""Where a visitor comes from."""

import ipaddress

import pytest

from actors.guard.addresses import Networks, name, visitor
from tests.guard.kit import asked

FIELD = "Cf-Connecting-Ip"


def comes_from(*values: str) -> object:
    return visitor(asked("/", *((FIELD, value) for value in values)))


def test_the_edge_says_it() -> None:
    assert comes_from("203.0.113.7") == ipaddress.ip_address("203.0.113.7")
    assert comes_from(" 2001:db8::1 ") == ipaddress.ip_address("2001:db8::1")
    assert comes_from("::ffff:203.0.113.7") == ipaddress.ip_address("203.0.113.7")


@pytest.mark.parametrize(
    "values",
    [(), ("",), ("203.0.113.7", "203.0.113.7"), ("203.0.113.7, 10.0.0.1",), ("fe80::1%eth0",), ("localhost",), ("1",)],
)
def test_what_is_said_twice_or_is_no_address_is_nothing(values: tuple[str, ...]) -> None:
    assert comes_from(*values) is None


@pytest.mark.parametrize("field", ["X-Forwarded-For", "X-Real-Ip", "True-Client-Ip", "Cf_Connecting_Ip", "Forwarded"])
def test_no_other_field_says_it(field: str) -> None:
    assert visitor(asked("/", (field, "10.0.0.1"))) is None
    assert visitor(asked("/", (field, "10.0.0.1"), (FIELD, "203.0.113.7"))) == ipaddress.ip_address("203.0.113.7")


def test_spelling_of_the_field_does_not_count() -> None:
    assert visitor(asked("/", ("cF-cOnNeCtInG-iP", "203.0.113.7"))) is not None
    assert visitor(asked("/", ("cF-cOnNeCtInG-iP", "203.0.113.7"), (FIELD, "10.0.0.1"))) is None


@pytest.mark.parametrize(
    ("allow", "deny", "address", "may"),
    [
        ((), (), "203.0.113.7", True),
        (("203.0.113.0/24",), (), "203.0.113.7", True),
        (("203.0.113.0/24",), (), "203.0.114.7", False),
        (("203.0.113.0/24",), ("203.0.113.7/32",), "203.0.113.7", False),
        ((), ("203.0.113.7/32",), "203.0.113.8", True),
        (("2001:db8::/32",), (), "2001:db8::7", True),
        (("2001:db8::/32",), (), "203.0.113.7", False),
        (("0.0.0.0/0",), (), "::ffff:203.0.113.7", True),
    ],
)
def test_networks(allow: tuple[str, ...], deny: tuple[str, ...], address: str, may: bool) -> None:
    assert Networks(allow, deny).admit(visitor(asked("/", (FIELD, address)))) is may


def test_whoever_has_no_address_is_not_let_in_where_addresses_count() -> None:
    assert not Networks(("0.0.0.0/0",), ()).admit(None)
    assert not Networks((), ("203.0.113.7/32",)).admit(None)
    assert not Networks((), ())


def test_visitors_of_one_home_are_one() -> None:
    one, other = (ipaddress.ip_address(f"2001:db8:0:{number}::1") for number in (1, 2))
    assert name(one) == name(ipaddress.ip_address("2001:db8:0:1:ffff::9"))
    assert len({name(one), name(other), name(ipaddress.ip_address("203.0.113.7")), name(None)}) == 4
