"""What passed on this connection, and how much of it has been reported. Pure.

A report that the bus does not take is not lost: it stays open, and the next one is bigger. Each report also carries
the running totals, so that a metrics actor which missed some is right after the next.
"""

from actors.messages import StreamDelta, Totals


class Ledger:
    """The counts of one generation of one slot."""

    def __init__(self, *, tunnel_id: str, slot: int, generation: int) -> None:
        self._tunnel_id = tunnel_id
        self._slot = slot
        self._generation = generation
        self._streams = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._reported = Totals()
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

    @property
    def totals(self) -> Totals:
        """All that was counted so far."""
        return Totals(streams=self._streams, bytes_in=self._bytes_in, bytes_out=self._bytes_out)

    @property
    def is_reported(self) -> bool:
        """Whether nothing passed since the last report that was taken."""
        return self.totals == self._reported

    def draft(self) -> StreamDelta:
        """The report that is due."""
        totals = self.totals
        return StreamDelta(
            tunnel_id=self._tunnel_id,
            slot=self._slot,
            generation=self._generation,
            sequence=self._sequence + 1,
            delta=totals - self._reported,
            totals=totals,
        )

    def taken(self, report: StreamDelta) -> None:
        """The bus took `report`."""
        self._sequence = report.sequence
        self._reported = report.totals
