"""The other names: the same objects."""

import subprocess
import sys

import nexo_tunnel_quick
import nexo_tunnel_quick.metrics
import pytest

import actors
import actors.metrics


def test_names_are_the_same_objects() -> None:
    for name in actors.__all__:
        assert getattr(nexo_tunnel_quick, name) is getattr(actors, name)
    assert nexo_tunnel_quick.metrics.render_prometheus is actors.metrics.render_prometheus
    assert nexo_tunnel_quick.metrics.render_prometheus_for is actors.metrics.render_prometheus_for


def test_legacy_name_warns() -> None:
    with pytest.warns(DeprecationWarning, match="nexo_tunnel_quick"):
        import nexo_tunnel
    assert nexo_tunnel.TunnelManager is actors.TunnelManager
    assert nexo_tunnel.metrics.render_prometheus is actors.metrics.render_prometheus


def test_actors_load_nothing_of_the_api() -> None:
    """Every child process imports `actors`: what it does not need would cost each of them time and memory."""
    code = "import sys, actors, actors.quic_worker, actors.bus.messages; print('actors.api.manager' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
