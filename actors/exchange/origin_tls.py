"""TLS towards the origin: whom to trust, and what is said when it fails."""

import functools
import ssl
from typing import Final

from actors.bus.routes import Origin

TLS: Final = frozenset(("https", "unix+tls"))
"""Schemes of origins that speak it."""

UNIX: Final = frozenset(("unix", "unix+tls"))
"""Schemes of origins that are a socket of this machine."""

_HINTS: Final = {
    "CERTIFICATE_VERIFY_FAILED": "--origin-ca FILE names its roots, --no-tls-verify takes any certificate",
    "WRONG_VERSION_NUMBER": "what answers there speaks no TLS; try http:// in the origin's URL",
    "HTTP_REQUEST": "what answers there speaks no TLS; try http:// in the origin's URL",
    "PACKET_LENGTH_TOO_LONG": "what answers there speaks no TLS; try http:// in the origin's URL",
    "RECORD_LAYER_FAILURE": "what answers there speaks no TLS; try http:// in the origin's URL",
    "UNSUPPORTED_PROTOCOL": "it speaks nothing newer than TLS 1.1, which is not spoken here",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks nothing newer than TLS 1.1, which is not spoken here",
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": "it is an old server; --no-tls-verify speaks to such",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "an old server may know no cipher of today; --no-tls-verify speaks to such",
    "DH_KEY_TOO_SMALL": "it is an old server; --no-tls-verify speaks to such",
    "EE_KEY_TOO_SMALL": "it is an old server; --no-tls-verify speaks to such",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it asks for a certificate of the client, and there is none to show",
    "TLSV1_UNRECOGNIZED_NAME": "it has no certificate for that name; --origin-server-name says another",
}
"""What to try, by the reason that OpenSSL gives."""


def make_context(origin: Origin) -> ssl.SSLContext:
    """How to speak TLS to `origin`.

    Raises:
        OSError: a CA file cannot be read. ssl.SSLError: it holds no certificate.
    """
    if origin.ca_file is None and origin.extra_ca_file is None:
        return _with_system_s_roots(origin.verify)
    return _make(origin.ca_file, origin.extra_ca_file, origin.verify)


def _make(ca_file: str | None, extra_ca_file: str | None, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if extra_ca_file is not None:
        context.load_verify_locations(extra_ca_file)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None or extra_ca_file is not None:
        # From Python 3.13 on, a root must have all that RFC 5280 asks of one. Roots that are made at home do not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if verify:
        context.set_ciphers(_CIPHERS)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Who sits between could be anybody now, so that weak keys and ciphers give nothing away. Servers at home that
        # were last updated ten years ago want them, and know nothing of secure renegotiation (RFC 5746).
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.options |= _LEGACY_SERVER_CONNECT
    return context


@functools.cache
def _with_system_s_roots(verify: bool) -> ssl.SSLContext:
    """One for all origins that need nothing more: it takes 50 ms, and a megabyte."""
    return _make(None, None, verify)


_CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
"""What Python takes by itself, and no TLS before 1.2, as it does. Debian's leaves both to OpenSSL, which takes more."""

_LEGACY_SERVER_CONNECT: Final = 0x4
"""OpenSSL's SSL_OP_LEGACY_SERVER_CONNECT: Python has had a name for it since 3.12 only."""


def explain(error: ssl.SSLError | ConnectionError) -> str:
    """Why TLS failed, and what to try."""
    reason: str = getattr(error, "reason", None) or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"{reason}: {error.verify_message}"
    elif isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the connection was closed during the handshake; --no-tls-verify speaks to old servers, too"
    else:
        text = reason or str(error) or type(error).__name__
    hint = _HINTS.get(reason)
    return f"{text} ({hint})" if hint else text
