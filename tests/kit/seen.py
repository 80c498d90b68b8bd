"""Exchanges as a worker tells the inspector of them."""

from typing import Any

from actors.bus.inspection import Answered, Batch, Ended, Head, Part, Reached, pack_part
from actors.inspector.masks import Masks
from actors.inspector.store import Recorded, Store

WORKER = "0.1"
FIRST = 1000


def part(number: int, method: str = "GET", target: str = "/", **given: Any) -> Part:
    """The one part of an exchange that is over: `fields`, `body`, `answer`, `status` and the like say what is other."""
    fields = given.pop("fields", [(b"User-Agent", b"curl")])
    body, answer = given.pop("body", b""), given.pop("answer", b"ok")
    kind, status = given.pop("kind", "http"), given.pop("status", 200)
    answer_fields = given.pop("answer_fields", [(b"Content-Type", b"text/plain")])
    return Part(
        number,
        **{
            "received": 1_700_000_000.0 + number,
            "head": Head(kind, method.encode(), target.encode(), b"a.example", fields),
            "reached": Reached(0.001, "127.0.0.1:8080"),
            "answered": Answered(0.01, status, answer_fields),
            "request": [body] if body else [],
            "request_bytes": len(body),
            "response": [answer] if answer else [],
            "response_bytes": len(answer),
            "ended": Ended(0.02, status),
            **given,
        },
    )


def store(*parts: Part, **limits: Any) -> Store:
    """A store that has seen these."""
    made = Store(first=FIRST, body_limit=limits.pop("body_limit", 65536), **limits)
    take(made, batch_of(*parts))
    return made


def batch_of(*parts: Part, lost: int = 0) -> Batch:
    """A batch of these."""
    return Batch([pack_part(each) for each in parts], lost)


def take(made: Store, batch: Batch, worker: str = WORKER) -> None:
    """Have it take in all of this."""
    for _ in made.take(worker, batch):
        pass


def recorded(**given: Any) -> Recorded:
    """One that was seen alone."""
    (entry,) = store(part(1, **given)).newest()
    return entry


MASKS = Masks()
