"""X25519MLKEM768, the post-quantum key exchange (draft-ietf-tls-ecdhe-mlkem): both sides' share and secret. Pure.

The client's share is an ML-KEM-768 encapsulation key and an X25519 key, the server's a ciphertext and an X25519 key;
the secret is both secrets, ML-KEM's first. Whoever records the handshake today must break both to read it.
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import mlkem, x25519

GROUP: Final = 0x11EC
"""Its number in the registry of TLS groups."""

NAME: Final = "X25519MLKEM768"

ENCAPSULATION_KEY_BYTES: Final = 1184
CIPHERTEXT_BYTES: Final = 1088
X25519_BYTES: Final = 32


class ClientKey:
    """The client's side: `share` goes into its hello, `secret` comes of the server's answer."""

    def __init__(self) -> None:
        self._kem = mlkem.MLKEM768PrivateKey.generate()
        self._curve = x25519.X25519PrivateKey.generate()

    @property
    def share(self) -> bytes:
        return self._kem.public_key().public_bytes_raw() + self._curve.public_key().public_bytes_raw()

    def secret(self, answer: bytes) -> bytes:
        """The common secret for a server's share.

        Raises:
            ValueError: it is none.
        """
        if len(answer) != CIPHERTEXT_BYTES + X25519_BYTES:
            raise ValueError(f"{NAME} answer of {len(answer)} bytes")
        server_key = x25519.X25519PublicKey.from_public_bytes(answer[CIPHERTEXT_BYTES:])
        return self._kem.decapsulate(answer[:CIPHERTEXT_BYTES]) + self._curve.exchange(server_key)


def answer(share: bytes) -> tuple[bytes, bytes]:
    """The server's share, and the common secret, for a client's share.

    Raises:
        ValueError: it is none.
    """
    if len(share) != ENCAPSULATION_KEY_BYTES + X25519_BYTES:
        raise ValueError(f"{NAME} share of {len(share)} bytes")
    encapsulation_key = mlkem.MLKEM768PublicKey.from_public_bytes(share[:ENCAPSULATION_KEY_BYTES])
    client_key = x25519.X25519PublicKey.from_public_bytes(share[ENCAPSULATION_KEY_BYTES:])
    own_key = x25519.X25519PrivateKey.generate()
    kem_secret, ciphertext = encapsulation_key.encapsulate()
    return ciphertext + own_key.public_key().public_bytes_raw(), kem_secret + own_key.exchange(client_key)
