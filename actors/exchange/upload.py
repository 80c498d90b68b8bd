"""What a visitor sends, on its way to the backend: the body of a request, or one half of a raw tunnel. Pure.

A body is framed as the head of its request says. What comes before the backend can take it is held, as is the credit
for what a full backend took.
"""

import http
from collections.abc import Callable
from typing import Final

from actors.exchange import reasons
from actors.exchange.backend import Backend
from actors.exchange.flow import Valve
from actors.exchange.http1 import Body, RequestHead

LAST_CHUNK: Final = b"0\r\n\r\n"


MAX_GATHERED: Final = 1024 * 1024
"""Bytes of a body that are held, for an origin that must be told beforehand how many will come, or for a gate that
judges by the body: in memory, for each upload, so that it is not much."""


class UnfitBody(Exception):
    """The body is not what the head of its request said, or nothing that the origin takes. The text says what it is."""

    def __init__(self, reason: reasons.Reason, text: str = "", status: http.HTTPStatus | None = None) -> None:
        """`status`: what the visitor gets for it; None: that the request is broken off."""
        super().__init__(text)
        self.reason = reason
        self.status = status


class Upload(Valve):
    """One body. As a `Valve` it is closed while the backend is full."""

    __slots__ = (
        *("_backend", "_body", "_consumed", "_early", "_left", "_passed", "_too_long"),
        *("gathered", "gathers", "has_ended", "is_complete", "is_raw"),
    )

    def __init__(self, consumed: Callable[[int], None], passed: Callable[[bytes], None]) -> None:
        """`consumed` gives the visitor credit; `passed` is told of all that went to the backend."""
        super().__init__(consumed)
        self._consumed = consumed
        self._passed = passed
        self._backend: Backend | None = None
        self._early: list[bytes] = []
        """What came before there was a backend that takes it; bounded by the visitor's credit."""
        self._body = Body.NONE
        self._left = 0
        self._too_long: UnfitBody | None = None
        self.gathers = False
        """Whether the body is to be whole before the backend gets any of it."""
        self.gathered = 0
        """Bytes that are there of it."""
        self.is_raw = False
        """Whether bytes pass as they are."""
        self.is_complete = False
        """Whether the backend has been given the whole request; never of raw bytes."""
        self.has_ended = False
        """Whether the visitor has said all."""

    @property
    def has_begun(self) -> bool:
        """Whether bytes came that are held."""
        return bool(self._early)

    def is_heard_out(self, head: RequestHead) -> bool:
        """Whether all of a body has come, before any of it went on: of one with this head."""
        if head.body is Body.LENGTH:
            return sum(map(len, self._early)) >= head.length
        return head.body is not Body.CHUNKED or self.has_ended

    def announce(self, head: RequestHead) -> None:
        """The backend has been given this head."""
        self._body, self._left = head.body, head.length
        self.is_complete = self._body is not Body.CHUNKED and not self._left

    def become_raw(self) -> None:
        """No HTTP is spoken from here on."""
        self.is_raw, self.is_complete = True, False

    def connect(self, backend: Backend) -> None:
        """From here on bytes go to `backend`: those that were held at once.

        Raises:
            UnfitBody: as `add` and `end`.
        """
        self._backend = backend
        if self._early:
            early, self._early = self._early, []
            for data in early:
                self.add(data)
        if self.has_ended:
            self.end()

    def disconnect(self) -> None:
        """The backend is gone: what comes is held again."""
        self._backend = None

    def add(self, data: bytes) -> None:
        """Bytes of the visitor, at least one.

        Raises:
            UnfitBody: they are more than was announced, or nothing was. On the connection they would look like another
                request.
        """
        if self._backend is None:
            self._early.append(data)
            if self.gathers:
                self._gather(len(data))
            return
        framed = data
        if not self.is_raw:
            if self._body is Body.CHUNKED:
                framed = chunk(data)
            else:
                self._count_down(len(data))
        self._passed(data)  # first: a backend that takes offence ends the exchange at once
        self._backend.write(framed)
        if not self.gathers:
            self.passed(len(data))

    def close_for_good(self) -> None:
        """The exchange is over, and hears of nothing more."""
        self._passed = _nobody_told

    @property
    def held(self) -> bytes:
        """What came so far, while the backend has got nothing."""
        return b"".join(self._early)

    def gather(self, too_long: UnfitBody) -> None:
        """Hold the whole body until it has ended; the visitor gets credit for it meanwhile.

        Raises:
            UnfitBody: `too_long`, as soon as there is more of it than `MAX_GATHERED`: now, or by `add`.
        """
        self.gathers = True
        self._too_long = too_long
        for data in self._early:
            self._gather(len(data))

    def _gather(self, size: int) -> None:
        self.gathered += size
        self._consumed(size)
        if self.gathered > MAX_GATHERED and self._too_long is not None:
            self._early.clear()
            raise self._too_long

    def _count_down(self, size: int) -> None:
        if size > self._left:
            self._consumed(size)
            if self._body is Body.LENGTH:
                raise UnfitBody(reasons.WRONG_LENGTH)
            text = "came without a Content-Length"
            raise UnfitBody(reasons.NO_LENGTH, text, http.HTTPStatus.LENGTH_REQUIRED)
        self._left -= size
        self.is_complete = not self._left

    def end(self) -> None:
        """The visitor has said all.

        Raises:
            UnfitBody: it is less than was announced; the origin must not take it for the whole.
        """
        self.has_ended = True
        if self._backend is None:
            return
        if self.is_raw:
            self._backend.write_eof()
        elif self._body is Body.CHUNKED:
            self.is_complete = True
            self._backend.write(LAST_CHUNK)
        elif self._left:
            raise UnfitBody(reasons.WRONG_LENGTH)


def _nobody_told(data: bytes) -> None:
    """Nobody is there."""


def chunk(data: bytes) -> bytes:
    """`data` as one chunk (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
