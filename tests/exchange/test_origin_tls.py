"""Origins at home: roots made by hand, servers that were last updated ten years ago, and what is said of failures."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from actors.bus.routes import Origin
from actors.exchange import origin_tls
from actors.exchange.backend import OriginError
from actors.exchange.http1 import NO_HEAD
from actors.exchange.origin_pool import OriginPool
from actors.exchange.origin_tls import explain, make_context
from actors.exchange.request import Kind, Request

NAME = "app.test"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _certificate(subject: str, issuer: str, key: rsa.RSAPublicKey, signer: rsa.RSAPrivateKey, extension: Any) -> bytes:
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(_name(subject)).issuer_name(_name(issuer)).public_key(key)
    builder = builder.serial_number(x509.random_serial_number()).add_extension(extension, critical=False)
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=36500))
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def home_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root as `openssl req -x509` made it for years: without key identifiers, usages and what else RFC 5280 asks."""
    folder = tmp_path_factory.mktemp("home")
    root, leaf, weak = (rsa.generate_private_key(65537, size) for size in (2048, 2048, 1024))
    authority = x509.BasicConstraints(ca=True, path_length=None)
    (folder / "ca.pem").write_bytes(_certificate("Home", "Home", root.public_key(), root, authority))
    for name, key in (("server", leaf), ("weak", weak)):
        names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(pem + _certificate(NAME, "Home", key.public_key(), root, names))
    return folder


@asynccontextmanager
async def server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    def quiet(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        assert isinstance(context.get("exception"), OSError)  # a handshake that failed, as it shall

    asyncio.get_running_loop().set_exception_handler(quiet)
    running = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield running.sockets[0].getsockname()[1]
    finally:
        running.close()


def serving(folder: Path, name: str = "server", ciphers: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    context.load_cert_chain(folder / f"{name}.pem")
    return context


async def connect(port: int, **details: Any) -> str:
    """Connect; return why it failed, or nothing."""
    pool = OriginPool(Origin(scheme="https", host="127.0.0.1", port=port, **{"server_name": NAME, **details}))
    try:
        connection = await pool.connect(Request(Kind.HTTP, b"GET", b"/", b"x", ()), NO_HEAD)
    except OriginError as error:
        return str(error)
    connection.begin(_Nobody(), NO_HEAD, raw=True)
    connection.abort()
    await asyncio.sleep(0)
    return ""


class _Nobody:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Python does from 3.13 on."""
    original = ssl.create_default_context

    def create(*arguments: Any, **details: Any) -> ssl.SSLContext:
        context = original(*arguments, **details)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create)
    monkeypatch.setattr(origin_tls, "_with_system_s_roots", origin_tls._with_system_s_roots.__wrapped__)


@pytest.mark.usefixtures("strict")
async def test_root_that_was_made_at_home(home_made: Path) -> None:
    async with server(serving(home_made)) as port:
        assert await connect(port, ca_file=str(home_made / "ca.pem")) == ""
        unknown = await connect(port)
        assert "CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate" in unknown
        assert "--origin-ca FILE" in unknown
        other = await connect(port, ca_file=str(home_made / "ca.pem"), server_name="other.test")
        assert "Hostname mismatch" in other


def test_the_system_s_roots_stay_under_python_s_own_rules() -> None:
    context = make_context(Origin(scheme="https", host="x"))
    assert context.verify_flags == ssl.create_default_context().verify_flags
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("name", "ciphers"),
    [("server", "AES128-SHA:@SECLEVEL=0"), ("weak", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0")],
    ids=["RSA key exchange", "weak key"],
)
async def test_server_of_ten_years_ago_is_reached_without_verification(
    home_made: Path, name: str, ciphers: str
) -> None:
    async with server(serving(home_made, name, ciphers)) as port:
        assert await connect(port, verify=False) == ""
        refused = await connect(port, ca_file=str(home_made / "ca.pem"))
        assert "--no-tls-verify" in refused


def test_legacy_renegotiation_is_for_the_unverified_only() -> None:
    for verify in (True, False):
        context = make_context(Origin(scheme="https", host="x", verify=verify))
        assert bool(context.options & 0x4) is not verify
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


async def test_every_tls_error_has_a_reason(home_made: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    async def plain_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        writer.close()

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    for act, said in ((hang_up, "closed"), (plain_http, "try http://"), (reset, "TLS failed: ")):
        listening = await asyncio.start_server(act, "127.0.0.1", 0)
        text = await connect(listening.sockets[0].getsockname()[1])
        listening.close()
        assert said in text
        assert not text.endswith(": ")


def test_explanations_are_never_empty() -> None:
    for error in (ssl.SSLError(), ssl.SSLEOFError(), ssl.SSLZeroReturnError(), ssl.SSLError(1, "some text")):
        assert explain(error)
