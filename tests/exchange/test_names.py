"""Names are looked at once, and strangers' names take no memory."""

import pytest

from actors.exchange.names import KNOWN_NAMES, MAX_NAME, Known


def test_each_name_is_looked_at_once() -> None:
    looked: list[bytes] = []

    def look(name: bytes) -> int:
        looked.append(name)
        return len(looked)

    known = Known(look)
    assert [known[name] for name in (b"a", b"b", b"a", b"b")] == [1, 2, 1, 2]
    assert looked == [b"a", b"b"]


def test_strangers_names_take_no_memory() -> None:
    known = Known(bytes.lower)
    for number in range(3 * KNOWN_NAMES):
        assert known[b"X-%d" % number] == b"x-%d" % number
        assert known[b"Y" * (MAX_NAME + 1 + number)][:1] == b"y"
        assert len(known) <= KNOWN_NAMES
    assert max(map(len, known)) <= MAX_NAME


def test_what_cannot_be_told_is_not_remembered() -> None:
    def look(name: bytes) -> bytes:
        raise ValueError

    known = Known(look)
    with pytest.raises(ValueError, match="^$"):
        known[b"x"]
    assert not known
