"""What client and edge say on the control stream, as typed values."""

import json
import platform
import sys
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from actors.bus.messages import Protocol
from actors.errors import EdgeProtocolError
from actors.wire.rpc import Struct

CLIENT_VERSION: Final = "2026.8.2"
"""The client release whose protocol this is; the edge gets it as the client's version."""

FEATURES: Final[dict[Protocol, tuple[str, ...]]] = {
    "quic": ("support_quic_eof",),
    "http2": ("serialized_headers", "support_quic_eof"),
}
"""What this client does, in the protocol's words, and no more: no datagrams (private networks use them), no management
logs. Headers are serialised into one over HTTP/2 alone."""

REMOTE_CONFIGURATION: Final = "allow_remote_config"
"""And this, where the edge may push rules."""

DUPLICATE_CONNECTION: Final = "EDUPCONN"
"""The cause with which the edge says that this connection index is still held by an earlier connection."""

NOT_APPLIED: Final = "this client is configured locally and applies no other"
"""The answer to an edge that would configure us, over either transport."""

MAX_PREVIOUS_ATTEMPTS: Final = 255
"""A UInt8 on the wire."""

_GO_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def architecture() -> str:
    """This machine in GOOS_GOARCH style, which the edge expects."""
    machine = platform.machine().lower()
    return f"{sys.platform}_{_GO_MACHINES.get(machine, machine)}"


class Registration(NamedTuple):
    """The parameters of `registerConnection`. The secret shows in no repr."""

    account_tag: str
    secret: bytes
    tunnel_id: uuid.UUID
    connection_index: int
    client_id: bytes
    previous_attempts: int
    replace_existing: bool
    takes_configuration: bool = False
    """Whether the edge may push rules."""

    def __repr__(self) -> str:
        return f"Registration(tunnel_id={self.tunnel_id}, connection_index={self.connection_index}, secret=…)"

    def params(self, protocol: Protocol = "quic", local_ip: bytes = b"") -> Struct:
        """As the struct of the call. `local_ip`: our end of the connection, 16 bytes; empty: it is not told."""
        remote = (REMOTE_CONFIGURATION,) if self.takes_configuration else ()
        return {
            "auth": {"accountTag": self.account_tag, "tunnelSecret": self.secret},
            "tunnelId": self.tunnel_id.bytes,
            "connIndex": self.connection_index,
            "options": {
                "client": {
                    "clientId": self.client_id,
                    "features": [*remote, *FEATURES[protocol]],
                    "version": CLIENT_VERSION,
                    "arch": architecture(),
                },
                "originLocalIp": local_ip,
                "replaceExisting": self.replace_existing,
                "compressionQuality": 0,
                "numPreviousAttempts": min(self.previous_attempts, MAX_PREVIOUS_ATTEMPTS),
            },
        }


class Details(NamedTuple):
    """The edge took the registration."""

    connection_id: str
    location: str
    remotely_managed: bool


class Refusal(NamedTuple):
    """The edge did not, in its own words."""

    cause: str
    retry_after: float
    """Seconds."""
    should_retry: bool

    @property
    def is_duplicate(self) -> bool:
        """An earlier connection holds the index: never permanent, never counted as a failure."""
        return DUPLICATE_CONNECTION in self.cause

    @property
    def is_permanent(self) -> bool:
        return not self.should_retry and not self.is_duplicate


def read_result(results: Mapping[str, Any]) -> Details | Refusal:
    """Decode the results of `registerConnection`.

    Raises:
        EdgeProtocolError: neither details nor an error, or an id that is no UUID.
    """
    result = results.get("result", {}).get("result", {})
    if (details := result.get("connectionDetails")) is not None:
        identifier = details.get("uuid", b"")
        if len(identifier) != 16:
            raise EdgeProtocolError(f"connection id of {len(identifier)} bytes in the answer to the registration")
        return Details(
            str(uuid.UUID(bytes=identifier)), details.get("locationName", ""), details["tunnelIsRemotelyManaged"]
        )
    if (error := result.get("error")) is not None:
        return Refusal(error.get("cause", ""), max(0, error["retryAfter"]) / 1e9, error["shouldRetry"])
    raise EdgeProtocolError("the answer to the registration holds neither details nor an error")


class ConfigurationAnswer(NamedTuple):
    """What the edge is told of a configuration that it pushed."""

    version: int
    """The one in force."""
    error: str
    """Why that is not the pushed one; empty otherwise."""


def local_configuration(ingress: str, protocol: Protocol = "quic") -> bytes:
    """The JSON of `updateLocalConfiguration`: where this tunnel's requests go. `ingress` is the list of rules."""
    flags = json.dumps({"protocol": protocol}, separators=(",", ":"))
    return f'{{"__configuration_flags":{flags},"ingress":{ingress},"warp-routing":{{}}}}'.encode()
