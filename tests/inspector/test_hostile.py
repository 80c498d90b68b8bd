"""Whatever visitors send, everything that shows it gets through: one request must not hide all others."""

import random
from typing import Any

import msgspec
import pytest

from actors.bus.inspection import Answered, Ended, Head, Part
from actors.inspector import har, ngrok, views
from tests.kit.seen import MASKS, part, store

ODD = (
    *(b"//[", b"http://[::1", b"/?%", b"/?%zz=%ff&&&==", b"*", b"/\xff\xfe", b"/<script>alert(1)</script>", b"\0", b""),
    *(b"/?" + b"a=1&" * 500, b"/%00%0a", b"://", b"/\xed\xa0\x80", b"/?a;b;c=d", b"#"),
)

FIELDS = (
    b"Cookie",
    b"Set-Cookie",
    b"Content-Type",
    b"Location",
    b"Content-Encoding",
    b"Cf-Connecting-Ip",
    b"Host",
    b"",
)


def entries(seed: int) -> list[Part]:
    dice = random.Random(seed)

    def junk() -> bytes:
        return dice.choice((dice.randbytes(dice.randrange(30)), dice.choice(ODD)))

    parts: list[Part] = []
    for number in range(1, 40):
        fields = [(dice.choice((junk(), dice.choice(FIELDS))), junk()) for _ in range(dice.randrange(6))]
        head = Head(dice.choice(("http", "websocket", "tcp")), junk(), junk(), junk(), fields)
        more: dict[str, Any] = {"raw": [(0.1, dice.random() < 0.5, junk())]} if dice.random() < 0.3 else {}
        answered = dice.choice((None, Answered(0.1, dice.choice((0, 101, 200, 999)), fields)))
        ended = dice.choice((None, Ended(0.1, dice.choice((None, 200)), "r", "\x00\u2028<b>", "h")))
        parts.append(part(number, head=head, answered=answered, ended=ended, body=junk(), answer=junk(), **more))
    return parts


@pytest.mark.parametrize("seed", range(30))
def test_all_views_of_anything(seed: int) -> None:
    kept = store(*entries(seed))
    for entry in kept.newest():
        for told in (
            views.summary(entry),
            views.details(entry, MASKS, unmasked=True),
            ngrok.captured(entry, MASKS),
        ):
            assert msgspec.json.decode(msgspec.json.encode(told))
        for wanted in ({"text": "a"}, {"status": "error"}, {"path": "\ufffd"}, {"method": "get"}):
            assert (entry in views.Wanted(wanted, MASKS)) in (True, False)
    assert msgspec.json.encode(har.archive([har.entry_of(each, MASKS, unmasked=True) for each in kept.oldest()], "1"))
