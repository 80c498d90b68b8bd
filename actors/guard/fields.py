"""What is looked for in a request, and taken out of it again before the origin sees it. Pure."""

from collections.abc import Iterator
from urllib.parse import unquote_plus

from actors.exchange.request import Field, Kind, Request


def values(request: Request, name: bytes) -> list[bytes]:
    """All values of the field with that name (in lower case), without blanks around them."""
    return [value.strip(b" \t") for given, value in request.fields if given.lower() == name]


def only(request: Request, name: bytes) -> bytes | None:
    """The value of a field that is there exactly once; of two nobody knows which one the next reader believes."""
    found = values(request, name)
    return found[0] if len(found) == 1 else None


def without(request: Request, name: bytes) -> Request:
    """The request without that field."""
    return request._replace(fields=tuple(field for field in request.fields if field[0].lower() != name))


def is_a_browsers(request: Request) -> bool:
    """Whether a person's browser goes to this address: it asks for HTML."""
    if request.kind is not Kind.HTTP or request.method != b"GET":
        return False
    return any(b"text/html" in value.lower() for value in values(request, b"accept"))


# --- cookies ---


def cookies(request: Request, name: bytes) -> list[bytes]:
    """The values of all cookies of that name."""
    prefix = name + b"="
    return [cookie[len(prefix) :] for field in values(request, b"cookie") for cookie in _cookies(field, prefix)]


def _cookies(field: bytes, prefix: bytes) -> Iterator[bytes]:
    return (cookie for part in field.split(b";") if (cookie := part.strip(b" \t")).startswith(prefix))


def without_cookies(request: Request, names: tuple[bytes, ...]) -> Request:
    """The request without those cookies; the very same if it has none of them."""
    kept: list[Field] = []
    is_changed = False
    for name, value in request.fields:
        if name.lower() == b"cookie" and any(own in value for own in names):
            parts = [part.strip(b" \t") for part in value.split(b";")]
            left = [part for part in parts if part.partition(b"=")[0] not in names]
            if len(left) < len(parts):
                is_changed = True
                if any(left):
                    kept.append((name, b"; ".join(left)))
                continue
        kept.append((name, value))
    return request._replace(fields=tuple(kept)) if is_changed else request


# --- the query ---


def parameters(request: Request, name: str) -> list[str]:
    """The values of all parameters of that name in the query."""
    query = request.target.partition(b"?")[2]
    return [_text(value) for key, value in map(_pair, query.split(b"&")) if _text(key) == name]


def without_parameters(target: bytes, name: str) -> bytes:
    """The target without those parameters; what is left of it stays byte for byte."""
    path, question, query = target.partition(b"?")
    left = [part for part in query.split(b"&") if _text(_pair(part)[0]) != name]
    return path + question + b"&".join(left) if left else path


def _pair(part: bytes) -> tuple[bytes, bytes]:
    key, _, value = part.partition(b"=")
    return key, value


def _text(value: bytes) -> str:
    return unquote_plus(value.decode("latin-1"), errors="surrogateescape")
