"""One guard: what a request has to pass, in which order, and what is taken out of it."""

import base64
import os

import bcrypt
import pytest

from actors.bus.guards import Guard, Login, Rate, Webhook
from actors.exchange import reasons
from actors.exchange.gate import Need, Passed, Refusal, Reply
from actors.exchange.request import Kind, Request
from actors.guard.logins import Credentials
from actors.guard.sentry import NOT_CACHED, Sentry
from actors.guard.shared import KEY_BYTES, SIZE, Shared
from actors.guard.tokens import Tokens
from tests.guard.kit import asked

TOKEN = "a-long-token-of-chance"
NOW, CLOCK = 1000.0, 1_800_000_000.0
HTML = ("Accept", "text/html,application/xhtml+xml")
HASH = bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode()


def sentry(shared: Shared | None = None, **guard: object) -> Sentry:
    made = shared or Shared(bytearray(os.urandom(KEY_BYTES) + bytes(SIZE - KEY_BYTES)))
    return Sentry(Guard(**guard), 0, made, 0)  # type: ignore[arg-type]


def proof(guard: Sentry, request: Request) -> object:
    return guard.proof(request, NOW, CLOCK)


def inside(guard: Sentry, request: Request) -> Request:
    """What the application gets of a request that proves something."""
    passed = proof(guard, request)
    assert isinstance(passed, Passed)
    verdict = guard.let_in(passed.request, NOW)
    assert isinstance(verdict, Passed)
    return verdict.request


def basic(name: str, password: str) -> tuple[str, str]:
    return "Authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def bearer(token: str = TOKEN) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def refused(verdict: object) -> tuple[int, reasons.Reason]:
    assert isinstance(verdict, Refusal)
    assert not verdict.is_told
    return verdict.status, verdict.reason


def test_nothing_asked_for_lets_everything_through_as_it_came() -> None:
    guard = sentry()
    request = asked("/", bearer(), ("Cookie", "tunnel_access=x"))
    assert guard.turned_away(request, NOW) is None
    assert proof(guard, request) == Passed(request)
    assert guard.let_in(request, NOW) == Passed(request)


def test_address_rate_and_path_come_first() -> None:
    guard = sentry(allow_ips=("203.0.113.0/24",), deny_paths=("/admin",), rate=Rate(1.0, 1), access_tokens=(TOKEN,))
    here = ("Cf-Connecting-Ip", "203.0.113.7")
    assert refused(guard.turned_away(asked("/admin", bearer()), NOW)) == (403, reasons.GUARD_ADDRESS)
    assert refused(guard.turned_away(asked("/x/../admin", here), NOW)) == (403, reasons.GUARD_PATH)
    verdict = guard.turned_away(asked("/x/../admin", here), NOW)
    assert refused(verdict) == (429, reasons.GUARD_RATE)
    assert isinstance(verdict, Refusal)
    assert verdict.fields == ((b"Retry-After", b"2"),)
    assert guard.turned_away(asked("/", ("Cf-Connecting-Ip", "203.0.113.8")), NOW) is None


def test_visitors_without_an_address_share_a_rate() -> None:
    guard = sentry(rate=Rate(1.0, 1))
    assert guard.turned_away(asked("/"), NOW) is None
    assert refused(guard.turned_away(asked("/", ("Cf-Connecting-Ip", "x")), NOW)) == (429, reasons.GUARD_RATE)


# --- tokens ---


def test_bearer_token_is_taken_out() -> None:
    left = inside(sentry(access_tokens=(TOKEN,)), asked("/x", ("X-A", "1"), bearer(), ("X-B", "2")))
    assert left == asked("/x", ("X-A", "1"), ("X-B", "2"))


