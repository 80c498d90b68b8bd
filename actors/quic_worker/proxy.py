"""The way through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6). Pure."""

from typing import Final

from actors.bus.messages import Proxy

MAX_ANSWER_BYTES: Final = 16 * 1024
"""Bytes of a proxy's answer to CONNECT: a head, and nothing after it before we speak."""


class ProxyRefused(Exception):
    """The proxy does not let us through, in words that say what to do."""


def connect_request(proxy: Proxy, authority: str) -> bytes:
    """What to say to the proxy so that it opens a way to `authority`, a host and a port."""
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("latin-1")


def is_complete(answer: bytes) -> bool:
    """Whether the head of the proxy's answer has come.

    Raises:
        ProxyRefused: it never will.
    """
    if b"\r\n\r\n" in answer:
        return True
    if len(answer) > MAX_ANSWER_BYTES or not b"HTTP/1.".startswith(answer[:7]):
        raise ProxyRefused("what answers is no HTTP proxy")
    return False


def check(answer: bytes, authority: str) -> None:
    """See that the way is open.

    Raises:
        ProxyRefused: it is not.
    """
    line, _, _ = answer.partition(b"\r\n")
    _, _, rest = line.partition(b" ")
    status, _, phrase = rest.decode("latin-1").partition(" ")
    if not line.startswith(b"HTTP/1.") or not status.isdigit():
        raise ProxyRefused("what answers is no HTTP proxy")
    if status.startswith("2"):
        return
    said = f"it answered {status} {phrase}".rstrip()
    if status == "407":
        raise ProxyRefused(f"{said}: it wants a user and a password, http://USER:PASSWORD@HOST:PORT")
    raise ProxyRefused(f"{said} to CONNECT {authority}: does it allow that port?")
