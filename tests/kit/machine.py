"""What is done to the machine under the actors: namespaces, full disks, few descriptors. Needs root."""

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


async def command(*words: str | int | Path) -> None:
    """Run a program of the system's; it must succeed."""
    found = shutil.which(str(words[0])) or shutil.which(str(words[0]), path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"{words[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        found, *map(str, words[1:]), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 0, f"{words}: {said.decode()}"


class TwoHosts:
    """Two network namespaces with a cable between them: ours, and the one in which the edge lives."""

    OURS, THEIRS = "10.199.0.1", "10.199.0.2"

    def __init__(self) -> None:
        self.name = f"ts-{secrets.token_hex(3)}"
        self.other = f"{self.name}-e"
        self._link = f"{self.name}a"

    def inside(self, words: list[str]) -> list[str]:
        """A command line that runs in our namespace."""
        return ["ip", "netns", "exec", self.name, *words]

    def beyond(self, words: list[str]) -> list[str]:
        """A command line that runs in the edge's."""
        return ["ip", "netns", "exec", self.other, *words]

    async def cable(self, state: str) -> None:
        """Plug it (`up`) or pull it (`down`): the routes go with it."""
        await command("ip", "-n", self.name, "link", "set", self._link, state)

    async def address(self, change: str, address: str) -> None:
        """`add` or `del` one of our addresses."""
        await command("ip", "-n", self.name, "address", change, f"{address}/24", "dev", self._link)

    async def set_up(self) -> None:
        """Make both."""
        peer = f"{self.name}b"
        for name in (self.name, self.other):
            await command("ip", "netns", "add", name)
            await command("ip", "-n", name, "link", "set", "lo", "up")
        await command("ip", "-n", self.name, "link", "add", self._link, "type", "veth", "peer", "name", peer)
        await command("ip", "-n", self.name, "link", "set", peer, "netns", self.other)
        await self.address("add", self.OURS)
        await command("ip", "-n", self.other, "address", "add", f"{self.THEIRS}/24", "dev", peer)
        await command("ip", "-n", self.other, "link", "set", peer, "up")
        await self.cable("up")


@contextlib.asynccontextmanager
async def two_hosts() -> AsyncIterator[TwoHosts]:
    """Two hosts for the length of the block."""
    hosts = TwoHosts()
    try:
        await hosts.set_up()
        yield hosts
    finally:
        for name in (hosts.name, hosts.other):
            with contextlib.suppress(AssertionError):
                await command("ip", "netns", "del", name)


def on_a_small_disk(folder: Path, words: list[str], *, options: str, fill: bool) -> list[str]:
    """A command line that sees a file system of its own at `folder`, full if wanted. It goes with the process."""
    script = f'mount -t tmpfs -o mode=700,{options} tmpfs "$0"'
    if fill:
        script += ' && { dd if=/dev/zero of="$0/ballast" bs=1k 2>/dev/null; true; }'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{script} && exec "$@"', str(folder), *words]


def with_few_descriptors(words: list[str], count: int) -> list[str]:
    """A command line whose processes may each have `count` descriptors."""
    return ["prlimit", f"--nofile={count}:{count}", *words]
