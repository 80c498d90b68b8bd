"""Stream data of a batch, joined."""

from actors.quic_worker.engines.pieces import Pieces


def test_bytes_of_a_stream_come_as_one_and_in_order() -> None:
    pieces = Pieces()
    for stream_id, data, fin in ((4, b"a", False), (0, b"b", False), (4, b"c", True), (0, b"", False)):
        pieces.add(stream_id, data, fin)
    assert list(pieces.take()) == [(4, b"ac", True), (0, b"b", False)]
    assert list(pieces.take()) == []


def test_the_end_of_a_stream_is_told_once() -> None:
    pieces = Pieces()
    pieces.add(4, b"", True)
    assert list(pieces.take()) == [(4, b"", True)]
    pieces.add(4, b"again", False)
    assert list(pieces.take()) == [(4, b"again", False)]
