"""A packet with a short header (RFC 9000 section 17.3.1) in the making, in place of aioquic's packet builder.

One object serves packet after packet: `begin`, frames, `seal`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import (
    NON_ACK_ELICITING_FRAME_TYPES,
    NON_IN_FLIGHT_FRAME_TYPES,
    PACKET_FIXED_BIT,
    QuicPacketType,
)
from aioquic.quic.packet_builder import QuicPacketBuilderStop, QuicSentPacket
from aioquic.quic.stream import QuicStream

AEAD_TAG: Final = 16
NUMBER_BYTES: Final = 2
"""Bytes of the packet number, as aioquic has them: 32 767 packets may be in flight (RFC 9000 section 17.1)."""

_NONCE: Final = 12
_SAMPLE_AT: Final = 4 - NUMBER_BYTES
"""Where in the protected payload the sample for the header begins (RFC 9001 section 5.4.2)."""

_SAMPLE: Final = 16
_HEADER_BITS: Final = 0x1F
"""Of the first byte, those that are protected."""

_MIN_PAYLOAD: Final = 4 - NUMBER_BYTES
"""Less would leave no sample; PADDING fills it up."""

_MAX_PAYLOAD: Final = 2048
"""More than any datagram of ours holds."""


def overhead(connection_id: bytes) -> int:
    """Bytes of a datagram that are not payload."""
    return 1 + len(connection_id) + NUMBER_BYTES + AEAD_TAG


class ShortPacket:
    """The frames of one packet, and then its bytes."""

    quic_logger_frames = None

    def __init__(self) -> None:
        self.buffer = Buffer(_MAX_PAYLOAD)
        self._packet: QuicSentPacket
        """What loss recovery will know of it. The plain class's writers know it by this name."""

    def begin(self, number: int, room: int, flight_room: int) -> None:
        """Start anew, with so many bytes for frames in all, and for those that count as in flight."""
        self.packet_number = number
        self._room = room
        self._flight_room = min(room, flight_room)
        self.buffer.seek(0)
        self._packet = QuicSentPacket(_EPOCH, False, False, False, number, _PACKET_TYPE, None, 0, [], _NOTHING_LOGGED)

    @property
    def is_empty(self) -> bool:
        return self.buffer.tell() == 0

    @property
    def sent(self) -> QuicSentPacket:
        """What loss recovery is to be told."""
        return self._packet

    @property
    def remaining_buffer_space(self) -> int:
        """Bytes that are left."""
        return self._room - self.buffer.tell()

    @property
    def remaining_flight_space(self) -> int:
        """Bytes that are left for frames that count as in flight."""
        return self._flight_room - self.buffer.tell()

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,
        handler: Callable[..., None] | None = None,
        handler_args: Sequence[Any] = (),
    ) -> Buffer:
        """Begin a frame, which takes at least `capacity` bytes, and return where to write it.

        Raises:
            QuicPacketBuilderStop: there is no room for it.
        """
        at = self.buffer.tell()
        counts = frame_type not in NON_IN_FLIGHT_FRAME_TYPES
        if (self._flight_room if counts else self._room) - at < max(capacity, _MIN_PAYLOAD):
            raise QuicPacketBuilderStop
        self.buffer.push_uint_var(frame_type)
        packet = self._packet
        if counts:
            packet.in_flight = True
        if frame_type not in NON_ACK_ELICITING_FRAME_TYPES:
            packet.is_ack_eliciting = True
        if handler is not None:
            packet.delivery_handlers.append((handler, handler_args))
        return self.buffer

    def stream_room(self, stream_id: int, offset: int) -> int:
        """Bytes that a STREAM frame could carry here; not above 0: none."""
        around = 3 + _size(stream_id) + (_size(offset) if offset else 0)
        return self._flight_room - self.buffer.tell() - around

    def add_stream_frame(
        self, stream_id: int, offset: int, data: bytes, fin: bool, handler: Callable[..., None], stream: QuicStream
    ) -> None:
        """Write a STREAM frame (RFC 9000 section 19.8) that fits: `start_frame` and the writes behind it, in one."""
        push = self.buffer.push_uint_var
        push(_STREAM_WITH_LENGTH | (_OFFSET if offset else 0) | fin)
        push(stream_id)
        if offset:
            push(offset)
        self.buffer.push_uint16(len(data) | _TWO_BYTES)
        self.buffer.push_bytes(data)
        packet = self._packet
        packet.in_flight = packet.is_ack_eliciting = True
        packet.delivery_handlers.append((handler, (stream, offset, offset + len(data), fin)))

    def seal(self, crypto: CryptoPair, connection_id: bytes, spin_bit: bool) -> bytes:
        """Protect it (RFC 9001 section 5) and return the datagram."""
        payload = self.buffer.data
        if len(payload) < _MIN_PAYLOAD:
            payload = payload.ljust(_MIN_PAYLOAD, b"\0")
            self._packet.in_flight = True
        number = self.packet_number
        first = PACKET_FIXED_BIT | spin_bit << 5 | crypto.key_phase << 2 | NUMBER_BYTES - 1
        send = crypto.send
        aead, protection = send.aead, send.hp
        assert aead is not None
        assert protection is not None
        header = _FIRST_BYTES[first] + connection_id + (number & 0xFFFF).to_bytes(NUMBER_BYTES, "big")
        nonce = (aead._iv ^ number).to_bytes(_NONCE, "big")
        protected = aead._aead.encrypt(nonce, payload, header)
        mask = protection._mask(protected[_SAMPLE_AT : _SAMPLE_AT + _SAMPLE])
        hidden = (number & 0xFFFF) ^ (mask[1] << 8 | mask[2])
        first ^= mask[0] & _HEADER_BITS
        datagram = _FIRST_BYTES[first] + connection_id + hidden.to_bytes(NUMBER_BYTES, "big") + protected
        self._packet.sent_bytes = len(datagram)
        return datagram


_STREAM_WITH_LENGTH: Final = 0x0A
_OFFSET: Final = 0x04
_TWO_BYTES: Final = 0x4000
"""What marks an integer of two bytes; the length of the data is written in two always, as aioquic does."""

_FIRST_BYTES: Final = [bytes((value,)) for value in range(256)]

_EPOCH: Final = tls.Epoch.ONE_RTT
_PACKET_TYPE: Final = QuicPacketType.ONE_RTT
_NOTHING_LOGGED: Final[list[dict[Any, Any]]] = []


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at `at` (RFC 9000 section 16), and where it ends.

    Raises:
        IndexError: it does not begin within `data`. One that does not end within it is for the caller to see.
    """
    first = data[at]
    if first < 0x40:
        return first, at + 1
    if first < 0x80:
        return (first & 0x3F) << 8 | data[at + 1], at + 2
    end = at + (4 if first < 0xC0 else 8)
    return int.from_bytes(data[at:end], "big") & ((1 << 8 * (end - at) - 2) - 1), end


def _size(value: int) -> int:
    """Bytes of a variable-length integer."""
    return 1 if value < 0x40 else 2 if value < 0x4000 else 4 if value < 0x4000_0000 else 8
