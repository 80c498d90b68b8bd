"""The states, and in which of them a visitor gets an answer."""

import pytest

from actors.supervisor.readiness import State, Visibility, serves


@pytest.mark.parametrize("state", State)
def test_serving(state: State) -> None:
    expected = state in (State.REGISTERED, State.VISIBLE, State.DEGRADED)
    assert serves(state, Visibility.SEEN) is expected
    assert serves(state, Visibility.NOT_ASKED) is expected
    assert not serves(state, Visibility.UNSEEN)
