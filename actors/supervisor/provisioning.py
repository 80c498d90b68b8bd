"""The tunnel API: `POST /tunnel` gives a name and the credentials for it.

Every answer gets its own error. No error, log or event holds a body of the API: it can hold the secret.
"""

import asyncio
import base64
import binascii
import json
import re
import urllib.parse
import uuid
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from actors import __version__
from actors.bus.addresses import is_loopback
from actors.bus.messages import Credentials
from actors.errors import (
    ApiMalformed,
    ApiRefused,
    ApiRejected,
    ApiServerError,
    ApiUnreachable,
    LocalSetupError,
    ProvisioningError,
    RateLimited,
)

DEFAULT_SERVICE_URL: Final = "https://api.trycloudflare.com"
USER_AGENT: Final = f"tunnel-supervisor/{__version__}"

DEADLINE: Final = 15.0
"""Seconds for the whole exchange, the client's own; it also ends a body that trickles."""

MAX_BODY_BYTES: Final = 64 * 1024
"""A real answer has 400 bytes."""

MAX_SECRET_BYTES: Final = 1024
"""A real secret has 32."""

MAX_RETRY_AFTER: Final = 24 * 3600.0
"""Seconds; a longer Retry-After is taken for this."""

_HOST_URL = re.compile(r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?/?")


async def request_tunnel(service_url: str, *, user_agent: str = USER_AGENT) -> Credentials:
    """Ask the API at `service_url` for a tunnel. `HTTPS_PROXY` and `NO_PROXY` are honoured.

    Raises:
        RateLimited: 429. ApiServerError: 5xx. ApiRejected: another status. ApiUnreachable: no answer in time.
        ApiRefused: `success: false`. ApiMalformed: 200, and no tunnel in it.
    """
    try:
        async with asyncio.timeout(DEADLINE):
            status, headers, body = await _post(f"{service_url.rstrip('/')}/tunnel", user_agent)
    except TimeoutError:
        raise ApiUnreachable(f"{service_url} did not answer within {DEADLINE:.0f} s") from None
    return read_answer(service_url, status, headers.get("retry-after"), body)


async def _post(url: str, user_agent: str) -> tuple[int, Any, bytes]:
    import httpx  # here, since it costs time and memory that no later step needs

    headers = {"Content-Type": "application/json", "User-Agent": user_agent}
    try:
        # Reading all certificates of the trust store takes long: beside the rest, and only where it is needed.
        is_plain = is_here(url) and url.startswith("http:")
        verify = False if is_plain else await asyncio.to_thread(httpx.create_ssl_context)
        async with (
            httpx.AsyncClient(timeout=DEADLINE, trust_env=not is_here(url), verify=verify) as client,
            client.stream("POST", url, headers=headers) as response,
        ):
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    if response.status_code != 200:
                        break
                    raise ApiMalformed(f"{url} answered with more than {MAX_BODY_BYTES} bytes, which is no tunnel")
            return response.status_code, response.headers, bytes(body)
    except (ImportError, ValueError, OSError) as error:
        # httpx reads the proxy and the certificates of the environment when it is set up.
        raise LocalSetupError(
            f"cannot set up a connection to {url}: {_cause(error)}. Look at HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE."
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ApiUnreachable(
            f"cannot reach {url}: {_cause(error)}. Is this machine online? Behind a proxy, set HTTPS_PROXY."
        ) from None


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def is_here(url: str) -> bool:
    """Whether it is one of this machine's own, which no proxy can reach."""
    host = urllib.parse.urlsplit(url).hostname or ""
    return is_loopback(host) or host.endswith(".localhost")


def read_answer(service_url: str, status: int, retry_after: str | None, body: bytes) -> Credentials:
    """Turn the API's answer into credentials, or into the error that it is. Pure, but for the clock in a date.

    Raises:
        ProvisioningError: see `request_tunnel`.
    """
    if status == 429:
        seconds = parse_retry_after(retry_after)
        raise RateLimited(f"rate limited: {service_url} answered 429 (too many new tunnels)", retry_after=seconds)
    if status >= 500:
        raise ApiServerError(f"{service_url} answered {status}{_code(body)}", status=status)
    if not 200 <= status < 300:
        raise ApiRejected(
            f"{service_url} answered {status}{_code(body)}; it will not answer otherwise if asked again", status=status
        )
    return _read_tunnel(service_url, body)


def _code(body: bytes) -> str:
    """Cloudflare's own error number, which is safe to show."""
    match = re.fullmatch(rb"\s*error code: (\d{3,5})\s*", body[:100])
    return f" (error code {match[1].decode()})" if match else ""


def parse_retry_after(value: str | None) -> float:
    """Seconds that a Retry-After field asks for (RFC 9110 section 10.2.3); 0 for one that says nothing."""
    text = (value or "").strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:12]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), MAX_RETRY_AFTER)
    except (ValueError, OverflowError):
        return 0.0


def _read_tunnel(service_url: str, body: bytes) -> Credentials:
    malformed = ApiMalformed(f"{service_url} answered 200, but with no tunnel")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        if code := _code(body):
            raise ApiMalformed(f"{malformed}{code}") from None
        kind = "HTML" if body.lstrip()[:1] == b"<" else "something that is no JSON"
        raise ApiMalformed(f"{malformed}: {kind}. Is it the API, or a page of a proxy in between?") from None
    if not isinstance(answer, dict):
        raise malformed
    if answer.get("success") is not True:
        raise _refusal(service_url, answer.get("errors"))
    result = answer.get("result")
    if not isinstance(result, dict):
        raise malformed
    fields = {name: result.get(name) for name in ("id", "hostname", "account_tag", "secret")}
    missing = [name for name, value in fields.items() if not isinstance(value, str) or not value]
    if missing:
        raise ApiMalformed(f"{malformed}: {', '.join(missing)} is empty or missing")
    try:
        tunnel_id = str(uuid.UUID(fields["id"]))
        secret = base64.b64decode(str(fields["secret"]), validate=True)
    except (ValueError, binascii.Error):
        raise ApiMalformed(f"{malformed}: its id is no UUID, or its secret no base64") from None
    if not str(fields["account_tag"]).isascii():
        raise ApiMalformed(f"{malformed}: its account tag is none")
    if not 0 < len(secret) <= MAX_SECRET_BYTES:
        raise ApiMalformed(f"{malformed}: its secret has a length that no secret has")
    url = public_url(str(fields["hostname"]))
    if url is None:
        raise ApiMalformed(f"{malformed}: its hostname is none")
    return Credentials(tunnel_id=tunnel_id, url=url, account_tag=str(fields["account_tag"]), secret=secret)


def _refusal(service_url: str, errors: object) -> ProvisioningError:
    entries = [entry for entry in errors if isinstance(entry, dict)] if isinstance(errors, list) else []
    codes = tuple(entry["code"] for entry in entries if isinstance(entry.get("code"), int))
    texts = "; ".join(f"{str(entry.get('message', ''))[:200]} ({entry.get('code')})" for entry in entries[:5])
    return ApiRefused(f"{service_url} refused: {texts or 'it gave no reason'}", codes=codes)


def public_url(hostname: str) -> str | None:
    """The public URL: https:// is put before a name that has no scheme; no slash at the end. None for no hostname."""
    url = hostname if hostname.startswith(("https://", "http://")) else f"https://{hostname}"
    return url.rstrip("/") if _HOST_URL.fullmatch(url) else None
