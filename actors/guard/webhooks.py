"""By which schemes senders sign their webhooks. Pure.

Each signs the body (Telegram: nothing, it sends a secret) with what both sides know. Stripe, Slack and Svix sign the
time as well, and what is older than five minutes is refused, as their own libraries do; the others sign none, so that
what was sent once can be sent again. All comparing is done in a time that tells nothing of the secret.
"""

import base64
import binascii
import enum
import hashlib
import hmac
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from actors.bus.guards import Sender, Webhook
from actors.exchange.request import Kind, Request
from actors.guard import fields

TOLERANCE: Final = 300.0
"""Seconds between a signature's time and ours, either way: what Stripe, Slack and Svix say."""

MAX_SIGNATURES: Final = 16
"""In one field: a sender that replaces a secret signs with both."""

MAX_FORM_FIELDS: Final = 1000
"""Of Twilio's forms."""


class Finding(enum.Enum):
    """What is to be said of a webhook."""

    RIGHT = enum.auto()
    WRONG = enum.auto()
    """It is not of that sender, or not as that sent it."""
    LATE = enum.auto()
    """It is, and of another time."""


class Delivery(NamedTuple):
    """A request that may be a webhook."""

    request: Request
    body: bytes
    now: float
    """Seconds since 1970."""

    def field(self, name: bytes) -> bytes:
        """The value of a field that is there exactly once; else nothing, which signs nothing."""
        return fields.only(self.request, name) or b""


def _mac(secret: bytes, *parts: bytes, by: str = "sha256") -> bytes:
    return hmac.digest(secret, b"".join(parts), by)


def _any_equal(made: bytes, given: list[bytes]) -> bool:
    """Whether one of them is; all are looked at."""
    found = False
    for each in given[:MAX_SIGNATURES]:
        found |= hmac.compare_digest(made, each)
    return found


def _found(is_right: bool) -> Finding:
    return Finding.RIGHT if is_right else Finding.WRONG


def _timely(is_right: bool, stamp: bytes, now: float) -> Finding:
    if not is_right:
        return Finding.WRONG
    # The stamp is signed, but by somebody who may be far in the future: digits alone, and few of them.
    is_now = stamp.isdigit() and len(stamp) <= 12 and abs(now - int(stamp)) <= TOLERANCE
    return Finding.RIGHT if is_now else Finding.LATE


def _hub(secret: bytes, delivery: Delivery) -> Finding:
    """GitHub, and Meta for WhatsApp."""
    made = b"sha256=" + _mac(secret, delivery.body).hex().encode()
    return _found(_any_equal(made, [delivery.field(b"x-hub-signature-256")]))


def _shopify(secret: bytes, delivery: Delivery) -> Finding:
    made = base64.b64encode(_mac(secret, delivery.body))
    return _found(_any_equal(made, [delivery.field(b"x-shopify-hmac-sha256")]))


def _slack(secret: bytes, delivery: Delivery) -> Finding:
    stamp = delivery.field(b"x-slack-request-timestamp")
    made = b"v0=" + _mac(secret, b"v0:", stamp, b":", delivery.body).hex().encode()
    return _timely(_any_equal(made, [delivery.field(b"x-slack-signature")]), stamp, delivery.now)


def _stripe(secret: bytes, delivery: Delivery) -> Finding:
    said = [part.partition(b"=") for part in delivery.field(b"stripe-signature").split(b",")]
    stamps = [value for name, _, value in said if name.strip() == b"t"]
    if len(stamps) != 1:
        return Finding.WRONG
    made = _mac(secret, stamps[0], b".", delivery.body).hex().encode()
    given = [value for name, _, value in said if name.strip() == b"v1"]
    return _timely(_any_equal(made, given), stamps[0], delivery.now)


def _svix(secret: bytes, delivery: Delivery) -> Finding:
    """The same as "Standard Webhooks", which has other names for the fields."""
    family = b"svix-" if fields.values(delivery.request, b"svix-signature") else b"webhook-"
    name, stamp = delivery.field(family + b"id"), delivery.field(family + b"timestamp")
    made = base64.b64encode(_mac(svix_key(secret), name, b".", stamp, b".", delivery.body))
    said = [part.partition(b",") for part in delivery.field(family + b"signature").split(b" ")]
    given = [value for version, _, value in said if version == b"v1"]
    return _timely(_any_equal(made, given), stamp, delivery.now)


