"""The Cap'n Proto schemas, and the only place that touches pycapnp.

Messages are encoded and decoded as plain bytes: serialisation needs no kj event loop. pycapnp raises four kinds of
exception on hostile bytes; here they all become `EdgeProtocolError`.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import capnp

from actors.errors import EdgeProtocolError

_CAPNP_FOLDER = Path(capnp.__file__).parent
_IMPORTS = [str(_CAPNP_FOLDER.parent)]

tunnel: Final[Any] = capnp.load(str(Path(__file__).with_name("tunnel.capnp")), imports=_IMPORTS)
rpc: Final[Any] = capnp.load(str(_CAPNP_FOLDER / "rpc.capnp"), imports=_IMPORTS)

TRAVERSAL_LIMIT_WORDS: Final = 1 << 17
"""How many words one message may make its reader visit, 1 MiB: as large as the largest message taken at all, so that
pointers which overlap cannot multiply it."""

NESTING_LIMIT: Final = 32
"""How deep structs may nest. The deepest of the protocol is 8: Message, Call, params, options, client, features."""

_HOSTILE_BYTES = (capnp.KjException, ValueError, UnicodeDecodeError, RuntimeError)


@contextlib.contextmanager
def reading(struct: Any, data: bytes) -> Iterator[Any]:
    """Open `data` as one message whose root is `struct`; it is readable only inside the block.

    Raises:
        EdgeProtocolError: the bytes are no such message; also for what is found out inside the block.
    """
    try:
        with struct.from_bytes(
            data, traversal_limit_in_words=TRAVERSAL_LIMIT_WORDS, nesting_limit=NESTING_LIMIT
        ) as message:
            yield message
    except _HOSTILE_BYTES as error:
        raise EdgeProtocolError(f"malformed Cap'n Proto message: {str(error).splitlines()[0][:200]}") from error
