"""Requests that two servers could read in two ways, as the edge would hand them on. None may reach an origin.

The twins (V14) are such to some origins only, and are refused if `--refuse-underscore-twins` says so.
"""

from collections.abc import Iterator

Pairs = list[tuple[str, str]]
"""Metadata; values are latin-1."""

GOOD: Pairs = [("HttpMethod", "POST"), ("HttpHost", "a.example")]

_CONTROLS = [chr(code) for code in (*range(9), *range(10, 32), 127)]


def vectors() -> Iterator[tuple[str, str, Pairs]]:
    """Name, dest and metadata of each; the names say which rule it breaks."""

    def field(name: str, *pairs: tuple[str, str]) -> tuple[str, str, Pairs]:
        return name, "https://a.example/", [*GOOD, *((f"HttpHeader:{key}", value) for key, value in pairs)]

    def dest(name: str, target: str) -> tuple[str, str, Pairs]:
        return name, target, GOOD

    for control in _CONTROLS:
        yield field(f"V1 control {ord(control):#x} in a value", ("X", f"a{control}b"))
        yield field(f"V2 control {ord(control):#x} in a name", (f"X{control}", "1"))
        yield dest(f"V4 control {ord(control):#x} in the target", f"https://a.example/{control}")
    yield field("V1 response splitting", ("X", "a\r\n\r\nGET /evil HTTP/1.1\r\nHost: b"))
    for name in ("", " X", "X ", "X\t", "X:Y", "X Y", "X\u00e4", "(X)", "X,Y", "X/Y", "X@", "X[", "X\\", '"X"', "{X}"):
        yield field(f"V2 name {name!r}", (name, "1"))
    for method in ("", " ", "GET ", "GET /evil", "G\rT", "G\nT", "G\0T", "GET\u00e4", "G(T", "GET\t"):
        yield f"V3 method {method!r}", "https://a.example/", [("HttpMethod", method), GOOD[1]]
    for target in ("/ x", "/a b", "/#f", "*", "a", "x?y"):
        yield dest(f"V4 target {target!r}", target if target in ("*", "a", "x?y") else f"https://a.example{target}")
    for host in (
        "",
        " ",
        "a b",
        "a,b",
        "u@a",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a:x",
        "a:123456",
        "a\r\nX: 1",
        "[::1",
        "a\u00e4",
    ):
        yield f"V5 host {host!r}", "https://a.example/", [GOOD[0], ("HttpHost", host)]
    yield field("V5 another Host", ("Host", "b.example"))
    lengths = [
        "",
        "+5",
        "-5",
        "0x5",
        "1_0",
        "05",
        "5,5",
        "5, 5",
        "5 5",
        "5.0",
        "5e0",
        "\u00b2",
        "9" * 20,
        "9223372036854775808",
    ]
    for length in lengths:
        yield field(f"V6 length {length!r}", ("Content-Length", length))
    yield field("V6 two lengths", ("Content-Length", "5"), ("Content-Length", "6"))
    yield field("V6 one length twice", ("Content-Length", "5"), ("Content-Length", "5"))
    yield field("V6 one length twice, in another case", ("Content-Length", "5"), ("content-length", "5"))
    yield field("V7 length and chunked", ("Content-Length", "5"), ("Transfer-Encoding", "chunked"))
    yield field("V7 chunked and length", ("Transfer-Encoding", "chunked"), ("Content-Length", "5"))
    codings = [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        ",chunked",
        "chunked,",
        "xchunked",
        "chunkedx",
    ]
    codings += ["chunked;x", "chunked x", "\xa0chunked", "\x85chunked", '"chunked"', "chunked, identity", "x-chunked"]
    for coding in codings:
        yield field(f"V7 coding {coding!r}", ("Transfer-Encoding", coding))
    yield field("V7 chunked twice", ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked"))
    yield field("V7 chunked and identity", ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "identity"))
    for folded in ("a\r\n b", "a\r\n\tb", "a\n b"):
        yield field(f"V10 fold {folded!r}", ("X", folded))
    for nominated in (
        "Host",
        "content-length",
        "Cf-Connecting-Ip",
        "Authorization",
        "cookie",
        "close, host",
        "X, Cf-Ray",
    ):
        yield field(f"V11 Connection: {nominated}", ("Connection", nominated))
    for key in ("HttpHeader:", "HttpHeader::X", "HttpHeader:X:", "HttpHeader: X"):
        yield f"V12 key {key!r}", "https://a.example/", [*GOOD, (key, "1")]
    for again in ("HttpMethod", "HttpHost"):
        yield f"V12 two of {again}", "https://a.example/", [*GOOD, next(pair for pair in GOOD if pair[0] == again)]
    for missing in GOOD:
        yield f"V12 no {missing[0]}", "https://a.example/", [pair for pair in GOOD if pair != missing]
    yield field("V13 too many fields", *[("X", "1")] * 1025)
    yield field("V13 value too long", ("X", "a" * 168 * 1024))
    yield field("V13 head too long", *[(f"X{number}", "a" * 16000) for number in range(11)])
    yield dest("V13 target too long", "https://a.example/" + "a" * 32 * 1024)
    yield dest("V13 target too long, and not ASCII", "https://a.example/" + "\u00e4" * 16 * 1024)
    yield field("V14 twins", ("X_Forwarded_For", "1"), ("X-Forwarded-For", "2"))
    yield field("V14 twins, in another case", ("Content_Type", "1"), ("content-type", "2"))
