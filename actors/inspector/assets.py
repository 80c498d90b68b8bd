"""The page's files, read once: nothing of a request ever becomes the name of a file."""

from importlib import resources
from typing import Final, NamedTuple

INDEX: Final = "index.html"

TOKEN_MARK: Final = b"{{token}}"
"""Where the page has the token."""

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


class Asset(NamedTuple):
    """A file, and what it is."""

    content: bytes
    content_type: str


def read_assets() -> dict[str, Asset]:
    """All files of the page, by name."""
    found = {}
    folder = resources.files("actors.inspector").joinpath("page")
    for file in folder.iterdir() if folder.is_dir() else ():
        kind = TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None and file.is_file():
            found[file.name] = Asset(file.read_bytes(), kind)
    return found


def index(assets: dict[str, Asset], token: str) -> bytes:
    """The page itself, with the token in it."""
    page = assets.get(INDEX)
    return page.content.replace(TOKEN_MARK, token.encode()) if page is not None else _NO_PAGE


_NO_PAGE: Final = (
    b"<!doctype html><title>inspector</title><p>The page is missing in this installation; the API is at /api/.\n"
)
