"""The rules that say which connections serve somebody else, and what requests go on a used one."""

import pytest

from actors.exchange.http1 import Body, RequestHead
from actors.exchange.response import ResponseReader, Told
from actors.exchange.reuse import may_go_on_used, request_allows, response_allows


def head(*fields: str, method: str = "GET", body: Body = Body.NONE, upgrade: bool = False) -> RequestHead:
    data = "\r\n".join([f"{method} / HTTP/1.1", "Host: x", *fields]).encode("latin-1") + b"\r\n\r\n"
    return RequestHead(data, method, body, 0, upgrade)


def told(*fields: tuple[bytes, bytes]) -> Told:
    reader = ResponseReader("GET")
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in fields)
    reader.feed(b"HTTP/1.1 401 Unauthorized\r\n" + lines + b"\r\n")
    assert reader.head is not None
    return reader.head.told


@pytest.mark.parametrize(
    "field",
    [
        "Authorization: NTLM TlRMTVNTUAABAAAAB4IIogAAAAAAAAAA",
        "authorization: ntlm x",
        "AUTHORIZATION: Negotiate YII",
        "Authorization:nEgOtIaTe YII",
        "Authorization:\tKerberos YII",
        "X: 1\r\nAuthorization: Basic eA==\r\nAuthorization: NTLM x",
    ],
)
def test_connection_bound_authentication_in_a_request(field: str) -> None:
    assert not request_allows(head(field))


@pytest.mark.parametrize(
    "field",
    ["Authorization: Basic bnRsbQ==", "Authorization: Bearer negotiated.x", "X-Note: Authorization: NTLM", "A: b"],
)
def test_authentication_of_each_request(field: str) -> None:
    assert request_allows(head(field))


@pytest.mark.parametrize(
    "field",
    [
        (b"WWW-Authenticate", b"NTLM"),
        (b"www-authenticate", b"Negotiate oYG2"),
        (b"WWW-Authenticate", b'Basic realm="x", nTLM'),
        (b"WWW-Authenticate", b'Digest realm="x",Negotiate'),
        (b"WWW-Authenticate", b"Kerberos"),
        (b"Proxy-Authenticate", b"NTLM"),
        (b"Authentication-Info", b"Negotiate oYG2"),
        (b"Persistent-Auth", b"true"),
        (b"persistent-auth", b"false"),
    ],
)
def test_connection_bound_authentication_in_a_response(field: tuple[bytes, bytes]) -> None:
    assert not response_allows(told((b"Date", b"x"), field))


def test_other_responses() -> None:
    assert response_allows(told((b"WWW-Authenticate", b'Basic realm="x"'), (b"Server", b"Negotiate NTLM")))


def test_what_switches_protocols_serves_nobody_else() -> None:
    assert not request_allows(head(upgrade=True))


def test_what_goes_on_a_used_connection() -> None:
    assert all(may_go_on_used(head(method=method)) for method in ("GET", "HEAD", "OPTIONS", "TRACE"))
    assert not any(may_go_on_used(head(method=method)) for method in ("POST", "PUT", "DELETE", "PROPFIND", "get"))
    assert not may_go_on_used(head(body=Body.LENGTH))
    assert not may_go_on_used(head(body=Body.CHUNKED))
    assert not may_go_on_used(head(upgrade=True))
