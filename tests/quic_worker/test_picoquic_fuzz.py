"""picoquic, and what we made around it, before a peer that does by chance all that a peer can do.

The peer is aioquic's own server. The client is a process of its own, which lives one connection after the other:
it must not crash, nor keep what is over. A life is told by its number, the seed of its dice. For an hour of it:

    nice bin/test -s --timeout 0 --soak 3600 tests/quic_worker/test_picoquic_fuzz.py
"""

import asyncio
import contextlib
import itertools
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest
from aioquic.asyncio.server import QuicServer, serve

from tests.kit.engines import CERTIFICATES
from tests.kit.fuzzing_peer import Peer, configuration
from tests.kit.processes import PATIENCE, ROOT

pytest.importorskip("aiopquic", reason="picoquic's wheels begin at Python 3.12")

STEPS: Final = 150
"""Of one life, at most."""

WARM: Final = 20
"""Lives after which memory is as large as it gets."""

GROWTH: Final = 8_000_000
"""Bytes that it may grow by after that, over any number of lives."""

KEPT: Final = 8
"""Contexts of streams that a life may keep, of the thousands that it opens. This peer forgets its old keys in the
moment in which it updates them, and of the ends that are lost by that picoquic does not send each again: a few in some
hundred lives. What they hold is small, and goes with the connection."""


class Client:
    """The process with the connection."""

    def __init__(self, process: asyncio.subprocess.Process, ca: Path) -> None:
        self._process = process
        self._ca = ca
        self._why = ""
        self.of_system = psutil.Process(process.pid)

    def tell(self, what: str, **more: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **more}).encode() + b"\n")

    async def dial(self, port: int) -> str:
        """Dial; what came of it."""
        self._why = ""
        self.tell("dial", port=port, ca=str(self._ca))
        return str((await self.heard("connected", "closed"))["said"])

    async def heard(self, *what: str) -> dict[str, Any]:
        """The next line of one of these kinds."""
        assert self._process.stdout is not None
        while True:
            async with asyncio.timeout(PATIENCE):
                line = await self._process.stdout.readline()
            assert line, f"the client died: status {await self._process.wait()}"
            said = dict(json.loads(line))
            assert said["said"] != "failed", f"a fault in the engine: {said['why']}"
            if said["said"] == "closed":
                self._why = str(said["why"])
            if said["said"] in what:
                return said

    async def counts(self) -> dict[str, int]:
        """What it holds; empty if it has no connection."""
        self.tell("count")
        said = await self.heard("counted")
        del said["said"]
        return said

    async def closed(self) -> str:
        """Wait until its connection has ended; why it did."""
        if not self._why:
            await self.heard("closed")
        return self._why


class Sample(NamedTuple):
    """What the process holds between two lives."""

    memory: int
    descriptors: int
    threads: int


@contextlib.asynccontextmanager
async def running_client(tmp_path: Path) -> AsyncIterator[Client]:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(CERTIFICATES.authority_pem)
    command = (sys.executable, "-P", "-X", "faulthandler", "-m", "tests.kit.fuzzed_client")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=ROOT)
    try:
        yield Client(process, ca)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(PATIENCE):
            await process.wait()


def keeps(held: dict[str, int]) -> bool:
    """Whether that is more than a client without streams has."""
    return any(count > (KEPT if what == "contexts" else 0) for what, count in held.items())


