"""A peer that means no good: aioquic's own server, as it comes, made to do by chance all that a peer can do.

What it does depends on its dice alone, as far as a network lets it.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any, Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from actors import trust
from tests.kit.engines import CERTIFICATES

ACTIONS: Final = ("echo", "answer", "body", "hold", "late", "stop", "reset", "both", "end", "fault")
"""What the client can be asked to do with a stream."""

SIZES: Final = (*(1, 1, 100, 100, 100, 5000, 5000, 5000, 70_000, 70_000) * 3, 300_000, 1_500_000)
"""Bytes of one write; the largest is more than a stream's window."""

FAR: Final = 50_000_000
"""An offset that no window of a stream reaches."""

FLOOD: Final = 300
"""Streams that are opened at once."""


def configuration() -> QuicConfiguration:
    """Of a server that the client trusts."""
    made = QuicConfiguration(is_client=False, alpn_protocols=[trust.ALPN], max_datagram_frame_size=65536)
    made.certificate, made.private_key = CERTIFICATES.certificate, CERTIFICATES.private_key
    return made


class Meddler:
    """What stands between the server and its socket: what leaves may be lost, come twice, changed, or with rubbish."""

    def __init__(self, transport: Any, dice: random.Random) -> None:
        self._transport = transport
        self._dice = dice
        self.share = 0.0
        """Of the datagrams, that something is done to."""
        self.left: int | None = None
        """Datagrams that still pass; None: all do."""
        self._earlier: list[bytes] = []

    def sendto(self, data: bytes, address: Any) -> None:
        if self.left is not None:
            if not self.left:
                return
            self.left -= 1
        if self._dice.random() < self.share:
            data = self._meddled(bytes(data), address)
        self._transport.sendto(data, address)

    def _meddled(self, data: bytes, address: Any) -> bytes:
        dice = self._dice
        self._earlier = [*self._earlier[-7:], data]
        flipped = bytearray(data)
        flipped[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        more = dice.choice(
            (
                bytes(flipped),
                data[: dice.randrange(1, len(data) + 1)],
                dice.choice(self._earlier),
                data + dice.randbytes(dice.randrange(1, 50)),
                data[:1] + dice.randbytes(dice.randrange(1, 1400)),
                bytes((0xC0 | dice.randrange(64),)) + b"\0\0\0\1" + dice.randbytes(dice.randrange(1200)),
                b"\x80\0\0\0\0" + dice.randbytes(dice.randrange(60)),  # version negotiation
                dice.randbytes(dice.randrange(1, 1500)),
            )
        )
        if dice.random() < 0.3:  # in the place of what was to be sent
            return more
        self._transport.sendto(more, address)
        return data

    def rubbish(self, address: Any, count: int) -> None:
        """Datagrams that nobody asked for."""
        for _ in range(count):
            self._transport.sendto(self._dice.randbytes(self._dice.randrange(1, 1400)), address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Held:
    """A stream that we opened, as far as we know."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.received = bytearray()
        self.sent = bytearray()
        self.sending = True
        self.is_over = False
        """Whether the client's end has come: FIN or RESET_STREAM."""
        self.was_reset = False


class Peer(QuicConnectionProtocol):
    """One connection's end."""

    def __init__(self, quic: QuicConnection, dice: random.Random, share: float, left: int | None, **rest: Any) -> None:
        super().__init__(quic, **rest)
        self.dice = dice
        self.streams: dict[int, Held] = {}
        self._one_way: list[int] = []
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.meddler: Meddler
        self._meddling = (share, left)

    def connection_made(self, transport: Any) -> None:
        self.meddler = Meddler(transport, self.dice)
        self.meddler.share, self.meddler.left = self._meddling
        super().connection_made(self.meddler)  # type: ignore[arg-type]

    def quic_event_received(self, event: events.QuicEvent) -> None:
        match event:
            case events.StreamDataReceived() if (held := self.streams.get(event.stream_id)) is not None:
                held.received += event.data
                held.is_over = held.is_over or event.end_stream
            case events.StreamReset() if (held := self.streams.get(event.stream_id)) is not None:
                held.is_over = held.was_reset = True
            case events.ConnectionTerminated() if not self.ended.done():
                self.ended.set_result(None)

    # --- what it does ---

    def step(self) -> None:
        """Do one thing of all that can be done."""
        things: tuple[tuple[int, Callable[[], None]], ...] = (
            (30, self._open),
            (20, self._write),
            (15, self._finish),
            (10, self._reset),
            (10, self._stop),
            (3, self._unidirectional),
            (2, self._flood),
            (2, self._flood_of_resets),
            (3, self._rubbish),
            (3, self.change_connection_id),
            (1, self.request_key_update),
            (3, self._datagram),
            (3, lambda: self._quic.send_ping(self.dice.randrange(1 << 30))),
        )
        (act,) = self.dice.choices([act for _, act in things], [weight for weight, _ in things])
        with contextlib.suppress(AssertionError, ValueError, RuntimeError):  # aioquic: "not in this state"
            act()
        self.transmit()

    def open(self, action: str, data: bytes = b"", *, fin: bool = False) -> int:
        """A stream on which the client is to do `action`."""
        stream_id = self._quic.get_next_available_stream_id()
        held = self.streams[stream_id] = Held(action)
        self.write(stream_id, held, bytes((ACTIONS.index(action),)) + data, fin=fin)
        return stream_id

    def write(self, stream_id: int, held: Held, data: bytes, *, fin: bool = False) -> None:
        held.sent += data
        held.sending = not fin
        self._quic.send_stream_data(stream_id, data, fin)

    def _some(self) -> tuple[int, Held]:
        return self.dice.choice(list(self.streams.items())[-50:])

    def _size(self) -> int:
        return self.dice.choice(SIZES)

    def _open(self) -> None:
        self.open(self.dice.choice(ACTIONS), bytes(self._size()), fin=self.dice.random() < 0.4)

    def _write(self) -> None:
        if self.streams:
            stream_id, held = self._some()
            if held.sending:
                self.write(stream_id, held, bytes(self._size()), fin=self.dice.random() < 0.3)

    def _finish(self) -> None:
        if self.streams:
            stream_id, held = self._some()
            if held.sending:
                self.write(stream_id, held, b"", fin=True)

    def _reset(self) -> None:
        if self.streams:
            stream_id, held = self._some()
            held.sending = False
            self._quic.reset_stream(stream_id, self.dice.randrange(1 << 40))

    def _stop(self) -> None:
        if self.streams:
            self._quic.stop_stream(self._some()[0], self.dice.randrange(1 << 40))

    def _unidirectional(self) -> None:
        stream_id = self._quic.get_next_available_stream_id(is_unidirectional=True)
        self._one_way.append(stream_id)
        self._quic.send_stream_data(stream_id, bytes(self._size()), self.dice.random() < 0.5)
        if self.dice.random() < 0.3:
            self._quic.reset_stream(stream_id, 1)

    def _flood(self) -> None:
        for _ in range(FLOOD):
            self.open(self.dice.choice(("echo", "end", "both", "answer")), b"x", fin=True)

    def _flood_of_resets(self) -> None:
        for _ in range(FLOOD):
            stream_id = self.open("echo", bytes(100))
            self._quic.reset_stream(stream_id, 0)
            self._quic.stop_stream(stream_id, 0)

    def _rubbish(self) -> None:
        self.meddler.rubbish(self._quic._network_paths[0].addr, self.dice.randrange(1, 100))

    def _datagram(self) -> None:
        self._quic.send_datagram_frame(self.dice.randbytes(self.dice.randrange(1100)))

    # --- how it ends ---

    def give_up_all(self) -> None:
        """Reset and stop whatever is open."""
        for stream_id in self._one_way:
            with contextlib.suppress(AssertionError, ValueError, RuntimeError):
                self._quic.reset_stream(stream_id, 0)
        for stream_id, held in self.streams.items():
            with contextlib.suppress(AssertionError, ValueError, RuntimeError):
                if held.sending:
                    held.sending = False
                    self._quic.reset_stream(stream_id, 0)
            with contextlib.suppress(AssertionError, ValueError, RuntimeError):
                if not held.is_over:
                    self._quic.stop_stream(stream_id, 0)
        self.transmit()

    def exceed_a_stream(self) -> None:
        """Send more on a stream than was allowed."""
        stream_id = self._quic.get_next_available_stream_id()
        self._quic._remote_max_data = self._quic._remote_max_streams_bidi = 1 << 40
        sender = self._quic._get_or_create_stream_for_send(stream_id).sender
        sender._buffer_start = sender._buffer_stop = FAR
        self._quic._streams[stream_id].max_stream_data_remote = 1 << 40
        self._quic.send_stream_data(stream_id, b"x", False)
        self.transmit()

    def exceed_the_streams(self) -> None:
        """Open more streams than were allowed."""
        self._quic._remote_max_streams_bidi = 1 << 40
        self._quic.send_stream_data(self._quic.get_next_available_stream_id() + 400_000, b"x", True)
        self.transmit()

    def break_the_protocol(self) -> None:
        """Close with a code of QUIC's, and a reason."""
        self.close(error_code=self.dice.randrange(1, 0x1FF), reason_phrase="x" * self.dice.randrange(100))

    def leave(self) -> None:
        """Close as the application does."""
        self._quic.close(error_code=self.dice.randrange(1 << 30), frame_type=None, reason_phrase="bye")
        self.transmit()

    def fall_silent(self) -> None:
        self.meddler.left = 0
