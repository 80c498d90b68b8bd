"""Two names of one origin: the public one, by which visitors come, and the one that it goes by itself. Pure.

With `--host-header` an origin is asked for by its own name. It must then be so throughout: one that compares Origin or
Referer with Host (Django, Jupyter) would refuse what the visitor's browser says, and one that redirects to itself, or
sets a cookie for its own name, would lead the visitor to a place that is not there. So what names the public host on
the way in names the origin, and back again on the way out. What names anybody else is left alone: an Origin of another
site stays one.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from actors.bus.routes import Origin
from actors.exchange.http1 import RequestHead, build_request_head, is_host
from actors.exchange.request import Field, Request

_URL = re.compile(rb"(?:(https?):)?//([^/?#\\@]*)((?:[/?#].*)?)", re.IGNORECASE | re.DOTALL)
_REFRESH = re.compile(rb"(\s*\d+\s*[;,]\s*url\s*=\s*[\"']?)(.*)", re.IGNORECASE | re.DOTALL)
_COOKIE_DOMAIN = re.compile(rb"(;\s*domain\s*=\s*)\.?([^;\s]+)", re.IGNORECASE)

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


class _Place(NamedTuple):
    """A scheme and a host with its port."""

    scheme: bytes
    authority: bytes

    @property
    def hostname(self) -> bytes:
        return re.sub(rb":\d+$", b"", self.authority).lower()

    def is_at(self, scheme: bytes, authority: bytes) -> bool:
        """Whether a URL with this authority leads here. The scheme only says which port goes without saying."""
        return _plain(scheme, authority) == _plain(self.scheme, self.authority)


def _plain(scheme: bytes, authority: bytes) -> bytes:
    return authority.lower().removesuffix(_DEFAULT_PORTS[scheme])


def _moved(url: bytes, here: _Place, there: _Place) -> bytes:
    """`url`, if it leads `here`, as one that leads `there`; any other as it is."""
    match = _URL.fullmatch(url)
    if match is None or not here.is_at((match[1] or here.scheme).lower(), match[2]):
        return url
    return (there.scheme + b":" if match[1] else b"") + b"//" + there.authority + match[3]


class Rewrite:
    """The names of one request and its response."""

    def __init__(self, request: Request, origin: Origin) -> None:
        """`origin` has a `host_header`."""
        assert origin.host_header is not None
        schemes = [value.lower() for name, value in request.fields if name.lower() == b"x-forwarded-proto"]
        scheme = schemes[-1] if schemes and schemes[-1] in _DEFAULT_PORTS else b"https"
        self._public = _Place(scheme, request.host if is_host(request.host) else b"")
        own_scheme = b"https" if origin.scheme == "https" else b"http"
        self._own = _Place(own_scheme, origin.host_header.encode("latin-1"))
        self._forwarded = origin.forwarded_host
        self._request = request

    def request(self) -> Request:
        """The request, as if the visitor had asked for the origin by its own name.

        A host that is none stays, and is refused later (`http1.py`).
        """
        if not is_host(self._request.host):
            return self._request
        fields: list[Field] = []
        if self._forwarded:
            fields.append((b"X-Forwarded-Host", self._request.host))
        for name, value in self._request.fields:
            if (change := _ON_THE_WAY_IN.get(name.lower())) is None:
                fields.append((name, value))
            elif (changed := change(self, value)) is not None:
                fields.append((name, changed))
        return self._request._replace(host=self._own.authority, fields=tuple(fields))

    def answer(self, fields: Iterable[Field]) -> list[Field]:
        """The fields of the response, as if the origin had known that it was asked for by its public name."""
        return [
            (name, change(self, value) if (change := _ON_THE_WAY_OUT.get(name.lower())) is not None else value)
            for name, value in fields
        ]

    # --- in ---

    def _host(self, value: bytes) -> bytes:
        return self._own.authority if value == self._public.authority else value

    def _url_in(self, value: bytes) -> bytes:
        return value if self._forwarded else _moved(value, self._public, self._own)

    def _scheme(self, value: bytes) -> bytes:
        """With the public one gunicorn and uvicorn take themselves for https://HOST, and Origin for a foreign one."""
        return value if self._forwarded else self._own.scheme

    def _forwarded_host(self, value: bytes) -> None:
        """The visitor's own word about it: a forgery."""

    # --- out ---

    def _url_out(self, value: bytes) -> bytes:
        return _moved(value, self._own, self._public)

    def _refresh(self, value: bytes) -> bytes:
        match = _REFRESH.fullmatch(value)
        return match[1] + self._url_out(match[2]) if match is not None else value

    def _cookie(self, value: bytes) -> bytes:
        own, public = self._own.hostname, self._public.hostname

        def moved(match: re.Match[bytes]) -> bytes:
            domain = match[2].lower()
            return match[1] + public if own == domain or own.endswith(b"." + domain) else match[0]

        return _COOKIE_DOMAIN.sub(moved, value)


def prepared(request: Request, origin: Origin | None, *, trailers: bool) -> tuple[RequestHead, Rewrite | None]:
    """The head of a request as `origin` is to get it (None: as anybody would), and the names if it goes by its own.

    Raises:
        BadRequest: see `build_request_head`.
    """
    if origin is None:
        return build_request_head(request), None
    rewrite = None
    if origin.host_header is not None:
        rewrite = Rewrite(request, origin)
        request = rewrite.request()
    return build_request_head(request, refuse_twins=origin.refuse_twins, trailers=trailers), rewrite


_ON_THE_WAY_IN: Final[dict[bytes, Callable[[Rewrite, bytes], bytes | None]]] = {
    b"host": Rewrite._host,
    b"origin": Rewrite._url_in,
    b"referer": Rewrite._url_in,
    b"destination": Rewrite._url_in,  # of WebDAV's COPY and MOVE
    b"x-forwarded-proto": Rewrite._scheme,
    b"x-forwarded-host": Rewrite._forwarded_host,
}

_ON_THE_WAY_OUT: Final[dict[bytes, Callable[[Rewrite, bytes], bytes]]] = {
    b"location": Rewrite._url_out,
    b"content-location": Rewrite._url_out,
    b"refresh": Rewrite._refresh,
    b"set-cookie": Rewrite._cookie,
}
