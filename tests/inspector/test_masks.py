"""Which values are hidden."""

import pytest

from actors.inspector.masks import MASK, Masks, meant_target, shown_target


def test_usual_names_and_more() -> None:
    masks = Masks(["X-Key", "cookie"])
    for name in (b"Authorization", b"COOKIE", b"set-cookie", b"Proxy-Authorization", b"x-key"):
        assert masks.hides(name)
    assert not masks.hides(b"X-Key-Id")
    assert masks.names.count("cookie") == 1


def test_fields_as_they_are_shown() -> None:
    fields = [(b"Cookie", b"a=1"), (b"Cookie", b"b=2"), (b"A", b"x")]
    assert Masks().shown(fields, unmasked=False) == [
        (b"Cookie", MASK, True),
        (b"Cookie", MASK, True),
        (b"A", b"x", False),
    ]
    assert Masks().shown(fields, unmasked=True)[0] == (b"Cookie", b"a=1", False)


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (b"/hook?hub.mode=subscribe&hub.verify_token=agreed&hub.challenge=1", b"agreed"),
        (b"/hook?hub.verify_token=agreed", b"agreed"),
        (b"/hook?hub.verify_token=", b""),
    ],
)
def test_token_by_which_meta_asks_is_masked(target: bytes, shown: bytes) -> None:
    masked = shown_target(target, unmasked=False)
    assert masked == target.replace(b"verify_token=" + shown, b"verify_token=" + MASK)
    assert shown_target(target, unmasked=True) == target
    assert meant_target(masked, target) == target, "a replay sends what stood there"


def test_other_parameters_are_shown() -> None:
    for target in (b"/hub.verify_token=a", b"/?a=hub.verify_token=a", b"/?verify_token=a", b"/", b""):
        assert shown_target(target, unmasked=False) == target


def test_targets_that_are_edited() -> None:
    original = b"/?hub.verify_token=one&hub.verify_token=two"
    masked = shown_target(original, unmasked=False)
    assert meant_target(masked + b"&x=1", original) == original + b"&x=1"
    assert meant_target(b"/?hub.verify_token=mine", original) == b"/?hub.verify_token=mine"
    assert meant_target(masked, b"/") == masked
