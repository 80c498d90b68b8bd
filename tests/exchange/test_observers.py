"""Observers are told of what they listen to, in their order, and of nothing else."""

from actors.exchange.observers import Observed, Observer, Observers
from tests.exchange.test_journal import Seen, request


class Bytes(Observer):
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def request_data(self, exchange: Observed, data: bytes) -> None:
        self.heard.append(b"in " + data)

    def response_data(self, exchange: Observed, data: bytes) -> None:
        self.heard.append(b"out " + data)


class Ends(Observer):
    def __init__(self) -> None:
        self.heard: list[Observed] = []

    def ended(self, exchange: Observed) -> None:
        self.heard.append(exchange)


def test_each_is_called_for_what_it_overrides() -> None:
    first, second = Bytes(), Ends()
    told = Observers(first, second)
    assert (told.opened, told.answered) == ([], [])  # nobody listens: that costs nothing
    seen = Seen(request())
    for tell_bytes in told.request_data + told.response_data:
        tell_bytes(seen, b"x")
    for tell_end in told.ended:
        tell_end(seen)
    assert first.heard == [b"in x", b"out x"]
    assert second.heard == [seen]
