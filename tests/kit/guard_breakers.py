"""Tries to get past a guard, as an edge would hand them on. None may reach an origin.

Each is for one of the hostnames of `RULES`, which has a guard of its own before the same origin.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any, NamedTuple

TOKEN = "a-long-token-of-chance"
LOGIN = "ann:open sesame"
HOOK = "a secret of the hook"
SLACK = "a secret of slack's"
STRIPE = "whsec_a_secret"
TWILIO = "a token of twilio's"

RULES = """
ingress:
  - {{hostname: token.example, service: "{origin}", guard: {{access-token-file: "{folder}/token"}}}}
  - {{hostname: login.example, service: "{origin}", guard: {{auth-file: "{folder}/login"}}}}
  - {{hostname: near.example, service: "{origin}", guard: {{allow-ip: [198.51.100.0/24, "2001:db8::/32"]}}}}
  - {{hostname: far.example, service: "{origin}", guard: {{deny-ip: 203.0.113.0/24}}}}
  - {{hostname: deny.example, service: "{origin}", guard: {{deny-path: [/admin, "/api/*/secret"]}}}}
  - {{hostname: allow.example, service: "{origin}", guard: {{allow-path: /public}}}}
  - {{hostname: hook.example, service: "{origin}", guard: {{verify-webhook: "github={folder}/hook"}}}}
  - {{hostname: slack.example, service: "{origin}", guard: {{verify-webhook: "slack={folder}/slack"}}}}
  - {{hostname: stripe.example, service: "{origin}", guard: {{verify-webhook: "stripe={folder}/stripe"}}}}
  - {{hostname: twilio.example, service: "{origin}", guard: {{verify-webhook: "twilio={folder}/twilio"}}}}
  - {{hostname: ruled.example, path: ^/admin, service: "{origin}", guard: {{access-token-file: "{folder}/token"}}}}
  - {{hostname: ruled.example, service: "{origin}"}}
  - {{hostname: open.example, service: "{origin}"}}
  - {{service: "http_status:404"}}
"""

SECRETS = {"token": TOKEN, "login": LOGIN, "hook": HOOK, "slack": SLACK, "stripe": STRIPE, "twilio": TWILIO}


class Try(NamedTuple):
    """One of them."""

    name: str
    host: str
    target: str = "/"
    fields: tuple[tuple[str, str], ...] = ()
    body: str = ""
    method: str = "GET"
    kind: str = "http"
    address: tuple[str, ...] = ("203.0.113.7",)

    def stream(self) -> dict[str, Any]:
        """What the edge opens for it."""
        fields = [*self.fields, *(("Cf-Connecting-Ip", address) for address in self.address)]
        metadata = [("HttpMethod", self.method), ("HttpHost", self.host), *((f"HttpHeader:{k}", v) for k, v in fields)]
        return {"dest": f"https://{self.host}{self.target}", "type": self.kind, "metadata": metadata, "body": self.body}


def basic(text: str) -> str:
    """The value of Authorization."""
    return "Basic " + base64.b64encode(text.encode()).decode()


def signed(secret: str, body: bytes) -> str:
    """As GitHub signs."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def tries(now: int) -> Iterator[Try]:
    """All of them. `now`: seconds since 1970."""
    yield from _tokens()
    yield from _logins()
    yield from _addresses()
    yield from _paths()
    yield from _webhooks(now)
    yield from _second_requests()


