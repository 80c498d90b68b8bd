"""How hostnames stand in DNS: values of the Go client's library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ingress.hostnames import punycode


@pytest.mark.parametrize(
    ("hostname", "in_dns"),
    [
        ("b\xfccher.example", "xn--bcher-kva.example"),
        ("*.b\xfccher.example", ""),
        ("*a.example", ""),
        ("UPPER.example", "upper.example"),
        ("lower.example", ""),
        ("Stra\xdfe.de", "xn--strae-oqa.de"),
        ("\u1e9e.de", "ss.de"),
        ("\u03c2.gr", "xn--3xa.gr"),
        ("\u0391\u03a3.gr", "xn--mxa0b.gr"),
        ("\u2603.example", "xn--n3h.example"),
        ("\U0001f600.example", "xn--e28h.example"),
        ("a_b.example", ""),
        ("A_B.example", ""),
        ("-a.example", ""),
        ("a-.example", ""),
        ("ab--cd.example", ""),
        ("AB--CD.example", ""),
        ("xn--bcher-kva.example", ""),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("xn--zzzzzz.example", ""),
        ("a..b", ""),
        ("A..b", "a..b"),
        ("a.example.", ""),
        ("A.example.", "a.example."),
        ("\uff21.example", "a.example"),
        ("\u3002a", ".a"),
        ("a\u3002b", "a.b"),
        ("\u0130.example", "xn--i-9bb.example"),
        ("\u0131.example", "xn--cfa.example"),
        ("\ufb00.example", "ff.example"),
        ("\xbd.example", "xn--12-c6t.example"),
        ("a b.example", ""),
        ("A b.example", ""),
        ("m\xfcnchen.B\xdcRO", "xn--mnchen-3ya.xn--bro-hoa"),
        ("\u65e5\u672c\u8a9e.jp", "xn--wgv71a119e.jp"),
        ("\ud55c\uad6d.kr", "xn--3e0b707e.kr"),
        ("\u0639\u0631\u0628\u064a.com", "xn--ngbrx4e.com"),
        ("\u0645\u062b\u0627\u0644.\u0625\u062e\u062a\u0628\u0627\u0631", "xn--mgbh0fb.xn--kgbechtv"),
        ("\u0301a.example", ""),
        ("a\xadb.example", "ab.example"),
        ("ab\u200dc.example", ""),
        ("\u06291.example", "xn--1-2mc.example"),
        ("K.example", "k.example"),
        ("\u2100.example", ""),
        ("\u2460.example", "1.example"),
        ("A:b", ""),
        ("[::1]", ""),
        ("A*b.example", ""),
        ("\xe4_b.example", ""),
        ("\xc4%.example", ""),
        (
            "very-long-label-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaA.example",
            "very-long-label-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example",
        ),
    ],
)
def test_in_dns(hostname: str, in_dns: str) -> None:
    assert punycode(hostname) == in_dns


@given(st.lists(st.integers(0, 0x10FFFF).map(chr), max_size=30).map("".join))
def test_any_text_has_an_answer_in_ascii(hostname: str) -> None:
    assert punycode(hostname).isascii()
