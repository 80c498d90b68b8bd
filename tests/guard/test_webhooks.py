"""The senders' schemes, by the examples that they publish and by made ones."""

import base64
import hashlib
import hmac
from typing import NamedTuple

import pytest

from actors.bus.guards import Sender, Webhook
from actors.exchange.request import Kind, Request
from actors.guard.webhooks import TOLERANCE, Delivery, Finding, is_set_up, is_signed, judge, svix_key
from tests.guard.kit import asked


class Example(NamedTuple):
    """One webhook, as its sender sends it."""

    sender: Sender
    secret: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    now: float = 0.0
    target: str = "/"
    host: str = "app.example"

    def signed_at(self, now: int) -> "Example":
        """The same, as its sender would send it at another time: Slack's, Stripe's and Svix's."""
        if self.sender == "stripe":
            return self._replace(now=now, fields=stripe(self.body, now, self.secret))
        (*others, (stamp, _), (name, _)) = self.fields
        begin = f"v0:{now}:" if self.sender == "slack" else f"{others[0][1]}.{now}."
        key = self.secret.encode() if self.sender == "slack" else svix_key(self.secret.encode())
        made = hmac.digest(key, begin.encode() + self.body, "sha256")
        value = f"v0={made.hex()}" if self.sender == "slack" else f"v1,{base64.b64encode(made).decode()}"
        return self._replace(now=now, fields=(*others, (stamp, str(now)), (name, value)))


SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
FORM = ("Content-Type", "application/x-www-form-urlencoded")

