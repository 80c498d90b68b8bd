"""A WebSocket's messages, from the raw bytes of both ways, as a foreign pair of ends makes them."""

import random

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from actors.inspector.websocket import FRAME_WORK, MAX_MESSAGES, MAX_WORK, SLICE, WORK_RATE, Conversation

DEFLATE = b"permessage-deflate; server_max_window_bits=12; client_no_context_takeover"


def ends(extension: bytes | None = None) -> tuple[Connection, Connection]:
    """A client and a server that have agreed."""

    def made() -> list[Extension]:
        if extension is None:
            return []
        one = PerMessageDeflate()
        one.finalize(extension.decode())
        return [one]

    return Connection(ConnectionType.CLIENT, made()), Connection(ConnectionType.SERVER, made())


def test_all_that_is_said() -> None:
    client, server = ends()
    said = Conversation([], body_limit=1000)
    said.feed("visitor", 0.1, client.send(TextMessage("häh?")) + client.send(BytesMessage(b"\x00\x01")))
    said.feed("origin", 0.2, server.send(Ping(b"p")) + server.send(TextMessage("ja")))
    said.feed("origin", 0.3, server.send(CloseConnection(1001, "bye")))
    assert [(each.side, each.kind, each.at, bytes(each.data), each.code) for each in said.messages] == [
        ("visitor", "text", 0.1, "häh?".encode(), None),
        ("visitor", "binary", 0.1, b"\x00\x01", None),
        ("origin", "ping", 0.2, b"p", None),
        ("origin", "text", 0.2, b"ja", None),
        ("origin", "close", 0.3, b"", 1001),
    ]
    assert (said.messages[-1].reason, said.problem, said.count) == ("bye", "", 5)


@pytest.mark.parametrize("extension", [None, DEFLATE])
def test_however_the_bytes_are_split(extension: bytes | None) -> None:
    client, server = ends(extension)
    texts = [f"message {number} " * number for number in range(40)]
    asked = b"".join(client.send(TextMessage(text)) for text in texts)
    answers = b"".join(server.send(TextMessage(text)) for text in texts)
    dice = random.Random(3)
    said = Conversation([extension] if extension else [], body_limit=100_000)
    while asked or answers:
        size = dice.randrange(1, 60)
        said.feed("visitor", 0.0, asked[:size])
        said.feed("origin", 0.0, answers[:size])
        asked, answers = asked[size:], answers[size:]
    for side in ("visitor", "origin"):
        assert [each.data.decode() for each in said.messages if each.side == side] == texts
    assert all(each.is_whole for each in said.messages)


def test_memory_is_bounded() -> None:
    _, server = ends()
    said = Conversation([], body_limit=10)
    held = 0
    for number in range(MAX_MESSAGES + 100):
        held += said.feed("origin", float(number), server.send(TextMessage("x" * 50))).held
    assert (len(said.messages), said.dropped, said.count) == (MAX_MESSAGES, 100, MAX_MESSAGES + 100)
    assert all(len(each.data) == 10 and each.size == 50 for each in said.messages)
    assert held == sum(len(each.data) + 400 for each in said.messages)


def test_a_bomb_is_counted_and_not_held() -> None:
    client, _ = ends(b"permessage-deflate")
    bomb = client.send(BytesMessage(bytes(20_000_000)))
    assert len(bomb) < 50_000
    said = Conversation([b"permessage-deflate"], body_limit=100)
    said.feed("visitor", 0.0, bomb)
    (message,) = said.messages
    assert (message.size, len(message.data)) == (20_000_000, 100)


def cut(data: bytes) -> list[bytes]:
    return [data[begin : begin + SLICE] for begin in range(0, len(data), SLICE)]


def test_many_bombs_are_read_up_to_an_allowance() -> None:
    """A few MB that stand for gigabytes: reading them all would keep everybody else waiting."""
    client, _ = ends(b"permessage-deflate; client_no_context_takeover")
    bomb = client.send(BytesMessage(bytes(64 * 2**20)))
    said = Conversation([b"permessage-deflate; client_no_context_takeover"], body_limit=100)
    work = 0
    for piece in cut(bomb * 60):
        grown = said.feed("visitor", 0.0, piece)
        assert grown.work <= 1100 * SLICE, "what is read at once is little"
        work += grown.work
    assert "in time" in said.problem
    assert sum(message.size for message in said.messages) <= work <= MAX_WORK + 1100 * SLICE


@pytest.mark.parametrize("frame", [b"\x82\x00", b"\x89\x00", b"\x8a\x00"])
def test_messages_of_no_bytes_are_work_too(frame: bytes) -> None:
    said = Conversation([], body_limit=100)
    for piece in cut(frame * 60_000):
        said.feed("origin", 0.0, piece)
    assert "in time" in said.problem
    assert said.count <= MAX_WORK / FRAME_WORK + 1


def test_pieces_of_one_message_are_work_too() -> None:
    said = Conversation([], body_limit=100)
    for piece in cut(b"\x02\x00" + b"\x00\x00" * 60_000):
        said.feed("origin", 0.0, piece)
    assert "in time" in said.problem


@pytest.mark.slow
def test_allowance_comes_again_with_time() -> None:
    """Who talks all day is not cut off for it."""
    said = Conversation([], body_limit=100)
    slices = WORK_RATE // FRAME_WORK // (SLICE // 2)
    for second in range(2 * MAX_WORK // WORK_RATE):
        for _ in range(slices):
            said.feed("origin", float(second), b"\x82\x00" * (SLICE // 2))
    assert said.problem == ""
    assert said.count * FRAME_WORK >= 1.5 * MAX_WORK


def test_what_is_no_longer_kept_is_not_filled_again() -> None:
    """A message that is still coming is thrown out by newer ones: what comes of it yet would be held by nobody."""
    client, server = ends()
    said = Conversation([], body_limit=1000)
    held = 0
    for _ in range(5):
        held += said.feed("visitor", 0.0, client.send(BytesMessage(bytes(500), message_finished=False))).held
        held += said.feed("origin", 0.0, server.send(TextMessage("x")) * (MAX_MESSAGES + 1)).held
        held += said.feed("visitor", 0.0, client.send(BytesMessage(bytes(500), message_finished=True))).held
    assert held == sum(len(each.data) + 400 for each in said.messages)


@pytest.mark.parametrize(
    "extension",
    [
        b"x-snappy",
        b"permessage-deflate; server_max_window_bits=8",
        b"permessage-deflate; client_max_window_bits",  # a browser's offer, sent back as it came
        b"permessage-deflate; server_max_window_bits",
        b"permessage-deflate; client_max_window_bits=x",
    ],
)
def test_unknown_extension(extension: bytes) -> None:
    said = Conversation([extension], body_limit=100)
    said.feed("origin", 0.0, b"\x81\x01a")
    assert not said.messages
    assert "extensions" in said.problem


def test_what_is_no_websocket_and_what_is_missing() -> None:
    said = Conversation([], body_limit=100)
    said.feed("origin", 0.0, b"\xff" * 100)
    assert "is no WebSocket" in said.problem
    other = Conversation([], body_limit=100)
    other.torn()
    other.feed("origin", 0.0, b"\x81\x01a")
    assert not other.messages
    assert "faster" in other.problem


def test_random_bytes_harm_nobody() -> None:
    dice = random.Random(5)
    for _ in range(500):
        said = Conversation(dice.choice(([], [DEFLATE])), body_limit=50)
        for _ in range(5):
            said.feed(dice.choice(("visitor", "origin")), 0.0, dice.randbytes(dice.randrange(40)))
