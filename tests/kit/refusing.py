"""A command line in which the kernel refuses something: by strace a whole system call, by a filter one sort of it."""

import ctypes
import os
import platform
import shutil
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

_SOCKET = {"x86_64": 41, "aarch64": 198}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NUMBER_AT, _FIRST_ARGUMENT_AT = 0, 16
_AF_INET6, _EAFNOSUPPORT = 10, 97


def refusing(calls: str, error: str, command: Iterable[str | Path]) -> list[str]:
    """`command` and all its children, in which these system calls (separated by commas) end with `error`."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    quiet = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"]
    return [*quiet, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}", *_text(command)]


def without_ipv6(command: Iterable[str | Path]) -> list[str]:
    """`command` on a kernel that has no IPv6."""
    if platform.machine() not in _SOCKET:
        pytest.skip("the number of socket(2) is not known here")
    return [sys.executable, "-P", "-m", "tests.kit.refusing", *_text(command)]


def _text(command: Iterable[str | Path]) -> list[str]:
    return [str(word) for word in command]


def _refuse_ipv6_sockets() -> None:
    program = [
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_IF_EQUAL, 0, 3, _SOCKET[platform.machine()]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
        (_JUMP_IF_EQUAL, 0, 1, _AF_INET6),
        (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    assert prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_void_p(ctypes.addressof(head))) == 0


if __name__ == "__main__":
    _refuse_ipv6_sockets()
    os.execvp(sys.argv[1], sys.argv[1:])
