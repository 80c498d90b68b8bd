"""The public keys of Cloudflare Access: fetched when they are first needed, and kept."""

import asyncio
import importlib
import ssl
import time
from time import monotonic
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from actors.bus.routes import Access
from actors.exchange import access, reasons
from actors.exchange.gate import Refusal
from actors.exchange.request import Request

CERTS_PATH: Final = "/cdn-cgi/access/certs"

FETCH_TIMEOUT: Final = 10.0
"""Seconds for a fetch as a whole: a visitor waits for it."""

MAX_KEYS_BYTES: Final = 256 * 1024
"""Bytes of a set of keys; a real one has some four thousand."""

UNKNOWN_KEY_INTERVAL: Final = 60.0
"""Seconds between two fetches for keys that are not known: visitors can make up as many names of keys as they like."""

RETRY_INTERVAL: Final = 5.0
"""Seconds after a failed fetch in which no other one is made: many visitors must not become many fetches."""

LIFETIME: Final = 3600.0
"""Seconds after which keys are fetched again, since one may have been withdrawn. Should that fail, those that are
there hold on: what they have signed can still be told from what they have not."""


class Unavailable(Exception):
    """The keys cannot be had; the text says why."""


class AccessKeys:
    """The keys of one issuer."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._keys: access.Keys = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ""
        self._fetching = asyncio.Lock()

    async def get(self, name: str) -> RSAPublicKey | None:
        """The key of that name; None: the issuer has no such key.

        Raises:
            Unavailable: its keys cannot be fetched.
        """
        if self._is_due(name):
            async with self._fetching:
                if self._is_due(name):  # whoever waited before may have fetched them
                    await self._fetch()
        if not self._keys:
            raise Unavailable(self._failure)
        return self._keys.get(name)

    def _is_due(self, name: str) -> bool:
        now = monotonic()
        if now - self._failed_at < RETRY_INTERVAL:
            return False
        return now - self._fetched_at >= (LIFETIME if name in self._keys else UNKNOWN_KEY_INTERVAL)

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                self._keys = access.read_keys(await _get(self._issuer + CERTS_PATH))
            self._fetched_at = monotonic()
        except TimeoutError:
            self._failed(f"no answer within {FETCH_TIMEOUT:.0f} s")
        except (access.Unfit, Unavailable) as error:
            self._failed(str(error))

    def _failed(self, why: str) -> None:
        self._failed_at = monotonic()
        self._failure = f"the keys of Cloudflare Access cannot be fetched from {self._issuer}{CERTS_PATH}: {why}"


async def _get(url: str) -> bytes:
    # Both take long, and only those who use Access need them.
    httpx = await asyncio.to_thread(importlib.import_module, "httpx")
    try:
        trust: ssl.SSLContext = await asyncio.to_thread(httpx.create_ssl_context)
        async with (
            httpx.AsyncClient(timeout=FETCH_TIMEOUT, verify=trust, follow_redirects=False) as client,
            client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise Unavailable(f"it answered {response.status_code}")
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > MAX_KEYS_BYTES:
                    raise Unavailable(f"it answered with more than {MAX_KEYS_BYTES} bytes")
            return bytes(body)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError) as error:
        # httpx reads the proxy and the certificates of the environment when it is set up.
        raise Unavailable(str(error) or type(error).__name__) from error


class AccessGate:
    """Lets through who has a token of Cloudflare Access that is good for one of our applications (`Gate`)."""

    def __init__(self, demanded: Access, keys: AccessKeys) -> None:
        """`keys` are those of the issuer that is demanded."""
        self._demanded = demanded
        self._keys = keys

    async def judge(self, request: Request, body: bytes | None) -> Refusal | None:
        token = access.token_of(request, self._demanded)
        if isinstance(token, Refusal):
            return token
        try:
            key = await self._keys.get(access.key_id(token))
        except access.Unfit as error:
            return access.broken(str(error))
        except Unavailable as error:
            return Refusal(502, str(error), reasons.ACCESS_KEYS)
        if key is None:
            return access.broken("the key that it names is none of the issuer's")
        return access.verdict(token, key, self._demanded, time.time())
