"""The states, and in which of them a visitor gets an answer."""

import pytest

from actors.supervisor.readiness import State, Visibility, in_words, serves


@pytest.mark.parametrize("state", State)
def test_serving(state: State) -> None:
    expected = state in (State.REGISTERED, State.VISIBLE, State.DEGRADED)
    assert serves(state, Visibility.SEEN) is expected
    assert serves(state, Visibility.NOT_ASKED) is expected
    assert not serves(state, Visibility.UNSEEN)


def test_tunnel_without_a_url_is_told_by_its_rules() -> None:
    words = ("registered, no rules yet", "registered, 1 rule in force", "registered, 2 rules in force")
    assert tuple(map(in_words, range(3))) == words
