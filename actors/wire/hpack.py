"""HPACK (RFC 7541): the block of a request read, and that of a response written, in a sixth of the time of the package
hpack, whose tables and reader of Huffman's code they use. Pure.

Both stand in for its classes in the package h2, and raise its exceptions.
"""

from collections.abc import Iterable
from typing import Final

from hpack.exceptions import HPACKDecodingError, InvalidTableSizeError, OversizedHeaderListError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from actors.exchange.names import Known
from actors.exchange.request import Field

TABLE_BYTES: Final = 4096
"""What a peer may fill of our table: the default of HTTP/2 (RFC 9113 section 6.5.2), of which we say nothing else."""

_ENTRY_BYTES: Final = 32
"""What an entry counts besides its name and value (RFC 7541 section 4.1)."""

_MAX_INTEGER_BYTES: Final = 5
"""Bytes after an integer's first: 35 bits are more than any length or index of use."""

_STATIC: Final[tuple[Field, ...]] = ((b"", b""), *HeaderTable.STATIC_TABLE)
"""By index: the first is 1 (appendix A)."""

_LAST_STATIC: Final = len(_STATIC) - 1
"""The dynamic table's indices follow, its newest entry first."""

_INDEXED: Final = 0x80
_WITH_INDEXING: Final = 0x40
_SIZE_UPDATE: Final = 0x20
_NEVER_INDEXED: Final = 0x10
_HUFFMAN: Final = 0x80
"""Bits of a first byte (section 6)."""


class Decoder:
    """Reads the field blocks of one connection, all of them and in their order."""

    def __init__(self, max_list_bytes: int) -> None:
        """`max_list_bytes`: the largest list that is taken, as SETTINGS_MAX_HEADER_LIST_SIZE counts."""
        self._max_list_bytes = max_list_bytes
        self._max_fields = max_list_bytes // _ENTRY_BYTES
        self._added: list[Field] = []
        """The dynamic table, its newest entry last."""
        self._size = 0
        self._capacity = TABLE_BYTES

    def decode(self, data: bytes, *, raw: bool = True) -> list[Field]:
        """The fields of a block. `raw` is h2's wish for bytes, of which there is nothing else.

        Raises:
            HPACKDecodingError: it is none; nothing after it can be read.
            OversizedHeaderListError: it is too large for us.
        """
        fields: list[Field] = []
        added = self._added
        at, end = 0, len(data)
        try:
            while at < end:
                first = data[at]
                at += 1
                if len(fields) > self._max_fields:
                    break  # a block of a few megabytes is a million fields
                if first > _INDEXED:
                    index = first & 0x7F
                    if index == 0x7F:
                        index, at = _integer(data, at, 0x7F)
                    fields.append(_STATIC[index] if index <= _LAST_STATIC else added[_LAST_STATIC - index])
                elif first == _INDEXED:
                    raise HPACKDecodingError("no field has the index 0")
                elif first >= _WITH_INDEXING:
                    field, at = self._literal(data, at, first, 0x3F)
                    self._add(field)
                    fields.append(field)
                elif first >= _SIZE_UPDATE:
                    capacity, at = _integer(data, at, 0x1F) if first & 0x1F == 0x1F else (first & 0x1F, at)
                    self._resize(capacity, is_first=not fields)
                else:
                    field, at = self._literal(data, at, first, 0x0F)
                    fields.append(field)
        except IndexError:
            raise HPACKDecodingError("a field block that breaks off, or names a field that is not there") from None
        size = sum([len(name) + len(value) for name, value in fields]) + _ENTRY_BYTES * len(fields)
        if size > self._max_list_bytes:
            raise OversizedHeaderListError(f"a list of {size} bytes; at most {self._max_list_bytes} are taken")
        return fields

    def _literal(self, data: bytes, at: int, first: int, mask: int) -> tuple[Field, int]:
        """A field whose value is written out, and where it ends."""
        index = first & mask
        if index == mask:
            index, at = _integer(data, at, mask)
        if index:
            name = (_STATIC[index] if index <= _LAST_STATIC else self._added[_LAST_STATIC - index])[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        return (name, value), at

    def _add(self, field: Field) -> None:
        self._added.append(field)
        self._size += _size(field)
        self._evict()

    def _resize(self, capacity: int, *, is_first: bool) -> None:
        if not is_first:
            raise HPACKDecodingError("a size of the table behind a field")
        if capacity > TABLE_BYTES:
            raise InvalidTableSizeError(f"a table of {capacity} bytes; at most {TABLE_BYTES} are allowed")
        self._capacity = capacity
        self._evict()

    def _evict(self) -> None:
        while self._size > self._capacity:
            self._size -= _size(self._added.pop(0))


def _size(field: Field) -> int:
    return len(field[0]) + len(field[1]) + _ENTRY_BYTES


def _integer(data: bytes, at: int, value: int) -> tuple[int, int]:
    """An integer that begins with `value`, all bits of its prefix (section 5.1), and where it ends."""
    for shift in range(0, 7 * _MAX_INTEGER_BYTES, 7):
        byte = data[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise HPACKDecodingError("an integer without an end")


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string literal (section 5.2), and where it ends."""
    first = data[at]
    at += 1
    length = first & 0x7F
    if length == 0x7F:
        length, at = _integer(data, at, 0x7F)
    end = at + length
    text = data[at:end]
    if len(text) < length:
        raise HPACKDecodingError("a string that breaks off")
    return decode_huffman(text) if first & _HUFFMAN else text, end


class Encoder:
    """Writes field blocks without a table, and without Huffman's code: what an origin answers seldom comes again, and
    most of it is base64, which gains nothing."""

    def __init__(self) -> None:
        self.header_table_size = TABLE_BYTES
        """What the peer allows; h2 sets it. We use nothing of it, and say so with the first block."""
        self._prefix = bytes([_SIZE_UPDATE])

    def encode(self, fields: Iterable[Field]) -> bytes:
        """The block of `fields`. None of them is to be put into a table by anybody on the way either."""
        parts = [self._prefix]
        self._prefix = b""
        for field in fields:
            if (whole := _WHOLE.get(field)) is not None:
                parts.append(whole)
            else:
                name, value = field
                parts += (
                    _NAMED[name],
                    _LENGTHS[len(value)] if len(value) < 0x7F else _prefixed(0, 0x7F, len(value)),
                    value,
                )
        return b"".join(parts)


def _prefixed(bits: int, mask: int, value: int) -> bytes:
    """An integer behind the `bits` of its first byte (section 5.1)."""
    if value < mask:
        return bytes([bits | value])
    value -= mask
    written = bytearray([bits | mask])
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _named(name: bytes) -> bytes:
    """How a field with that name begins: by its index in the static table, or written out."""
    index = next((index for index, (known, _) in enumerate(_STATIC) if known == name), 0)
    begun = _prefixed(_NEVER_INDEXED, 0x0F, index)
    return begun if index else begun + _prefixed(0, 0x7F, len(name)) + name


_NAMED: Final = Known(_named)

_WHOLE: Final = {field: bytes([_INDEXED | index]) for index, field in enumerate(_STATIC) if index and field[1]}
"""Fields of which the static table has both name and value."""

_LENGTHS: Final = [bytes([length]) for length in range(0x7F)]
