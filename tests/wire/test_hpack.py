"""HPACK: the RFC's own examples, and the package hpack as the other side and as the judge."""

import random
import tracemalloc
from collections.abc import Sequence

import hpack
import pytest
from hpack.exceptions import HPACKError
from hypothesis import given
from hypothesis import strategies as st

from actors.exchange.request import Field
from actors.wire.hpack import TABLE_BYTES, Decoder, Encoder

MOST = 1 << 20

REQUESTS = [
    [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")],
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
        (b"cache-control", b"no-cache"),
    ],
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ],
]
PRIVATE = [
    (b"cache-control", b"private"),
    (b"date", b"Mon, 21 Oct 2013 20:13:21 GMT"),
    (b"location", b"https://www.example.com"),
]
RESPONSES = [
    [(b":status", b"302"), *PRIVATE],
    [(b":status", b"307"), *PRIVATE],
    [
        (b":status", b"200"),
        (b"cache-control", b"private"),
        (b"date", b"Mon, 21 Oct 2013 20:13:22 GMT"),
        (b"location", b"https://www.example.com"),
        (b"content-encoding", b"gzip"),
        (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
]


@pytest.mark.parametrize(
    ("blocks", "lists"),
    [
        (["400a637573746f6d2d6b65790d637573746f6d2d686561646572"], [[(b"custom-key", b"custom-header")]]),
        (["040c2f73616d706c652f70617468"], [[(b":path", b"/sample/path")]]),
        (["100870617373776f726406736563726574"], [[(b"password", b"secret")]]),
        (["82"], [[(b":method", b"GET")]]),
        (
            [
                "828684410f7777772e6578616d706c652e636f6d",
                "828684be58086e6f2d6361636865",
                "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            ],
            REQUESTS,
        ),
        (
            [
                "828684418cf1e3c2e5f23a6ba0ab90f4ff",
                "828684be5886a8eb10649cbf",
                "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ],
            REQUESTS,
        ),
        (
            [
                "3fe101"  # the table has 256 bytes, as the RFC says in words
                "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54"
                "6e1768747470733a2f2f7777772e6578616d706c652e636f6d",
                "4803333037c1c0bf",
                "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738"
                "666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d3336"
                "30303b2076657273696f6e3d31",
            ],
            RESPONSES,
        ),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3", "C.2.4", "C.3", "C.4", "C.5"],
)
def test_the_rfc_s_examples(blocks: list[str], lists: list[list[Field]]) -> None:
    decoder = Decoder(MOST)
    assert [decoder.decode(bytes.fromhex(block)) for block in blocks] == lists


@pytest.mark.parametrize(
    "block",
    [
        "80",  # index 0
        "be",  # an index that is not there yet
        "ff80",  # an integer that breaks off
        "ff80808080800a",  # one that is too long
        "7f",  # a literal of a name that breaks off
        "400561",  # a string that breaks off
        "40",
        "3fe21f",  # a table of 4097 bytes
        "8220",  # a size behind a field
        "0f2f0161ff",  # a name by an index that is not there
        "418aff",  # Huffman's code that breaks off
        "4184ffffffff",  # the end of a string within a string
    ],
)
def test_what_is_no_block_is_an_error_to_us_and_to_others(block: str) -> None:
    for decoder in (Decoder(MOST), hpack.Decoder(MOST)):
        with pytest.raises(HPACKError):
            decoder.decode(bytes.fromhex(block), raw=True)


def test_a_list_that_is_too_large_is_refused_though_its_block_is_small() -> None:
    decoder = Decoder(10_000)
    decoder.decode(b"\x40\x01a\x7f\xb9\x16" + bytes(3000))
    decoder.decode(b"\xbe" * 3)
    with pytest.raises(hpack.OversizedHeaderListError, match="12132 bytes; at most 10000"):
        decoder.decode(b"\xbe" * 4)


@pytest.mark.parametrize("field", [b"\x82", b"\x00\x02xy\x00", b"\x40\x00\x00"])
def test_a_block_of_megabytes_is_not_read_to_its_end(field: bytes) -> None:
    decoder = Decoder(MOST)
    tracemalloc.start()
    with pytest.raises(hpack.OversizedHeaderListError):
        decoder.decode(field * (4_000_000 // len(field)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000_000


def test_an_entry_larger_than_the_table_empties_it() -> None:
    decoder, judge = Decoder(MOST), hpack.Decoder(MOST)
    peer = hpack.Encoder()
    large = (b"large", b"l" * TABLE_BYTES)
    for block in (peer.encode([(b"a", b"b")]), peer.encode([large]), peer.encode([(b"a", b"b")]), b"\xbe"):
        assert decoder.decode(block) == judge.decode(block, raw=True)
    with pytest.raises(HPACKError):
        decoder.decode(b"\xbf")


NAMES = st.sampled_from([b":status", b":path", b"cookie", b"content-length", b"x-a", b"x-b"]) | st.binary(max_size=40)
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b"", b"GET", b"200", b"1"]) | st.binary(max_size=200)), max_size=12)
SIZES = st.none() | st.sampled_from([0, 40, 100, 1000, TABLE_BYTES])


@given(st.lists(st.tuples(FIELDS, SIZES, st.booleans(), st.booleans()), max_size=30))
def test_what_others_write_is_read(blocks: list[tuple[list[Field], int | None, bool, bool]]) -> None:
    """One connection, with sizes of the table that change."""
    decoder, peer = Decoder(MOST), hpack.Encoder()
    for fields, size, huffman, sensitive in blocks:
        if size is not None:
            peer.header_table_size = size
        kind = hpack.NeverIndexedHeaderTuple if sensitive else hpack.HeaderTuple
        assert decoder.decode(peer.encode([kind(*field) for field in fields], huffman=huffman)) == fields


@given(st.lists(FIELDS, max_size=10), st.integers(100, 70_000))
def test_others_read_what_is_written(lists: list[list[Field]], length: int) -> None:
    encoder, peer = Encoder(), hpack.Decoder(MOST)
    peer.max_allowed_table_size = 0  # the least that a peer may allow
    for fields in (*lists, [(b"long", b"v" * length), (b"n" * length, b"")]):
        assert [tuple(field) for field in peer.decode(encoder.encode(fields), raw=True)] == fields


def seen(decoder: Decoder | hpack.Decoder, block: bytes) -> Sequence[Field] | None:
    try:
        return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]
    except HPACKError:
        return None


def test_garbage_is_read_as_others_read_it() -> None:
    """Bytes at random, and blocks of which some bytes are others: the same fields, or an error for both."""
    chance = random.Random(7541)
    errors = 0
    for _ in range(5000):
        ours, judge, peer = Decoder(MOST), hpack.Decoder(MOST), hpack.Encoder()
        for _ in range(6):
            if chance.random() < 0.3:
                block = chance.randbytes(chance.randrange(30))
            else:
                fields = [(chance.randbytes(3), chance.randbytes(chance.randrange(9))) for _ in range(4)]
                made = bytearray(peer.encode(fields, huffman=chance.random() < 0.5))
                for _ in range(chance.randrange(3)):
                    made[chance.randrange(len(made))] = chance.randrange(256)
                block = bytes(made)
            read = seen(ours, block)
            assert read == seen(judge, block), block.hex()
            if read is None:
                errors += 1
                break
    assert 500 < errors < 5000
