"""Names that lead to a tunnel."""

import pytest

from actors.local_edge.hostnames import fit, named_by, without_port


@pytest.mark.parametrize(
    ("configuration", "names"),
    [
        (b'{"ingress":[{"hostname":"a.x"},{"hostname":"*.x"},{"hostname":"a.x","path":"/p"},{}]}', ("a.x", "*.x")),
        (b'{"Ingress":[{"HOSTNAME":"a.x"}]}', ("a.x",)),
        (b'{"ingress":[{"hostname":"*"},{"hostname":""},{"hostname":1},7]}', ()),
        *((text, ()) for text in (b"null", b"{}", b"[]", b'{"ingress":null}', b'{"ingress":{}}', b"", b"\xff")),
        (b"[" * 100_000, ()),
    ],
)
def test_names_of_a_configuration(configuration: bytes, names: tuple[str, ...]) -> None:
    assert named_by(configuration) == names


@pytest.mark.parametrize(
    ("name", "host", "fits"),
    [
        ("app.example.com", "APP.example.com:8080", True),
        ("a.localhost:1", "a.localhost:2", True),
        ("app.example.com", "xapp.example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("bücher.example", "xn--bcher-kva.example", True),
        ("*", "a", False),
        ("a" * 64 + ".example", "a", False),
    ],
)
def test_what_fits(name: str, host: str, fits: bool) -> None:
    assert bool(fit(name, without_port(host))) is fits


def test_the_more_is_said_the_better_it_fits() -> None:
    host = "a.b.example.com"
    fits = [fit(name, host) for name in ("*.example.com", "*.b.example.com", "a.b.example.com")]
    assert fits == sorted(set(fits))