def _tokens() -> Iterator[Try]:
    def field(name: str, *pairs: tuple[str, str], **more: Any) -> Try:
        return Try(f"token: {name}", "token.example", fields=pairs, **more)

    good = f"Bearer {TOKEN}"
    yield field("nothing")
    for name in (
        "",
        "x",
        TOKEN[:-1],
        TOKEN + "x",
        TOKEN.upper(),
        f'"{TOKEN}"',
        f"{TOKEN},x",
        f"{TOKEN} x",
        "*",
        "null",
    ):
        yield field(f"wrong {name!r}", ("Authorization", f"Bearer {name}"))
    for value in (TOKEN, f"Token {TOKEN}", f"Bearer:{TOKEN}", f"Bearer={TOKEN}", f"bearer\t{TOKEN}", basic(TOKEN)):
        yield field(f"other scheme {value[:12]!r}", ("Authorization", value))
    yield field("twice", ("Authorization", good), ("Authorization", good))
    yield field("twice, one wrong", ("Authorization", "Bearer x"), ("Authorization", good))
    yield field("twice, spelled otherwise", ("Authorization", good), ("AUTHORIZATION", "Bearer x"))
    for name in ("X-Authorization", "Proxy-Authorization", "Authorization2", "Http-Authorization", "X-Access-Token"):
        yield field(f"in {name}", (name, good))
    for name in ("Authorization ", " Authorization", "Authorization\t", "Authori\u00dfation"):
        yield field(f"spelled {name!r}", (name, good))
    for query in (
        *("access_token=", "access_token=x", f"access_token={TOKEN}&access_token={TOKEN}", f"Access_Token={TOKEN}"),
        *(f"access_token[]={TOKEN}", f"token={TOKEN}", f"x=access_token={TOKEN}", f"access_token%00={TOKEN}"),
        *(
            f"access_token={TOKEN}&access_token=x",
            f"access_token={TOKEN}%00",
            f";access_token={TOKEN}",
            f"access-token={TOKEN}",
        ),
    ):
        yield field(f"?{query[:24]}", target=f"/?{query}")
    yield field("in the path", target=f"/access_token={TOKEN}")
    yield field("behind %3F", target=f"/%3Faccess_token={TOKEN}")
    yield field("in the body", method="POST", body=f"access_token={TOKEN}")
    for cookie in (
        *(
            f"tunnel_access={TOKEN}",
            "tunnel_access=",
            "tunnel_access=9999999999.",
            f"tunnel_access=9999999999.{'0' * 64}",
        ),
        *(f"access_token={TOKEN}", "tunnel_banner=seen", f"tunnel_access=9999999999.{'a' * 64}; tunnel_access=x"),
    ):
        yield field(f"cookie {cookie[:28]}", ("Cookie", cookie))
    for name, pairs in {
        "WebSocket": (("Upgrade", "websocket"), ("Connection", "Upgrade")),
        "h2c": (("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")),
        "Connection takes it out": (("Connection", "Authorization"), ("Authorization", good)),
        "method of another": (("X-HTTP-Method-Override", "OPTIONS"),),
        "from this machine": (
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Real-Ip", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
        ),
        "as Access": (("Cf-Access-Jwt-Assertion", TOKEN), ("Cf-Access-Token", TOKEN)),
        "another host": (("X-Forwarded-Host", "open.example"), ("X-Original-Host", "open.example")),
        "Expect": (("Expect", "100-continue"),),
        "Upgrade of TLS": (("Upgrade", "TLS/1.0"), ("Connection", "Upgrade")),
    }.items():
        yield field(name, *pairs)
    for pairs in ((), (("Authorization", "Bearer x"),)):
        yield field(f"raw tunnel {len(pairs)}", *pairs, kind="tcp", body="SSH-2.0-x\r\n")
    yield field("WebSocket of the edge's", ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), kind="websocket")
    for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "XYZ"):
        yield field(f"method {method}", method=method)
    for host in ("token.example:443", "token.example:80"):
        yield Try(f"token: host {host}", host)
    yield field("early body", ("Content-Length", "4"), method="POST", body="evil")
    yield field("early chunks", ("Transfer-Encoding", "chunked"), method="POST", body="evil")


