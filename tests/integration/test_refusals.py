"""The system calls that the product leans on, each refused in turn over a whole start, a request and a stop.

Either the tunnel serves and stops in order, or it ends with a line that says what was refused, and its exit code. Never
a traceback, never a hang, nothing left.
"""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from actors.errors import ExitCode
from tests.kit.machine import needs_root
from tests.kit.processes import PATIENCE, ROOT, Process, python, running
from tests.kit.refusing import refusing, without_ipv6

pytestmark = [pytest.mark.slow, pytest.mark.row("F4")]

MARK = "TEST_OF_REFUSALS"
"""The variable by which the processes of one test are known."""

SERVES = [
    # Files: NFS and FUSE without locks, exFAT and CIFS without modes, a disk that is full or can only be read.
    ("flock", "ENOLCK"),
    ("flock", "EOPNOTSUPP"),
    ("chmod,fchmod,fchmodat", "EPERM"),
    ("fsync,fdatasync", "EIO"),
    ("rename", "EPERM"),
    ("unlink", "EROFS"),
    ("ftruncate", "EPERM"),
    ("pwrite64", "ENOSPC"),
    ("getcwd", "ENOENT"),
    # Processes: an older kernel, a sandbox.
    ("pidfd_open", "ENOSYS"),
    ("pidfd_open", "EPERM"),
    ("pidfd_send_signal", "EPERM"),
    ("prctl", "EPERM"),
    ("prlimit64,setrlimit", "EPERM"),
    ("close_range", "ENOSYS"),
    ("memfd_create", "ENOSYS"),
    ("sched_getaffinity", "EPERM"),
    ("vfork", "EAGAIN"),
]
"""What a tunnel can do without."""

ENDS = [
    ("mkdir", "EROFS", ExitCode.LOCAL_SETUP),
    ("mkdir", "ENOSPC", ExitCode.LOCAL_SETUP),
    ("setsid", "EPERM", ExitCode.LOCAL_SETUP),
    ("clone,clone3,fork,vfork", "EAGAIN", ExitCode.LOCAL_SETUP),
    ("sched_setscheduler", "EPERM", ExitCode.LOCAL_SETUP),
    ("pipe2", "EMFILE", ExitCode.LOCAL_SETUP),
    ("epoll_create1", "EMFILE", ExitCode.LOCAL_SETUP),
    ("epoll_ctl", "ENOMEM", ExitCode.LOCAL_SETUP),
    ("eventfd2", "EMFILE", ExitCode.LOCAL_SETUP),
    ("ioctl", "ENOTTY", ExitCode.LOCAL_SETUP),
    ("getrandom", "ENOSYS", ExitCode.LOCAL_SETUP),
    ("socketpair", "EMFILE", ExitCode.LOCAL_SETUP),
    ("socket", "EPERM", ExitCode.LOCAL_SETUP),
    ("bind", "EACCES", ExitCode.LOCAL_SETUP),
    ("listen", "EACCES", ExitCode.LOCAL_SETUP),
    ("getsockname", "ENOBUFS", ExitCode.LOCAL_SETUP),
    ("setsockopt", "ENOPROTOOPT", ExitCode.LOCAL_SETUP),
    ("getsockopt", "ENOPROTOOPT", ExitCode.PROVISIONING),
    pytest.param(
        *("sendmsg", "EPERM", ExitCode.NO_CONNECTION),
        marks=pytest.mark.quic_only("TCP sends without it"),
    ),
]
"""What it cannot do without, and how it ends then."""


@pytest.fixture
def command(state: Path) -> list[str]:
    arguments = ("--hello-world", "--local-edge", "--json", "--connections", 1, "--timeout", 5, "--state-dir", state)
    return python("actors.supervisor", *arguments)


@pytest.fixture
def nobody_is_left(state: Path) -> Iterator[None]:
    """Children of a process that strace ran are not ours when that has ended: they are known by their environment."""
    yield
    left = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(state):
                left.append(process.cmdline())
        except psutil.Error:
            continue
    assert not left


def supervisor_of(process: Process) -> psutil.Process:
    """The program that strace runs."""
    return psutil.Process(process.process.pid).children()[0]


def said(process: Process) -> str:
    return "\n".join([*process.stderr, *process.stdout])


async def is_served(process: Process) -> None:
    """A visitor gets the page."""
    url = urlsplit((await process.event("state", serves=True))["url"])
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE) as visitor:
        answer = await visitor.get(f"http://127.0.0.1:{url.port}/uptime", headers={"Host": url.netloc})
        assert answer.status_code == 200


@pytest.mark.usefixtures("nobody_is_left")
@pytest.mark.parametrize(("calls", "error"), SERVES)
async def test_tunnel_works_without(calls: str, error: str, command: list[str], state: Path) -> None:
    async with running(refusing(calls, error, command), env={MARK: str(state)}, cwd=ROOT) as process:
        await is_served(process)
        supervisor_of(process).send_signal(signal.SIGTERM)
        assert await process.wait() == ExitCode.STOPPED, said(process)
        failures = [event for event in process.events() if event["type"] == "state_file_failed"]
        assert len(failures) <= 1, "said once"
        assert "Traceback" not in said(process)


@pytest.mark.usefixtures("nobody_is_left")
@pytest.mark.parametrize(("calls", "error", "code"), ENDS)
async def test_tunnel_says_what_it_cannot_do_without(
    calls: str, error: str, code: ExitCode, command: list[str], state: Path
) -> None:
    if calls == "sendmsg":  # UDP's alone: HTTP/2 would take its place
        command = [*command, "--protocol", "quic"]
    async with running(refusing(calls, error, command), env={MARK: str(state)}, cwd=ROOT) as process:
        assert await process.wait() == code, said(process)
        assert "Traceback" not in said(process)
        assert "Warning:" not in said(process)
        last = [json.loads(line) for line in process.stderr if line.startswith("{")][-1]
        failed = [event for event in process.events() if event["type"] == "start_failed"]
        assert last["level"] in ("error", "info")
        assert failed


@pytest.mark.usefixtures("nobody_is_left")
async def test_kernel_without_ipv6(command: list[str], state: Path) -> None:
    async with running(without_ipv6(command), env={MARK: str(state)}, cwd=ROOT) as process:
        await is_served(process)
        assert await process.stop() == ExitCode.STOPPED
        assert "Traceback" not in said(process)


# /dev/shm is what can be written in a container whose root cannot; its user has no line in /etc/passwd. (This one may
# read everything: the interpreter can be in somebody's home.)
READ_ONLY = """
mount --make-rprivate / && mount -t tmpfs -o mode=1777 tmpfs /dev/shm || exit 99
for folder in /tmp /var/tmp /run; do mount --bind $folder $folder && mount -o remount,bind,ro $folder || exit 99; done
mount -o remount,bind,ro / || exit 99
reader="--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
exec env -u HOME setpriv --reuid 54321 --regid 54321 --clear-groups $reader "$@"
"""


@needs_root
@pytest.mark.usefixtures("nobody_is_left")
async def test_root_that_cannot_be_written_and_user_without_a_home(command: list[str], state: Path) -> None:
    command = [word for word in command if word not in ("--state-dir", str(state))]
    env = {MARK: str(state), "NEXO_HOME": "", "XDG_RUNTIME_DIR": ""}
    async with running(["unshare", "-m", "sh", "-c", READ_ONLY, "sh", *command], env=env, cwd=Path("/")) as process:
        await is_served(process)
        assert "no home folder" in said(process)
        assert await process.stop() == ExitCode.STOPPED
        assert "Traceback" not in said(process)
