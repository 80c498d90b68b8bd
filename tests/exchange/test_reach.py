"""Addresses that are deaf, refuse or answer, without a network: attempts are coroutines of the test's own."""

import asyncio

import pytest

from actors.exchange import reach
from actors.exchange.reach import Reach, Unreachable, in_turn

LONG = 30.0


class Attempts:
    """What was tried, and what came of what."""

    def __init__(self, **outcomes: OSError | asyncio.Event | None) -> None:
        self.outcomes = outcomes
        self.tried: list[str] = []
        self.cancelled: list[str] = []
        self.closed: list[str] = []

    async def __call__(self, address: str) -> str:
        self.tried.append(address)
        outcome = self.outcomes[address]
        if isinstance(outcome, asyncio.Event):
            try:
                await outcome.wait()
            except asyncio.CancelledError:
                self.cancelled.append(address)
                raise
        elif outcome is not None:
            raise outcome
        return f"made with {address}"

    def close(self, made: str) -> None:
        self.closed.append(made)


def reach_of(*hosts: str, monkeypatch: pytest.MonkeyPatch) -> Reach[str]:
    monkeypatch.setattr(reach, "ATTEMPT_DELAY", 0.02)
    return Reach(hosts, 80)


async def test_deaf_address_holds_nobody_up_and_is_not_first_again(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a=asyncio.Event(), b=None)
    to = reach_of("a", "b", monkeypatch=monkeypatch)
    assert await to(attempts, attempts.close, timeout=LONG) == "made with b"
    await asyncio.sleep(0)
    assert attempts.cancelled == ["a"]
    assert await to(attempts, attempts.close, timeout=LONG) == "made with b"
    assert attempts.tried == ["a", "b", "b"]


async def test_every_error_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a=ConnectionRefusedError(), b=OSError(113, "no route"), c=None)
    to = reach_of("a", "b", "c", monkeypatch=monkeypatch)
    assert await to(attempts, attempts.close, timeout=LONG) == "made with c"


async def test_all_fail_and_each_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = ConnectionRefusedError()
    attempts = Attempts(a=refused, b=asyncio.Event(), c=OSError(101, "x"))
    with pytest.raises(Unreachable) as failed:
        await reach_of("a", "b", "c", monkeypatch=monkeypatch)(attempts, attempts.close, timeout=0.1)
    errors = failed.value.errors
    assert set(errors) == {"a", "b", "c"}
    assert errors["a"] is refused
    assert isinstance(errors["b"], TimeoutError)


async def test_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(**{"127.0.0.1": asyncio.Event()})
    with pytest.raises(Unreachable) as failed:
        await reach_of("127.0.0.1", monkeypatch=monkeypatch)(attempts, attempts.close, timeout=0.02)
    assert isinstance(failed.value.errors["127.0.0.1"], TimeoutError)


async def test_fault_is_no_failed_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt(address: str) -> str:
        raise ValueError(address)

    with pytest.raises(ValueError, match="a"):
        await reach_of("a", "b", monkeypatch=monkeypatch)(attempt, print, timeout=LONG)


async def test_what_is_made_too_late_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    go = asyncio.Event()
    attempts = Attempts(a=go, b=go)
    asyncio.get_running_loop().call_later(0.05, go.set)
    made = await reach_of("a", "b", monkeypatch=monkeypatch)(attempts, attempts.close, timeout=LONG)
    await asyncio.sleep(0)
    other = "made with b" if made == "made with a" else "made with a"
    assert attempts.closed == [other]


async def test_who_asks_no_longer_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = Attempts(a=asyncio.Event(), b=asyncio.Event())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reach_of("a", "b", monkeypatch=monkeypatch)(attempts, attempts.close, timeout=LONG)
    await asyncio.sleep(0)
    assert attempts.cancelled == ["a", "b"]


async def test_name_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    async def attempt(address: str) -> str:
        tried.append(address)
        return address

    await reach_of("localhost", monkeypatch=monkeypatch)(attempt, print, timeout=LONG)
    assert tried[0] in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("addresses", "turns"),
    [
        (["1.1.1.1"], ["1.1.1.1"]),
        (["::1", "::2", "1.1.1.1", "2.2.2.2", "3.3.3.3"], ["::1", "1.1.1.1", "::2", "2.2.2.2", "3.3.3.3"]),
        (["1.1.1.1", "1.1.1.1", "::1"], ["1.1.1.1", "::1"]),
    ],
)
def test_families_take_turns(addresses: list[str], turns: list[str]) -> None:
    assert in_turn(addresses) == turns