@pytest.mark.parametrize("kind", list(Kind))
def test_token_in_the_address_is_taken_out(kind: Kind) -> None:
    request = asked(f"/x?a=1&access_token={TOKEN}&b=%20", kind=kind)
    assert inside(sentry(access_tokens=(TOKEN,)), request) == request._replace(target=b"/x?a=1&b=%20")


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/x?access_token=T", "/x"),
        ("/x?a=1&access_token=T&b=2", "/x?a=1&b=2"),
        ("/?access_token=T", "/"),
        ("?access_token=T", "/"),
        ("?access_token=T&a=1", "/?a=1"),
        ("//evil.example/?access_token=T", "/.//evil.example/"),
        ("///evil.example/?access_token=T", "/.///evil.example/"),
        ("/\\evil.example/?access_token=T", "/./\\evil.example/"),
        ("/café?access_token=T", "/caf%E9"),
    ],
)
def test_browser_is_led_to_the_address_without_the_token_and_never_elsewhere(target: str, location: str) -> None:
    verdict = proof(sentry(access_tokens=(TOKEN,)), asked(target.replace("=T", f"={TOKEN}"), HTML))
    assert isinstance(verdict, Reply)
    fields = dict(verdict.fields)
    assert (verdict.status, fields[b"Location"].decode()) == (303, location)
    assert fields[b"Referrer-Policy"] == b"no-referrer"
    cookie = fields[b"Set-Cookie"]
    assert TOKEN.encode() not in cookie
    for attribute in (b"; HttpOnly", b"; SameSite=Lax", b"; Secure", b"; Path=/"):
        assert attribute in cookie


def test_cookie_lets_in_and_is_taken_out_and_what_else_there_is_stays() -> None:
    guard = sentry(access_tokens=(TOKEN,))
    reply = proof(guard, asked(f"/?access_token={TOKEN}", HTML, ("X-Forwarded-Proto", "http")))
    assert isinstance(reply, Reply)
    cookie = dict(reply.fields)[b"Set-Cookie"].partition(b";")[0].decode()
    assert b"Secure" not in dict(reply.fields)[b"Set-Cookie"], "a browser would not keep it"
    request = asked("/x?access_token=the+app%27s", ("Cookie", f"a=1; {cookie}"), ("Authorization", "Bearer theirs"))
    assert proof(guard, request) == Passed(request)
    verdict = guard.let_in(request, NOW)
    left = asked("/x?access_token=the+app%27s", ("Cookie", "a=1"), ("Authorization", "Bearer theirs"))
    assert verdict == Passed(left, fields=NOT_CACHED)


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked("/?access_token="),
        asked("/?access_token=x"),
        asked(f"/?access_token={TOKEN}&access_token={TOKEN}"),
        asked(f"/?access_token={TOKEN}&access_token=x", HTML),
        asked(f"/?ACCESS_TOKEN={TOKEN}"),
        asked(f"/{TOKEN}"),
        asked("/", bearer("")),
        asked("/", bearer(TOKEN[:-1])),
        asked("/", bearer(TOKEN.upper())),
        asked("/", bearer(), bearer()),
        asked("/", bearer("x"), bearer()),
        asked("/", bearer(), ("authorization", "Bearer x")),
        asked("/", ("Authorization", f"Bearer {TOKEN}, Bearer x")),
        asked("/", ("Authorization", TOKEN)),
        asked("/", ("Authorization", f"Token {TOKEN}")),
        asked("/", ("Proxy-Authorization", f"Bearer {TOKEN}")),
        asked("/", ("X-Authorization", f"Bearer {TOKEN}")),
        asked("/", ("Authorization_", f"Bearer {TOKEN}")),
        asked("/", ("Cookie", f"tunnel_access={TOKEN}")),
        asked("/", ("Cookie", f"access_token={TOKEN}")),
        asked("/", ("Cookie", "tunnel_access=9999999999." + "0" * 64)),
        asked("/", ("Cookie", "tunnel_access=")),
        asked("/", basic("ann", TOKEN)),
    ],
)
def test_no_proof(request_: Request) -> None:
    status, reason = refused(proof(sentry(access_tokens=(TOKEN,)), request_))
    assert status == 401
    assert reason in (reasons.GUARD_LOGIN_ABSENT, reasons.GUARD_LOGIN_WRONG)


# --- logins ---


