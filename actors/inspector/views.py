"""Exchanges as the page and programs are told of them: summaries, details, and which of them are looked for. Pure."""

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from actors.bus.inspection import Field
from actors.inspector.masks import Masks, shown_target
from actors.inspector.store import Body, Recorded
from actors.inspector.websocket import Conversation, Spoken

View = dict[str, Any]

VISITOR_FIELD: Final = b"cf-connecting-ip"

_STATUS_CLASS: Final = re.compile(r"[1-9]xx", re.IGNORECASE)


def text_of(data: bytes | bytearray) -> str:
    """Bytes of a head as text: UTF-8, or what no server can mean otherwise."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def value_of(fields: Iterable[Field], name: bytes) -> str:
    """The value of the first field with this name in lower case; empty if there is none."""
    return next((text_of(value) for key, value in fields if key.lower() == name), "")


def response_fields(entry: Recorded) -> Sequence[Field]:
    """Those of the response; what this program answers itself has none worth showing."""
    return entry.answered.fields if entry.answered is not None else []


def summary(entry: Recorded, *, unmasked: bool = False) -> View:
    """An exchange in a list."""
    head, ended, conversation = entry.head, entry.ended, entry.conversation
    if ended is not None:
        seconds: float | None = ended.after
    else:
        seconds = entry.answered.after if entry.answered is not None else None
    return {
        "id": entry.id,
        "sequence": entry.sequence,
        "started": entry.received,
        "method": text_of(head.method),
        "host": text_of(head.host),
        "target": text_of(shown_target(head.target, unmasked=unmasked)) or "/",
        "kind": "websocket" if conversation is not None else head.kind,
        "status": entry.status,
        "state": entry.state,
        "seconds": seconds,
        "request_bytes": entry.request.size,
        "response_bytes": entry.response.size,
        "content_type": value_of(response_fields(entry), b"content-type"),
        "visitor": value_of(head.fields, VISITOR_FIELD),
        "rule": entry.rule,
        "error": ended.error if ended is not None else "",
        "reason": ended.reason if ended is not None else "",
        "replay_of": entry.replay_of or None,
        "messages": conversation.count if conversation is not None else 0,
    }


def details(entry: Recorded, masks: Masks, *, unmasked: bool) -> View:
    """All that is known of an exchange, but for the bytes of its bodies."""
    head, answered, reached, ended = entry.head, entry.answered, entry.reached, entry.ended
    given = summary(entry, unmasked=unmasked)
    response = None
    if entry.status is not None:
        fields = response_fields(entry)
        response = {
            "status": entry.status,
            "fields": _fields(fields, masks, unmasked=unmasked),
            "body": _body(entry.response, fields),
            "is_own": ended is not None and ended.is_substitute,
        }
    return given | {
        "request": {
            "line": f"{given['method']} {given['target']} HTTP/1.1",
            "fields": _fields(head.fields, masks, unmasked=unmasked),
            "body": _body(entry.request, head.fields),
        },
        "response": response,
        "times": {
            "received": 0.0,
            "connected": reached.after if reached is not None else None,
            "first_byte": answered.after if answered is not None else None,
            "ended": ended.after if ended is not None else None,
        },
        "origin": reached.target if reached is not None else "",
        "repeated": reached.is_repeated if reached is not None else False,
        "hint": ended.hint if ended is not None else "",
        "can_replay": why_no_replay(entry) == "",
        "websocket": _conversation(entry.conversation),
    }


def why_never(entry: Recorded) -> str:
    """Why it cannot be sent again, whatever is edited; empty if it can."""
    if entry.conversation is not None or entry.head.kind != "http":
        return "a WebSocket cannot be replayed: what was said on it hangs together"
    if entry.head.is_stripped:
        return "the guard did not let it in, so that its secrets were never shown here: let the visitor send it again"
    return ""


def why_no_replay(entry: Recorded) -> str:
    """Why it cannot be sent again as it was; empty if it can."""
    if why := why_never(entry):
        return why
    if entry.ended is None and not _has_whole_body(entry):
        return "its body has not come to its end"
    if not entry.request.is_complete:
        return "its body was cut off here: --inspect-body BYTES keeps more (1 MiB at most)"
    if entry.ended is not None and entry.ended.is_cut:
        return "its body had not come whole when it ended: let the visitor send it again, or give the body"
    return ""


def _has_whole_body(entry: Recorded) -> bool:
    """Whether all of a body has come, as far as its head says how much that is. Of one in chunks only its end does."""
    fields = entry.head.fields
    length = value_of(fields, b"content-length") or "0"
    return not value_of(fields, b"transfer-encoding") and length == str(entry.request.size)


def _fields(fields: Iterable[Field], masks: Masks, *, unmasked: bool) -> list[list[Any]]:
    shown = masks.shown(fields, unmasked=unmasked)
    return [[text_of(name), text_of(value), hidden] for name, value, hidden in shown]


def _body(body: Body, fields: Iterable[Field]) -> View:
    kind = value_of(fields, b"content-type")
    return {"size": body.size, "kept": len(body.data), "complete": body.is_complete, "type": kind}


def _conversation(said: Conversation | None) -> View | None:
    if said is None:
        return None
    return {"messages": list(map(_message, said.messages)), "dropped": said.dropped, "problem": said.problem}


def _message(spoken: Spoken) -> View:
    told: View = {
        "from": spoken.side,
        "kind": spoken.kind,
        "at": spoken.at,
        "size": spoken.size,
        "complete": spoken.is_whole and len(spoken.data) == spoken.size,
        "code": spoken.code,
        "reason": spoken.reason,
    }
    if spoken.kind == "text":
        return told | {"data": spoken.data.decode(errors="replace")}
    return told | {"base64": base64.b64encode(spoken.data).decode()}


# --- what is looked for --------------------------------------------------------------------------------------------


class Wanted:
    """Which exchanges a list is to have."""

    def __init__(self, asked: dict[str, str], masks: Masks) -> None:
        """`asked`: the parameters of a query.

        Raises:
            ValueError: one of them makes no sense; the text says which, and what does.
        """
        self._masks = masks
        self._method = asked.get("method", "").upper()
        self._path = asked.get("path", "").lower()
        self._text = asked.get("text", "").lower()
        self._status = _status(asked.get("status", ""))
        self._since, self._until = _time(asked, "since", 0.0), _time(asked, "until", float("inf"))

    def __contains__(self, entry: Recorded) -> bool:
        if self._method and text_of(entry.head.method).upper() != self._method:
            return False
        if self._path and self._path not in self._target(entry):
            return False
        if not self._since <= entry.received <= self._until:
            return False
        if self._status and not self._has_status(entry):
            return False
        return not self._text or self._text in self._all_text(entry)

    def _target(self, entry: Recorded) -> str:
        return text_of(shown_target(entry.head.target, unmasked=False)).lower()

    def _has_status(self, entry: Recorded) -> bool:
        if self._status == "error":
            has_answer = entry.status is not None or entry.state != "ended"
            return not has_answer or (entry.status or 0) >= 400 or bool(entry.ended and entry.ended.error)
        known = str(entry.status) if entry.status is not None else ""
        return known == self._status or (self._status.endswith("xx") and known[:1] == self._status[0])

    def _all_text(self, entry: Recorded) -> str:
        """What of it is shown, in lower case: nobody finds out what a mask hides by looking for it."""
        head = entry.head
        shown = self._masks.shown([*head.fields, *response_fields(entry)], unmasked=False)
        parts = [text_of(head.method) + " " + self._target(entry), text_of(head.host), entry.rule]
        parts += [f"{text_of(name)}: {text_of(value)}" for name, value, _ in shown]
        parts += [body.data.decode(errors="replace") for body in (entry.request, entry.response)]
        if entry.ended is not None:
            parts += [entry.ended.error, entry.ended.reason]
        if entry.conversation is not None:
            parts += [each.data.decode(errors="replace") for each in entry.conversation.messages if each.kind == "text"]
        return "\n".join(parts).lower()


def _status(text: str) -> str:
    if text and text != "error" and not _STATUS_CLASS.fullmatch(text) and not (text.isascii() and text.isdecimal()):
        raise ValueError(f"status={text[:20]}: give a status as 404, a class as 4xx, or error")
    return text.lower()


def _time(asked: dict[str, str], name: str, default: float) -> float:
    try:
        return float(asked[name]) if asked.get(name) else default
    except ValueError:
        raise ValueError(f"{name}={asked[name][:20]}: give seconds since 1970") from None


def count_of(asked: dict[str, str], name: str, default: int, most: int) -> int:
    """A whole number of a query.

    Raises:
        ValueError: it is none.
    """
    text = asked.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise ValueError(f"{name}={text[:20]}: give a whole number")
    return min(int(text), most)
