"""The shipped roots are those that Cloudflare publishes."""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from actors import trust

FINGERPRINTS = {
    "AA63697A22764B67B2134CE14CB5690EA336940B93986113F49545917832D80D",
    "D3C7E85C91707FC0A12ABC5D88266747AA4FA8E7B162F633FFB3C9D989947620",
    "9A1AC2B4BE15F9F27EEE20A734CBA4E9898F61001B3BD7C84B69B56A3E25A2B9",
}


def roots() -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(trust.edge_roots())


def test_fingerprints() -> None:
    assert {root.fingerprint(SHA256()).hex().upper() for root in roots()} == FINGERPRINTS


def test_expiry_is_the_one_that_is_warned_of() -> None:
    first = min(root.not_valid_after_utc for root in roots())
    assert first.date() == trust.FIRST_ROOT_EXPIRES
    assert trust.expiry_warning(trust.FIRST_ROOT_EXPIRES - datetime.timedelta(days=31)) is None
    warning = trust.expiry_warning(trust.FIRST_ROOT_EXPIRES - datetime.timedelta(days=29))
    assert warning is not None
    assert str(trust.FIRST_ROOT_EXPIRES) in warning


def test_system_roots_are_a_file() -> None:
    assert trust.system_roots().startswith("/")
