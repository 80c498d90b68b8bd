"""Reads an origin's response as its bytes arrive, however they are split. Pure.

It reads what curl, browsers and other clients read, which is more than RFC 9112 allows: lines that end with LF alone,
folded fields, a blank before the colon, one length said twice, a length beside chunks. Such a response is `loose`: it
goes on, framed anew, and its connection serves nobody else. What two readers could take for two different answers is
refused: lengths that differ, a lone CR, NUL and other control characters, a blank before the first field.
"""

import enum
import re
from typing import Final, NamedTuple

from actors.exchange.names import Known

MAX_HEAD: Final = 128 * 1024
"""Bytes of a status line and its fields: what the edge takes of a response."""

MAX_TRAILER: Final = 16 * 1024
"""Bytes after the last chunk: fields that nobody gets."""

MAX_FIELDS: Final = 1000
"""Fields of a response; real ones have some twenty, a proxy that adds its own a hundred or two."""

MAX_INTERIM: Final = 16
"""1xx responses before the final one; more are a flood."""

MAX_CHUNK_LINE: Final = 4096
"""Bytes of the line before a chunk: a size of at most 16 digits, and extensions that nobody reads."""

MAX_DIGITS: Final = 18
"""Digits of a length: no more than every reader can count to."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
_STATUS = re.compile(rb"HTTP/1\.([01]) +([1-9][0-9]{2})(?: %b)?" % _VALUE)
_HEAD_END = re.compile(rb"\n\r?\n")
_STRICT_FIELD = re.compile(rb"^(%b):[ \t]*(%b)\r\n" % (_TOKEN, _VALUE), re.MULTILINE)
_LOOSE_FIELD = re.compile(rb"(%b)?[ \t]*:[ \t]*(%b)" % (_TOKEN, _VALUE))
_FOLDED = re.compile(_VALUE)
_STRICT_CHUNK = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})(?:;%b)?\r\n" % _VALUE)
_SIZE_LINE: Final = rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;%b)?\r?\n" % _VALUE
_PART_OF_SIZE_LINE: Final = rb"[0-9A-Fa-f]{0,16}(?:(?<=[0-9A-Fa-f])[ \t]*(?:;%b)?\r?)?" % _VALUE
_FIRST_CHUNK = re.compile(_SIZE_LINE)
_NEXT_CHUNK = re.compile(rb"\r?\n" + _SIZE_LINE)
_PART_OF_FIRST = re.compile(_PART_OF_SIZE_LINE)
_PART_OF_NEXT = re.compile(rb"\r?|\r?\n" + _PART_OF_SIZE_LINE)
_STRICT_TRAILER = re.compile(rb"(?:%b:%b\r\n)*\r\n" % (_TOKEN, _VALUE))
_TRAILER_END = re.compile(rb"\A\r?\n|\n\r?\n")

_TELLING: Final = frozenset(
    (
        *(b"content-length", b"transfer-encoding", b"connection", b"upgrade"),
        *(b"www-authenticate", b"proxy-authenticate", b"authentication-info", b"proxy-authentication-info"),
        b"persistent-auth",
    )
)
"""The fields that say where the response ends, and what may become of the connection."""

Field = tuple[bytes, bytes]
Told = dict[bytes, list[bytes]]
"""The values of the fields that say something of the connection, by their names in lower case."""


class MalformedResponse(Exception):
    """What came is no response that everybody would read alike; the text says why."""


class Head(NamedTuple):
    """The head of a final response, or of 101."""

    status: int
    fields: list[Field]
    """As they came, but for a Content-Length that does not count: unfolded, without blanks around."""
    told: Told


class _Body(enum.Enum):
    """Where a body ends."""

    NONE = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()


class ResponseReader:
    """Reads one response to a request with `method`; `upgrade`: that asked for another protocol."""

    def __init__(self, method: str, *, upgrade: bool = False) -> None:
        self._method = method
        self._upgrade = upgrade
        self._buffer = b""
        """What cannot be read before more has come; less than `MAX_HEAD` bytes."""
        self._looked_at = 0
        self._skipped = 0
        self._interim = 0
        self._body = _Body.NONE
        self._left = 0
        """Bytes to come of a body with a length, or of a chunk."""
        self._chunks = 0
        self._in_trailer = False
        self._loose = False
        self.head: Head | None = None
        """The head, once it has come whole."""
        self.is_complete = False
        """Whether the whole response has come."""
        self.trailers: list[Field] = []
        """The fields that followed the last chunk, if they are as they should be."""
        self.is_reusable = False
        """Whether the connection may carry another one afterwards, as far as the response says: both sides know where
        this one ended, nothing came after it, and nothing asks for the connection to be closed."""

    @property
    def is_bounded_by_close(self) -> bool:
        """Whether the end of the connection is the end of the response."""
        return self.head is not None and self._body is _Body.UNTIL_CLOSE

    def feed(self, data: bytes) -> bytes:
        """Take what came, and return what of it belongs to the body; after 101 that is everything.

        Raises:
            MalformedResponse: it cannot be read; nothing more may be fed then.
        """
        if self.head is None:
            data = self._read_heads(self._buffer + data if self._buffer else data)
            if self.head is None:
                return b""
        if self._body is _Body.UNTIL_CLOSE:
            return data
        if self._body is _Body.CHUNKED:
            return self._read_chunks(data) if not self.is_complete else self._surplus(data)
        if len(data) > self._left:
            self._surplus(data)
            data = data[: self._left]
        self._left -= len(data)
        self.is_complete = not self._left
        return data

    def _surplus(self, data: bytes) -> bytes:
        """Bytes after the end: nobody asked for them, and nobody shall get them."""
        self.is_reusable = self.is_reusable and not data
        return b""

    # --- heads ---

    def _read_heads(self, data: bytes) -> bytes:
        """Read the final head and the interim ones before it; return what follows, or keep what is not whole."""
        while self.head is None:
            if data[:1] in (b"\r", b"\n"):  # empty lines before a response are nothing (RFC 9112 section 2.2)
                size = len(data)
                data = data.lstrip(b"\r\n")
                self._skipped += size - len(data)
            end = _HEAD_END.search(data, max(0, self._looked_at - 2))
            self._check_size(self._skipped + (end.end() if end else len(data)))
            if end is None:
                if not _may_be_status(data):
                    raise MalformedResponse(_hint(data))
                self._buffer, self._looked_at = data, len(data)
                return b""
            self._buffer, self._looked_at, self._skipped = b"", 0, 0
            self._loose = self._loose or end[0] != b"\n\r\n"
            self._read_head(data[: end.start() + 1])
            data = data[end.end() :]
        return data

    def _check_size(self, size: int) -> None:
        if size > MAX_HEAD:
            raise MalformedResponse(f"a head of more than {MAX_HEAD} bytes")

    def _read_head(self, head: bytes) -> None:
        """Read a head without the empty line at its end."""
        line_end = head.find(b"\r\n")
        fields: list[Field] = _STRICT_FIELD.findall(head, line_end + 2)
        if line_end > 0 and len(fields) + 1 == head.count(b"\n"):
            status, keep_alive = _STATUS_LINES[head[:line_end]]
            if b" \r\n" in head or b"\t\r\n" in head:
                fields = [(name, value.rstrip(b" \t")) for name, value in fields]
        else:
            self._loose = True
            lines = [line.removesuffix(b"\r") for line in head.split(b"\n")]
            lines.pop()
            status, keep_alive = _STATUS_LINES[lines[0]]
            fields = _loose_fields(lines)
        told = _told(fields)
        if len(fields) > MAX_FIELDS:
            raise MalformedResponse(f"more than {MAX_FIELDS} fields")
        if status >= 200 or status == 101:
            self._judge(status, fields, told, keep_alive=keep_alive)
        else:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise MalformedResponse(f"more than {MAX_INTERIM} interim responses")

    def _judge(self, status: int, fields: list[Field], told: Told, *, keep_alive: bool) -> None:
        """Where the body ends, and whether the connection can be used again."""
        options = _options(told[b"connection"]) if b"connection" in told else _NO_OPTIONS
        if status == 101:
            if not (self._upgrade and b"upgrade" in options and b"upgrade" in told):
                raise MalformedResponse("a switch to another protocol that was not asked for")
            self._body = _Body.UNTIL_CLOSE
            self.head = Head(status, fields, told)
            return
        said, codings = told.get(b"content-length", []), told.get(b"transfer-encoding", [])
        length, is_chunked = _one_length(said), _is_chunked(codings)
        if len(codings) + bool(said) > 1 or (length is not None and said != [b"%d" % length]):
            # Said twice, in two ways, or with zeros before it.
            self._loose = True
            fields = _with_one_length(fields, length=None if is_chunked else length)
        if self._method == "HEAD" or status in (204, 304):
            # One that announces a body may send it all the same: on this connection it would be the next answer.
            self._loose = self._loose or self._method == "HEAD" or is_chunked or bool(length)
        elif is_chunked:
            self._body = _Body.CHUNKED
        elif length is not None:
            self._body, self._left = _Body.LENGTH, length
        else:
            self._body = _Body.UNTIL_CLOSE
        stays = b"close" not in options and (keep_alive or (b"keep-alive" in options and not is_chunked))
        self.is_reusable = stays and not self._loose and self._body is not _Body.UNTIL_CLOSE
        self.head = Head(status, fields, told)

    # --- chunks ---

    def _read_chunks(self, data: bytes) -> bytes:
        """Read chunks; return what is in them. What is not whole is kept."""
        if self._buffer:
            data, self._buffer = self._buffer + data, b""
        parts: list[bytes] = []
        at = 0
        while not self._in_trailer:
            if self._left:
                parts.append(data[at : at + self._left])
                at += len(parts[-1])
                self._left -= len(parts[-1])
                if self._left:
                    return b"".join(parts)
            match = _STRICT_CHUNK.match(data, at) if self._chunks else None
            if match is None and (match := (_NEXT_CHUNK if self._chunks else _FIRST_CHUNK).match(data, at)):
                self._judge_size_line(match[0])
            if (match.end() if match else len(data)) - at > MAX_CHUNK_LINE:
                raise MalformedResponse(f"a line before a chunk of more than {MAX_CHUNK_LINE} bytes")
            if match is None:
                if not (_PART_OF_NEXT if self._chunks else _PART_OF_FIRST).fullmatch(data, at):
                    raise MalformedResponse("a chunk without a size, or another end than it announced")
                self._buffer = data[at:]
                return b"".join(parts)
            self._chunks += 1
            self._left = int(match[1], 16)
            self._in_trailer = not self._left
            at = match.end()
        self._read_trailer(data[at:])
        return b"".join(parts)

    def _judge_size_line(self, line: bytes) -> None:
        """One that is the first, or is not as it should be."""
        if not _STRICT_CHUNK.fullmatch(line if self._chunks else b"\r\n" + line):
            self.is_reusable = False

    def _read_trailer(self, data: bytes) -> None:
        """Read the fields after the last chunk."""
        match = _TRAILER_END.search(data)
        if (match.end() if match else len(data)) > MAX_TRAILER:
            raise MalformedResponse(f"fields of more than {MAX_TRAILER} bytes after the last chunk")
        if match is None:
            self._buffer = data
            return
        fields = data[: match.end()]
        if not _STRICT_TRAILER.fullmatch(fields):
            self.is_reusable = False
        elif len(fields) > len(b"\r\n"):
            self.trailers = [(name, value.strip(b" \t")) for name, value in _STRICT_FIELD.findall(fields)]
        self.is_complete = True
        self._surplus(data[match.end() :])


def _may_be_status(data: bytes) -> bool:
    """Whether a head that is not whole may still become one. What is no HTTP need not wait for an empty line."""
    return data[:7] == b"HTTP/1."[: len(data)]


def _hint(line: bytes) -> str:
    """What came in the place of a status line."""
    if line[:1] in (b"\x15", b"\x16") and line[1:2] in (b"\x03", b""):
        return "it speaks TLS; try https:// in its URL"
    return f"it begins with {_shown(line)}"


def _shown(line: bytes) -> str:
    """The beginning of a line, with escapes for what is not printable ASCII."""
    return repr(line[:40]).removeprefix("b")


def _status(line: bytes) -> tuple[int, bool]:
    """What a status line says, and whether it is of HTTP/1.1."""
    match = _STATUS.fullmatch(line)
    if match is None:
        raise MalformedResponse(_hint(line))
    return int(match[2]), match[1] == b"1"


_STATUS_LINES: Final = Known(_status)


def _telling(name: bytes) -> bytes:
    """The name in lower case, if it is of a field that tells something; else nothing."""
    return lowered if (lowered := name.lower()) in _TELLING else b""


_TELLING_NAMES: Final = Known(_telling)


def _told(fields: list[Field]) -> Told:
    """What fields say of the connection."""
    told: Told = {}
    for name, value in fields:
        if lowered := _TELLING_NAMES[name]:
            told.setdefault(lowered, []).append(value)
    return told


def _loose_fields(lines: list[bytes]) -> list[Field]:
    """The fields of a head that is not as it should be, but can be read in one way only."""
    fields: list[Field] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t"):
            more = line.strip(b" \t")
            if not fields:
                raise MalformedResponse("a blank before the first field")
            if not more or not _FOLDED.fullmatch(more):
                raise MalformedResponse("a folded line that is empty or has control characters")
            name, value = fields[-1]
            fields[-1] = name, value + b" " * bool(value) + more
            continue
        match = _LOOSE_FIELD.fullmatch(line)
        if match is None:
            raise MalformedResponse(f"a line that is no field: {_shown(line)}")
        fields.append((match[1] or b"", match[2].rstrip(b" \t")))
    return [field for field in fields if field[0]]  # one without a name says nothing to anybody


_NO_OPTIONS: Final = frozenset[bytes]()


def _options(values: list[bytes]) -> frozenset[bytes]:
    """What Connection says."""
    return frozenset(option.strip(b" \t").lower() for option in b",".join(values).split(b","))


def _one_length(values: list[bytes]) -> int | None:
    """The length that is said once or more."""
    if not values:
        return None
    if len(values) == 1 and values[0].isdigit() and len(values[0]) <= MAX_DIGITS:
        return int(values[0])
    said = {value.strip(b" \t") for value in b",".join(values).split(b",")}
    if not all(value.isdigit() and len(value) <= MAX_DIGITS for value in said):
        raise MalformedResponse("a Content-Length that is no length")
    lengths = {int(value) for value in said}
    if len(lengths) > 1:
        raise MalformedResponse("two different Content-Lengths")
    return lengths.pop()


def _is_chunked(values: list[bytes]) -> bool:
    """Whether chunks frame the body. Other codings would have to be undone here, and nobody sends them."""
    codings = _options(values) - {b"identity"} if values else _NO_OPTIONS
    if codings - {b"chunked"}:
        raise MalformedResponse("a Transfer-Encoding other than chunked")
    return bool(codings)


def _with_one_length(fields: list[Field], *, length: int | None) -> list[Field]:
    """The fields with one Content-Length, or none."""
    kept = [field for field in fields if field[0].lower() != b"content-length"]
    return kept if length is None else [*kept, (b"Content-Length", b"%d" % length)]
