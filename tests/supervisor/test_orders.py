"""What each child is told at its start."""

from pathlib import Path

from actors.bus.messages import (
    Credentials,
    EdgeAddress,
    SpareOrders,
    Transport,
)
from actors.bus.routes import Origin, all_to
from actors.supervisor.children import Name
from actors.supervisor.orders import OrderBook
from actors.supervisor.restart import SPARE
from actors.supervisor.vocabulary import SpawnWorker

EDGE = EdgeAddress(host="192.0.2.1", port=7844)


def book() -> OrderBook:
    return OrderBook(
        control_endpoint="ipc:///c",
        deltas_endpoint="ipc:///d",
        events_endpoint="ipc:///e",
        metrics_endpoint="ipc:///m",
        guarded_metrics_endpoint=None,
        curve=None,
        metrics_http=None,
        run_folder=Path("/run"),
        client_id=bytes(16),
        max_streams=1,
        log_requests=False,
        transport=Transport(engine="picoquic"),
        log_level="info",
        log_json=True,
        edge_ca=None,
        local_edge_tls=False,
        as_cloudflare=False,
        routes=all_to(Origin(host="localhost", port=1)),
        credentials=Credentials("id", "https://a.example", "tag", b"secret"),
    )


def test_worker_and_spare_run_the_engine_that_is_in_use() -> None:
    orders = book()
    for engine in ("picoquic", "aioquic"):
        command = SpawnWorker(0, 1, EDGE, 0, False, False)
        assert orders.worker(Name("worker", 0, 1), command).transport.engine == engine
        spare = orders.helper(Name(SPARE, 0, 1))
        assert isinstance(spare, SpareOrders)
        assert spare.engine == engine
        orders.use_engine("aioquic")


def test_children_that_are_up_change_what_others_are_told() -> None:
    orders = book()
    orders.learn(
        {
            "metrics": {"metrics": "ipc:///x", "http": "[::1]:9"},
            "hello_world": {"http": "127.0.0.1:8"},
            "local_edge": {"ca": "/ca.pem"},
        }
    )
    assert (str(orders.page), str(orders.metrics_http), orders.edge_ca) == ("127.0.0.1:8", "[::1]:9", "/ca.pem")
    assert (orders.metrics_endpoint, orders.guarded_metrics_endpoint) == ("ipc:///x", None)
