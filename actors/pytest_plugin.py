"""A pytest plugin: the fixtures `tunnel` and `tunnel_session`, for tests of webhooks and of everything else that is
called from outside.

def test_webhook(tunnel):
    public = tunnel(8080)  # what listens there, behind an edge on this machine: no internet is needed
    assert public.client.post("/webhook", json={"event": "paid"}).status_code == 200
    requests.get(f"{public.local_url}/paid")  # any other client; public.url needs one that can resolve *.localhost

A tunnel takes seconds to start: six processes begin. `tunnel_session` starts one for each origin and keeps it for the
whole run, so that a test takes milliseconds.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:  # pytest loads its plugins in every run: what they need is loaded when it is used
    import httpx

    from actors.api.blocking import Tunnel
    from actors.api.manager import TunnelManager

CLIENT_TIMEOUT: Final = 10.0
"""Seconds that the client waits: the origin is on this machine."""


class PublicTunnel:
    """A tunnel over the local edge, and a client that reaches it as a visitor would."""

    def __init__(self, tunnel: "Tunnel", client: "httpx.Client") -> None:
        self.tunnel = tunnel
        self.client = client

    def __repr__(self) -> str:
        return f"<PublicTunnel {self.url}, {self.local_url}>"

    @property
    def url(self) -> str:
        """The address. Names under `localhost` are this machine for browsers and curl; not for every resolver."""
        return self.tunnel.url

    @property
    def local_url(self) -> str:
        """The same by its number, for clients that cannot resolve such names, as Python's often cannot.

        The origin sees the public name all the same: in Host, and in Origin and Referer in place of this address.
        """
        return self.tunnel.local_url


Make = Callable[["int | str | TunnelManager"], PublicTunnel]


@contextlib.contextmanager
def _public(what: "int | str | TunnelManager") -> Iterator[PublicTunnel]:
    import ssl

    import httpx

    from actors.api.blocking import Tunnel
    from actors.api.manager import TunnelManager

    with Tunnel(TunnelManager.of(what).with_local_edge()) as made:
        client = httpx.Client(
            base_url=made.local_url,
            timeout=CLIENT_TIMEOUT,
            verify=ssl.create_default_context(cafile=made.local_ca) if made.local_ca else True,
            trust_env=False,  # a proxy cannot reach this machine's own addresses
        )
        with client:
            yield PublicTunnel(made, client)


@pytest.fixture
def tunnel() -> Iterator[Make]:
    """A function that gives a port (or a URL, or what a `TunnelManager` says) a public address, until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda what: stack.enter_context(_public(what))


@pytest.fixture(scope="session")
def tunnel_session() -> Iterator[Make]:
    """The same until the run ends. Who asks for the same port, or URL, again gets the same tunnel."""
    with contextlib.ExitStack() as stack:
        made: list[tuple[object, PublicTunnel]] = []

        def make(what: "int | str | TunnelManager") -> PublicTunnel:
            for known, public in made:
                if known == what:
                    return public
            public = stack.enter_context(_public(what))
            made.append((what, public))
            return public

        yield make
