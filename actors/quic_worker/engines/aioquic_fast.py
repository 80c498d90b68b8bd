"""aioquic's connection with the hot paths written anew: a packet costs less, and no more with more streams.

The plain class looks at every open stream for each packet that it sends, goes through every packet in flight for each
acknowledgement, and spends most of a packet's time on objects made to be thrown away. Here

- `_streams_queue` holds only streams that have something to send, or are to be forgotten; whatever gives a stream
  something puts it there (`_wake`);
- packets of the established connection are taken apart in place, and put together by `ShortPacket`; what is not a plain
  STREAM, ACK, PING or PADDING frame goes to the plain class's handlers, as does every packet that is anything else;
- of several ACK frames in one batch only the newest is applied, if it covers the others.

Each of these is tried against the plain class by `test_aioquic_fast.py`, which replays the same datagrams to both. With
a version of aioquic that is not known, `FastConnection` is the plain class.
"""

import contextlib
from collections import deque
from typing import Any, Final

import aioquic
from aioquic import tls
from aioquic._buffer import Buffer
from aioquic._crypto import CryptoError
from aioquic.quic import events
from aioquic.quic.congestion.base import K_GRANULARITY
from aioquic.quic.connection import QuicConnectionError, QuicConnectionState, QuicReceiveContext
from aioquic.quic.packet import QuicFrameType, decode_packet_number
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilderStop
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import MAX_ACK_RANGES, QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStream, StreamFinishedError

from actors.quic_worker.engine import Address, Datagram
from actors.quic_worker.engines.aioquic_credit import STREAM_WINDOW, CreditedConnection, Received
from actors.quic_worker.engines.short_packet import ShortPacket, overhead, varint

KNOWN_VERSIONS: Final = ("1.7.",)
"""Releases of aioquic whose inside is known."""

_LONG_HEADER: Final = 0x80
_RESERVED_BITS: Final = 0x18
_KEY_PHASE: Final = 0x04
_SPIN_BIT: Final = 0x20
_SAMPLE: Final = 16
_MAX_PACKET_NUMBER: Final = 4

_PADDING: Final = int(QuicFrameType.PADDING)
_PING: Final = int(QuicFrameType.PING)
_ACK: Final = int(QuicFrameType.ACK)
_STREAM: Final = int(QuicFrameType.STREAM_BASE)
_STREAM_MAX: Final = _STREAM | 7
_FIN, _LENGTH, _OFFSET = 1, 2, 4
"""Bits of a STREAM frame's type (RFC 9000 section 19.8)."""


class FastRecovery(QuicPacketRecovery):
    """Loss recovery that looks only at the packets which an acknowledgement may be about."""

    def on_ack_received(self, *, ack_rangeset: RangeSet, ack_delay: float, now: float, space: QuicPacketSpace) -> None:
        """RFC 9002 section A.7. Packets are kept in the order of their numbers, so those in question come first."""
        ranges = list(ack_rangeset)
        largest_acked = ranges[-1].stop - 1
        space.largest_acked_packet = max(space.largest_acked_packet, largest_acked)
        acked: list[int] = []
        at = 0
        for number in space.sent_packets:
            if number > largest_acked:
                break
            while number >= ranges[at].stop:
                at += 1
            if number >= ranges[at].start:
                acked.append(number)
        if not acked:
            return
        is_ack_eliciting = False
        cc = self._cc
        packet = None
        for number in acked:
            packet = space.sent_packets.pop(number)
            if packet.is_ack_eliciting:
                is_ack_eliciting = True
                space.ack_eliciting_in_flight -= 1
            if packet.in_flight:
                cc.on_packet_acked(packet=packet, now=now)
            for handler, arguments in packet.delivery_handlers:
                handler(QuicDeliveryState.ACKED, *arguments)
        assert packet is not None
        if packet.packet_number == largest_acked and is_ack_eliciting:
            assert packet.sent_time is not None
            self._sample_rtt(now - packet.sent_time, min(ack_delay, self.max_ack_delay), now)
            self._pacer.update_rate(congestion_window=cc.congestion_window, smoothed_rtt=self._rtt_smoothed)
        self._detect_loss(now=now, space=space)
        if self.peer_completed_address_validation:
            self._pto_count = 0

    def _sample_rtt(self, sample: float, ack_delay: float, now: float) -> None:
        """RFC 9002 section 5, as the plain class has it."""
        self._rtt_latest = max(sample, K_GRANULARITY)
        self._rtt_min = min(self._rtt_min, self._rtt_latest)
        if self._rtt_latest > self._rtt_min + ack_delay:
            self._rtt_latest -= ack_delay
        if self._rtt_initialized:
            deviation = abs(self._rtt_min - self._rtt_latest)
            self._rtt_variance = 3 / 4 * self._rtt_variance + 1 / 4 * deviation
            self._rtt_smoothed = 7 / 8 * self._rtt_smoothed + 1 / 8 * self._rtt_latest
        else:
            self._rtt_first_sample_time = now
            self._rtt_initialized = True
            self._rtt_variance = sample / 2
            self._rtt_smoothed = sample
        self._cc.on_rtt_measurement(now=now, rtt=sample)


