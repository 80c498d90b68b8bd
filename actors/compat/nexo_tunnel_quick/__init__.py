"""Another name of `actors`: the same objects."""

from nexo_tunnel_quick import metrics

from actors import (
    DEFAULT_GRACE_PERIOD,
    DEFAULT_HANDSHAKE_TIMEOUT,
    MAX_RECONNECT_ATTEMPTS,
    PermanentFailure,
    RateLimited,
    Tunnel,
    TunnelError,
    TunnelHandle,
    TunnelManager,
    TunnelMetrics,
    __version__,
    clear_url_file,
    lifespan,
    read_url_file,
    write_url_file,
)

__all__ = [
    "DEFAULT_GRACE_PERIOD",
    "DEFAULT_HANDSHAKE_TIMEOUT",
    "MAX_RECONNECT_ATTEMPTS",
    "PermanentFailure",
    "RateLimited",
    "Tunnel",
    "TunnelError",
    "TunnelHandle",
    "TunnelManager",
    "TunnelMetrics",
    "__version__",
    "clear_url_file",
    "lifespan",
    "metrics",
    "read_url_file",
    "write_url_file",
]
