"""The ways in which a worker's life can end. The label goes to the supervisor, which judges it (`policy.py`)."""

import enum


class WorkerEnd(enum.StrEnum):
    """Why a worker ended, as it says itself or as its parent saw it."""

    DRAINED = "drained"
    """As asked: unregistered, streams finished or the grace period over, closed."""
    DIAL_FAILED = "dial_failed"
    """No handshake with this address: nothing answers, or TLS was refused."""
    NO_ROUTE = "no_route"
    """This machine has no way to the address: no network, or not of that IP version."""
    REGISTRATION_REFUSED = "registration_refused"
    """The edge answered the registration with an error, and another try may be made."""
    REFUSED_FOR_GOOD = "refused_for_good"
    """The edge answered the registration with a permanent error."""
    DUPLICATE_CONNECTION = "duplicate_connection"
    """The edge still holds an earlier connection of this index."""
    REGISTRATION_FAILED = "registration_failed"
    """The registration was not answered in time, or not in the protocol."""
    CONNECTION_LOST = "connection_lost"
    """The registered connection fell silent, or the edge closed it."""

    # Seen by the parent:
    NEVER_READY = "never_ready"
    """The process ended before it was up."""
    OTHER_VERSION = "other_version"
    """The process could not read its orders: the package was changed since the supervisor started."""
    CRASHED = "crashed"
    """The process ended without a last word."""
    HEARTBEAT_MISSED = "heartbeat_missed"
    """The process lived but said nothing; it was killed."""


EXIT_STATUS = {WorkerEnd.DRAINED: 0}
"""The process's exit status by its end; every other end is 1."""


class Ended(Exception):
    """The connection's life is over, for a reason."""

    def __init__(self, end: WorkerEnd, message: str = "", *, retry_after: float = 0.0) -> None:
        """`retry_after`: seconds that the edge asked to wait before another try."""
        super().__init__(message)
        self.end = end
        self.retry_after = retry_after
