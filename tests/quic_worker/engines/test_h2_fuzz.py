"""Edges that say odd things, by a generator with a seed, so that a sequence that fails can be had again."""

import os
import random
from typing import Final

import pytest
from hpack import Encoder

from actors.exchange.request import Field
from actors.quic_worker.engines.h2_engine import MAX_FRAME_BYTES, STREAM_WINDOW, H2Engine
from actors.wire.h2_heads import Asked, Forbidden, Malformed, answered, asked_by
from tests.kit.h2_peer import HEAD, POST
from tests.quic_worker.engines.test_h2_engine import OK, ROOM, Listener

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")

SEQUENCES: Final = int(os.environ.get("H2_SEQUENCES", "500"))
"""For each of the seeds; a release is tried with 5000."""

NAMES: Final = (
    b"content-length",
    b"x",
    b"X",
    b"",
    b":path",
    b":status",
    b"te",
    b"connection",
    b"host",
    b"cookie",
    b"\0",
)
VALUES: Final = (b"", b"0", b"5", b"-1", b"100", b"200", b"\r\n", b"\xff\0", b"trailers", b"x" * 300)


class Edge:
    """Says what the RFC does not let end the connection, as bytes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.encoder = Encoder()
        self.next = 1
        self.open: set[int] = set()
        """Streams that we have not ended."""
        self.settles = chance.random() < 0.5
        """Either settings change or windows grow beyond bounds: together they may end a connection."""
        self.bytes = 0

    def frame(self, kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
        return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload

    def head(self, stream_id: int, fields: list[Field], *, ended: bool) -> bytes:
        chance = self.chance
        block = self.encoder.encode(fields, huffman=chance.random() < 0.3)
        flags = 0x1 if ended else 0
        front = b""
        if chance.random() < 0.1:
            flags |= 0x20
            front = chance.randbytes(5)
        parts = [block]
        if chance.random() < 0.2:
            cut = chance.randrange(len(block) + 1)
            parts = [block[:cut], block[cut:]]
        padding = b""
        if chance.random() < 0.1:
            padding = bytes(chance.randrange(200))
            flags |= 0x8
            front = bytes((len(padding),)) + front
        flags |= 0x4 if len(parts) == 1 else 0
        said = self.frame(1, flags, stream_id, front + parts[0] + padding)
        return said if len(parts) == 1 else said + self.frame(9, 4, stream_id, parts[1])

    def fields(self) -> list[Field]:
        chance = self.chance
        fields = list(chance.choice((HEAD, POST)))
        if chance.random() < 0.2:
            fields.pop(chance.randrange(len(fields)))
        for _ in range(chance.randrange(4)):
            fields.insert(chance.randrange(len(fields) + 1), (chance.choice(NAMES), chance.choice(VALUES)))
        return fields

    def known(self) -> int:
        return self.chance.randrange(1, self.next, 2)

    def say(self) -> bytes:
        chance = self.chance
        if self.next == 1 or chance.random() < 0.3:
            stream_id, ended = self.next, chance.random() < 0.4
            self.next += 2
            if not ended:
                self.open.add(stream_id)
            return self.head(stream_id, self.fields(), ended=ended)
        match chance.randrange(12):
            case 0 | 1 | 2:
                return self.data()
            case 3 if self.open:
                stream_id = chance.choice(sorted(self.open))
                self.open.discard(stream_id)
                fields = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randrange(1, 4))]
                return self.head(stream_id, fields, ended=chance.random() < 0.7)
            case 4:
                stream_id = self.known()
                self.open.discard(stream_id)
                return self.frame(3, 0, stream_id, chance.randbytes(4))
            case 5:
                increments = (0, 1, 1000, 2**20) if self.settles else (0, 1, 2**31 - 1, 2**32 - 1)
                return self.frame(8, 0, self.known(), chance.choice(increments).to_bytes(4, "big"))
            case 6:
                return self.frame(8, 0, 0, chance.randrange(1, 2**16).to_bytes(4, "big"))
            case 7:
                return self.frame(
                    2, chance.randrange(256), chance.randrange(1, 2**31), chance.randbytes(chance.randrange(9))
                )
            case 8:
                return self.frame(6, chance.choice((0, 1)), 0, chance.randbytes(8))
            case 9 if self.settles:
                return self.settings()
            case 10:
                return self.frame(7, 0, 0, chance.randbytes(8 + chance.randrange(30)))
            case _:
                return self.frame(chance.randrange(10, 256), chance.randrange(256), self.known(), chance.randbytes(20))

    def data(self) -> bytes:
        chance = self.chance
        stream_id, ended = self.known(), chance.random() < 0.3
        if ended:
            self.open.discard(stream_id)
        if chance.random() < 0.002 and self.bytes < 4 * STREAM_WINDOW:
            self.bytes += STREAM_WINDOW + MAX_FRAME_BYTES  # more than the stream's window
            return self.frame(0, 0, stream_id, bytes(MAX_FRAME_BYTES)) * (STREAM_WINDOW // MAX_FRAME_BYTES + 1)
        body = bytes(chance.randrange(300))
        if chance.random() < 0.2:
            padding = chance.randrange(256)
            return self.frame(0, 0x8 | ended, stream_id, bytes((padding,)) + body + bytes(padding))
        return self.frame(0, int(ended), stream_id, body)

    def settings(self) -> bytes:
        chance = self.chance
        if chance.random() < 0.2:
            return self.frame(4, 1, 0)
        choices = {
            1: chance.choice((0, 100, 4096, 65536)),
            2: chance.choice((0, 1)),
            3: chance.randrange(2**32),
            4: chance.choice((0, 1, 1000, 2**20)),
            5: chance.choice((2**14, 2**15, 2**24 - 1)),
            6: chance.randrange(2**32),
            8: 0,
            0x4242: chance.randrange(2**32),
        }
        said = [(code, choices[code]) for code in chance.sample(sorted(choices), chance.randrange(4))]
        return self.frame(4, 0, 0, b"".join(c.to_bytes(2, "big") + v.to_bytes(4, "big") for c, v in said))


class Exchanges(Listener):
    """Requests that are dealt with when they come: malformed ones are reset, and some are answered at once."""

    def __init__(self, engine: H2Engine) -> None:
        super().__init__(engine, self.begin)
        self.answered: set[int] = set()

    def begin(self, stream_id: int) -> None:
        try:
            asked = asked_by(self.opened[stream_id], ended=False)
        except Malformed:
            self.engine.reset(stream_id, 1)
        except Forbidden:
            self.engine.respond(stream_id, [(b":status", b"400")])
            self.engine.send(stream_id, b"", True)
            self.engine.stop(stream_id)
            self.answered.add(stream_id)
        else:
            if isinstance(asked, Asked) and asked.request.method == b"GET":
                self.engine.respond(stream_id, OK)
                self.engine.send(stream_id, b"answer", True)
                self.answered.add(stream_id)


def act(engine: H2Engine, ours: Exchanges, chance: random.Random) -> None:
    """Do something that an exchange or its stream may do, at any time."""
    if not ours.opened:
        return
    stream_id = chance.choice(list(ours.opened))
    match chance.randrange(10):
        case 0 | 1 if stream_id not in ours.answered:
            interim = chance.random() < 0.2
            engine.respond(stream_id, [(b":status", b"103")] if interim else answered(200, [(b"X", b"1")]))
            if not interim:
                ours.answered.add(stream_id)
        case 2 | 3 if stream_id in ours.answered:
            engine.send(stream_id, bytes(chance.choice((0, 5, 20_000))), chance.random() < 0.4)
        case 4 if stream_id in ours.answered:
            engine.end(stream_id, [(b"x", b"1")])
        case 5:
            engine.reset(stream_id)
        case 6 | 7:
            engine.stop(stream_id)
            engine.discard(stream_id)
        case 8:
            engine.ping()
        case _:
            engine.is_undelivered(stream_id)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_no_request_ends_the_connection(seed: int) -> None:
    for number in range(SEQUENCES):
        chance = random.Random(seed * SEQUENCES + number)
        edge, engine = Edge(chance), H2Engine()
        ours = Exchanges(engine)
        ours.consumes = chance.random() < 0.7
        engine.receive(PREFACE)
        for _ in range(chance.randrange(1, 16)):
            said = b"".join([edge.say() for _ in range(chance.randrange(1, 5))])
            cut = chance.randrange(len(said)) if chance.random() < 0.3 else 0
            for part in (said[:cut], said[cut:]):
                engine.receive(part)
                engine.deliver(ours)
                if chance.random() < 0.5:
                    act(engine, ours, chance)
                if chance.random() < 0.7:
                    engine.output(chance.choice((0, 1000, ROOM)))
        assert not ours.closings, f"sequence {number}: {ours.closings}"
        engine.receive(edge.frame(8, 0, 0, (2**20).to_bytes(4, "big")) + edge.head(edge.next, HEAD, ended=True))
        engine.deliver(ours)
        engine.output(ROOM)
        assert not ours.closings, f"sequence {number}: {ours.closings}"
        assert edge.next in ours.opened, f"sequence {number}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_nothing_is_raised_and_the_end_is_told_once(seed: int) -> None:
    for number in range(SEQUENCES):
        chance = random.Random(-1 - seed * SEQUENCES - number)
        edge, engine = Edge(chance), H2Engine()
        ours = Exchanges(engine)
        engine.receive(PREFACE)
        for _ in range(chance.randrange(1, 12)):
            said = bytearray(edge.say() if chance.random() < 0.8 else chance.randbytes(30))
            for _ in range(chance.choice((0, 0, 1, 3))):
                said[chance.randrange(len(said))] = chance.randrange(256)
            engine.receive(bytes(said))
            engine.deliver(ours)
            act(engine, ours, chance)
            engine.output(ROOM)
        assert len(ours.closings) <= 1