def test_login_is_taken_out_and_a_hash_takes_its_time() -> None:
    plain = sentry(logins=(Login("ann", "sesame", is_hash=False),))
    assert inside(plain, asked("/", basic("ann", "sesame"))) == asked("/")
    assert refused(proof(plain, asked("/", basic("ann", "x")))) == (401, reasons.GUARD_LOGIN_WRONG)
    hashed = sentry(logins=(Login("ann", HASH),))
    given = proof(hashed, asked("/", basic("ann", "sesame")))
    assert given == Credentials(b"ann", b"sesame")
    assert isinstance(given, Credentials)
    hashed.logins.remember(given, NOW)
    assert inside(hashed, asked("/", basic("ann", "sesame"))) == asked("/")


def test_challenges() -> None:
    login = Login("ann", "sesame", is_hash=False)
    for guard, schemes in (
        ({"logins": (login,)}, [b"Basic"]),
        ({"access_tokens": (TOKEN,)}, [b"Bearer"]),
        ({"logins": (login,), "access_tokens": (TOKEN,)}, [b"Basic", b"Bearer"]),
        ({"webhooks": (Webhook("github", ("s",)),)}, []),
    ):
        verdict = proof(sentry(**guard), asked())
        assert isinstance(verdict, Refusal)
        assert [value.split()[0] for name, value in verdict.fields if name == b"WWW-Authenticate"] == schemes
        assert verdict.message == "", "every browser begins so"


def test_any_proof_will_do() -> None:
    guard = sentry(
        logins=(Login("ann", "sesame", is_hash=False),),
        access_tokens=(TOKEN,),
        webhooks=(Webhook("telegram", ("agreed",)),),
    )
    assert isinstance(proof(guard, asked("/", basic("ann", "sesame"))), Passed)
    assert isinstance(proof(guard, asked("/", bearer())), Passed)
    signed = asked("/", ("X-Telegram-Bot-Api-Secret-Token", "agreed"))
    assert proof(guard, signed) is Need.BODY
    assert guard.by_body(signed, b"{}", CLOCK) == Passed(signed)
    assert isinstance(proof(guard, asked()), Refusal)


def cookie() -> tuple[str, str]:
    return "Cookie", "tunnel_access=" + Tokens((TOKEN,)).ticket(TOKEN.encode(), CLOCK).decode()


PROOFS: dict[str, tuple[str, tuple[str, str] | None]] = {
    "cookie": ("", cookie()),
    "address": (f"access_token={TOKEN}", None),
    "address twice": (f"access_token={TOKEN}&access_token=%61{TOKEN[1:]}", None),
    "bearer": ("", bearer()),
    "login": ("", basic("ann", "sesame")),
    "login not verified yet": ("", basic("bob", "sesame")),
}


@pytest.mark.parametrize("first", PROOFS)
@pytest.mark.parametrize("second", PROOFS)
def test_all_that_was_the_guard_s_own_is_taken_out_whichever_was_the_proof(first: str, second: str) -> None:
    guard = sentry(access_tokens=(TOKEN,), logins=(Login("ann", "sesame", is_hash=False), Login("bob", HASH)))
    used = [PROOFS[first], PROOFS[second]]
    query = "&".join(["a=1", *dict.fromkeys(query for query, _ in used if query)])
    request = asked(f"/x?{query}", *dict.fromkeys(field for _, field in used if field), ("X-B", "2"))
    verdict = proof(guard, request)
    if isinstance(verdict, Passed):
        assert inside(guard, request) == asked("/x?a=1", ("X-B", "2"))
    else:  # some need more than that, or are two of which nobody knows which one is believed
        left = guard.let_in(request, NOW)
        assert isinstance(left, Passed)
        assert left.request == asked("/x?a=1", ("X-B", "2"))


def test_webhook_with_a_login_leaves_the_login_here() -> None:
    guard = sentry(logins=(Login("ann", HASH),), webhooks=(Webhook("telegram", ("agreed",)),))
    signed = ("X-Telegram-Bot-Api-Secret-Token", "agreed")
    verdict = guard.let_in(asked("/", signed, basic("ann", "sesame")), NOW)
    assert isinstance(verdict, Passed)
    assert verdict.request == asked("/", signed)


