"""A certificate authority that lives as long as the process, and the edge's certificate signed by it."""

import contextlib
import datetime
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALIDITY: Final = datetime.timedelta(days=30)
"""Longer than any demo; a new start makes a new one."""

CLOCK_SKEW: Final = datetime.timedelta(hours=1)


class Certificates(NamedTuple):
    """What the server shows, and what its clients are to trust."""

    certificate: x509.Certificate
    private_key: ec.EllipticCurvePrivateKey
    authority_pem: bytes


class Authority:
    """An authority of its own. Its key is never written anywhere."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("tunnel-supervisor local edge")
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=False,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=True,
                    crl_sign=True,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)
        """Its certificate, for those who are to trust it."""

    def issue(self, names: tuple[str, ...]) -> Certificates:
        """Make a key and a certificate for `names`, DNS names and IP literals; the first is its subject."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        issuer_key = self._key.public_key()
        certificate = (
            _builder(_name(names[0]), self._name, private_key.public_key())
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Certificates(certificate, private_key, self.pem)


def make_certificates(names: tuple[str, ...]) -> Certificates:
    """Make a fresh authority and a certificate for `names`. The authority's key is forgotten at once."""
    return Authority().issue(names)


def server_context(certificates: Certificates, folder: Path) -> ssl.SSLContext:
    """The server's side of TLS over TCP."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    key = certificates.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with _as_file(key + certificates.certificate.public_bytes(serialization.Encoding.PEM), folder) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _as_file(data: bytes, folder: Path) -> Iterator[str]:
    """What OpenSSL takes from a file only: in memory where the kernel has such, else in `folder`, gone at once."""
    try:
        descriptor = os.memfd_create("local-edge")
    except (AttributeError, OSError):
        with tempfile.NamedTemporaryFile(dir=folder, prefix="local-edge-") as file:
            file.write(data)
            file.flush()
            yield file.name
        return
    with open(descriptor, "wb", buffering=0) as memory:
        memory.write(data)
        yield f"/proc/self/fd/{descriptor}"


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
    )
