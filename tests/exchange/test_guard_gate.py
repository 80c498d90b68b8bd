"""The gate of a guard, with passwords that take their time."""

import asyncio
import base64
import inspect
from collections.abc import Iterator

import bcrypt
import pytest

from actors.bus.guards import Guard, Login, Webhook
from actors.exchange.gate import Need, Passed, Refusal, Verdict
from actors.exchange.guard_gate import MAX_WAITING, TOO_MANY, GuardGate, Guarding
from actors.exchange.request import Request
from tests.guard.kit import asked

GUARD = Guard(
    logins=(Login("ann", bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()),), webhooks=(Webhook("github", ("s",)),)
)
SIGNED = ("X-Hub-Signature-256", "sha256=0")


def basic(password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


@pytest.fixture
def guarding() -> Iterator[Guarding]:
    made = Guarding(None, 0, 0)
    yield made
    made.close()


async def judged(gate: GuardGate, request: Request) -> Verdict:
    verdict = gate.judge(request, None)
    return await verdict if inspect.iscoroutine(verdict) else verdict  # type: ignore[return-value]


async def test_right_login_lets_in_whatever_else_is_said_of_a_signature(guarding: Guarding) -> None:
    gate = GuardGate(GUARD, 0, guarding)
    for _ in range(2):  # verified, and remembered
        verdict = await judged(gate, asked("/", basic("sesame"), SIGNED))
        assert isinstance(verdict, Passed)
        assert verdict.request == asked("/", SIGNED)


async def test_wrong_login_leaves_it_to_the_signature(guarding: Guarding) -> None:
    gate = GuardGate(GUARD, 0, guarding)
    assert await judged(gate, asked("/", basic("x"), SIGNED)) is Need.BODY
    assert isinstance(verdict := await judged(gate, asked("/", basic("x"))), Refusal)
    assert verdict.status == 401


async def test_webhooks_do_not_wait_for_those_who_guess_at_passwords(guarding: Guarding) -> None:
    gate = GuardGate(GUARD, 0, guarding)
    requests = [asked("/", basic(str(number))) for number in range(MAX_WAITING + 1)]
    signed = [asked("/", basic("x"), SIGNED)] * 3
    verdicts = await asyncio.gather(*(judged(gate, each) for each in [*requests, *signed]))
    assert [verdict is TOO_MANY for verdict in verdicts[: MAX_WAITING + 1]] == [*[False] * MAX_WAITING, True]
    assert verdicts[MAX_WAITING + 1 :] == [Need.BODY] * 3