def test_what_the_application_asks_for_itself_goes_on() -> None:
    guard = sentry(access_tokens=(TOKEN,), logins=(Login("ann", "sesame", is_hash=False), Login("bob", HASH)))
    for field in (bearer("theirs"), basic("eve", "sesame"), basic("ann", "theirs"), ("Authorization", "Digest x")):
        request = asked("/x?access_token=theirs", cookie(), field)
        assert inside(guard, request) == asked("/x?access_token=theirs", field)


def test_browser_that_opens_the_link_again_is_led_again() -> None:
    """The token is to stand in its address bar no longer than it must."""
    verdict = proof(sentry(access_tokens=(TOKEN,)), asked(f"/x?a=1&access_token={TOKEN}", HTML, cookie()))
    assert isinstance(verdict, Reply)
    assert dict(verdict.fields)[b"Location"] == b"/x?a=1"


# --- webhooks ---


def test_login_that_takes_long_is_asked_before_the_body() -> None:
    """Any one will do: a wrong signature does not keep out who has the right password."""
    guard = sentry(logins=(Login("ann", HASH),), webhooks=(Webhook("github", ("s",)),))
    signed = ("X-Hub-Signature-256", "sha256=0")
    assert proof(guard, asked("/", signed, basic("ann", "sesame"))) == Credentials(b"ann", b"sesame")
    assert guard.without_login(asked("/", signed, basic("ann", "x"))) is Need.BODY
    assert refused(guard.without_login(asked("/", basic("ann", "x")))) == (401, reasons.GUARD_LOGIN_WRONG)


def test_body_is_asked_for_of_what_says_that_it_is_signed_alone() -> None:
    guard = sentry(webhooks=(Webhook("github", ("s",)), Webhook("slack", ("s",))))
    assert refused(proof(guard, asked("/", method="POST"))) == (401, reasons.GUARD_LOGIN_ABSENT)
    signed = asked("/", ("x-hub-signature-256", "sha256=0"), method="POST")
    assert proof(guard, signed) is Need.BODY
    assert refused(guard.by_body(signed, b"", CLOCK)) == (401, reasons.GUARD_WEBHOOK_WRONG)


# --- inside ---


def test_places_are_for_who_got_in_and_are_given_back() -> None:
    shared = Shared(bytearray(os.urandom(KEY_BYTES) + bytes(SIZE - KEY_BYTES)))
    guard = sentry(shared, max_in_flight=2)
    inside = [guard.let_in(asked(), NOW), guard.let_in(asked(), NOW)]
    verdict = guard.let_in(asked(), NOW)
    assert refused(verdict) == (503, reasons.GUARD_IN_FLIGHT)
    assert isinstance(verdict, Refusal)
    assert verdict.fields[0][0] == b"Retry-After"
    assert isinstance(inside[0], Passed)
    assert inside[0].leave is not None
    inside[0].leave()
    assert isinstance(guard.let_in(asked(), NOW), Passed)


@pytest.mark.parametrize(
    ("request_", "is_shown"),
    [
        (asked("/", HTML), True),
        (asked("/"), False),
        (asked("/", ("Accept", "*/*")), False),
        (asked("/", HTML, method="POST"), False),
        (asked("/", HTML, ("Cookie", "tunnel_banner=seen")), False),
        (asked("/", HTML, kind=Kind.WEBSOCKET), False),
    ],
)
def test_banner_is_for_browsers(request_: Request, is_shown: bool) -> None:
    verdict = sentry(banner=True).let_in(request_, NOW)
    assert isinstance(verdict, Reply if is_shown else Passed)
    if isinstance(verdict, Reply):
        assert b"Set-Cookie" in dict(verdict.fields)
        assert int(dict(verdict.fields)[b"Content-Length"]) == len(verdict.body)
    elif isinstance(verdict, Passed):
        assert not any(b"tunnel_banner" in value for _, value in verdict.request.fields)
