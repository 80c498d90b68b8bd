"""A pytest plugin: the fixture `tunnel`, for tests of webhooks and of everything else that is called from outside.

def test_webhook(tunnel):
    public = tunnel(8080)  # what listens there, behind an edge on this machine: no internet is needed
    assert public.client.post("/webhook", json={"event": "paid"}).status_code == 200
    requests.get(f"{public.local_url}/paid")  # any other client; public.url needs one that can resolve *.localhost
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:  # pytest loads its plugins in every run: what they need is loaded when it is used
    import httpx

    from actors.blocking import Tunnel
    from actors.manager import TunnelManager

CLIENT_TIMEOUT: Final = 10.0
"""Seconds that the client waits: the origin is on this machine."""


class PublicTunnel:
    """A tunnel over the local edge, and a client that reaches it as a visitor would."""

    def __init__(self, tunnel: "Tunnel", client: "httpx.Client") -> None:
        self.tunnel = tunnel
        self.client = client

    @property
    def url(self) -> str:
        """The address. Names under `localhost` are this machine, for browsers and curl too."""
        return self.tunnel.url

    @property
    def local_url(self) -> str:
        """The same by its number, for clients that cannot resolve such names, as Python's often cannot.

        The origin sees the public name all the same: in Host, and in Origin and Referer in place of this address.
        """
        return self.tunnel.local_url


@pytest.fixture
def tunnel() -> Iterator[Callable[["int | str | TunnelManager"], PublicTunnel]]:
    """A function that gives a port (or a URL, or what a `TunnelManager` says) a public address, until the test ends."""
    import contextlib
    import ssl

    import httpx

    from actors.blocking import Tunnel
    from actors.manager import TunnelManager

    with contextlib.ExitStack() as stack:

        def make(what: int | str | TunnelManager) -> PublicTunnel:
            made = stack.enter_context(Tunnel(TunnelManager.of(what).with_local_edge()))
            client = httpx.Client(
                base_url=made.local_url,
                timeout=CLIENT_TIMEOUT,
                verify=ssl.create_default_context(cafile=made.local_ca) if made.local_ca else True,
                trust_env=False,  # no proxy of this machine leads to the machine itself
            )
            return PublicTunnel(made, stack.enter_context(client))

        yield make
