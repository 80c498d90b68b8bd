"""A WebSocket's messages, from the raw bytes of both ways, as a foreign pair of ends makes them."""

import random

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from actors.inspector.websocket import MAX_MESSAGES, Conversation

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


@pytest.mark.parametrize("extension", [b"x-snappy", b"permessage-deflate; server_max_window_bits=8"])
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
