"""Whatever comes as a configuration, bytes or shapes, is taken or refused with the documented error."""

import json
import random
import string
from collections.abc import Callable
from typing import Any, Final

import pytest

from actors.ingress import json_text, local_file, parse
from actors.ingress.allowed import EVERYTHING, USUAL, Allowed
from actors.ingress.errors import IngressError
from actors.ingress.match import Table
from actors.ingress.routing import routes
from actors.ingress.shapes import CONFIGURATION, Many, Scalar, Shape
from tests.ingress.golden import PUSHES

FEW: Final = 3_000
MANY: Final = 100_000
"""Configurations of one run; the many are for CI."""

TEXTS: Final = (
    *("", "*", "*.a", "a", "a.b:1", "bücher.example", "a*", "[::1]:1", "\ud800", "\0", "x" * 300, "(", "^/api"),
    *("http://127.0.0.1:1", "https://h", "unix:/a", "unix+tls:", "http_status:404", "http_status:9" * 50),
    *("hello_world", "bastion", "socks-proxy", "ssh://h", "tcp://[::1]:99999", "x://", "http://[", "10.0.0.0/8"),
    *("::/129", "socks", "lab", r"\pL+"),
)
NUMBERS: Final = (0, 1, -1, 10, 65536, 2**63, -(2**63) - 1, 1.5, 1e300, 10**400)


