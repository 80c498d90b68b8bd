"""Text for people and programs, on streams of whatever encoding.

A terminal in Latin-1, a log in ASCII: what such a stream has no character for goes out escaped as in JSON, so that no
program dies of its own words, and a line of JSON stays one.
"""

import codecs
import json
import sys
from typing import Final

ESCAPED: Final = "tunnel-supervisor-escaped"
"""The name of the way of handling errors, for `str.encode`."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escape)


def any_stream_will_do() -> None:
    """Let this process print whatever it has to say, on stdout and stderr as they are."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # not None (closed), nor what a test put in its place
            stream.reconfigure(errors=ESCAPED)


def is_text(path: str) -> bool:
    """Whether a path is the same bytes in UTF-8, as endpoints are, and in this locale (in a C locale: ASCII alone)."""
    return path.isascii() or (path.isprintable() and sys.getfilesystemencoding() == "utf-8")
