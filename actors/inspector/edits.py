"""What a replay sends: an exchange that was seen, as it was or edited. Pure."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

import msgspec

from actors.bus.inspection import MAX_BODY_BYTES, Field, Head, Replay
from actors.inspector.masks import MASK, Masks, meant_target
from actors.inspector.store import Recorded
from actors.inspector.views import why_never, why_no_replay

_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))
"""Fields that say how a body is framed: they follow from the body."""

_MEANT_FOR_BODIES: Final = frozenset((b"POST", b"PUT", b"PATCH"))


class CannotReplay(Exception):
    """It cannot be sent again; the text says why, and what could be done."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class Edits(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be other than it was. What is left out stays."""

    method: str | None = None
    target: str | None = None
    """Path and query."""
    fields: list[tuple[str, str]] | None = None
    """All of them, but for those that frame the body."""
    body: str | None = None
    body_base64: str | None = None


def read_edits(data: bytes) -> Edits:
    """The body of a request for a replay; nothing: it is to be as it was.

    Raises:
        CannotReplay: it makes no sense.
    """
    try:
        return msgspec.json.decode(data, type=Edits) if data.strip() else Edits()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CannotReplay(f"the body of this request makes no sense: {error}", 400) from None


def replay_of(entry: Recorded, edits: Edits, masks: Masks, number: int) -> Replay:
    """The replay of an exchange.

    Raises:
        CannotReplay: what is known of it is not enough, or what was edited is no request.
    """
    head, body = entry.head, bytes(entry.request.data)
    new_body = _body(edits)
    if why := why_no_replay(entry) if new_body is None else why_never(entry):
        raise CannotReplay(why)
    method = head.method if edits.method is None else _ascii(edits.method.upper(), "the method")
    target = head.target if edits.target is None else meant_target(edits.target.encode(), head.target)
    fields = head.fields if edits.fields is None else _fields(edits.fields, head.fields, masks)
    if new_body is not None or edits.fields is not None or method != head.method:
        body = body if new_body is None else new_body
        fields = _framed(method, fields, body)
    return Replay(number, entry.id, Head("http", method, target, head.host, fields), body)


def _body(edits: Edits) -> bytes | None:
    if edits.body is not None and edits.body_base64 is not None:
        raise CannotReplay("give the body as text or as base64, not both", 400)
    if edits.body is not None:
        made = edits.body.encode("utf-8", "surrogateescape")
    elif edits.body_base64 is not None:
        try:
            made = base64.b64decode(edits.body_base64, validate=True)
        except (binascii.Error, ValueError):
            raise CannotReplay("body_base64 is no base64", 400) from None
    else:
        return None
    if len(made) > MAX_BODY_BYTES:
        raise CannotReplay(f"a replay's body has {MAX_BODY_BYTES} bytes at most", 413)
    return made


def _ascii(text: str, what: str) -> bytes:
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        raise CannotReplay(f"{what} has characters that none can have", 400) from None


def _fields(edited: list[tuple[str, str]], original: Sequence[Field], masks: Masks) -> Sequence[Field]:
    """The edited fields, in which a mask stands for what it hides: the how-manieth of a name for the same of it."""
    hidden: dict[bytes, list[bytes]] = {}
    for name, value in original:
        if masks.hides(name):
            hidden.setdefault(name.lower(), []).append(value)
    made: list[Field] = []
    for key, text in edited:
        name, value = _ascii(key, "the name of a field"), text.encode()
        if name.lower() == b"host":
            continue  # it is in the head already
        if value == MASK and masks.hides(name):
            if not hidden.get(name.lower()):
                raise CannotReplay(f"{key}: there is nothing behind this mask; give a value", 400)
            value = hidden[name.lower()].pop(0)
        made.append((name, value))
    return made


def _framed(method: bytes, fields: Sequence[Field], body: bytes) -> Sequence[Field]:
    kept = [(name, value) for name, value in fields if name.lower() not in _FRAMING]
    if body or method in _MEANT_FOR_BODIES:
        kept.append((b"Content-Length", b"%d" % len(body)))
    return kept
