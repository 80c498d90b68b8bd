"""Every error a user can meet: what happened, to what, and what to do.

Each kind has a `reason`, the label it is counted under in `tunnel_starts_failed_total{reason}`, and an `exit_code`,
which ends the process. A cause that has a name never ends in the generic 1.
"""

import enum
from collections.abc import Callable
from typing import ClassVar


class ExitCode(enum.IntEnum):
    """How `tunnel-supervisor` ends. Documented in the README; scripts and service managers rely on them."""

    STOPPED = 0
    """A stop was asked for and carried out."""
    INTERNAL = 1
    """A fault of this program's own."""
    USAGE = 2
    """The command line or an environment variable makes no sense."""
    RATE_LIMITED = 3
    """The tunnel API refuses new tunnels for now."""
    PROVISIONING = 4
    """The tunnel API gave no tunnel, for another cause."""
    DISCOVERY = 5
    """No address of the edge was found."""
    NO_CONNECTION = 6
    """No connection was registered within the timeout."""
    REFUSED = 7
    """The edge refused every connection for good."""
    PERMANENT_FAILURE = 8
    """The connections were lost and too many attempts to mend them failed."""
    ALREADY_RUNNING = 9
    """Another instance holds the state folder."""
    LOCAL_SETUP = 10
    """Something on this machine: the state folder, an endpoint, a child process."""


class TunnelError(Exception):
    """The root of all errors that this project raises on purpose."""

    reason: ClassVar[str] = "other"
    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL


class UsageError(TunnelError):
    """An argument, or an environment variable, that makes no sense."""

    reason = "usage"
    exit_code = ExitCode.USAGE


class ProvisioningError(TunnelError):
    """The tunnel API gave no tunnel. The kinds below say why; no message holds a body, which can hold the secret."""

    reason = "api"
    exit_code = ExitCode.PROVISIONING


class RateLimited(ProvisioningError):
    """The API answered 429. `retry_after` is how many seconds from now the next try may be."""

    reason = "rate_limited"
    exit_code = ExitCode.RATE_LIMITED

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApiUnreachable(ProvisioningError):
    """No answer: DNS, refused, reset, TLS, a proxy, or too slow. Worth another try."""


class ApiServerError(ProvisioningError):
    """The API answered 5xx. Worth another try."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiRejected(ProvisioningError):
    """The API answered 4xx, or with a redirect: asking again will not help."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ApiRefused(ProvisioningError):
    """The API answered with `success: false` and reasons of its own (`codes`)."""

    def __init__(self, message: str, *, codes: tuple[int, ...]) -> None:
        super().__init__(message)
        self.codes = codes


class ApiMalformed(ProvisioningError):
    """The API answered 200 with something that is no tunnel: HTML, bad JSON, an empty id, too many bytes."""


class DiscoveryError(TunnelError):
    """No address of the edge could be found."""

    reason = "discovery"
    exit_code = ExitCode.DISCOVERY


class NoConnection(TunnelError):
    """No connection was registered within the timeout."""

    reason = "timeout"
    exit_code = ExitCode.NO_CONNECTION


class EdgeUnreachable(NoConnection):
    """No connection was registered within the timeout, because no QUIC handshake succeeded."""

    reason = "quic_dial"


class RegistrationFailed(NoConnection):
    """No connection was registered within the timeout, because the edge answered every registration with an error."""

    reason = "register"


class RefusedByEdge(TunnelError):
    """The edge refused every connection of the tunnel for good, in its own words."""

    reason = "refused"
    exit_code = ExitCode.REFUSED


class PermanentFailure(TunnelError):
    """No connection is up, and one has failed `attempts` times in a row."""

    reason = "permanent_failure"
    exit_code = ExitCode.PERMANENT_FAILURE

    def __init__(self, attempts: int, message: str = "") -> None:
        super().__init__(message or f"gave up after {attempts} consecutive failures to connect to the edge")
        self.attempts = attempts


class AlreadyRunning(TunnelError):
    """Another instance holds the state folder."""

    reason = "already_running"
    exit_code = ExitCode.ALREADY_RUNNING


class LocalSetupError(TunnelError):
    """Something on this machine stands in the way: a folder, an endpoint, a child process."""

    reason = "local_setup"
    exit_code = ExitCode.LOCAL_SETUP


class EdgeProtocolError(TunnelError):
    """The edge, or what claims to be it, sent bytes that its protocol does not allow."""

    reason = "protocol"


START_FAILURE_REASONS: tuple[str, ...] = (
    *("api", "rate_limited", "discovery", "quic_dial", "register", "timeout", "refused"),
    *("permanent_failure", "already_running", "local_setup", "protocol", "usage"),
)
"""The labels of `tunnel_starts_failed_total` that have a name; with `other` they stay below the promised 16."""


BY_REASON: dict[str, Callable[[str], TunnelError]] = {
    kind.reason: kind
    for kind in (
        *(UsageError, ProvisioningError, DiscoveryError, NoConnection, EdgeUnreachable, RegistrationFailed),
        *(RefusedByEdge, AlreadyRunning, LocalSetupError, EdgeProtocolError),
    )
}
"""The kind for each reason, where a message is all that it needs: for one that another process told of."""


def of_exit_code(status: int) -> TunnelError:
    """The error of a supervisor that ended with `status` and told no reason."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}"
    return TunnelError(f"the supervisor process {how}; its log has the cause")
