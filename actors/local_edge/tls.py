"""TLS 1.3 of the server: what aioquic's lacks to serve the clients of a real edge.

The Go client sends X25519MLKEM768 as its only key share, a group that aioquic does not know, and the edge meets an
unknown server name with silence. `EdgeContext` adds both to aioquic's TLS and leaves every other handshake to it.
"""

import os
from collections.abc import Callable, Collection
from typing import Any

from aioquic import tls
from aioquic._buffer import Buffer
from cryptography.hazmat.primitives.serialization import Encoding

from actors.quic_worker.engines import hybrid
from actors.quic_worker.engines.aioquic_credit import CreditedConnection


class UnknownServerName(Exception):
    """The client wants a server that is not here. The edge answers nothing."""


class EdgeConnection(CreditedConnection):
    """The server's end of a QUIC connection, with `EdgeContext` as its TLS."""

    server_names: Collection[str] = ()

    @property
    def client_server_name(self) -> str:
        """The name that the client asked for; empty before its hello."""
        return self.tls.client_server_name if self.has_begun and isinstance(self.tls, EdgeContext) else ""

    @property
    def has_begun(self) -> bool:
        """Whether a first packet was understood. Until then aioquic has neither TLS nor anybody to send to."""
        return bool(self._network_paths)

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        # aioquic makes its own Context here and offers no way to give it another.
        self.tls.__class__ = EdgeContext
        assert isinstance(self.tls, EdgeContext)
        self.tls.server_names = self.server_names


class EdgeContext(tls.Context):
    """aioquic's TLS context, as the edge behaves."""

    server_names: Collection[str] = ()
    client_server_name: str = ""

    def _server_handle_hello(self, input_buf: Buffer, initial_buf: Buffer, handshake_buf: Buffer) -> None:
        start = input_buf.tell()
        hello = tls.pull_client_hello(input_buf)
        if hello.server_name not in self.server_names:
            raise UnknownServerName(hello.server_name)
        self.client_server_name = hello.server_name or ""
        shares = dict(hello.key_share or [])
        if hybrid.GROUP in shares:
            self._answer_hybrid(hello, shares[hybrid.GROUP], input_buf.data, initial_buf, handshake_buf)
        else:
            input_buf.seek(start)
            super()._server_handle_hello(input_buf, initial_buf, handshake_buf)

    def _answer_hybrid(
        self, hello: tls.ClientHello, share: bytes, message: bytes, initial_buf: Buffer, handshake_buf: Buffer
    ) -> None:
        """ServerHello to Finished (RFC 8446 section 4), without the PSKs and client certificates nobody asks for."""
        try:
            answer_share, secret = hybrid.answer(share)
        except ValueError as error:
            raise tls.AlertIllegalParameter(f"invalid key share: {error}") from error
        cipher_suite = _first(self._cipher_suites, hello.cipher_suites, tls.AlertHandshakeFailure("cipher suite"))
        algorithm = _first(
            self._signature_algorithms_for_private_key(),
            hello.signature_algorithms,
            tls.AlertHandshakeFailure("signature algorithm"),
        )
        self.alpn_negotiated = _first(
            self._alpn_protocols or [], hello.alpn_protocols, tls.AlertNoApplicationProtocol("no common ALPN")
        )
        self.client_random, self.server_random = hello.random, os.urandom(32)
        self.legacy_session_id = hello.legacy_session_id
        self.received_extensions = hello.other_extensions
        if self.alpn_cb is not None:
            self.alpn_cb(self.alpn_negotiated)

        schedule = self.key_schedule = tls.KeySchedule(cipher_suite)
        schedule.extract(None)
        schedule.update_hash(message)
        with tls.push_message(schedule, initial_buf):
            tls.push_server_hello(
                initial_buf,
                tls.ServerHello(
                    random=self.server_random,
                    legacy_session_id=self.legacy_session_id,
                    cipher_suite=cipher_suite,
                    compression_method=tls.CompressionMethod.NULL,
                    key_share=(hybrid.GROUP, answer_share),
                    supported_version=tls.TLS_VERSION_1_3,
                ),
            )
        schedule.extract(secret)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"s hs traffic")
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")

        def push(write: Callable[[Buffer, Any], None], message: Any) -> None:
            with tls.push_message(schedule, handshake_buf):
                write(handshake_buf, message)

        push(
            tls.push_encrypted_extensions,
            tls.EncryptedExtensions(alpn_protocol=self.alpn_negotiated, other_extensions=self.handshake_extensions),
        )
        assert self.certificate is not None
        assert self.certificate_private_key is not None
        chain = [(self.certificate.public_bytes(Encoding.DER), b"")]
        push(tls.push_certificate, tls.Certificate(request_context=b"", certificates=chain))
        signature = self.certificate_private_key.sign(
            schedule.certificate_verify_data(tls.SERVER_CONTEXT_STRING),
            *tls.signature_algorithm_params(algorithm),
        )
        push(tls.push_certificate_verify, tls.CertificateVerify(algorithm=algorithm, signature=signature))
        assert self._enc_key is not None
        push(tls.push_finished, tls.Finished(verify_data=schedule.finished_verify_data(self._enc_key)))

        schedule.extract(None)
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.ONE_RTT, b"s ap traffic")
        self._next_dec_key = schedule.derive_secret(b"c ap traffic")
        self._psk_key_exchange_mode = None
        self._server_expect_finished()


def _first(ours: Collection[Any], theirs: Collection[Any] | None, otherwise: tls.Alert) -> Any:
    for value in ours:
        if value in (theirs or ()):
            return value
    raise otherwise
