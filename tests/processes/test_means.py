"""What the machine refuses: a line about it, with the cause, the place and an advice that fits."""

import errno
import sys

import pytest
from zmq import ZMQError

from actors.processes import means
from tests.kit.processes import ROOT, running


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "Too many open files"), ["Too many open files", "ulimit -n"]),
        (OSError(errno.ENOSPC, "No space left on device", "/var/x"), ["/var/x: No space left", "free some space"]),
        (PermissionError(errno.EPERM, "Operation not permitted"), ["Operation not permitted", "SystemCallFilter"]),
        (ZMQError(errno.EMFILE), ["Too many open files", "ulimit -n"]),
        (RuntimeError("can't start new thread"), ["no thread can be started", "ulimit -u"]),
        (OSError("of no number"), ["of no number"]),
    ],
)
def test_refusals_are_one_line(error: BaseException, words: list[str]) -> None:
    line = means.refusal(raised(error))
    assert line is not None
    assert "\n" not in line
    for word in words:
        assert word in line


@pytest.mark.parametrize("fault", [RuntimeError("a fault"), ValueError("another"), AssertionError()])
def test_faults_of_our_own_are_none(fault: BaseException) -> None:
    assert means.refusal(raised(fault)) is None


def test_what_a_tunnel_needs_is_here() -> None:
    means.check()


ENDS_OF = """
import sys
from actors.processes import means
means.say_refusals("program")
raise {}
"""


@pytest.mark.slow
async def test_process_ends_with_a_line_for_a_refusal_and_with_a_traceback_for_a_fault() -> None:
    for error, traceback in (("PermissionError(1, 'no')", False), ("ValueError('fault')", True)):
        async with running([sys.executable, "-c", ENDS_OF.format(error)], cwd=ROOT) as process:
            assert await process.wait() == 1
        assert ("Traceback" in "\n".join(process.stderr)) is traceback
        assert len(process.stderr) > 1 if traceback else process.stderr[0].startswith("program: this machine refused")
