"""What makes sense as the value of a flag: text in, value out. Anything else is an `argparse.ArgumentTypeError`."""

import argparse
import os
import re
import ssl
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from actors.bus import sockets
from actors.bus.addresses import HostPort
from actors.bus.inspection import MAX_BODY_BYTES
from actors.bus.routes import Origin
from actors.supervisor.discovery import EDGE_PORT

if TYPE_CHECKING:
    from actors.ingress.allowed import Allowed

MAX_SECONDS: Final = 24 * 3600.0
"""No timeout or grace period is longer than a day."""

MAX_DURATION: Final = 366 * 86400.0
"""Nothing here is meant to last longer than a year: what says so is a mistake."""

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

MAX_CONNECTIONS: Final = 4
"""What the edge takes for one tunnel."""


def port(text: str) -> int:
    """A port, from 1."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no port (1 to 65535)")
    return int(text)


def host_port(text: str) -> tuple[str, int]:
    """HOST, HOST:PORT, [IPv6]:PORT or a bare IPv6 address."""
    match = re.fullmatch(r"\[([0-9a-fA-F:.%]+)\](?::(\d+))?|([^:\[\]\s]+)(?::(\d+))?", text)
    if match:
        return match[1] or match[3], port(match[2] or match[4] or str(EDGE_PORT))
    if re.fullmatch(r"[0-9a-fA-F:.]+", text):
        return text, EDGE_PORT
    raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")


def http_address(text: str) -> HostPort:
    """HOST:PORT to listen at; port 0 is any."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^:\[\]\s]+)):(\d{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no HOST:PORT, as in 127.0.0.1:20241")
    return HostPort(match[1] or match[2], int(match[3]))


def inspect(text: str) -> HostPort | bool:
    """Where the inspector serves; or, from a variable, whether there is one."""
    if text.lower() in ("1", "true", "yes", "0", "false", "no"):
        return text.lower() in ("1", "true", "yes")
    if text.isascii() and text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text[:100]!r} is no HOST:PORT; for the port that is shown, give --port {text[:100]}, or put it first"
        )
    return http_address(text)


def inspect_body(text: str) -> int:
    """How much of a body is shown."""
    if (value := count(text)) > MAX_BODY_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MAX_BODY_BYTES} bytes")
    return value


def field_name(text: str) -> str:
    """The name of a field of HTTP."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}", text):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no name of a field, as in X-Api-Key")
    return text.lower()


def seconds(text: str) -> float:
    """A time, up to a day."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds (0 to {MAX_SECONDS:.0f})")
    return value


def positive_seconds(text: str) -> float:
    """A time that is not 0."""
    value = seconds(text)
    if value == 0.0:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def duration(text: str) -> float:
    """A long time, in seconds or with a unit: 90m, 24h, 7d."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text, re.ASCII)
    value = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not 0.0 < value <= MAX_DURATION:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no time, as in 3600, 90m, 24h or 7d (a year at most)")
    return value


def count(text: str) -> int:
    """A whole number, or 0."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number")
    return int(text)


def positive(text: str) -> int:
    """A whole number from 1."""
    if (value := count(text)) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def connections(text: str) -> int:
    """How many connections a tunnel has."""
    value = count(text)
    if not 1 <= value <= MAX_CONNECTIONS:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {MAX_CONNECTIONS}")
    return value


def url(text: str) -> str:
    """A URL of http or https."""
    try:
        parts = urllib.parse.urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no http:// or https:// URL")
    return text


def origin_url(text: str) -> Origin:
    """http://host:port, https://host:port or unix:/path.sock; without a scheme, HOST:PORT or :PORT, it is http."""
    if plain := re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^:/\[\]\s]*):(\d+)/?", text):
        text = f"http://{plain[1] or 'localhost'}:{plain[2]}"
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/") or len(os.fsencode(path)) > sockets.MAX_IPC_PATH:
            raise argparse.ArgumentTypeError(
                f"{text!r}: give an absolute path of at most {sockets.MAX_IPC_PATH} bytes, as in unix:/run/app.sock"
            )
        check_text(text)
        return Origin(scheme="unix", path=path)
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")  # or no resolver takes it
    except ValueError:
        parts, port = urllib.parse.urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.username is not None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:/PATH")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError(f"{text!r}: leave the path out; each request brings its own")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Origin(scheme=scheme, host=parts.hostname, port=port or (443 if scheme == "https" else 80))


def host_header(text: str) -> str:
    """What an origin gets as Host; or the word rewrite."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(:\d{1,5})?|\[[0-9a-fA-F:.]+\](:\d{1,5})?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST or HOST:PORT, nor the word rewrite")
    return text


def server_name(text: str) -> str:
    """A name that a certificate can have."""
    try:
        encoded = text.encode("idna")  # as TLS will: what it refuses there would fail each request
    except UnicodeError:
        encoded = b""
    if not re.fullmatch(rb"[A-Za-z0-9_:%-][A-Za-z0-9_.:%-]{0,252}", encoded):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no name that a certificate can have, as in app.example")
    return text


def user_agent(text: str) -> str:
    """A field value that every server takes."""
    if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?", text):
        raise argparse.ArgumentTypeError("give 1 to 200 printable ASCII characters")
    return text


def check_text(path: str) -> None:
    """Children are told of paths in messages, which are text: bytes that are none in this locale cannot be sent."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"{path!r} is no text in this locale: give a path in ASCII") from None


def certificates(text: str) -> Path:
    """A file with roots in PEM."""
    path = Path(text)
    check_text(os.path.abspath(text))
    try:
        ssl.create_default_context(cafile=str(path))
    except FileNotFoundError:
        raise argparse.ArgumentTypeError(f"there is no file {text[:200]}") from None
    except ssl.SSLError:
        raise argparse.ArgumentTypeError(f"{text} holds no certificate in PEM form") from None
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {text[:200]}: {error}") from None
    return path.absolute()


def folder(text: str) -> Path:
    """A folder, which need not be there."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def path(text: str) -> Path:
    """A file with a secret; whether it is there is seen when it is read."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the file is empty")
    return Path(text)


def remote_services(text: str) -> "Allowed":
    """What pushed rules may reach."""
    from actors.ingress.allowed import Allowed  # here, since few name it

    try:
        return Allowed.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def region(text: str) -> str:
    """A region of the edge."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9-]{0,30}[A-Za-z0-9])?", text):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no region, which are named as in us")
    return text.lower()