class Life:
    """One connection, by its number."""

    def __init__(self, seed: int, client: Client) -> None:
        self._seed = seed
        self._dice = random.Random(seed)
        self._client = client
        self._peers: list[Peer] = []

    async def live(self) -> str:
        """Live it; return how it ended."""
        dice = self._dice
        share = dice.choice((0.0, 0.0, 0.02, 0.1))
        left = None if dice.random() < 0.85 else dice.randrange(6)  # else half a handshake
        make = partial(Peer, dice=dice, share=share, left=left)
        retry = dice.random() < 0.2
        server = await serve(
            "127.0.0.1", 0, configuration=configuration(), create_protocol=partial(self._make, make), retry=retry
        )
        try:
            return await self._with(server)
        finally:
            server.close()

    def _make(self, make: "partial[Peer]", *arguments: Any, **rest: Any) -> Peer:
        self._peers.append(make(*arguments, **rest))
        return self._peers[-1]

    async def _with(self, server: QuicServer) -> str:
        assert server._transport is not None
        dialled = await self._client.dial(server._transport.get_extra_info("sockname")[1])
        if dialled == "closed":
            return "no handshake"
        peer = self._peers[-1]
        for _ in range(self._dice.randrange(STEPS)):
            peer.step()
            if self._dice.random() < 0.4:
                await asyncio.sleep(self._dice.choice((0, 0, 0.001, 0.02)))
        if peer.meddler.left is None and not peer.ended.done() and self._dice.random() < 0.5:
            await self._settle(peer)
        return await self._end(peer)

    async def _settle(self, peer: Peer) -> None:
        """All streams are over, and neither end holds any; then one more works as the first did."""
        peer.meddler.share = 0.0
        peer.give_up_all()
        held: dict[str, int] = {}
        try:
            async with asyncio.timeout(PATIENCE):
                while keeps(held := await self._client.counts()):
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self._client.tell("name")
            named = (await self._client.heard("named"))["streams"]
            asked = {number: peer.streams[number].action for number in named if number in peer.streams}
            pytest.fail(f"life {self._seed}: the client keeps {held}: {asked}")
        if not held:
            return
        last = peer.open("echo", random.Random(self._seed).randbytes(100_000), fin=True)
        peer.transmit()
        stream = peer.streams[last]
        try:
            async with asyncio.timeout(PATIENCE):
                while not stream.is_over:
                    await asyncio.sleep(0.005)
        except TimeoutError:
            pytest.fail(f"life {self._seed}: an echo does not come back: {await self._client.counts()}")
        assert stream.received == stream.sent, f"life {self._seed}: an echo came back changed"

    async def _end(self, peer: Peer) -> str:
        ends = {
            "leaves": (4, peer.leave),
            "breaks the protocol": (4, peer.break_the_protocol),
            "exceeds a stream": (2, peer.exceed_a_stream),
            "exceeds the streams": (2, peer.exceed_the_streams),
            "is left": (4, lambda: self._client.tell("close")),
            "falls silent": (0.2, peer.fall_silent),
            "is left by a silent one": (2, self._leave_silently(peer)),
        }
        peer.meddler.share = 0.0
        (how,) = self._dice.choices(list(ends), [weight for weight, _ in ends.values()])
        ends[how][1]()
        try:
            return f"{how}: {(await self._client.closed()).partition(' (')[0]}"
        except TimeoutError:
            pytest.fail(f"life {self._seed}: the client stays, though the peer {how}")

    def _leave_silently(self, peer: Peer) -> Any:
        def act() -> None:
            peer.fall_silent()
            self._client.tell("close")

        return act


async def sampled(client: Client) -> Sample:
    client.tell("tidy")
    await client.heard("tidied")
    process = client.of_system
    return Sample(process.memory_full_info().pss, process.num_fds(), process.num_threads())


@pytest.mark.slow
@pytest.mark.row("L4")
async def test_no_peer_crashes_it_or_makes_it_keep_anything(tmp_path: Path, soak: float) -> None:
    ends: Counter[str] = Counter()
    samples: list[Sample] = []
    until = time.monotonic() + soak
    async with running_client(tmp_path) as client:
        for seed in itertools.count():
            ends[await Life(seed, client).live()] += 1
            samples.append(await sampled(client))
            if seed % 100 == 0:
                print(f"life {seed}: {samples[-1]}", flush=True)
            if time.monotonic() > until:
                break
    print(json.dumps(ends, indent=1), samples[WARM : WARM + 1], samples[-1])
    warm = samples[WARM:]
    if len(warm) > 2 * WARM:
        first, last = (statistics.median(sample.memory for sample in part) for part in (warm[:WARM], warm[-WARM:]))
        assert last - first < GROWTH
    assert {(sample.descriptors, sample.threads) for sample in samples} == {samples[0][1:]}
