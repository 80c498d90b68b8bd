"""TLS 1.3 of aioquic's client, with X25519MLKEM768, which aioquic does not know.

Shares of both groups go out in the first flight, so that neither costs a round trip. aioquic's other groups are left
out: the edge has these two, and the keys of the others cost more than all the rest of the hello.
"""

from aioquic import tls
from aioquic._buffer import Buffer
from cryptography.hazmat.primitives.asymmetric import x25519

from actors.quic_worker.engines import hybrid


class ClientContext(tls.Context):
    """aioquic's TLS context of a client, with the groups of ours. It has no session tickets: connections are long."""

    post_quantum_only = False
    """Whether to offer nothing else."""
    agreed_group = ""
    """The name of the key exchange, once the server has answered."""
    _hybrid_key: hybrid.ClientKey | None = None

    def _client_send_hello(self, output_buf: Buffer) -> None:
        self._hybrid_key = hybrid.ClientKey()
        shares = [(hybrid.GROUP, self._hybrid_key.share)]
        if not self.post_quantum_only:
            self._x25519_private_key = x25519.X25519PrivateKey.generate()
            shares.append((int(tls.Group.X25519), self._x25519_private_key.public_key().public_bytes_raw()))
        assert self.client_random is not None
        assert self.legacy_session_id is not None
        hello = tls.ClientHello(
            random=self.client_random,
            legacy_session_id=self.legacy_session_id,
            cipher_suites=[int(suite) for suite in self._cipher_suites],
            legacy_compression_methods=self._legacy_compression_methods,
            alpn_protocols=self._alpn_protocols,
            key_share=shares,
            server_name=self._server_name,
            signature_algorithms=self._signature_algorithms,
            supported_groups=[group for group, _ in shares],
            supported_versions=self._supported_versions,
            other_extensions=self.handshake_extensions,
        )
        self._key_schedule_proxy = tls.KeyScheduleProxy(self._cipher_suites)
        self._key_schedule_proxy.extract(None)
        with tls.push_message(self._key_schedule_proxy, output_buf):
            tls.push_client_hello(output_buf, hello)
        self._set_state(tls.State.CLIENT_EXPECT_SERVER_HELLO)

    def _client_handle_hello(self, input_buf: Buffer, output_buf: Buffer) -> None:
        start = input_buf.tell()
        hello = tls.pull_server_hello(input_buf)
        group = hello.key_share[0] if hello.key_share is not None else None
        if group == hybrid.GROUP:
            self._take_hybrid_answer(hello, input_buf.data)
            self.agreed_group = hybrid.NAME
        else:
            input_buf.seek(start)
            super()._client_handle_hello(input_buf, output_buf)
            self.agreed_group = tls.Group.X25519.name

    def _take_hybrid_answer(self, hello: tls.ServerHello, message: bytes) -> None:
        """From ServerHello to the keys of the handshake (RFC 8446 sections 4.1.3 and 7.1)."""
        suite = tls.negotiate(
            self._cipher_suites, [hello.cipher_suite], tls.AlertHandshakeFailure("cipher suite that was not offered")
        )
        if hello.compression_method not in self._legacy_compression_methods:
            raise tls.AlertIllegalParameter("compression method that was not offered")
        if hello.supported_version not in self._supported_versions:
            raise tls.AlertIllegalParameter("version that was not offered")
        if hello.pre_shared_key is not None:
            raise tls.AlertIllegalParameter("pre-shared key that was not offered")
        assert self._hybrid_key is not None
        assert self._key_schedule_proxy is not None
        assert hello.key_share is not None
        try:
            secret = self._hybrid_key.secret(hello.key_share[1])
        except ValueError as error:
            raise tls.AlertIllegalParameter(f"invalid key share: {error}") from error
        self.key_schedule = self._key_schedule_proxy.select(suite)
        self._key_schedule_proxy = self._hybrid_key = None
        self.key_schedule.update_hash(message)
        self.key_schedule.extract(secret)
        self._setup_traffic_protection(tls.Direction.DECRYPT, tls.Epoch.HANDSHAKE, b"s hs traffic")
        self._setup_traffic_protection(tls.Direction.ENCRYPT, tls.Epoch.HANDSHAKE, b"c hs traffic")
        self._set_state(tls.State.CLIENT_EXPECT_ENCRYPTED_EXTENSIONS)
