"""Another name of `actors.metrics`: the same functions."""

from actors.metrics import render_prometheus, render_prometheus_for

__all__ = ["render_prometheus", "render_prometheus_for"]
