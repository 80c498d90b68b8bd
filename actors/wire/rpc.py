"""Cap'n Proto RPC, the part of it that the tunnel protocol uses, as bytes in and bytes out.

One `RpcSession` is one end of a two-party connection: it asks questions, answers those of the peer, and exports at
most one capability, its bootstrap interface. The client's control stream and its answers on the edge's RPC streams
are this class, and so are the local edge's two ends of them.

Names are those of rpc.capnp. What is not understood is answered with `Unimplemented`, as it asks.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from actors.errors import EdgeProtocolError
from actors.wire import schema
from actors.wire.framing import MessageReader

_BOOTSTRAP_ID: Final = 0
"""Export id of the one capability a session has."""

_CONTENT_POINTER: Final = 8 + 6 * 8
"""Where the content pointer of a `Return` without a payload stands: segment table, then six words."""

_CAPABILITY_0: Final = bytes.fromhex("0300000000000000")
"""A capability pointer to entry 0 of the cap table. pycapnp cannot write one outside its own RPC system, and with a
null there the peer's next call fails as a "call on null client"."""

MAX_ANSWERS: Final = 64
"""Questions of the peer that may wait for an answer at once; real peers have one or two."""


class Method(NamedTuple):
    """One method of an interface: its name for people, and its numbers and struct schemas for the wire."""

    name: str
    interface_id: int
    method_id: int
    params: Any
    results: Any


def _methods(interface: Any) -> dict[str, Method]:
    table = interface.schema.methods
    return {
        name: Method(name, interface.schema.node.id, index, table[name].param_type, table[name].result_type)
        for index, name in enumerate(interface.schema.method_names)
    }


REGISTRATION: Final = _methods(schema.tunnel.RegistrationServer)
SESSIONS: Final = _methods(schema.tunnel.SessionManager)
CONFIGURATION: Final = _methods(schema.tunnel.ConfigurationManager)
_BY_NUMBER: Final = {
    (method.interface_id, method.method_id): method
    for methods in (REGISTRATION, SESSIONS, CONFIGURATION)
    for method in methods.values()
}

Struct = dict[str, Any]
"""Parameters and results as plain values; absent fields are the schema's defaults."""


class Returned(NamedTuple):
    """A question of ours was answered."""

    question: int
    results: Struct


class Failed(NamedTuple):
    """A question of ours was answered with an exception, or taken back."""

    question: int
    reason: str


class Called(NamedTuple):
    """The peer calls a method of ours: answer with `answer` or `refuse`."""

    answer: int
    method: Method
    params: Struct


class Aborted(NamedTuple):
    """The peer ended the session."""

    reason: str


Event = Returned | Failed | Called | Aborted


