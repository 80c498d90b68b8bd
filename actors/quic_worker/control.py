"""The control stream: the client asks, the edge answers."""

import asyncio
from typing import Final

from actors.errors import EdgeProtocolError
from actors.quic_worker.connection import Stream
from actors.wire import rpc

RPC_TIMEOUT: Final = 5.0
"""Seconds for any answer of the edge."""


class ControlStream:
    """The stream on which the client is the asking side. Nothing precedes the RPC on it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._session = rpc.RpcSession(serves=False)
        self._waiting: dict[int, asyncio.Future[rpc.Struct]] = {}
        self._broken: EdgeProtocolError | None = None

    async def call(self, method: str, params: rpc.Struct) -> rpc.Struct:
        """Call a method of the edge's RegistrationServer and return its results.

        Raises:
            EdgeProtocolError: no answer within `RPC_TIMEOUT`, an exception, or bytes that are no RPC.
        """
        if self._broken is not None:
            raise self._broken
        question = self._session.call(rpc.REGISTRATION[method], params)
        answer: asyncio.Future[rpc.Struct] = asyncio.get_running_loop().create_future()
        self._waiting[question] = answer
        self._flush()
        try:
            async with asyncio.timeout(RPC_TIMEOUT):
                return await answer
        except TimeoutError:
            raise EdgeProtocolError(f"the edge did not answer {method} within {RPC_TIMEOUT:.0f} s") from None
        finally:
            self._waiting.pop(question, None)

    def _flush(self) -> None:
        if output := self._session.take_output():
            self.stream.write(output)

    def data_received(self, data: bytes) -> None:
        self.stream.consumed(len(data))
        try:
            events = self._session.receive(data)
        except EdgeProtocolError as error:
            self._break(error)
            return
        for event in events:
            match event:
                case rpc.Returned(question, results):
                    if (answer := self._waiting.get(question)) is not None and not answer.done():
                        answer.set_result(results)
                case rpc.Failed(question, reason):
                    if (answer := self._waiting.get(question)) is not None and not answer.done():
                        answer.set_exception(EdgeProtocolError(f"the edge answered with an exception: {reason}"))
                case rpc.Aborted(reason):
                    self._break(EdgeProtocolError(f"the edge ended the control stream: {reason}"))
        self._flush()

    def eof_received(self) -> None:
        self._break(EdgeProtocolError("the edge closed the control stream"))

    def reset_received(self) -> None:
        self._break(EdgeProtocolError("the edge reset the control stream"))

    def stop_received(self) -> None:
        """The edge reads no more of it; an answer that is still due may come."""

    def pause_writing(self) -> None:
        """A few calls are all that is ever written."""

    def resume_writing(self) -> None:
        """Nothing waits: see `pause_writing`."""

    def _break(self, error: EdgeProtocolError) -> None:
        self._broken = self._broken or error
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
