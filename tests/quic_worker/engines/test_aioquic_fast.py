"""The fast connection against the plain one: the same datagrams and calls to both, and the same comes of it."""

import copy
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aioquic import tls
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicPacketBuilderStop
from aioquic.quic.stream import QuicStreamSender

from actors import trust
from actors.local_edge.certificates import make_certificates
from actors.local_edge.tls import EdgeConnection
from actors.messages import CongestionControl
from actors.quic_worker.engine import Address, Datagram
from actors.quic_worker.engines.aioquic_credit import CreditedConnection
from actors.quic_worker.engines.aioquic_engine import client_configuration, server_configuration
from actors.quic_worker.engines.aioquic_fast import FastConnection
from actors.quic_worker.engines.short_packet import ShortPacket, varint

SERVER: Address = ("192.0.2.2", 2)
CLIENT: Address = ("192.0.2.1", 1)
CERTIFICATES = make_certificates((trust.EDGE_SERVER_NAME,))


def twin(plain: CreditedConnection) -> FastConnection:
    """A fast connection in the same state, with the same keys."""
    shared: dict[int, Any] = {
        id(part): part for part in (plain.tls, plain._configuration, plain._crypto_buffers, plain._logger)
    }
    for pair in plain._cryptos.values():
        for context in (pair.recv, pair.send):
            shared |= {id(part): part for part in (context.aead, context.hp)}
    other: Any = copy.deepcopy(plain, shared)
    fresh: Any = FastConnection(configuration=plain._configuration)
    for name in fresh.__dict__.keys() - other.__dict__.keys():
        other.__dict__[name] = fresh.__dict__[name]
    other.__class__ = FastConnection
    handlers = "_QuicConnection__frame_handlers"
    bound = {
        number: (getattr(other, handler.__name__), epochs)
        for number, (handler, epochs) in getattr(other, handlers).items()
    }
    setattr(other, handlers, bound)
    other.prepare()
    other._loss._cc, other._loss._pacer = copy.deepcopy((plain._loss._cc, plain._loss._pacer))
    if hasattr(other._loss._pacer, "_model"):
        other._loss._pacer._model = other._loss._cc.model
        other._bbr = other._loss._cc
    other._streams_queue = list(other._streams.values())
    assert isinstance(other, FastConnection)
    return other


def _told(sender: QuicStreamSender) -> dict[str, Any]:
    """What a sender knows, but for what the plain class finds out later."""
    return {name: value for name, value in vars(sender).items() if name != "buffer_is_empty"}


class Trial:
    """A plain client that talks to a server, and its twin, which is told the same and is not heard."""

    def __init__(self, seed: int, congestion_control: CongestionControl = "bbr") -> None:
        self.dice = random.Random(seed)
        self.now = 100.0
        self.plain = CreditedConnection(
            configuration=client_configuration(
                server_name=trust.EDGE_SERVER_NAME,
                alpn=trust.ALPN,
                ca_file=None,
                ca_data=CERTIFICATES.authority_pem,
                congestion_control=congestion_control,
            )
        )
        self.plain.prepare()
        self.server = EdgeConnection(
            configuration=server_configuration(
                alpn=trust.ALPN, certificate=CERTIFICATES.certificate, private_key=CERTIFICATES.private_key
            ),
            original_destination_connection_id=self.plain.original_destination_connection_id,
        )
        self.server.server_names = (trust.EDGE_SERVER_NAME,)
        self.server.prepare()
        self.plain.connect(SERVER, self.now)
        self.plain.send_stream_data(0, b"control")
        for _ in range(200):
            self.now += 0.001
            self._to_server(self.plain.datagrams_to_send(self.now))
            self.plain.receive_batch(self._from_server(), self.now)
            while self.plain.next_event() is not None:
                pass
            for end in (self.plain, self.server):
                if (due := end.get_timer()) is not None and due <= self.now:
                    end.now = self.now
                    end.handle_timer(self.now)
        assert self.plain._handshake_confirmed
        self.fast = twin(self.plain)

    @property
    def both(self) -> tuple[CreditedConnection, FastConnection]:
        return self.plain, self.fast

    def _to_server(self, datagrams: list[Datagram]) -> None:
        self.server.receive_batch([(data, CLIENT) for data, _ in datagrams], self.now)

    def _from_server(self) -> list[Datagram]:
        self.server.now = self.now
        for event in iter(self.server.take_event, None):
            if isinstance(event, tuple):
                self.server.grant(event[0], len(event[1]))
        return [(data, SERVER) for data, _ in self.server.datagrams_to_send(self.now)]

    def both_do(self, act: Callable[[CreditedConnection], Any]) -> Any:
        """Do something on either, and see that the same comes of it."""
        results = [act(end) for end in self.both]
        assert results[0] == results[1]
        return results[0]

    def step(self, *, loss: float = 0.0, disorder: float = 0.0) -> None:
        """A millisecond: what the server sends reaches both, and what the plain client sends reaches the server."""
        self.now += 0.001
        batch = [datagram for datagram in self._from_server() if self.dice.random() >= loss]
        if self.dice.random() < disorder:
            self.dice.shuffle(batch)
            batch += batch[:1]  # and one comes twice
        for end in self.both:
            end.now = self.now
            for datagram in batch:  # one by one: that each acknowledgement is applied as the plain class does it
                end.receive_batch([datagram], self.now)
        self.same_events()
        self.both_do(lambda end: end.get_timer())
        due = self.plain.get_timer()
        if due is not None and due <= self.now:
            self.both_do(lambda end: end.handle_timer(self.now))
        sent = self.both_do(lambda end: end.datagrams_to_send(self.now))
        self._to_server([datagram for datagram in sent if self.dice.random() >= loss])
        if (due := self.server.get_timer()) is not None and due <= self.now:
            self.server.handle_timer(self.now)
        self.same_state()

    def same_events(self) -> None:
        """Both tell of the same, in the same order; what was received is consumed."""

        def take(end: CreditedConnection) -> list[Any]:
            return list(iter(end.take_event, None))

        for event in self.both_do(take):
            if isinstance(event, tuple):
                for end in self.both:
                    end.grant(event[0], len(event[1]))

    def same_state(self) -> None:
        """Both know the same."""
        for look in (
            lambda end: sorted(end._streams),
            lambda end: {number: vars(stream.receiver) for number, stream in end._streams.items()},
            lambda end: {number: _told(stream.sender) for number, stream in end._streams.items()},
            lambda end: (end._local_max_data.used, end._local_max_data.value, end._remote_max_data_used),
            lambda end: (end._close_at, end._state, end._close_event),
            lambda end: list(end._spaces[tls.Epoch.ONE_RTT].ack_queue),
            lambda end: list(end._spaces[tls.Epoch.ONE_RTT].sent_packets),
            lambda end: (end._loss._rtt_smoothed, end._loss._rtt_variance, end._loss._rtt_min, end._loss._pto_count),
            lambda end: (end._loss.congestion_window, end._loss.bytes_in_flight),
        ):
            assert look(self.plain) == look(self.fast)


SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("loss", "disorder"), [(0.0, 0.0), (0.03, 0.0), (0.05, 0.3)])
def test_what_is_received_does_the_same_to_both(seed: int, loss: float, disorder: float) -> None:
    """Many streams of the server's: bytes, ends, resets, stops, PINGs; the client answers on none."""
    trial = Trial(seed)
    dice, server = trial.dice, trial.server
    open_ones: list[int] = []
    for _ in range(400):
        chance = dice.random()
        if chance < 0.2:
            stream_id = server.get_next_available_stream_id()
            server.send_stream_data(stream_id, dice.randbytes(dice.randrange(1, 4000)))
            open_ones.append(stream_id)
        elif open_ones and chance < 0.5:
            server.send_stream_data(dice.choice(open_ones), dice.randbytes(dice.randrange(20_000)))
        elif open_ones and chance < 0.6:
            server.send_stream_data(open_ones.pop(), b"", end_stream=True)
        elif open_ones and chance < 0.65:
            server.reset_stream(open_ones.pop(), 7)
        elif chance < 0.7:
            server.send_ping(1)
        trial.step(loss=loss, disorder=disorder)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("congestion_control", ["bbr", "cubic"])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_what_is_sent_is_the_same_byte_for_byte(seed: int, congestion_control: CongestionControl, loss: float) -> None:
    """One response after the other, of any size, some given up."""
    trial = Trial(seed, congestion_control)
    dice, server = trial.dice, trial.server
    for _ in range(25):
        stream_id = server.get_next_available_stream_id()
        server.send_stream_data(stream_id, b"request", end_stream=True)
        while stream_id not in trial.plain._streams:
            trial.step(loss=loss)
        for _ in range(dice.randrange(1, 5)):
            data = dice.randbytes(int(dice.lognormvariate(7, 2)))
            for end in trial.both:
                end.send_stream_data(stream_id, data)
            trial.step(loss=loss)
        gives_up = dice.random() < 0.2
        for end in trial.both:
            if gives_up:
                end.reset_stream(stream_id, 3)
            else:
                end.send_stream_data(stream_id, b"", end_stream=True)
        while stream_id in trial.plain._streams:
            trial.step(loss=loss)


def test_newest_acknowledgement_of_a_batch_stands_for_the_others() -> None:
    """Applied at once or one by one, they leave the same in flight."""
    trial = Trial(1)
    server = trial.server
    stream_id = server.get_next_available_stream_id()
    server.send_stream_data(stream_id, b"request")
    while stream_id not in trial.plain._streams:
        trial.step()
    for end in trial.both:
        end.send_stream_data(stream_id, bytes(100_000))
    acknowledgements: list[Datagram] = []
    for _ in range(50):
        trial.now += 0.002
        sent = trial.plain.datagrams_to_send(trial.now)
        assert trial.fast.datagrams_to_send(trial.now) == sent
        for datagram in sent:
            trial._to_server([datagram])
            trial.now += 0.002
            acknowledgements += trial._from_server()
    assert len(acknowledgements) > 5
    for datagram in acknowledgements:
        trial.plain.receive_batch([datagram], trial.now)
    applied = 0
    handle = trial.fast._handle_ack_frame

    def counting(*arguments: Any) -> None:
        nonlocal applied
        applied += 1
        handle(*arguments)

    trial.fast._handle_ack_frame = counting  # type: ignore[method-assign,assignment]
    trial.fast.receive_batch(acknowledgements, trial.now)
    assert applied == 1
    for end in trial.both:
        assert not end._spaces[tls.Epoch.ONE_RTT].ack_eliciting_in_flight
    assert trial.plain._streams[stream_id].sender._buffer_start == trial.fast._streams[stream_id].sender._buffer_start