def svix_key(secret: bytes) -> bytes:
    """The key that stands in a secret of Svix's, `whsec_…`.

    Raises:
        ValueError: none does.
    """
    try:
        key = base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("Svix's secrets are base64, behind `whsec_`")
    return key


def _telegram(secret: bytes, delivery: Delivery) -> Finding:
    given = delivery.field(b"x-telegram-bot-api-secret-token")
    return _found(_any_equal(hashlib.sha256(secret).digest(), [hashlib.sha256(given).digest()]))


def _twilio(secret: bytes, delivery: Delivery) -> Finding:
    """The address, and what a form says; of another body its SHA-256 stands in the address."""
    request = delivery.request
    signed = b""
    kind = delivery.field(b"content-type").partition(b";")[0].strip().lower()
    hashes = fields.parameters(request, "bodySHA256")
    if hashes or (delivery.body and kind != b"application/x-www-form-urlencoded"):
        made = hashlib.sha256(delivery.body).hexdigest().encode()
        if len(hashes) != 1 or not _any_equal(made, [hashes[0].lower().encode("utf-8", "replace")]):
            return Finding.WRONG
    elif delivery.body:
        try:
            text = delivery.body.decode()
            said = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
        except ValueError:  # UnicodeDecodeError, or too many
            return Finding.WRONG
        signed = b"".join((name + value).encode("utf-8", "replace") for name, value in sorted(set(said)))
    given = delivery.field(b"x-twilio-signature")
    is_right = False
    for url in _urls(request):
        made = base64.b64encode(_mac(secret, url, signed, by="sha1"))
        is_right |= _any_equal(made, [given])
    return _found(is_right)


def _urls(request: Request) -> Iterator[bytes]:
    """What the address may have been to Twilio, which sometimes signs the port as well."""
    schemes = ((b"wss", b":443"), (b"https", b":443"), (b"ws", b":80"), (b"http", b":80"))
    host, _, port = request.host.rpartition(b":")
    bare = host if host and port.isdigit() else request.host
    for scheme, usual in schemes:
        if (request.kind is Kind.WEBSOCKET) or scheme.startswith(b"http"):
            for authority in dict.fromkeys((request.host, bare, bare + usual)):
                yield scheme + b"://" + authority + request.target


_SCHEMES: Final[dict[Sender, tuple[tuple[bytes, ...], Callable[[bytes, Delivery], Finding]]]] = {
    "github": ((b"x-hub-signature-256",), _hub),
    "shopify": ((b"x-shopify-hmac-sha256",), _shopify),
    "slack": ((b"x-slack-signature",), _slack),
    "stripe": ((b"stripe-signature",), _stripe),
    "svix": ((b"svix-signature", b"webhook-signature"), _svix),
    "telegram": ((b"x-telegram-bot-api-secret-token",), _telegram),
    "twilio": ((b"x-twilio-signature",), _twilio),
    "whatsapp": ((b"x-hub-signature-256",), _hub),
}
"""The fields with signatures, and what makes of a secret and a request a finding."""


def is_signed(webhook: Webhook, request: Request) -> bool:
    """Whether the request says that it is of this sender: before that nobody need look at its body."""
    names = _SCHEMES[webhook.sender][0]
    return any(name.lower() in names for name, _ in request.fields)


def is_set_up(webhook: Webhook, request: Request) -> bool:
    """Whether it is WhatsApp's question if the address is ours, with the token that was agreed; it is not signed."""
    if request.method != b"GET" or fields.parameters(request, "hub.mode") != ["subscribe"]:
        return False
    given = fields.parameters(request, "hub.verify_token")
    digests = [hashlib.sha256(each.encode("utf-8", "surrogateescape")).digest() for each in given]
    known = [hashlib.sha256(token.encode()).digest() for token in webhook.verify_tokens]
    found = False
    for digest in known:
        found |= _any_equal(digest, digests)
    return found and len(given) == 1


def judge(webhook: Webhook, delivery: Delivery) -> Finding:
    """Whether the request is of this sender, and as it was sent; any of the secrets will do."""
    check = _SCHEMES[webhook.sender][1]
    found = {check(secret.encode(), delivery) for secret in webhook.secrets}
    return next((each for each in (Finding.RIGHT, Finding.LATE) if each in found), Finding.WRONG)
