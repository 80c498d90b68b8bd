"""What is looked for in a request, and taken out of it again before the origin sees it. Pure."""

from collections.abc import Callable, Iterator
from urllib.parse import unquote_plus

from actors.exchange.request import Field, Kind, Request


def values(request: Request, name: bytes) -> list[bytes]:
    """All values of the field with that name (in lower case), without blanks around them."""
    return [value.strip(b" \t") for given, value in request.fields if given.lower() == name]


def only(request: Request, name: bytes) -> bytes | None:
    """The value of a field that is there exactly once; of two nobody knows which one the next reader believes."""
    found = values(request, name)
    return found[0] if len(found) == 1 else None


def without(request: Request, name: bytes, is_meant: Callable[[bytes], bool]) -> Request:
    """The request without the fields of that name whose value is meant; the very same if it has none of them."""
    left = tuple(
        (given, value) for given, value in request.fields if given.lower() != name or not is_meant(value.strip(b" \t"))
    )
    return request if len(left) == len(request.fields) else request._replace(fields=left)


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
    return [_text(part.partition(b"=")[2]) for part in query.split(b"&") if _is_named(part, name)]


def without_parameters(request: Request, name: str, is_meant: Callable[[str], bool]) -> Request:
    """The request without the parameters of that name whose value is meant; the very same if it has none of them. What
    is left of the query stays byte for byte."""
    path, question, query = request.target.partition(b"?")
    parts = query.split(b"&")
    left = [part for part in parts if not (_is_named(part, name) and is_meant(_text(part.partition(b"=")[2])))]
    if len(left) == len(parts):
        return request
    return request._replace(target=path + question + b"&".join(left) if left else path)


def _is_named(part: bytes, name: str) -> bool:
    """A visitor chooses how many there are: only what can be the name is decoded."""
    key = part.partition(b"=")[0]
    return key == name.encode() or (b"%" in key and len(key) > len(name) and _text(key) == name)


def _text(value: bytes) -> str:
    return unquote_plus(value.decode("latin-1"), errors="surrogateescape")