@pytest.mark.parametrize(
    "frames",
    [
        b"",
        b"\x40",
        b"\x1f",
        b"\x08",
        b"\x0e\x40",
        b"\x0f\x01\x00\x44\x00xx",
        b"\x02\x05",
        b"\x02\x00\x00\x01\x00\x05\x00",
        b"\x0a\x00\x80\x00",
        b"\x0a\x03\x01x",
        b"\x0c\x01\xff\xff\xff\xff\xff\xff\xff\xffx",
        b"\x01\x00\x00\x01\x1e",
        b"\x0a\x41\x00\x01x",
    ],
    ids=bytes.hex,
)
def test_frames_that_make_no_sense_end_both_connections_alike(frames: bytes) -> None:
    trial = Trial(2)
    server = trial.server
    number = server._packet_number
    header = bytes((0x43,)) + server._peer_cid.cid + number.to_bytes(4, "big")  # so long that nothing is too short
    datagram = server._cryptos[tls.Epoch.ONE_RTT].encrypt_packet(header, frames, number)
    for end in trial.both:
        end.receive_batch([(datagram, SERVER)], trial.now)
    told = [end._close_event and (end._close_event.error_code, end._close_event.frame_type) for end in trial.both]
    assert told[0] == told[1]
    assert trial.both_do(lambda end: end.datagrams_to_send(trial.now)) is not None


def test_garbage_is_no_packet_to_either() -> None:
    trial = Trial(3)
    cid = trial.plain.host_cid
    for _ in range(300):
        data = bytes((0x40 | trial.dice.randrange(0x40),)) + cid + trial.dice.randbytes(trial.dice.randrange(60))
        for end in trial.both:
            end.receive_batch([(data, SERVER)], trial.now)
        trial.same_state()


def test_key_update_of_the_peer_is_followed_by_both() -> None:
    trial = Trial(4)
    for _ in range(3):
        trial.server.request_key_update()
        trial.server.send_stream_data(1, b"under new keys")
        for _ in range(10):
            trial.step()
    assert trial.plain._streams[1].receiver.highest_offset == 3 * len(b"under new keys")


def test_stream_that_nobody_reads_from_costs_the_others_nothing() -> None:
    """A packet is made without a look at streams that have nothing to send."""
    trial = Trial(5)
    for number in range(100):
        trial.server.send_stream_data(1 + 4 * number, b"request")
        trial.step()
    for _ in range(5):
        trial.step()
    looked: list[int] = []
    write = trial.fast._write_of_stream

    def counting(packet: Any, space: Any, stream: Any) -> bool:
        looked.append(stream.stream_id)
        return write(packet, space, stream)

    trial.fast._write_of_stream = counting  # type: ignore[method-assign]
    trial.fast.send_stream_data(5, bytes(5000))
    trial.fast.datagrams_to_send(trial.now + 0.01)
    assert set(looked) == {5}


def test_another_minor_version_of_aioquic_gets_the_plain_class() -> None:
    """In a process of its own: what a module is, it is from its import on."""
    program = (
        "import aioquic; aioquic.__version__ = '1.8.0'\n"
        "from actors.quic_worker.engines import aioquic_engine, aioquic_credit, aioquic_fast\n"
        "assert aioquic_fast.FastConnection is aioquic_credit.CreditedConnection\n"
        "assert aioquic_engine.FastConnection is aioquic_credit.CreditedConnection\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("value", [0, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**62 - 1])
def test_integers_of_any_length(value: int) -> None:
    packet = ShortPacket()
    packet.begin(0, 100, 100)
    packet.buffer.push_uint_var(value)
    assert varint(b"x" + packet.buffer.data, 1) == (value, 1 + len(packet.buffer.data))


def test_packet_takes_what_fits() -> None:
    packet = ShortPacket()
    packet.begin(0, 10, 5)
    with pytest.raises(QuicPacketBuilderStop):
        packet.start_frame(QuicFrameType.PING, capacity=6)
    packet.start_frame(QuicFrameType.ACK, capacity=6)  # does not count as in flight
    assert (packet.sent.in_flight, packet.sent.is_ack_eliciting) == (False, False)
    packet.start_frame(QuicFrameType.PING)
    assert (packet.sent.in_flight, packet.sent.is_ack_eliciting) == (True, True)
