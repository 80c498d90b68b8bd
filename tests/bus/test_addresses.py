"""A host and a port, as text and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.addresses import HostPort


@given(st.sampled_from(["127.0.0.1", "::1", "fe80::1%eth0", "edge.example", "localhost"]), st.integers(0, 65535))
def test_text_is_taken_apart_into_what_it_was_made_of(host: str, port: int) -> None:
    address = HostPort(host, port)
    assert HostPort.parse(str(address)) == address
    assert str(address).startswith("[") is (":" in host)


@pytest.mark.parametrize(
    "text", ["", "host", ":1", "host:", "host:x", "host:65536", "::1:80", "[::1]", "[host]:1", "[::1:2"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        HostPort.parse(text)
