"""Which values are hidden."""

from actors.inspector.masks import MASK, Masks


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
