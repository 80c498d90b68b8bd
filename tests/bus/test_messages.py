"""The schema: what is refused, and that nothing hostile raises another error."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.bus import events
from actors.bus.messages import (
    DECODE_ERRORS,
    MAX_MESSAGE_BYTES,
    Credentials,
    GenerationTally,
    Heartbeat,
    KnownCounts,
    Leaving,
    Proxy,
    Ready,
    StreamDelta,
    TunnelTally,
    decode_down,
    decode_report,
    decode_up,
    encode,
)
from actors.bus.tally import BOUNDS, Details, Gauges, Histogram, LifecycleCounts, Tally, Totals
from actors.metrics.exposition import REFUSALS, STATUSES
from actors.supervisor.counts import KEPT_TUNNELS

DELTA = StreamDelta("t", 0, 1, 1, Totals(1, 2, 3), Totals(1, 2, 3))


def test_messages_survive_the_wire() -> None:
    assert decode_report(encode(DELTA)) == DELTA
    assert decode_up(encode(Ready({"a": "b"}))) == Ready({"a": "b"})
    beat = Heartbeat(Tally(Totals(1, 2, 3)), Gauges(4, 0.5))
    assert decode_up(encode(beat)) == beat
    assert decode_up(encode(Leaving("bye"))) == Leaving("bye")


@pytest.mark.parametrize(
    "change",
    [
        {"slot": -1},
        {"sequence": 2**63},
        {"delta": {"streams": -1}},
        {"details": {"duration": {"buckets": [1]}}},
        {"tunnel_id": 5},
        {"type": "other"},
    ],
    ids=repr,
)
def test_nonsense_is_refused(change: dict[str, object]) -> None:
    message = msgspec.msgpack.encode(msgspec.to_builtins(DELTA) | change)
    with pytest.raises(DECODE_ERRORS):
        decode_report(message)


def test_what_a_newer_version_adds_is_passed_over_and_what_it_drops_has_a_default() -> None:
    told = msgspec.to_builtins(DELTA)
    assert decode_report(msgspec.msgpack.encode(told | {"more": 1})) == DELTA
    assert decode_report(msgspec.msgpack.encode({name: told[name] for name in told if name != "gauges"})) == DELTA


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_garbage_raises_the_documented_errors_only(data: bytes) -> None:
    for decode in (decode_up, decode_down, decode_report):
        with pytest.raises(DECODE_ERRORS):
            decode(data)


def test_deep_nesting_raises_a_documented_error() -> None:
    with pytest.raises(DECODE_ERRORS):
        decode_up(b"\x82\xa4type\xa5ready\xa1x" + b"\x91" * 100_000)


def test_secret_shows_in_no_repr() -> None:
    credentials = Credentials("id", "https://a", "tag", b"hunter2")
    assert "hunter2" not in f"{credentials!r} {credentials}"
    proxy = Proxy("proxy.example", 3128, authorization="Basic c2VjcmV0")
    assert "c2VjcmV0" not in repr(proxy)
    assert str(proxy) == "proxy.example:3128"


def test_every_event_has_a_topic_of_its_own() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    topics = [kind.__struct_config__.tag for kind in kinds if kind is not events.Event]
    assert len(set(topics)) == len(topics) > 10
    assert all(isinstance(topic, str) and topic.islower() for topic in topics)


def test_largest_message_fits() -> None:
    """A metrics actor that begins anew is told of 16 tunnels of four connections, all counters at their largest."""
    most = 2**63 - 1
    histogram = Histogram([most] * (len(BOUNDS) + 1), 1e300)
    details = Details(
        dict.fromkeys(STATUSES, most), histogram, histogram, most, most, most, dict.fromkeys(REFUSALS, most)
    )
    tally = Tally(Totals(most, most, most), details)
    tunnel = TunnelTally("x" * 36, tally, [GenerationTally(slot, most, tally) for slot in range(4)])
    lifecycle = LifecycleCounts(
        starts_failed={f"{number:064}": most for number in range(16)},
        reconnects={f"{number:036}": most for number in range(KEPT_TUNNELS)},
        connection_failures={f"{number:064}": most for number in range(16)},
    )
    assert len(encode(KnownCounts([tunnel] * KEPT_TUNNELS, lifecycle, most))) < MAX_MESSAGE_BYTES