class FastConnection(CreditedConnection):
    """A `CreditedConnection` whose packets cost less."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._parked: list[QuicStream] = []
        """Streams that have something to send, and wait for MAX_DATA."""
        self._limits_changed = False
        """Whether a limit of the connection may have to be announced."""
        self._pending_ack: tuple[bytes, int, int] | None = None
        """The body of an ACK frame that is to be applied at the end of the batch; the smallest and largest numbers."""
        self._touched = False
        """Whether a packet came since the idle timeout was last put off."""
        self._packet = ShortPacket()

    def prepare(self) -> None:
        super().prepare()
        self._loss.__class__ = FastRecovery

    # --- which streams have something to send ---

    def _wake(self, stream_id: int) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            self._streams_queue.append(stream)

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if (stream := self._streams.get(stream_id)) is not None:
            stream.sender.write(data, end_stream)
            self._streams_queue.append(stream)
        else:
            super().send_stream_data(stream_id, data, end_stream)  # a new one is put into the queue

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        super().reset_stream(stream_id, error_code)
        self._wake(stream_id)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        super().stop_stream(stream_id, error_code)
        self._wake(stream_id)

    def grant(self, stream_id: int, count: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.max_stream_data_local += count
            if stream.max_stream_data_local - stream.max_stream_data_local_sent >= STREAM_WINDOW // 2:
                self._streams_queue.append(stream)
        self._local_max_data.value += count
        self._limits_changed = True

    def _on_limit_delivery(self, delivery: Any, limit: Any, previous: int) -> None:
        super()._on_limit_delivery(delivery, limit, previous)
        self._limits_changed = True

    def _on_stream_limit_delivery(self, delivery: Any, stream: QuicStream, previous: int) -> None:
        super()._on_stream_limit_delivery(delivery, stream, previous)
        self._streams_queue.append(stream)

    def _handle_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = _peek(buf)
        super()._handle_stream_frame(context, frame_type, buf)
        self._wake(stream_id)

    def _handle_reset_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = _peek(buf)
        super()._handle_reset_stream_frame(context, frame_type, buf)
        self._wake(stream_id)

    def _handle_stop_sending_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = _peek(buf)
        super()._handle_stop_sending_frame(context, frame_type, buf)
        self._wake(stream_id)

    def _handle_max_stream_data_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = _peek(buf)
        super()._handle_max_stream_data_frame(context, frame_type, buf)
        self._wake(stream_id)

    def _handle_max_data_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        super()._handle_max_data_frame(context, frame_type, buf)
        self._streams_queue += self._parked
        self._parked.clear()

    def _on_stream_delivery(
        self, delivery: QuicDeliveryState, stream: QuicStream, start: int, stop: int, fin: bool
    ) -> None:
        """What was sent of a stream has arrived, or is lost."""
        sender = stream.sender
        if (
            delivery is QuicDeliveryState.ACKED
            and start == sender._buffer_start
            and not fin
            and sender._reset_error_code is None
            and not len(sender._acked)
        ):
            sender._buffer_start = stop
            del sender._buffer[: stop - start]
            return
        sender.on_data_delivery(delivery, start, stop, fin)
        self._streams_queue.append(stream)

    def _on_end_delivery(self, delivery: QuicDeliveryState, stream: QuicStream, tell: Any) -> None:
        """A RESET_STREAM or STOP_SENDING has arrived, or is lost."""
        tell(delivery)
        self._streams_queue.append(stream)

    def _write_stream_frame(self, builder: Any, space: Any, stream: QuicStream, max_offset: int) -> int:
        used = super()._write_stream_frame(builder, space, stream, max_offset)
        handlers = builder._packet.delivery_handlers
        if handlers and handlers[-1][0] == stream.sender.on_data_delivery:
            handlers[-1] = (self._on_stream_delivery, (stream, *handlers[-1][1]))
        return used

    def _write_reset_stream_frame(self, builder: Any, stream: QuicStream) -> None:
        super()._write_reset_stream_frame(builder, stream)
        builder._packet.delivery_handlers[-1] = (self._on_end_delivery, (stream, stream.sender.on_reset_delivery))

    def _write_stop_sending_frame(self, builder: Any, stream: QuicStream) -> None:
        super()._write_stop_sending_frame(builder, stream)
        tell = stream.receiver.on_stop_sending_delivery
        builder._packet.delivery_handlers[-1] = (self._on_end_delivery, (stream, tell))

    # --- in ---

    def take_event(self) -> events.QuicEvent | Received | None:
        if not self._events:
            return None
        event = self._events[0]
        return self._events.popleft() if isinstance(event, tuple) else super().take_event()

    def receive_batch(self, datagrams: list[Datagram], now: float) -> None:
        """Take datagrams that came together."""
        for data, address in datagrams:
            self.receive_datagram(data, address, now)
        self._apply_pending_ack(now)
        if self._touched:
            self._touched = False
            if self._state is QuicConnectionState.CONNECTED and not self._close_pending:
                self._close_at = now + self._idle_timeout()

    def receive_datagram(self, data: bytes, addr: Address, now: float) -> None:
        if not self._is_plain(data, addr):
            self._apply_pending_ack(now)
            super().receive_datagram(data, addr, now)
            return
        crypto = self._cryptos[tls.Epoch.ONE_RTT].recv
        protection, aead = crypto.hp, crypto.aead
        assert protection is not None
        assert aead is not None
        cid_end = 1 + len(self.host_cid)
        sample_at = cid_end + _MAX_PACKET_NUMBER
        mask = protection._mask(data[sample_at : sample_at + _SAMPLE])
        first = data[0] ^ mask[0] & 0x1F
        if first & _RESERVED_BITS or (first & _KEY_PHASE) >> 2 != crypto.key_phase:
            self._apply_pending_ack(now)
            super().receive_datagram(data, addr, now)
            return
        length = (first & 3) + 1
        number_end = cid_end + length
        truncated = int.from_bytes(data[cid_end:number_end], "big") ^ int.from_bytes(mask[1 : 1 + length], "big")
        space = self._spaces[tls.Epoch.ONE_RTT]
        number = decode_packet_number(truncated, length * 8, space.expected_packet_number)
        header = b"%c%b%b" % (first, self.host_cid, truncated.to_bytes(length, "big"))
        try:
            payload = aead.decrypt(data[number_end:], header, number)
        except CryptoError:
            return
        if number in space.received_packets:
            return
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:
            self._spin_bit = bool(first & _SPIN_BIT) != self._is_client
            self._spin_highest_pn = number
        try:
            is_ack_eliciting = self._take_payload(payload, now)
        except QuicConnectionError as error:
            self.close(error_code=error.error_code, frame_type=error.frame_type, reason_phrase=error.reason_phrase)
        if self._state is not QuicConnectionState.CONNECTED or self._close_pending:
            return
        self._touched = True
        self._ack_eliciting_sent_since_receipt = False
        if number > space.largest_received_packet:
            space.largest_received_packet = number
            space.largest_received_time = now
        queue = space.ack_queue
        queue.add(number)
        space.received_packets.add(number)
        if len(queue) > MAX_ACK_RANGES:
            queue.shift()
        if is_ack_eliciting and space.ack_at is None:
            space.ack_at = now + self._ack_delay

    def _is_plain(self, data: bytes, addr: Address) -> bool:
        """Whether it is a packet of the established connection, on its one path, to the connection id in use."""
        return (
            self._state is QuicConnectionState.CONNECTED
            and self._handshake_confirmed
            and not self._close_pending
            and len(data) >= 1 + len(self.host_cid) + _MAX_PACKET_NUMBER + _SAMPLE
            and not data[0] & _LONG_HEADER
            and data[1 : 1 + len(self.host_cid)] == self.host_cid
            and len(self._network_paths) == 1
            and self._network_paths[0].addr == addr
            and self._network_paths[0].is_validated
            and self._quic_logger is None
            and not self._cryptos[tls.Epoch.ZERO_RTT].recv.is_valid()
        )

    def _take_payload(self, payload: bytes, now: float) -> bool:
        """Take the frames of a packet; return whether it wants an acknowledgement."""
        at, size = 0, len(payload)
        is_ack_eliciting = False
        if not size:
            self._rest(payload, now)
        while at < size:
            frame_type = payload[at]
            if _STREAM <= frame_type <= _STREAM_MAX:
                end = self._take_stream_frame(frame_type, payload, at + 1, now)
                is_ack_eliciting = True
            elif frame_type == _ACK:
                end = self._take_ack_frame(payload, at + 1, now)
            elif frame_type == _PADDING:
                end = size - len(payload[at:].lstrip(b"\0"))
            elif frame_type == _PING:
                end = at + 1
                is_ack_eliciting = True
            else:
                end = 0
            if not at < end <= size:
                return self._rest(payload[at:], now) or is_ack_eliciting
            at = end
        return is_ack_eliciting

    def _rest(self, payload: bytes, now: float) -> bool:
        """Leave frames to the plain class: they are rare, or wrong."""
        return self._payload_received(self._context(now), payload)[0]

    def _context(self, now: float) -> QuicReceiveContext:
        assert self._version is not None
        return QuicReceiveContext(
            epoch=tls.Epoch.ONE_RTT,
            host_cid=self.host_cid,
            network_path=self._network_paths[0],
            quic_logger_frames=None,
            time=now,
            version=self._version,
        )

    def _take_stream_frame(self, frame_type: int, payload: bytes, at: int, now: float) -> int:
        """Take a STREAM frame; return where it ends, or 0 to leave it to the plain class."""
        begin = at
        offset = 0
        try:
            stream_id, at = varint(payload, at)
            if frame_type & _OFFSET:
                offset, at = varint(payload, at)
            if frame_type & _LENGTH:
                length, at = varint(payload, at)
                end = at + length
            else:
                end = len(payload)
                length = end - at
        except IndexError:
            return 0
        if end > len(payload) or at > end:
            return 0
        stream = self._streams.get(stream_id)
        if stream is not None:
            receiver = stream.receiver
            stop = offset + length
            limit = self._local_max_data
            if (
                length
                and offset == receiver._buffer_start
                and receiver._final_size is None
                and not receiver.is_finished
                and not receiver._buffer
                and stop <= stream.max_stream_data_local
                and limit.used + stop - receiver.highest_offset <= limit.value
            ):
                limit.used += stop - receiver.highest_offset
                receiver.highest_offset = receiver._buffer_start = stop
                fin = bool(frame_type & _FIN)
                if fin:
                    receiver._final_size = stop
                    receiver.is_finished = True
                    self._streams_queue.append(stream)
                self._events.append((stream_id, payload[at:end], fin))  # type: ignore[arg-type]
                return end
        with contextlib.suppress(StreamFinishedError):  # one that is done with: there is nobody to tell
            self._handle_stream_frame(self._context(now), frame_type, Buffer(data=payload[begin:end]))
        return end

    def _take_ack_frame(self, payload: bytes, at: int, now: float) -> int:
        """Keep an ACK frame for the end of the batch; return where it ends, or 0 to leave it to the plain class."""
        begin = at
        try:
            largest, at = varint(payload, at)
            _, at = varint(payload, at)
            ranges, at = varint(payload, at)
            count, at = varint(payload, at)
            smallest = largest - count
            for _ in range(ranges):
                gap, at = varint(payload, at)
                count, at = varint(payload, at)
                smallest -= gap + 2 + count
        except IndexError:
            return 0
        if at > len(payload) or smallest < 0:
            return 0
        pending = self._pending_ack
        if pending is not None and not (pending[1] >= smallest and pending[2] <= largest):
            self._apply_pending_ack(now)
        self._pending_ack = payload[begin:at], smallest, largest
        return at

    def _apply_pending_ack(self, now: float) -> None:
        if self._pending_ack is not None:
            body, self._pending_ack = self._pending_ack[0], None
            self._handle_ack_frame(self._context(now), _ACK, Buffer(data=body))

    # --- out ---

    def _build(self, now: float) -> list[Datagram]:
        if not self._is_settled():
            return super()._build(now)
        self._pacing_at = None
        loss, path, space = self._loss, self._network_paths[0], self._spaces[tls.Epoch.ONE_RTT]
        crypto = self._cryptos[tls.Epoch.ONE_RTT]
        connection_id = self._peer_cid.cid
        around = overhead(connection_id)
        flight = loss.congestion_window - loss.bytes_in_flight
        if self._probe_pending:
            flight = max(flight, self._max_datagram_size)
        queue = deque(dict.fromkeys(self._streams_queue))
        self._streams_queue = []
        packet = self._packet
        datagrams: list[Datagram] = []
        while True:
            if space.ack_at is None or space.ack_at >= now:
                self._pacing_at = loss._pacer.next_send_time(now=now)
                if self._pacing_at is not None:
                    break
            packet.begin(self._packet_number, self._max_datagram_size - around, flight - around)
            try:  # noqa: SIM105 - `suppress` costs half a microsecond
                self._write_frames(packet, space, queue, now)
            except QuicPacketBuilderStop:
                pass  # it is full
            if packet.is_empty:
                break
            datagram = packet.seal(crypto, connection_id, self._spin_bit)
            sent = packet.sent
            sent.sent_time = now
            self._packet_number += 1
            loss.on_packet_sent(packet=sent, space=space)
            if sent.in_flight:
                flight -= sent.sent_bytes
            if sent.is_ack_eliciting and not self._ack_eliciting_sent_since_receipt:
                self._close_at = now + self._idle_timeout()
                self._ack_eliciting_sent_since_receipt = True
            path.bytes_sent += len(datagram)
            loss._pacer.update_after_send(now=now)
            datagrams.append((datagram, path.addr))
        self._streams_queue += queue
        return datagrams

    def _is_settled(self) -> bool:
        """Whether there is nothing to be sent but what goes on all the time."""
        return (
            self._state is QuicConnectionState.CONNECTED
            and self._handshake_confirmed
            and not (
                self._close_pending
                or self._handshake_done_pending
                or self._retire_connection_ids
                or self._streams_blocked_pending
                or self._datagrams_pending
                or self._remote_preferred_address
                or self._quic_logger
            )
            and len(self._network_paths) == 1
            and self._network_paths[0].is_validated
            and not self._network_paths[0].remote_challenges
            and self._crypto_streams[tls.Epoch.ONE_RTT].sender.buffer_is_empty
            and not self._cryptos[tls.Epoch.ONE_RTT]._update_key_requested
            and all(known.was_sent for known in self._host_cids)
        )

    def _write_frames(self, packet: ShortPacket, space: QuicPacketSpace, queue: deque[QuicStream], now: float) -> None:
        """Fill a packet.

        Raises:
            QuicPacketBuilderStop: it is full.
        """
        builder: Any = packet  # offers all that the plain class's writers use of a builder
        if space.ack_at is not None and space.ack_at <= now:
            self._write_ack_frame(builder, space, now)
        if self._limits_changed:
            self._write_connection_limits(packet, space)
            self._limits_changed = False
        if self._ping_pending:
            self._write_ping_frame(builder, self._ping_pending)
            self._ping_pending.clear()
        if self._probe_pending:
            self._write_ping_frame(builder, comment="probe")
            self._probe_pending = False
        for _ in range(len(queue)):
            stream = queue[0]
            if not self._write_of_stream(packet, space, stream):
                queue.popleft()
                continue
            queue.rotate(-1)  # the next packet begins with another
            if packet.remaining_flight_space <= _MIN_STREAM_FRAME:
                return

    def _write_of_stream(self, packet: ShortPacket, space: QuicPacketSpace, stream: QuicStream) -> bool:
        """Write what a stream has to send; return whether it has more that may be sent.

        Raises:
            QuicPacketBuilderStop: the packet is full.
        """
        if stream.is_finished:
            self._forget(stream)
            return False
        sender, receiver = stream.sender, stream.receiver
        if stream.max_stream_data_local != stream.max_stream_data_local_sent:
            self._write_stream_limits(packet, space, stream)
        if receiver.stop_pending:
            self._write_stop_sending_frame(packet, stream)
        if sender.reset_pending:
            self._write_reset_stream_frame(packet, stream)
            return False
        if stream.is_blocked:
            return True
        if sender.buffer_is_empty:
            return False
        room = min(
            sender.highest_offset + self._remote_max_data - self._remote_max_data_used, stream.max_stream_data_remote
        )
        pending: list[range] = sender._pending._RangeSet__ranges  # type: ignore[attr-defined]
        if not pending:
            if not sender._pending_eof:
                sender.buffer_is_empty = True
                return False
            self._write_stream_frame(packet, space, stream, room)  # FIN alone
        elif pending[0].start >= room:
            if room < stream.max_stream_data_remote:
                self._parked.append(stream)
            return False
        else:
            self._write_stream_data(packet, stream, pending, room)
        if pending or sender._pending_eof:
            return True
        sender.buffer_is_empty = True
        return False

    def _write_stream_data(
        self, packet: ShortPacket, stream: QuicStream, pending: list[range], max_offset: int
    ) -> None:
        """Write as much of the first pending range as fits: what `_write_stream_frame` and `get_frame` do."""
        sender, stream_id = stream.sender, stream.stream_id
        assert stream_id is not None
        first = pending[0]
        start = first.start
        stop = min(first.stop, start + packet.stream_room(stream_id, start), max_offset)
        if stop <= start:
            return
        base = sender._buffer_start
        data = bytes(sender._buffer[start - base : stop - base])
        if stop == first.stop:
            del pending[0]
        else:
            pending[0] = range(stop, first.stop)
        if stop > sender.highest_offset:
            self._remote_max_data_used += stop - sender.highest_offset
            sender.highest_offset = stop
        fin = stop == sender._buffer_fin
        if fin:
            sender._pending_eof = False
        packet.add_stream_frame(stream_id, start, data, fin, self._on_stream_delivery, stream)

    def _forget(self, stream: QuicStream) -> None:
        """A stream has ended both ways: the peer may open another (RFC 9000 section 4.6)."""
        assert stream.stream_id is not None
        if self._streams.pop(stream.stream_id, None) is not None and self._is_of_peer(stream.stream_id):
            self._stream_limit(stream.stream_id).value += 1
            self._limits_changed = True

    def _is_of_peer(self, stream_id: int) -> bool:
        return bool(stream_id & 1) == self._is_client


_MIN_STREAM_FRAME: Final = 1 + 8 + 8 + 2
"""Room below which no STREAM frame is begun: its own fields at their longest."""


def _peek(buf: Buffer) -> int:
    """The stream id that a frame begins with; -1 if it is cut off, which is for the plain class to say."""
    at = buf.tell()
    try:
        return buf.pull_uint_var()
    except ValueError:
        return -1
    finally:
        buf.seek(at)


if not aioquic.__version__.startswith(KNOWN_VERSIONS):
    FastConnection = CreditedConnection  # type: ignore[misc,assignment]
