"""Requests for the guard to judge."""

from actors.exchange.request import Kind, Request


def asked(
    target: str | bytes = "/",
    *fields: tuple[str, str],
    method: str = "GET",
    kind: Kind = Kind.HTTP,
    host: str = "app.example",
) -> Request:
    """One request, as the edge passes it on."""
    given = tuple((name.encode(), value.encode("latin-1")) for name, value in fields)
    path = target if isinstance(target, bytes) else target.encode("latin-1")
    return Request(kind, method.encode(), path, host.encode(), given)
