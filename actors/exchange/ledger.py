"""What passed on this connection, and how much of it has been reported. Pure.

A report that the bus does not take is not lost: it stays open, and the next one is bigger. Each report also carries
the running totals, so that a metrics actor which missed some is right after the next.
"""

from collections.abc import Sequence

from actors.bus.messages import StreamDelta
from actors.bus.tally import NO_RESPONSE, Details, Gauges, HistogramMeter, Tally, Totals
from actors.exchange.observers import Observed, Observer
from actors.exchange.reasons import GUARD, GUARDS
from actors.exchange.request import Field, Kind


class Ledger:
    """The counts of one generation of one slot."""

    def __init__(self, *, tunnel_id: str, slot: int, generation: int) -> None:
        self._tunnel_id = tunnel_id
        self._slot = slot
        self._generation = generation
        self._streams = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._responses: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._duration = HistogramMeter()
        self._first_byte = HistogramMeter()
        self._reports_refused = 0
        self.packets_sent = self.packets_lost = 0
        """The worker sets it just before each report."""
        self._reported = Tally()
        self._sequence = 0

    def stream_opened(self) -> None:
        """The edge opened a request stream."""
        self._streams += 1

    def received(self, count: int) -> None:
        """`count` bytes of a body, or of a raw tunnel, went from the edge to the origin."""
        self._bytes_in += count

    def sent(self, count: int) -> None:
        """`count` bytes of a body, or of a raw tunnel, went to the edge."""
        self._bytes_out += count

    def answered(self, seconds: float) -> None:
        """The head of an origin's response came, so long after the request's."""
        self._first_byte.observe(seconds)

    def request_ended(self, status: int | None, seconds: float) -> None:
        """An HTTP request has ended after so long, with this status if there was a response."""
        group = f"{status // 100}xx" if status is not None else NO_RESPONSE
        self._responses[group] = self._responses.get(group, 0) + 1
        self._duration.observe(seconds)

    def refused_by_guard(self, reason: str) -> None:
        """The guard refused a request for this reason."""
        self._refused[reason] = self._refused.get(reason, 0) + 1

    @property
    def totals(self) -> Totals:
        """What was counted of the three promised counters."""
        return Totals(streams=self._streams, bytes_in=self._bytes_in, bytes_out=self._bytes_out)

    @property
    def tally(self) -> Tally:
        """All that was counted so far."""
        details = Details(
            responses=self._responses.copy(),
            refused=self._refused.copy(),
            duration=self._duration.histogram,
            first_byte=self._first_byte.histogram,
            packets_sent=self.packets_sent,
            packets_lost=self.packets_lost,
            reports_refused=self._reports_refused,
        )
        return Tally(self.totals, details)

    @property
    def is_reported(self) -> bool:
        """Whether nothing passed since the last report that was taken. Packets alone are no news: there are PINGs."""
        before = self._reported
        return self.totals == before.totals and self._responses == before.details.responses

    def draft(self, gauges: Gauges) -> StreamDelta:
        """The report that is due."""
        tally = self.tally
        return StreamDelta(
            tunnel_id=self._tunnel_id,
            slot=self._slot,
            generation=self._generation,
            sequence=self._sequence + 1,
            delta=tally.totals - self._reported.totals,
            totals=tally.totals,
            details=tally.details,
            gauges=gauges,
        )

    def taken(self, report: StreamDelta) -> None:
        """The bus took `report`."""
        self._sequence = report.sequence
        self._reported = report.tally

    def refused(self) -> None:
        """The bus did not take a report."""
        self._reports_refused += 1


class Counting(Observer):
    """Enters the events of exchanges into a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def opened(self, exchange: Observed) -> None:
        self._ledger.stream_opened()

    def request_data(self, exchange: Observed, data: bytes) -> None:
        self._ledger.received(len(data))

    def answered(self, exchange: Observed, fields: Sequence[Field]) -> None:
        self._ledger.answered(exchange.seconds)

    def response_data(self, exchange: Observed, data: bytes) -> None:
        self._ledger.sent(len(data))

    def ended(self, exchange: Observed) -> None:
        if exchange.request.kind is not Kind.TCP:
            self._ledger.request_ended(exchange.status, exchange.seconds)
        if exchange.reason is not None and exchange.reason in GUARDS:
            self._ledger.refused_by_guard(exchange.reason.label.removeprefix(GUARD))