class RpcSession:
    """One end of a Cap'n Proto RPC connection.

    Bytes to send gather in `take_output`. `serves` says whether this end has a bootstrap interface.
    """

    def __init__(self, *, serves: bool) -> None:
        self._reader = MessageReader()
        self._output: list[bytes] = []
        self._serves = serves
        self._questions: dict[int, Method | None] = {}
        self._next_question = 0
        self._bootstrap_question: int | None = None
        self._remote_id: int | None = None
        self._answers: set[int] = set()

    # --- asking ---

    def call(self, method: Method, params: Struct) -> int:
        """Call a method of the peer's bootstrap interface; return the question's id.

        The first call is pipelined on the promise of the bootstrap, so that both go out in one write.
        """
        if self._bootstrap_question is None:
            self._bootstrap_question = self._ask(None)
            message = schema.rpc.Message.new_message()
            message.init("bootstrap").questionId = self._bootstrap_question
            self._send(message)
        question = self._ask(method)
        message = schema.rpc.Message.new_message()
        call = message.init("call")
        call.questionId = question
        call.interfaceId = method.interface_id
        call.methodId = method.method_id
        target = call.init("target")
        if self._remote_id is None:
            target.init("promisedAnswer").questionId = self._bootstrap_question
        else:
            target.importedCap = self._remote_id
        call.init("params").init("content").as_struct(method.params).from_dict(params)
        self._send(message)
        return question

    def _ask(self, method: Method | None) -> int:
        question = self._next_question
        self._next_question += 1
        self._questions[question] = method
        return question

    # --- answering ---

    def answer(self, answer: int, method: Method, results: Struct) -> None:
        """Answer a `Called` with results."""
        message, returned = self._return(answer)
        returned.init("results").init("content").as_struct(method.results).from_dict(results)
        self._send(message)

    def refuse(self, answer: int, reason: str) -> None:
        """Answer a `Called` with an exception."""
        message, returned = self._return(answer)
        exception = returned.init("exception")
        exception.reason = reason
        exception.type = "failed"
        self._send(message)

    def _return(self, answer: int) -> tuple[Any, Any]:
        message = schema.rpc.Message.new_message()
        returned = message.init("return")
        returned.answerId = answer
        returned.releaseParamCaps = False
        return message, returned

    def abort(self, reason: str) -> None:
        """Tell the peer that the session ends."""
        message = schema.rpc.Message.new_message()
        exception = message.init("abort")
        exception.reason = reason
        exception.type = "failed"
        self._send(message)

    # --- bytes ---

    def take_output(self) -> bytes:
        """Return what is to be sent, once."""
        output = b"".join(self._output)
        self._output.clear()
        return output

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes of the peer; return what they mean for the owner of this session.

        Raises:
            EdgeProtocolError: they are no Cap'n Proto RPC; the session is of no more use.
        """
        events: list[Event] = []
        for message in self._reader.feed(data):
            with schema.reading(schema.rpc.Message, message) as root:
                handler = self._HANDLERS.get(str(root.which()))
                if handler is None:
                    reply = schema.rpc.Message.new_message()
                    reply.unimplemented = root
                    self._send(reply)
                elif (event := handler(self, root)) is not None:
                    events.append(event)
        return events

    def _send(self, message: Any) -> None:
        self._output.append(message.to_bytes())

    # --- what the peer says, one method a message ---

    def _on_bootstrap(self, root: Any) -> None:
        answer = root.bootstrap.questionId
        self._new_answer(answer)
        if not self._serves:
            self.refuse(answer, "this side offers no interface")
            return
        message, returned = self._return(answer)
        returned.init("results").init("capTable", 1)[0].senderHosted = _BOOTSTRAP_ID
        data = bytearray(message.to_bytes())
        data[_CONTENT_POINTER : _CONTENT_POINTER + 8] = _CAPABILITY_0
        self._output.append(bytes(data))

    def _on_call(self, root: Any) -> Event | None:
        call = root.call
        answer = call.questionId
        self._new_answer(answer)
        method = _BY_NUMBER.get((call.interfaceId, call.methodId))
        target = call.target
        known_target = (
            target.importedCap == _BOOTSTRAP_ID
            if str(target.which()) == "importedCap"
            else target.promisedAnswer.questionId in self._answers
        )
        if method is None or not self._serves or not known_target:
            message, returned = self._return(answer)
            exception = returned.init("exception")
            exception.reason = f"method {call.methodId} of interface {call.interfaceId:#x} is not implemented"
            exception.type = "unimplemented"
            self._send(message)
            return None
        return Called(answer, method, call.params.content.as_struct(method.params).to_dict())

    def _new_answer(self, answer: int) -> None:
        if len(self._answers) >= MAX_ANSWERS:
            raise EdgeProtocolError(f"more than {MAX_ANSWERS} questions wait for their Finish")
        self._answers.add(answer)

    def _on_return(self, root: Any) -> Event | None:
        returned = getattr(root, "return")
        question = returned.answerId
        if question not in self._questions:
            return None
        method = self._questions.pop(question)
        event: Event | None = None
        which = str(returned.which())
        if which == "results" and method is None:
            self._remote_id = _sender_hosted(returned.results)
        elif which == "results":
            assert method is not None
            event = Returned(question, returned.results.content.as_struct(method.results).to_dict())
        elif method is not None:
            event = Failed(question, returned.exception.reason if which == "exception" else which)
        reply = schema.rpc.Message.new_message()
        finish = reply.init("finish")
        finish.questionId = question
        finish.releaseResultCaps = False
        self._send(reply)
        return event

    def _on_finish(self, root: Any) -> None:
        self._answers.discard(root.finish.questionId)

    def _on_nothing(self, root: Any) -> None:
        """`Release` and `Resolve` need no act: the one capability lives as long as the session."""

    def _on_disembargo(self, root: Any) -> None:
        context = root.disembargo.context
        if str(context.which()) == "senderLoopback":
            message = schema.rpc.Message.new_message()
            reply = message.init("disembargo")
            reply.init("target").importedCap = _BOOTSTRAP_ID
            reply.init("context").receiverLoopback = context.senderLoopback
            self._send(message)

    def _on_unimplemented(self, root: Any) -> Event | None:
        original = root.unimplemented
        if str(original.which()) == "call" and original.call.questionId in self._questions:
            del self._questions[original.call.questionId]
            return Failed(original.call.questionId, "the peer does not implement calls")
        return None

    def _on_abort(self, root: Any) -> Event:
        return Aborted(root.abort.reason)

    _HANDLERS: Final[dict[str, Callable[["RpcSession", Any], Event | None]]] = {
        "bootstrap": _on_bootstrap,
        "call": _on_call,
        "return": _on_return,
        "finish": _on_finish,
        "release": _on_nothing,
        "resolve": _on_nothing,
        "disembargo": _on_disembargo,
        "unimplemented": _on_unimplemented,
        "abort": _on_abort,
    }


def _sender_hosted(payload: Any) -> int:
    for capability in payload.capTable:
        if str(capability.which()) in ("senderHosted", "senderPromise"):
            return int(getattr(capability, str(capability.which())))
    raise EdgeProtocolError("the bootstrap was answered without a capability")
