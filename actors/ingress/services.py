"""What a rule's `service` says. Pure.

A service is a word (`hello_world`), a word with a value (`http_status:404`, `unix:/run/app.sock`), or a URL. URLs are
taken apart as Go's net/url does, since its words for what is wrong are what users find when they look for them.
"""

import ipaddress
import json
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from actors.bus.addresses import joined
from actors.bus.routes import IpRule
from actors.ingress.errors import IngressError
from actors.ingress.model import Bastion, HelloWorld, Http, OriginRequest, Service, Socks, Status, Tcp, Unix

_HTTP_PORTS: Final = {"http": 80, "ws": 80, "https": 443, "wss": 443}

_TCP_PORTS: Final = {"tcp": 7864, "ssh": 22, "rdp": 3389, "smb": 445}
"""Any other scheme is TCP as well, and has no port that is usual."""

_MAX_STATUS_DIGITS: Final = 18
"""Digits of a number that Go takes for one."""


def service(text: str, request: OriginRequest) -> Service:
    """What `text` says, with all that its rule says of the origin.

    Raises:
        IngressError: it is none.
    """
    if text.startswith("unix:"):
        return Unix(text.removeprefix("unix:"))
    if text.startswith("unix+tls:"):
        return Unix(text.removeprefix("unix+tls:"), tls=True)
    if text.startswith("http_status:"):
        return Status(_status(text.removeprefix("http_status:")))
    if text in ("hello_world", "hello-world"):
        return HelloWorld()
    if text == "socks-proxy":
        check_ip_rules(request.ip_rules)
        return Socks()
    if text == "bastion" or request.bastion_mode:
        return Bastion()
    made = _address(text)
    if isinstance(made, Tcp) and request.proxy_type == "socks":
        check_ip_rules(request.ip_rules)
        return Socks()
    return made


def _status(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        raise IngressError(f"invalid HTTP status code: strconv.Atoi: parsing {json.dumps(text)}: invalid syntax")
    if len(text.lstrip("+-").lstrip("0")) > _MAX_STATUS_DIGITS:
        raise IngressError(f"invalid HTTP status code: strconv.Atoi: parsing {json.dumps(text)}: value out of range")
    if not 100 <= int(text) <= 999:
        raise IngressError(f"invalid HTTP status code: {int(text)}")
    return int(text)


def check_ip_rules(rules: Iterable[IpRule]) -> None:
    """Say what is wrong with them.

    Raises:
        IngressError: a prefix is no network, or a port none.
    """
    for rule in rules:
        if not rule.prefix:
            raise IngressError("unable to create ip rule for socks-proxy: no prefix provided")
        if not is_network(rule.prefix):
            raise IngressError(f"unable to create ip rule for socks-proxy: unable to parse cidr: {rule.prefix}")
        for port in rule.ports:
            if not 1 <= port <= 65535:
                raise IngressError(
                    f"unable to create ip rule for socks-proxy: invalid port {port}, needs to be between 1 and 65535"
                )


def is_network(text: str) -> bool:
    """Whether it is an address with the length of its prefix."""
    if not re.fullmatch(r"[0-9a-fA-F:.]+/[0-9]{1,3}", text, re.ASCII):
        return False
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


class _Url(NamedTuple):
    scheme: str
    host: str
    port: str
    path: str
    tail: str
    """Query and fragment, which say nothing to us."""


def _address(text: str) -> Http | Tcp:
    url = _url(text)
    if not url.scheme or not url.host:
        raise IngressError(f"{text} is an invalid address, please make sure it has a scheme and a hostname")
    if url.path:
        raise IngressError(
            f"{text} is an invalid address, ingress rules don't support proxying to a different path on the origin "
            "service. The path will be the same as the eyeball request's path"
        )
    given = int(url.port[:6]) if url.port else None
    if given is not None and given > 65535:
        raise IngressError(f"parse {json.dumps(text)}: invalid port {json.dumps(f':{url.port}')} after host")
    usual = _HTTP_PORTS.get(url.scheme)
    if usual is None:
        port = _TCP_PORTS.get(url.scheme, 0) if given is None else given
        host = joined(url.host, port) if port else _bracketed(url.host)
        return Tcp(url.scheme, url.host, port, f"{url.scheme}://{host}{url.tail}")
    host = _bracketed(url.host) if given is None else joined(url.host, given)
    return Http(url.scheme in ("https", "wss"), url.host, given or usual, f"{url.scheme}://{host}{url.tail}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NOT_IN_HOST: Final = re.compile(r"[^A-Za-z0-9_.~!$&'()*+,;=:\[\]<>\"\x80-\U0010ffff-]|%")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)


def _url(text: str) -> _Url:
    """Take a URL apart; what is not there is empty.

    Raises:
        IngressError: with the words of Go.
    """
    whole, _, fragment = text.partition("#")
    if re.search(r"[\x00-\x1f\x7f]", whole):
        raise _wrong(whole, "net/url: invalid control character in URL")
    if whole.startswith(":"):
        raise _wrong(whole, "missing protocol scheme")
    found = _SCHEME.match(whole)
    scheme, rest = (found[1].lower(), whole[found.end() :]) if found else ("", whole)
    rest, mark, query = rest.partition("?")
    tail = (f"?{query}" if mark else "") + (f"#{fragment}" if fragment else "")
    if not rest.startswith("/"):
        if scheme:
            return _Url(scheme, "", "", "", tail)  # mailto:somebody
        if ":" in rest.partition("/")[0]:
            raise _wrong(whole, "first path segment in URL cannot contain colon")
    authority, path = "", rest
    if rest.startswith("//") and (scheme or not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        path = slash + path
    host, port = _host(whole, authority.rpartition("@")[2])
    if bad := _ESCAPE.search(path):
        raise _wrong(whole, f"invalid URL escape {json.dumps(bad[0])}")
    return _Url(scheme, host, port, path, tail)


def _host(whole: str, authority: str) -> tuple[str, str]:
    """Host and port of an authority; who logs in was cut off, as a secret."""
    if authority.startswith("["):
        host, bracket, after = authority[1:].rpartition("]")
        if not bracket:
            raise _wrong(whole, "missing ']' in host")
        host, zone, name = host.partition("%25")
        if zone:
            host = f"{host}%{name}"
    else:
        host, colon, after = authority.rpartition(":")
        host, after = (host, colon + after) if colon else (authority, "")
        if bad := _NOT_IN_HOST.search(host):
            if bad[0] == "%":
                raise _wrong(whole, f"invalid URL escape {json.dumps(host[bad.start() : bad.start() + 3])}")
            raise _wrong(whole, f"invalid character {json.dumps(bad[0])} in host name")
    if not re.fullmatch(r"(:[0-9]*)?", after, re.ASCII):
        raise _wrong(whole, f"invalid port {json.dumps(after)} after host")
    return host, after[1:].lstrip("0") or after[1:2]


def _wrong(url: str, what: str) -> IngressError:
    return IngressError(f"parse {json.dumps(url)}: {what}")
