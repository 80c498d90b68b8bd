"""X25519MLKEM768: both sides against each other, against qh3's, which shares no code with ours, and what is refused."""

import pytest
from qh3._hazmat import X25519ML768KeyExchange

from actors.quic_worker.engines import hybrid


def test_both_sides_agree() -> None:
    client = hybrid.ClientKey()
    answer, secret = hybrid.answer(client.share)
    assert client.secret(answer) == secret
    assert len(secret) == 64
    assert (len(client.share), len(answer)) == (1184 + 32, 1088 + 32)


def test_client_agrees_with_another_implementation() -> None:
    ours, theirs = hybrid.ClientKey(), X25519ML768KeyExchange()
    secret = theirs.exchange(ours.share)
    assert ours.secret(theirs.shared_ciphertext()) == secret


def test_server_agrees_with_another_implementation() -> None:
    theirs = X25519ML768KeyExchange()
    answer, secret = hybrid.answer(theirs.public_key())
    assert theirs.exchange(answer) == secret


@pytest.mark.parametrize("share", [b"", bytes(1184 + 31), bytes(1184 + 33), bytes(32)])
def test_shares_of_the_wrong_length_are_refused(share: bytes) -> None:
    with pytest.raises(ValueError, match="X25519MLKEM768 share"):
        hybrid.answer(share)
    with pytest.raises(ValueError, match="X25519MLKEM768 answer"):
        hybrid.ClientKey().secret(share)
