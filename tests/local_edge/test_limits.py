"""What is held back, and by whom. The rest of the limits is met in tests/integration/test_local_edge_visitors.py."""

import pytest

from actors.local_edge.limits import CLOUDFLARE, UNLIMITED, Limits


@pytest.mark.parametrize(
    ("limits", "method", "content_type", "held"),
    [
        (CLOUDFLARE, "GET", b"text/event-stream", True),
        (CLOUDFLARE, "GET", b"Text/Event-Stream; charset=utf-8", True),
        (CLOUDFLARE, "POST", b"text/event-stream", False),
        (CLOUDFLARE, "GET", b"text/event-streams", False),
        (UNLIMITED, "GET", b"text/event-stream", False),
    ],
)
def test_event_streams_over_get_are_held(limits: Limits, method: str, content_type: bytes, held: bool) -> None:
    assert limits.holds(method, [(b"X", b"1"), (b"content-Type", content_type)]) is held


def test_answer_without_a_type_is_not_held() -> None:
    assert not CLOUDFLARE.holds("GET", [])
