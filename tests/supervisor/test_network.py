"""The way out: routes by the kernel, names by a resolver."""

import errno
import socket
from typing import Any

import dns.asyncresolver
import dns.message
import dns.name
import dns.resolver
import pytest

from actors.bus.messages import EdgeAddress
from actors.supervisor import network

resolver: Any = dns.resolver
"""Its exceptions are not typed."""


def test_loopback_has_a_route_and_its_source_is_itself() -> None:
    assert network.sources([EdgeAddress(host="127.0.0.9", port=7844)]) == {"127.0.0.1"}


def test_without_a_route_there_is_no_source(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert network.sources([EdgeAddress(host="192.0.2.1", port=7844)]) == frozenset()


def test_want_of_descriptors_says_nothing_about_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(OSError, match="Too many"):
        network.sources([EdgeAddress(host="192.0.2.1", port=7844)])


@pytest.mark.parametrize(
    ("failure", "answers"),
    [
        (resolver.NXDOMAIN(), True),
        (resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query("a.", "SRV"))), True),
        (resolver.NoNameservers(), False),
        (resolver.LifetimeTimeout(timeout=1, errors=[]), False),
        (OSError("no resolv.conf"), False),
    ],
    ids=repr,
)
async def test_any_word_of_a_resolver_is_an_answer(
    failure: Exception, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(self: object, name: str, kind: str) -> None:
        raise failure

    monkeypatch.setattr(dns.asyncresolver.Resolver, "resolve", resolve)
    assert await network.resolver_answers("a.example") is answers
