"""The Cap'n Proto schemas, and the only place that touches pycapnp.

Messages are encoded and decoded as plain bytes: serialisation needs no kj event loop. pycapnp raises four kinds of
exception on hostile bytes; here they all become `EdgeProtocolError`.
"""

from pathlib import Path
from typing import Any, Final

import capnp

from actors.errors import EdgeProtocolError

_CAPNP_FOLDER = Path(capnp.__file__).parent


class _Path(bytes):
    """A path for pycapnp, as bytes.

    Of a path as text it takes as many bytes as the text has characters, so that one with letters beyond ASCII is cut
    short, and the process aborts. Text that stands for bytes of another encoding (surrogates) it does not take at all.
    """

    def endswith(self, suffix: str) -> bool:  # type: ignore[override]
        """The one method of text that pycapnp asks of a path."""
        return super().endswith(suffix.encode())


def _load(path: Path) -> Any:
    return capnp.load(_Path(path), path.name, [_Path(_CAPNP_FOLDER.parent)])


tunnel: Final[Any] = _load(Path(__file__).with_name("tunnel.capnp"))
rpc: Final[Any] = _load(_CAPNP_FOLDER / "rpc.capnp")

TRAVERSAL_LIMIT_WORDS: Final = 1 << 17
"""How many words one message may make its reader visit, 1 MiB: as large as the largest message taken at all, so that
pointers which overlap cannot multiply it."""

NESTING_LIMIT: Final = 32
"""How deep structs may nest. The deepest of the protocol is 8: Message, Call, params, options, client, features."""

_HOSTILE_BYTES = (capnp.KjException, ValueError, UnicodeDecodeError, RuntimeError)


class reading:  # noqa: N801 - used like a function, and twice as fast as a generator would be
    """Open `data` as one message whose root is `struct`; it is readable only inside the `with` block.

    Raises:
        EdgeProtocolError: the bytes are no such message; also for what is found out inside the block.
    """

    __slots__ = ("_data", "_opened", "_struct")

    def __init__(self, struct: Any, data: bytes) -> None:
        self._struct = struct
        self._data = data

    def __enter__(self) -> Any:
        try:
            self._opened = self._struct.from_bytes(
                self._data, traversal_limit_in_words=TRAVERSAL_LIMIT_WORDS, nesting_limit=NESTING_LIMIT
            )
            return self._opened.__enter__()
        except _HOSTILE_BYTES as error:
            raise _malformed(error) from error

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._opened.__exit__(kind, error, traceback)
        if isinstance(error, _HOSTILE_BYTES):
            raise _malformed(error) from error


def _malformed(error: BaseException) -> EdgeProtocolError:
    said = str(error) or type(error).__name__
    return EdgeProtocolError(f"malformed Cap'n Proto message: {said.splitlines()[0][:200]}")
