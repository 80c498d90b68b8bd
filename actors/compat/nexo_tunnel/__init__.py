"""The legacy name of `nexo_tunnel_quick`."""

import warnings

from nexo_tunnel_quick import *  # noqa: F403
from nexo_tunnel_quick import __all__ as __all__
from nexo_tunnel_quick import __version__ as __version__

warnings.warn("nexo_tunnel is called nexo_tunnel_quick now: import that", DeprecationWarning, stacklevel=2)