def over_http2() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Heads as only HTTP/2 has them, and what each tries."""
    good = f"Bearer {TOKEN}"

    def head(*more: tuple[str, str], host: str = "token.example", path: str = "/") -> list[tuple[str, str]]:
        address = ("cf-connecting-ip", "203.0.113.7")
        return [(":method", "GET"), (":scheme", "https"), (":path", path), (":authority", host), *more, address]

    yield "nothing", head()
    yield "cookie in crumbs", head(("cookie", "tunnel_access=9999999999."), ("cookie", "0" * 64))
    yield "a cookie's end as a crumb", head(("cookie", "a=1; tunnel_access"), ("cookie", "=9999999999." + "0" * 64))
    yield "authorization twice", head(("authorization", good), ("authorization", "Bearer x"))
    yield "a pseudo-header field", head((":authorization", good))
    yield "capital letters", head(("Authorization", good), ("AUTHORIZATION", good))
    yield "another host field", head(("host", "open.example"))
    yield "an authority of its own", head(host="token.example@open.example")
    yield "an authority with a port", head(host="token.example:8443")
    yield "path twice", [*head(), (":path", "/public")]
    yield "an absolute path", head(path="https://open.example/")
    yield "a line break in a value", head(("x", f"a\r\nauthorization: {good}"))
    yield "a purpose of the edge's", head(("cf-cloudflared-proxy-connection-upgrade", "websocket"))
    yield "a purpose twice", head(*(("cf-cloudflared-proxy-connection-upgrade", kind) for kind in ("x", "websocket")))
    yield "a raw tunnel", head(("cf-cloudflared-proxy-src", "203.0.113.7"))
    yield "a path in disguise", head(host="deny.example", path="/x/..%2fadmin")
    yield "two addresses", head(("cf-connecting-ip", "198.51.100.7"), host="near.example")


def _logins() -> Iterator[Try]:
    name, password = LOGIN.split(":")
    wrong = (
        *(f"{name}:", f":{password}", f"{name}", f"{password}", f"{name}:{password}x", f"{name}:{password[:-1]}"),
        *(f"{name.upper()}:{password}", f"{name}:{password.upper()}", f"{name}\0:{password}", f"{name}:{password}\0"),
        *(f" {name}:{password}", f"{name}: {password}", f"{name}:{password}\n", ":", "", f"{name}:{password}:"),
    )
    for text in wrong:
        yield Try(f"login: {text!r}", "login.example", fields=(("Authorization", basic(text)),))
    good = basic(LOGIN)
    for value in (
        good + "!",
        good + " x",
        good.replace("Basic ", "Basic"),
        good.replace("Basic", "Bearer"),
        good + good[6:],
        good[:-2],
    ):
        yield Try(f"login: {value!r}", "login.example", fields=(("Authorization", value),))
    yield Try("login: twice", "login.example", fields=(("Authorization", good), ("Authorization", good)))
    yield Try("login: in the address", "login.example", target=f"/?user={name}&password={password.replace(' ', '+')}")
    yield Try("login: as a cookie", "login.example", fields=(("Cookie", f"Authorization={good}"),))
    yield Try(
        "login: WebSocket",
        "login.example",
        kind="websocket",
        fields=(("Sec-WebSocket-Protocol", good.split()[1].rstrip("=")),),
    )


def _addresses() -> Iterator[Try]:
    near = "198.51.100.7"
    for name in (
        "X-Forwarded-For",
        "X-Real-Ip",
        "True-Client-Ip",
        "Forwarded",
        "X-Client-Ip",
        "Cf-Connecting-Ipv6",
        "Cf_Connecting_Ip",
    ):
        yield Try(f"address: {name}", "near.example", fields=((name, near),))
    for addresses in ((), ("",), (near, near), (near, "203.0.113.7"), ("203.0.113.7", near), (f"{near}, 203.0.113.7",)):
        yield Try(f"address: {addresses}", "near.example", address=addresses)
    for address in (
        f"{near}:80",
        f"{near}/32",
        "198.51.100.07",
        "3325256711",
        "0xc6336407",
        f"{near}%0",
        "2001:db8::1%eth0",
        "::1",
        "127.0.0.1",
    ):
        yield Try(f"address: {address}", "near.example", address=(address,))
    far: tuple[tuple[str, ...], ...] = (
        (),
        ("x",),
        ("::ffff:203.0.113.7",),
        ("::ffff:cb00:7107",),
        ("203.0.113.7", "198.51.100.7"),
        ("203.0.113.007",),
    )
    for said in far:
        yield Try(f"address not denied: {said}", "far.example", address=said)
    yield Try("address: of the field's other spelling", "far.example", fields=(("cf-connecting-ip", near),))


def _paths() -> Iterator[Try]:
    from tests.guard.test_paths import DISGUISES

    for path in DISGUISES:
        target = path if path.startswith("/") else f"/{path}"
        yield Try(f"path: {path}", "deny.example", target=target)
        yield Try(f"path of a rule: {path}", "ruled.example", target=target)
    for path in (
        "/",
        "/Public",
        "/public/../x",
        "/public/%2e%2e/x",
        "//public",
        "/public;/../x",
        "/public%2f..%2fx",
        "/.public",
        "/%00/public",
    ):
        yield Try(f"path: {path} not allowed", "allow.example", target=path)
    for path in (
        "/api/v1/secret",
        "/api/v1/%73ecret",
        "/api/v1//secret",
        "/api/x/../v1/secret",
        "/API/V1/SECRET",
        "/api/v1;a/secret",
    ):
        yield Try(f"path: {path}", "deny.example", target=path)
    for name in ("X-Original-URL", "X-Rewrite-URL"):
        yield Try(f"path: {name}", "deny.example", fields=((name, "/admin"),))
        yield Try(f"path: {name} not allowed", "allow.example", target="/public", fields=((name, "/private"),))
    yield Try("path: WebSocket", "deny.example", target="/x/../admin", kind="websocket")


def _webhooks(now: int) -> Iterator[Try]:
    body = '{"a":1}'
    good = signed(HOOK, body.encode())

    def hook(name: str, *fields: tuple[str, str], body: str = body, **more: Any) -> Try:
        return Try(f"webhook: {name}", "hook.example", fields=fields, body=body, **{"method": "POST", **more})

    yield hook("not signed")
    for value in (
        "",
        good[7:],
        good[:-1],
        good + "0",
        good.upper(),
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + good[7:],
        f"{good},{good}",
        f" x {good}",
    ):
        yield hook(f"signature {value[:16]!r}", ("X-Hub-Signature-256", value))
    yield hook("twice", ("X-Hub-Signature-256", good), ("X-Hub-Signature-256", good))
    yield hook("twice, one wrong", ("X-Hub-Signature-256", good), ("x-hub-signature-256", "sha256=0"))
    yield hook("old scheme", ("X-Hub-Signature", "sha1=" + hmac.new(HOOK.encode(), body.encode(), "sha1").hexdigest()))
    for other in (body + " ", " " + body, body.replace("1", "2"), "", body * 2, body + "\0"):
        yield hook(f"body {other[:10]!r}", ("X-Hub-Signature-256", good), body=other)
    yield hook("of another secret", ("X-Hub-Signature-256", signed("x", body.encode())))
    yield hook("of no secret", ("X-Hub-Signature-256", signed("", body.encode())))
    yield hook("length said longer", ("X-Hub-Signature-256", signed(HOOK, b"")), ("Content-Length", "99"))
    yield hook("nothing signed, something sent", ("X-Hub-Signature-256", signed(HOOK, b"")))
    yield hook("GET", ("X-Hub-Signature-256", good), method="GET", body="")
    yield hook("WebSocket", ("X-Hub-Signature-256", good), method="GET", body="", kind="websocket")
    yield hook("of whom we do not know", ("X-Slack-Signature", "v0=0"), ("Stripe-Signature", "t=1,v1=0"))

    def slack(stamp: str, by: str = SLACK) -> tuple[tuple[str, str], ...]:
        made = hmac.new(by.encode(), f"v0:{stamp}:{body}".encode(), hashlib.sha256).hexdigest()
        return ("X-Slack-Request-Timestamp", stamp), ("X-Slack-Signature", f"v0={made}")

    for stamp in (str(now - 1000), str(now + 1000), "0", "", "-1", f"{now}.0", f"+{now}", "9" * 30):
        yield Try(f"webhook: slack at {stamp!r}", "slack.example", fields=slack(stamp), body=body, method="POST")
    (_, signature), fresh = slack(str(now - 1000))[1], ("X-Slack-Request-Timestamp", str(now))
    yield Try(
        "webhook: slack, a new time",
        "slack.example",
        fields=(fresh, ("X-Slack-Signature", signature)),
        body=body,
        method="POST",
    )
    two = (*slack(str(now)), ("X-Slack-Request-Timestamp", str(now - 9999)))
    yield Try("webhook: slack, two times", "slack.example", fields=two, body=body, method="POST")

    def stripe(stamp: str, names: str = "v1") -> str:
        made = hmac.new(STRIPE.encode(), f"{stamp}.{body}".encode(), hashlib.sha256).hexdigest()
        return f"t={stamp},{names}={made}"

    for value in (
        stripe(str(now - 1000)),
        stripe(str(now), "v0"),
        f"t={now}," + stripe(str(now - 1000)),
        stripe(str(now)).partition(",")[2],
    ):
        yield Try(
            f"webhook: stripe {value[:24]}",
            "stripe.example",
            fields=(("Stripe-Signature", value),),
            body=body,
            method="POST",
        )

    url = base64.b64encode(hmac.digest(TWILIO.encode(), b"https://twilio.example/x", "sha1")).decode()
    for name, target, kind in (
        *(("JSON", "/x", "application/json"), ("form", "/x", "application/x-www-form-urlencoded")),
        *(("a hash of another body", f"/x?bodySHA256={'0' * 64}", "application/json"), ("another path", "/y", "")),
    ):
        fields = (("X-Twilio-Signature", url), ("Content-Type", kind))
        yield Try(f"webhook: twilio, {name}", "twilio.example", target=target, fields=fields, body=body, method="POST")


def _second_requests() -> Iterator[Try]:
    second = f"GET /evil HTTP/1.1\r\nHost: open.example\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    for name, fields in {
        "unannounced": (),
        "of another length": (("Content-Length", "0"),),
        "in chunks": (("Transfer-Encoding", "chunked"),),
        "of two lengths": (("Content-Length", "4"), ("Content-Length", "5")),
        "of both": (("Content-Length", "4"), ("Transfer-Encoding", "chunked")),
        "in chunks, spelled": (("Transfer-Encoding", "xchunked"),),
        "as a pipeline": (("Connection", "keep-alive"),),
    }.items():
        for method in ("GET", "POST"):
            yield Try(f"second request: {method} {name}", "token.example", fields=fields, body=second, method=method)
            yield Try(
                f"second request: {method} {name}, chunks of its own",
                "token.example",
                fields=fields,
                body="0\r\n\r\n" + second,
                method=method,
            )
    for place in ("X: a\r\nAuthorization: Bearer ", "X: a\nAuthorization: Bearer ", "X: a\rAuthorization: Bearer "):
        name, _, value = place.partition(": ")
        yield Try(f"second field: {place!r}", "token.example", fields=((name, value + TOKEN),))
    yield Try("second line", "token.example", target=f"/ HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\nX: y")