class Maker:
    """Makes configurations of all sorts, the same ones each time."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)

    def anything(self, depth: int = 0) -> Any:
        dice = self.dice
        match dice.randrange(8 if depth < 5 else 5):
            case 0:
                return None
            case 1:
                return dice.random() < 0.5
            case 2:
                return dice.choice(NUMBERS)
            case 3 | 4:
                return dice.choice(TEXTS)
            case 5:
                return [self.anything(depth + 1) for _ in range(dice.randrange(4))]
            case _:
                return {dice.choice(TEXTS): self.anything(depth + 1) for _ in range(dice.randrange(4))}

    def shaped(self, kind: Scalar | Many | Shape) -> Any:
        """Mostly what belongs there."""
        dice = self.dice
        if dice.random() < 0.03:
            return self.anything()
        match kind:
            case Shape():
                fields = [field for field in kind.fields.values() if dice.random() < 0.4]
                return {self.spelled(field.name): self.shaped(field.kind) for field in fields}
            case Many():
                return [self.shaped(kind.of) for _ in range(dice.randrange(4))]
        if kind.go == "string":
            return dice.choice(TEXTS)
        if kind.go == "bool":
            return dice.random() < 0.5
        return dice.choice(NUMBERS[:6])

    def spelled(self, name: str) -> str:
        return name.upper() if self.dice.random() < 0.1 else name

    def push(self) -> bytes:
        dice = self.dice
        match dice.randrange(10):
            case 0:
                return dice.randbytes(dice.randrange(60))
            case 1:
                return "".join(dice.choices('{}[]":,0123456789.eE+-truefalsn\\u "', k=dice.randrange(80))).encode()
            case 2:  # a good one with a byte that is another
                good = bytearray(dice.choice(list(PUSHES.values())) or b"{}")
                good[dice.randrange(len(good))] = dice.randrange(256)
                return bytes(good)
            case 3:
                return json.dumps(self.anything()).encode()
            case 4:
                return dice.choice([b"[", b'{"a":', b'{"ingress":[', b"[[],"]) * dice.randrange(1000)
        return json.dumps(self.shaped(CONFIGURATION)).encode()

    def file(self) -> str:
        dice = self.dice
        match dice.randrange(4):
            case 0:
                return "".join(dice.choices("{}[]:-,&*!|>'\"%@`#\n \tabc<<0\x00\x85\ufeff", k=dice.randrange(60)))
            case 1:
                good = json.dumps(self.shaped(CONFIGURATION), indent=dice.choice([None, 1]))
                place = dice.randrange(len(good))
                return good[:place] + dice.choice(string.printable) + good[place + 1 :]
            case 2:
                return json.dumps({"tunnel": self.anything(), **dict.fromkeys(local_file.FLAGS, self.anything())})
        return json.dumps(self.shaped(CONFIGURATION))


def refusal(work: Callable[[], object]) -> str:
    """The text of the documented error, or nothing; any other error ends the test."""
    try:
        work()
    except IngressError as error:
        return str(error) or "no text"
    return ""


def taken(work: Callable[[], object]) -> bool:
    """Whether it is taken; if not, there is a text that can go back to the edge."""
    text = refusal(work)
    assert text != "no text"
    assert len(text.encode()) < 4 * 2100
    return not text


def run(count: int) -> None:
    maker = Maker(15)
    usual, good, allowed_too, files = Allowed.parse(USUAL), 0, 0, 0

    def push(data: bytes, allowed: Allowed) -> None:
        made = routes(parse.remote(data), version=1, hello_world=None, allowed=allowed)
        Table(made.routes).find(b"a.example", b"/api/x?y")

    for _ in range(count):
        data = maker.push()
        good += taken(lambda data=data: push(data, EVERYTHING))  # type: ignore[misc]
        allowed_too += taken(lambda data=data: push(data, usual))  # type: ignore[misc]
    for _ in range(count // 10):
        text = maker.file()
        files += taken(lambda text=text: local_file.read(text))  # type: ignore[misc]
    assert good > allowed_too > count // 100, "hardly any was taken: it tries nothing"
    assert files > count // 1000


def test_some_configurations() -> None:
    run(FEW)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_configurations() -> None:
    run(MANY)


@pytest.mark.slow
def test_huge_ones() -> None:
    rule = {"hostname": "a" * 200, "path": "^/" + "b" * 50, "service": "http://h:1"}
    size = json_text.MAX_BYTES // len(json.dumps(rule))
    assert taken(lambda: parse.remote(json.dumps({"ingress": [*[rule] * (size - 50), {"service": "x://y"}]}).encode()))
    for data in (
        b'"' * json_text.MAX_BYTES,
        b"[" * json_text.MAX_BYTES,
        b'{"a":' * (json_text.MAX_BYTES // 5),
        b'"' + b"\\" * (json_text.MAX_BYTES - 1),
        b"1" * json_text.MAX_BYTES,
        b'{"originRequest":{"keepAliveConnections":' + b"9" * 500_000 + b"}}",
        b'{"originRequest":{"connectTimeout":' + b"9" * 500_000 + b"}}",
        b'{"ingress":[{"service":"http_status:' + b"9" * 500_000 + b'"}]}',
        b'{"ingress":[{"service":"http://h:' + b"9" * 500_000 + b'"}]}',
        b'{"ingress":[{"service":"http://h","hostname":"' + b"*" * 500_000 + b'"}]}',
        # What costs the square of its size where it is done without care.
        b"[" * 65 + b'"' + b'\\"' * 500_000 + b"\\",
        b"[" * 65 + b'"' * 500_001,
        json.dumps({"ingress": [{"service": "http://h", "hostname": "\xfc" * 150_000}]}).encode(),
        json.dumps({"ingress": [{"service": "http://h", "hostname": "*" + "." * 900_000}]}).encode(),
        json.dumps({"ingress": [{"service": "http://h", "path": "[" * 900_000}, {"service": "x://y"}]}).encode(),
        json.dumps({"ingress": [{"service": "http://h", "path": "[" * 1000}, {"service": "x://y"}]}).encode(),
    ):
        assert not taken(lambda data=data: parse.remote(data))  # type: ignore[misc]
    for text in (
        "originRequest: {connectTimeout: " + "1" * 900_000 + "}",
        "originRequest: {proxyPort: " + "1" * 900_000 + "}",
        "ingress: [{service: http_status:" + "1" * 900_000 + "}]",
        "[" * 900_000,
        "- " * 400_000,
        "a: &a [" + "*a, " * 200_000 + "]\ningress: *a",
    ):
        assert not taken(lambda text=text: local_file.read(text))  # type: ignore[misc]
    huge = json.dumps({"ingress": [{"service": f"http://{chr(252) * 150_000}"}]}).encode()
    assert not taken(lambda: routes(parse.remote(huge), version=1, hello_world=None, allowed=EVERYTHING))