PUBLISHED = [
    Example(  # "Validating webhook deliveries": testing the webhook payload validation
        "github",
        "It's a Secret to Everybody",
        (("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),),
        b"Hello, World!",
    ),
    Example(  # "Verifying requests from Slack"
        "slack",
        "8f742231b10e8888abcd99yyyzzz85a5",
        (
            ("X-Slack-Request-Timestamp", "1531420618"),
            ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ),
        SLACK_BODY,
        1531420618,
    ),
    Example(  # "How to verify webhooks manually"
        "svix",
        "whsec_plJ3nmyCDGBKInavdOK15jsl",
        (
            ("svix-id", "msg_loFOjxBNrRLzqYUf"),
            ("svix-timestamp", "1731705121"),
            ("svix-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
        ),
        b'{"event_type":"ping","data":{"success":true}}',
        1731705121,
    ),
    Example(  # Svix's libraries, and "Standard Webhooks"
        "svix",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        (
            ("Webhook-Id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("Webhook-Timestamp", "1614265330"),
            ("Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ),
        b'{"test": 2432232314}',
        1614265330,
    ),
    Example(  # "Validating requests are coming from Twilio"
        "twilio",
        "12345",
        (("X-Twilio-Signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), FORM),
        b"Digits=1234&To=%2B18005551212&From=%2B14158675309&Caller=%2B14158675309&CallSid=CA1234567890ABCDE",
        target="/myapp.php?foo=1&bar=2",
        host="mycompany.com",
    ),
]


def stripe(body: bytes, stamp: int, secret: str = "whsec_test", **more: str) -> tuple[tuple[str, str], ...]:
    """As Stripe's documents say, which show no signature together with its secret."""
    made = hmac.new(secret.encode(), b"%d." % stamp + body, hashlib.sha256).hexdigest()
    return (("Stripe-Signature", f"t={stamp},v1={made},v0={'0' * 64}" + more.get("end", "")),)


def in_base64(secret: str, signed: bytes, by: str = "sha256") -> str:
    return base64.b64encode(hmac.digest(secret.encode(), signed, by)).decode()


MADE = [
    Example("stripe", "whsec_test", stripe(b"{}", 1700000000), b"{}", 1700000000),
    Example("shopify", "s", (("X-Shopify-Hmac-SHA256", in_base64("s", b'{"id":1}')),), b'{"id":1}'),
    Example("telegram", "agreed_1", (("X-Telegram-Bot-Api-Secret-Token", "agreed_1"),), b"{}"),
    Example(
        "whatsapp",
        "app secret",
        (("X-Hub-Signature-256", "sha256=" + hmac.new(b"app secret", b"\xf0\x9f\x98\x80", "sha256").hexdigest()),),
        b"\xf0\x9f\x98\x80",
    ),
    Example(  # JSON: its SHA-256 stands in the address
        "twilio",
        "12345",
        (
            (
                "X-Twilio-Signature",
                in_base64(
                    "12345", b"https://a.example/x?bodySHA256=" + hashlib.sha256(b"{}").hexdigest().encode(), "sha1"
                ),
            ),
            ("Content-Type", "application/json"),
        ),
        b"{}",
        target="/x?bodySHA256=" + hashlib.sha256(b"{}").hexdigest(),
        host="a.example",
    ),
    Example(
        "twilio",
        "12345",
        (("X-Twilio-Signature", in_base64("12345", b"https://a.example/x", "sha1")),),
        b"",
        target="/x",
        host="a.example",
    ),
    Example(
        "twilio",
        "12345",
        (("X-Twilio-Signature", in_base64("12345", b"https://a.example:443/x", "sha1")),),
        b"",
        target="/x",
        host="a.example",
    ),
]

ALL = [*PUBLISHED, *MADE]
NAMES = [f"{number} {each.sender}" for number, each in enumerate(ALL)]


def request(example: Example) -> Request:
    return asked(example.target, *example.fields, method="POST", host=example.host)


def found(example: Example, *, secrets: tuple[str, ...] | None = None) -> Finding:
    webhook = Webhook(example.sender, (example.secret,) if secrets is None else secrets)
    assert is_signed(webhook, request(example)) or not example.fields
    return judge(webhook, Delivery(request(example), example.body, example.now))


@pytest.mark.parametrize("example", ALL, ids=NAMES)
def test_as_it_was_sent(example: Example) -> None:
    assert found(example) is Finding.RIGHT
    assert found(example, secrets=("bmV3ZXI=", example.secret)) is Finding.RIGHT, "while a secret is replaced"
    assert found(example, secrets=("bmV3ZXI=",)) is Finding.WRONG


@pytest.mark.parametrize("example", [each for each in ALL if each.sender != "telegram"])
def test_another_body(example: Example) -> None:
    for body in (example.body + b" ", b"x" + example.body, b"&x=1" if not example.body else b""):
        assert found(example._replace(body=body)) is Finding.WRONG


@pytest.mark.parametrize("example", ALL, ids=NAMES)
def test_signature_that_is_wrong_twice_or_not_there(example: Example) -> None:
    name, value = [field for field in example.fields if "ontent-" not in field[0]][-1]
    value = value.partition(",v0=")[0]  # of a scheme that is believed no more
    rest = tuple(field for field in example.fields if field[0] != name)
    for values in ([value[:-2] + "xx"], [value, value], [value[:-2] + "xx", value], [value.swapcase() + "="], [""]):
        changed = example._replace(fields=(*((name, each) for each in values), *rest))
        assert found(changed) is Finding.WRONG
    assert judge(Webhook(example.sender, (example.secret,)), Delivery(asked(method="POST"), b"", 0.0)) is Finding.WRONG


TIMED = [each for each in ALL if each.sender in ("slack", "stripe", "svix")]


@pytest.mark.parametrize("example", TIMED)
def test_what_is_sent_again_later_is_late(example: Example) -> None:
    for seconds in (TOLERANCE, -TOLERANCE):
        assert found(example._replace(now=example.now + seconds)) is Finding.RIGHT
        assert found(example._replace(now=example.now + seconds * 1.01)) is Finding.LATE


@pytest.mark.parametrize("example", TIMED)
def test_what_is_sent_again_with_a_new_time_is_wrong(example: Example) -> None:
    later = str(int(example.now) + 1000)
    fields = tuple((name, value.replace(str(int(example.now)), later)) for name, value in example.fields)
    assert found(example._replace(fields=fields, now=example.now + 1000)) is Finding.WRONG


def test_published_examples_are_signed_here_as_they_were_there() -> None:
    for example in (each for each in ALL if each.now):
        assert example.signed_at(int(example.now)) == example


@pytest.mark.parametrize("stamp", ["", "-1", "1e9", "９", "99999999999999999999", "1700000000 "])
def test_time_that_is_none(stamp: str) -> None:
    """Even if it is signed: whoever has the secret may send nonsense, and nothing here may fail."""
    secret, body = "s", b"{}"
    made = hmac.new(b"s", b"v0:" + stamp.strip().encode("latin-1", "replace") + b":" + body, "sha256").hexdigest()
    fields = (
        ("X-Slack-Request-Timestamp", stamp.encode("latin-1", "replace").decode()),
        ("X-Slack-Signature", f"v0={made}"),
    )
    assert found(Example("slack", secret, fields, body, 1700000500.0)) is not Finding.RIGHT


def test_stripe_s_field_in_other_orders() -> None:
    body, stamp = b"{}", 1700000000
    ((name, value),) = stripe(body, stamp)
    time, good, old = value.split(",")
    for order in (f"{good},{time}", f"{time},v1={'0' * 64},{good}", f"{time}, {good}"):
        assert found(Example("stripe", "whsec_test", ((name, order),), body, stamp)) is Finding.RIGHT
    for order in (f"{time},{time},{good}", good, time, f"{time},{good.replace('v1', 'v0')}", f"{time},{old}"):
        assert found(Example("stripe", "whsec_test", ((name, order),), body, stamp)) is Finding.WRONG


def test_twilio_s_body_of_another_kind_is_not_left_unlooked_at() -> None:
    signature = in_base64("12345", b"https://a.example/x", "sha1")
    for kind in ("application/json", "multipart/form-data", "text/plain", ""):
        fields = (("X-Twilio-Signature", signature), ("Content-Type", kind))
        assert found(Example("twilio", "12345", fields, b"evil", target="/x", host="a.example")) is Finding.WRONG


def test_twilio_s_websocket() -> None:
    signature = in_base64("12345", b"wss://a.example/x", "sha1")
    made = asked("/x", ("X-Twilio-Signature", signature), kind=Kind.WEBSOCKET, host="a.example")
    assert judge(Webhook("twilio", ("12345",)), Delivery(made, b"", 0.0)) is Finding.RIGHT


def test_twilio_s_form_of_too_many_fields() -> None:
    example = PUBLISHED[-1]
    assert found(example._replace(body=b"&".join([b"a=1"] * 2000))) is Finding.WRONG
    assert found(example._replace(body=b"a=\xff")) is Finding.WRONG


@pytest.mark.parametrize(
    ("target", "method", "is_right"),
    [
        ("/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=agreed", "GET", True),
        ("/?hub.mode=subscribe&hub.challenge=1&hub.verify_token=other", "GET", False),
        ("/?hub.mode=subscribe&hub.verify_token=agreed&hub.verify_token=agreed", "GET", False),
        ("/?hub.mode=subscribe", "GET", False),
        ("/?hub.verify_token=agreed", "GET", False),
        ("/?hub.mode=subscribe&hub.verify_token=agreed", "POST", False),
    ],
)
def test_whatsapp_asks_once_whether_the_address_is_ours(target: str, method: str, is_right: bool) -> None:
    assert is_set_up(Webhook("whatsapp", ("s",), ("agreed",)), asked(target, method=method)) is is_right
    assert not is_set_up(Webhook("github", ("s",)), asked(target, method=method))
