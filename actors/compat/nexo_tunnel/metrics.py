"""The legacy name of `nexo_tunnel_quick.metrics`."""

from nexo_tunnel_quick.metrics import render_prometheus, render_prometheus_for

__all__ = ["render_prometheus", "render_prometheus_for"]
