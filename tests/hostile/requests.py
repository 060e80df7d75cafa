# ruff: noqa: E501  one case, one line
"""Requests that break, stretch or abuse HTTP, and keys that are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from .case import ANSWER, BARE, CLOSED, Case, codes, dicom, jpeg, png

HOST, KEY = b"@HOST@", b"@KEY@"
"""Stand in a request for the service's address and a right key, which the checker knows."""

BOUNDARY = b"laennec-hostile-7f3a"


@dataclass(frozen=True)
class Wire:
    """What is done on a socket.

    Attributes:
        steps: bytes to send, or seconds to wait.
        answers: how many answers are read; all must be as expected.
        shut: the sending side is closed after the last step.
        beside: so many further connections are opened before, sent `first` and left alone until the answer.
    """

    steps: Sequence[bytes | float]
    answers: int = 1
    shut: bool = False
    beside: int = 0
    first: bytes = b""
    methods: Sequence[str] = field(default_factory=lambda: ("POST",))


def request(
    method: str = "POST",
    path: str | bytes = "/predict",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    drop: Sequence[str] = (),
    version: str = "HTTP/1.1",
    more: bytes = b"",
    length: bool = True,
) -> bytes:
    """One request as bytes; `headers` replace those it has by itself, `more` is put behind them as it is."""
    told = {"Host": HOST.decode(), "X-API-Key": KEY.decode(), "Connection": "close"}
    if length:
        told["Content-Length"] = str(len(body))
    told |= headers or {}
    head = method.encode() + b" " + (path.encode() if isinstance(path, str) else path) + b" " + version.encode()
    lines = [head, *(f"{k}: {v}".encode("latin-1") for k, v in told.items() if k not in drop)]
    return b"\r\n".join(lines) + b"\r\n" + more + b"\r\n" + body


def form(*parts: tuple[bytes, bytes], boundary: bytes = BOUNDARY, end: bool = True) -> bytes:
    """A form of these parts, each its headers and its content."""
    body = b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n" for head, data in parts)
    return body + (b"--" + boundary + b"--\r\n" if end else b"")


def file_part(data: bytes, name: bytes = b"a.png", field_name: bytes = b"file") -> tuple[bytes, bytes]:
    """A file for a form."""
    head = b'Content-Disposition: form-data; name="' + field_name + b'"; filename="' + name + b'"'
    return head + b"\r\nContent-Type: application/octet-stream", data


def _form(body: bytes, path: str = "/predict", kind: str | None = None) -> bytes:
    told = kind if kind is not None else f"multipart/form-data; boundary={BOUNDARY.decode()}"
    return request(path=path, body=body, headers={"Content-Type": told})


def cases(seed: int) -> list[Case]:
    """The families ``HTTP`` and ``keys``."""
    return [*_bodies(), *_queries(), *_routes(), *_protocol(seed), *_forms(), *_sites(), *_keys(), *_slow()]


def _raw(
    name: str, make: Callable[[], bytes], expects: str | Sequence[str], family: str = "HTTP", **more: object
) -> Case:
    answers, methods = int(more.pop("answers", 1)), more.pop("methods", ("POST",))  # type: ignore[call-overload]

    def wire() -> Wire:
        return Wire([make()], answers=answers, shut=bool(more.get("shut")), methods=methods)  # type: ignore[arg-type]

    return Case(name, family, "raw", wire, codes(expects))


_CHUNKED = {"Transfer-Encoding": "chunked"}


def _chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str) -> bytes:
    body = b"".join(f"{len(one):x}\r\n".encode() + one + b"\r\n" for one in chunks) + end
    return request(body=body, headers=_CHUNKED | headers, length=False)


def _bodies() -> list[Case]:
    picture = jpeg

    def told(length: str) -> Callable[[], bytes]:
        return lambda: request(body=picture(), headers={"Content-Length": length})

    broken = (BARE, CLOSED, "bad_request")
    return [
        _raw("HTTP: no body", partial(request, body=b""), "empty"),
        _raw("HTTP: no body and no length", partial(request, length=False), "empty"),
        _raw("HTTP: a body of one byte", partial(request, body=b"\xff"), "unsupported_type"),
        _raw("HTTP: says fewer bytes than it sends", told("500"), "corrupt_image"),
        _raw("HTTP: says more bytes than it sends, and leaves", told("99999"), (CLOSED, *broken), shut=True),
        _raw("HTTP: says 100 GB", told("100000000000"), "body_too_large"),
        _raw("HTTP: says 2^64 bytes", told("18446744073709551616"), (*broken, "body_too_large")),
        _raw("HTTP: says -1 bytes", told("-1"), broken),
        _raw("HTTP: says 'many' bytes", told("many"), broken),
        _raw("HTTP: says 0x10 bytes", told("0x10"), broken),
        _raw("HTTP: says +5 bytes", told("+5"), (*broken, "unsupported_type", "corrupt_image")),
        _raw("HTTP: says two lengths", lambda: request(body=picture(), more=b"Content-Length: 5\r\n"), broken),
        _raw("HTTP: says a length and chunks", lambda: request(body=b"0\r\n\r\n", headers=_CHUNKED), (*broken, "empty")),
        _raw("HTTP: in chunks", lambda: _chunked(*[picture()[n : n + 999] for n in range(0, len(picture()), 999)]), ANSWER),
        _raw("HTTP: in chunks of one byte", lambda: _chunked(*[png()[n : n + 1] for n in range(len(png()))]), ANSWER),
        _raw("HTTP: 40 MB in chunks", lambda: _chunked(*[bytes(1 << 20)] * 40), "body_too_large"),
        _raw("HTTP: a chunk of 2^60 bytes", lambda: _chunked(end=b"1000000000000000\r\nabc"), (*broken, "body_too_large"), shut=True),
        _raw("HTTP: a chunk of 'zz' bytes", lambda: _chunked(end=b"zz\r\nabc\r\n0\r\n\r\n"), broken),
        _raw("HTTP: a chunk of -5 bytes", lambda: _chunked(end=b"-5\r\nabcde\r\n0\r\n\r\n"), broken),
        _raw("HTTP: chunks without an end", lambda: _chunked(b"abc", end=b""), (CLOSED, *broken), shut=True),
        _raw("HTTP: a chunk's note of 1 MB", lambda: _chunked(end=b"3;a=" + b"x" * (1 << 20) + b"\r\nabc\r\n0\r\n\r\n"), (*broken, "unsupported_type")),
        _raw("HTTP: 10,000 trailers", lambda: _chunked(picture(), end=b"0\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"), (ANSWER, *broken)),
        _raw("HTTP: chunks by another word", lambda: request(body=b"0\r\n\r\n", headers={"Transfer-Encoding": "xchunked"}, length=False), (*broken, "empty", "unsupported_type")),
        _raw("HTTP: chunks, twice", lambda: request(body=b"0\r\n\r\n", headers={"Transfer-Encoding": "chunked, identity"}, length=False), (*broken, "empty")),
        _raw("HTTP: JSON said, a picture sent", lambda: request(body=picture(), headers={"Content-Type": "application/json"}), (ANSWER, "bad_request")),
        _raw("HTTP: GIF said, a picture sent", lambda: request(body=picture(), headers={"Content-Type": "image/gif"}), (ANSWER, "bad_request")),
        _raw("HTTP: an odd type", lambda: request(body=picture(), headers={"Content-Type": ";;;=\"/"}), (ANSWER, "bad_request")),
        _raw("HTTP: a type of 60 kB", lambda: request(body=picture(), headers={"Content-Type": "a/" + "b" * 60_000}), (ANSWER, *broken)),
        _raw("HTTP: said to be packed by gzip", lambda: request(body=picture(), headers={"Content-Encoding": "gzip"}), (ANSWER, "bad_request", "unsupported_type")),
        _raw("HTTP: JSON for a picture", lambda: request(body=b'{"url": "http://169.254.169.254/latest"}'), "unsupported_type"),
        _raw("HTTP: an address for a picture", lambda: request(body=b"http://127.0.0.1:22/"), "unsupported_type"),
        _raw("HTTP: a path for a picture", lambda: request(body=b"/etc/passwd"), "unsupported_type"),
        _raw("HTTP: waits to be told to go on", lambda: request(body=picture(), headers={"Expect": "100-continue"}), ANSWER),
        _raw("HTTP: waits for something else", lambda: request(body=picture(), headers={"Expect": "the-impossible"}), (ANSWER, *broken)),
    ]  # fmt: skip


def _queries() -> list[Case]:
    bad: list[tuple[str, str | Sequence[str]]] = [
        ("deadline_ms=soon", "bad_request"), ("deadline_ms=-5", "bad_request"), ("deadline_ms=0", "bad_request"),
        ("deadline_ms=NaN", "bad_request"), ("deadline_ms=inf", "bad_request"),
        ("deadline_ms=1e309", "bad_request"), ("deadline_ms=" + "9" * 400, ("bad_request", ANSWER)),
        ("deadline_ms=", ("bad_request", ANSWER)), ("deadline_ms=1;DROP%20TABLE", "bad_request"),
        ("deadline_ms=0.001", ("deadline", "bad_request")),
        ("model=nobody", "no_model"), ("model=../../etc", "no_model"), ("model=%00", "no_model"),
        ("model=" + "m" * 4000, "no_model"), ("model=%F0%9F%92%80", "no_model"), ("model=%ff%fe", "no_model"),
        ("rule=whatever", "no_rule"), ("rule=__class__", "no_rule"), ("rule=%00", "no_rule"),
        ("with=everything", "bad_request"), ("with=picture,picture", (ANSWER, "bad_request")),
        ("with=" + "map," * 2000, ("bad_request", ANSWER)), ("with=../..", "bad_request"),
        ("unknown=1", ("bad_request", ANSWER)), ("model=a&model=b", ("bad_request", "no_model")),
        ("&&&===&", (ANSWER, "bad_request")), ("%", (ANSWER, "bad_request")), ("a=" * 3000, (ANSWER, "bad_request")),
    ]  # fmt: skip

    def made(query: str) -> bytes:
        return request(path="/predict?" + query, body=jpeg())

    return [
        *[_raw(f"HTTP: query {query[:40]}", partial(made, query), expects) for query, expects in bad],
        _raw("HTTP: objects of an unknown kind", lambda: request(path="/objects?kinds=shell", body=dicom()), ("bad_request",)),
        _raw("HTTP: objects of a JPEG", lambda: request(path="/objects", body=jpeg()), ("bad_request", "unsupported_type")),
    ]  # fmt: skip


def _routes() -> list[Case]:
    away = ("not_found", "bad_request", BARE)
    paths: list[tuple[str, str | bytes, Sequence[str]]] = [
        ("upwards", "/../../../../etc/passwd", away), ("upwards, coded", "/%2e%2e/%2e%2e/etc/passwd", away),
        ("upwards, coded twice", "/%252e%252e/%252e%252e/etc/passwd", away), ("upwards in the page", "/page/../../../etc/passwd", away),
        ("upwards in the page, coded", "/page/%2e%2e%2f%2e%2e%2fetc%2fpasswd", away), ("backslashes", "/page/..\\..\\etc\\passwd", away),
        ("a NUL", "/page/%00", away), ("a NUL as it is", b"/page/\0", (*away, CLOSED)), ("a job upwards", "/jobs/..%2f..%2fsecret", away),
        ("a job nobody made", "/jobs/" + "0" * 32, away), ("results nobody made", "/jobs/" + "0" * 32 + "/results", away),
        ("a job of another shape", "/jobs/%F0%9F%92%80", away), ("a job of 10,000 letters", "/jobs/" + "a" * 10_000, away),
        ("nothing there", "/admin", away), ("the interpreter", "/__class__/__init__", away), ("an address inside", "//evil.example/", away),
        ("of 60,000 letters", "/" + "a" * 60_000, (*away, CLOSED)), ("of 1,000,000 letters", "/" + "a" * 1_000_000, (*away, CLOSED)),
        ("not UTF-8", "/%ff%fe", away), ("raw bytes", b"/\xff\xfe", (*away, CLOSED)), ("documentation", "/docs", away), ("documentation, the other", "/redoc", away),
    ]  # fmt: skip
    wrong = ("method_not_allowed", "not_found", BARE, CLOSED, "cross_site", "bad_request")
    methods = ("PUT", "PATCH", "DELETE", "TRACE", "OPTIONS", "PROPFIND", "FROBNICATE", "get", "P" * 3000)
    return [
        *[_raw(f"HTTP: path {name}", partial(request, "GET", path), e, methods=("GET",)) for name, path, e in paths],
        _raw("HTTP: GET of what is posted", partial(request, "GET", "/predict"), ("method_not_allowed", "not_found"), methods=("GET",)),
        _raw("HTTP: POST of what is got", partial(request, "POST", "/metrics", b"x"), ("method_not_allowed", "not_found")),
        _raw("HTTP: DELETE of a job nobody made", partial(request, "DELETE", "/jobs/" + "0" * 32), "not_found"),
        *[_raw(f"HTTP: method {m[:12]}", partial(request, m, "/predict"), wrong) for m in methods],
        _raw("HTTP: CONNECT", lambda: b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", (*wrong, "bad_host", "no_key"), shut=True),
        _raw("HTTP: a whole address", partial(request, "GET", "http://evil.example/models", headers={"Host": "evil.example"}), ("bad_host", *away), methods=("GET",)),
        _raw("HTTP: an asterisk", partial(request, "OPTIONS", "*"), wrong),
    ]  # fmt: skip


def _protocol(seed: int) -> list[Case]:
    noise = np.random.default_rng([seed, 5]).bytes(4000).replace(b"\r\n", b"  ")
    gone = (BARE, CLOSED, "bad_request")
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)

    def headers(count: int, size: int) -> bytes:
        return request(body=jpeg(), more=b"".join(b"X-%d: %s\r\n" % (n, b"v" * size) for n in range(count)))

    def line(text: bytes) -> bytes:
        return request(body=jpeg(), more=text)

    return [
        _raw("HTTP: noise", lambda: noise, gone, shut=True),
        _raw("HTTP: nothing", lambda: b"", CLOSED, shut=True),
        _raw("HTTP: half a line", lambda: b"POST /pre", gone, shut=True),
        _raw("HTTP: a handshake of TLS", lambda: hello, gone, shut=True),
        _raw("HTTP: HTTP/2 at once", lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40), (*gone, "bad_host", "no_key", "not_found", "method_not_allowed"), shut=True),
        _raw("HTTP: HTTP/9.9", partial(request, version="HTTP/9.9"), (*gone, "empty"), shut=True),
        _raw("HTTP: HTTP/0.9", lambda: b"GET /livez\r\n", gone, shut=True),
        _raw("HTTP: HTTP/1.0 with a picture", lambda: request(body=jpeg(), version="HTTP/1.0"), ANSWER),
        _raw("HTTP: HTTP/1.0 without a host", lambda: request(body=jpeg(), version="HTTP/1.0", drop=("Host",)), ("bad_host", BARE)),
        _raw("HTTP: line ends of one byte", lambda: b"GET /livez HTTP/1.1\nHost: " + HOST + b"\nConnection: close\n\n", (ANSWER, *gone), methods=("GET",)),
        _raw("HTTP: wants another protocol", partial(request, "GET", "/", headers={"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}), ("not_found", *gone, "method_not_allowed"), methods=("GET",), shut=True),
        _raw("HTTP: wants HTTP/2", lambda: request(body=jpeg(), headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABk"}), (ANSWER, "empty", *gone), shut=True),
        _raw("HTTP: three requests at once", lambda: request("GET", "/livez", headers={"Connection": "keep-alive"}) * 2 + request("GET", "/livez"), ANSWER, answers=3, methods=("GET",) * 3),
        _raw("HTTP: a request hidden in the body of another", lambda: request(body=b"0\r\n\r\nGET /models HTTP/1.1\r\nX: ", headers=_CHUNKED), (*gone, "empty")),
        _raw("HTTP: 100 headers", partial(headers, 100, 10), (ANSWER, *gone)),
        _raw("HTTP: 5,000 headers", partial(headers, 5000, 10), (ANSWER, *gone)),
        _raw("HTTP: a header of 1 MB", partial(headers, 1, 1 << 20), (ANSWER, *gone)),
        _raw("HTTP: headers of 10 MB", partial(headers, 10, 1 << 20), (ANSWER, *gone)),
        _raw("HTTP: a header with a NUL", partial(line, b"X-A: a\0b\r\n"), (ANSWER, *gone)),
        _raw("HTTP: a header without a colon", partial(line, b"nonsense\r\n"), gone),
        _raw("HTTP: a header without a name", partial(line, b": x\r\n"), gone),
        _raw("HTTP: a header with a blank before its colon", partial(line, b"X-A : x\r\n"), (ANSWER, *gone)),
        _raw("HTTP: a header folded over two lines", partial(line, b"X-A: x\r\n y\r\n"), (ANSWER, *gone)),
        _raw("HTTP: a header not of ASCII", partial(line, "X-A: Müller\r\n".encode()), (ANSWER, *gone)),
        _raw("HTTP: cookies of 60 kB", partial(line, b"Cookie: a=" + b"c" * 60_000 + b"\r\n"), (ANSWER, *gone)),
        _raw("HTTP: a range of a range", partial(request, "GET", "/models", headers={"Range": "bytes=0-,0-," * 900}), (ANSWER, *gone), methods=("GET",)),
        _raw("HTTP: an id of its own", partial(line, b"X-Request-Id: planted\r\n"), ANSWER),
    ]  # fmt: skip


def _forms() -> list[Case]:
    one = partial(file_part, b"")
    disposition = b"Content-Disposition: form-data; name="
    field = (disposition + b'"note"', b"x")
    big = ("bad_request", "body_too_large")

    def picture(**more: bytes) -> tuple[bytes, bytes]:
        return file_part(png(), **more)

    return [
        _raw("form: no boundary", lambda: _form(form(picture()), kind="multipart/form-data"), "bad_request"),
        _raw("form: an empty boundary", lambda: _form(form(picture()), kind="multipart/form-data; boundary="), "bad_request"),
        _raw("form: another boundary", lambda: _form(form(picture()), kind="multipart/form-data; boundary=other"), "bad_request"),
        _raw("form: a boundary of 5,000 letters", lambda: _form(form(picture(), boundary=b"b" * 5000), kind="multipart/form-data; boundary=" + "b" * 5000), "bad_request"),
        _raw("form: a boundary not of ASCII", lambda: _form(form(picture()), kind="multipart/form-data; boundary=\"\xff\xfe\""), ("bad_request", BARE)),
        _raw("form: nothing in it", lambda: _form(form()), ("bad_request", "empty")),
        _raw("form: no bytes", lambda: _form(b""), ("bad_request", "empty")),
        _raw("form: an empty file", lambda: _form(form(one())), "empty"),
        _raw("form: no field named file", lambda: _form(form(picture(field_name=b"picture"))), ("bad_request", "empty")),
        _raw("form: fields alone", lambda: _form(form(field, field)), ("bad_request", "empty")),
        _raw("form: two files for one answer", lambda: _form(form(picture(), picture())), ("bad_request", "too_many_files")),
        _raw("form: not ended", lambda: _form(form(picture(), end=False)), ("bad_request", "corrupt_image")),
        _raw("form: cut inside the file", lambda: _form(form(picture())[:9000]), ("bad_request", "corrupt_image")),
        _raw("form: cut inside a header", lambda: _form(form(picture())[:60]), "bad_request"),
        _raw("form: no headers", lambda: _form(form((b"", png()))), ("bad_request", "empty")),
        _raw("form: a header without a colon", lambda: _form(form((b"nonsense", png()))), ("bad_request", "empty")),
        _raw("form: a header of 1 MB", lambda: _form(form((b"X-A: " + b"x" * (1 << 20), png()))), big),
        _raw("form: 5,000 headers", lambda: _form(form((b"\r\n".join(b"X-%d: x" % n for n in range(5000)), png()))), (*big, "empty")),
        _raw("form: 10,000 fields", lambda: _form(form(*[field] * 10_000, picture())), big),
        _raw("form: 100,000 fields", lambda: _form(form(*[field] * 100_000)), big),
        _raw("form: a field of 20 MB", lambda: _form(form((disposition + b'"note"', bytes(20 << 20)), picture())), big),
        _raw("form: a form in a form", lambda: _form(form((disposition + b'"file"\r\nContent-Type: multipart/mixed; boundary=in', form(picture(), boundary=b"in")))), ("unsupported_type", "bad_request")),
        _raw("form: the file as plain words", lambda: _form(form((disposition + b'"file"', b"/etc/passwd"))), ("unsupported_type", "bad_request")),
        _raw("form: coded in base64", lambda: _form(form((disposition + b'"file"\r\nContent-Transfer-Encoding: base64', b"aGVsbG8="))), ("unsupported_type", "bad_request")),
        _raw("form: a name of 60 kB", lambda: _form(form(picture(name=b"n" * 60_000))), (ANSWER, "bad_request")),
        _raw("form: a name that leads upwards", lambda: _form(form(picture(name=b"../../../../tmp/escaped.png"))), ANSWER),
        _raw("form: a name with a line break", lambda: _form(form(picture(name=b"a\"\r\nX: y"))), (ANSWER, "bad_request", "unsupported_type")),
        _raw("form: a URL-coded one", lambda: request(body=b"file=" + b"%41" * 9000, headers={"Content-Type": "application/x-www-form-urlencoded"}), ("unsupported_type", "bad_request")),
        _raw("form: 17 files in a batch", lambda: _form(form(*[picture()] * 17), "/batch_predict"), "too_many_files"),
        _raw("form: 1,000 empty files in a batch", lambda: _form(form(*[one()] * 1000), "/batch_predict"), ("too_many_files", *big)),
        _raw("form: boundaries alone", lambda: _form((b"--" + BOUNDARY + b"\r\n") * 50_000), ("bad_request", "empty")),
        _raw("form: nearly boundaries", lambda: _form(form(file_part((b"\r\n--" + BOUNDARY[:-1]) * 200_000))), "unsupported_type"),
    ]  # fmt: skip


def _sites() -> list[Case]:
    def sent(**headers: str) -> Callable[[], bytes]:
        return lambda: request(body=jpeg(), headers={k.replace("_", "-"): v for k, v in headers.items()})

    hosts = ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::ffff:8.8.8.8]", "", "a" * 5000)
    return [
        *[_raw(f"site: host {host[:30]!r}", sent(Host=host), ("bad_host", BARE)) for host in hosts],
        _raw("site: no host", lambda: request(body=jpeg(), drop=("Host",)), ("bad_host", BARE)),
        _raw("site: two hosts", lambda: request(body=jpeg(), more=b"Host: evil.example\r\n"), ("bad_host", BARE, CLOSED)),
        _raw("site: from another origin", sent(Origin="http://evil.example"), "cross_site"),
        _raw("site: from no origin", sent(Origin="null"), "cross_site"),
        _raw("site: from an origin that looks like ours", lambda: request(body=jpeg(), headers={"Origin": "http://" + HOST.decode() + ".evil.example"}), "cross_site"),
        _raw("site: fetched across sites", sent(Sec_Fetch_Site="cross-site"), "cross_site"),
        _raw("site: fetched from a neighbour", sent(Sec_Fetch_Site="same-site"), "cross_site"),
        _raw("site: asks what it may", lambda: request("OPTIONS", "/predict", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}), ("method_not_allowed", "cross_site", "not_found")),
        _raw("site: forwarded for somebody", sent(X_Forwarded_For="1.2.3.4", X_Forwarded_Host="evil.example"), ANSWER),
    ]  # fmt: skip


def _keys() -> list[Case]:
    routes = ("/", "/models", "/model", "/metrics", "/openapi.json", "/jobs/" + "0" * 32, "/page/app.js", "/nothing")
    posts = ("/predict", "/batch_predict", "/jobs", "/objects")
    bad = {
        "wrong": "lk_" + "A" * 43,
        "empty": "",
        "almost right": KEY.decode()[:-1] + "@x",
        "a hash": "sha256:" + "0" * 64,
        "with blanks": "lk_ AAAA",
        "of 5,000 letters": "k" * 5000,
        "not of ASCII": "lk_\xe9\xe9",
        "a wildcard": "*",
    }
    by_header = [
        _raw(f"key: {told}", partial(request, body=b"x", headers={"X-API-Key": key}), ("no_key", BARE), "keys")
        for told, key in bad.items()
    ]
    schemes = ("Bearer", "Bearer ", "Basic !!!", "Basic " + "QUFB", "Digest a", "Negotiate YII=", "Bearer a b c")
    return [
        *[_raw(f"key: none, GET {r}", partial(request, "GET", r, drop=("X-API-Key",)), "no_key", "keys", methods=("GET",)) for r in routes],
        *[_raw(f"key: none, POST {r}", partial(_keyless, r), "no_key", "keys") for r in posts],
        *by_header,
        *[_raw(f"key: {s[:20]!r}", partial(_authorised, s), "no_key", "keys") for s in schemes],
        _raw("key: in the query", lambda: request(path=b"/predict?key=" + KEY + b"&api_key=" + KEY + b"&access_token=" + KEY, body=jpeg(), drop=("X-API-Key",)), "no_key", "keys"),
        _raw("key: in the path", lambda: request("GET", b"/" + KEY + b"/models", drop=("X-API-Key",)), "no_key", "keys", methods=("GET",)),
        _raw("key: in a cookie", lambda: request(body=jpeg(), headers={"Cookie": "key=" + KEY.decode() + "; X-API-Key=" + KEY.decode()}, drop=("X-API-Key",)), "no_key", "keys"),
        _raw("key: in the form", _in_form, "no_key", "keys"),
        _raw("key: before the right one, a wrong one", lambda: request(body=jpeg(), headers={"Authorization": "Bearer wrong"}), ("no_key", ANSWER), "keys"),
        _raw("key: by password", lambda: _authorised_right("Bearer "), ANSWER, "keys"),
    ]  # fmt: skip


def _keyless(path: str) -> bytes:
    return request(path=path, body=jpeg(), drop=("X-API-Key",))


def _authorised(scheme: str) -> bytes:
    return request(body=jpeg(), headers={"Authorization": scheme}, drop=("X-API-Key",))


def _authorised_right(scheme: str) -> bytes:
    return request(body=jpeg(), headers={"Authorization": scheme + KEY.decode()}, drop=("X-API-Key",))


def _in_form() -> bytes:
    body = form((b'Content-Disposition: form-data; name="key"', KEY), file_part(png()))
    told = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}"}
    return request(body=body, headers=told, drop=("X-API-Key",))


def _slow() -> list[Case]:
    """What trickles, stalls or only holds a connection: bounded in time, and others are served meanwhile."""

    def body(pause: float, pieces: int) -> Wire:
        whole = request(body=jpeg())
        head, rest = whole[: -len(jpeg())], jpeg()
        size = len(rest) // pieces + 1
        steps: list[bytes | float] = [head]
        for at in range(0, len(rest), size):
            steps += [rest[at : at + size], pause]
        return Wire(steps)

    def silent(count: int, first: bytes) -> Wire:
        return Wire([request(body=jpeg())], beside=count, first=first)

    half = b"POST /predict HTTP/1.1\r\nHost: " + HOST + b"\r\n"
    lone = request(body=b"", headers={"Content-Length": "500000"})
    slow = [
        ("slow: a body in 20 pieces over a second", partial(body, 0.05, 20), (ANSWER,), 6.0),
        ("slow: 200 connections that say nothing", partial(silent, 200, b""), (ANSWER,), 5.0),
        ("slow: 200 connections with half a header", partial(silent, 200, half), (ANSWER,), 5.0),
        ("slow: 40 bodies that never come", partial(silent, 40, lone), (ANSWER, "overloaded"), 5.0),
    ]
    return [
        Case(name, "HTTP", "raw", make, codes(expects), seconds=seconds) for name, make, expects, seconds in slow
    ] + [
        Case("slow: a body that stops", "HTTP", "raw", _stopped, codes(("stalled", CLOSED, BARE)), seconds=40.0),
        Case("slow: a form that stops", "HTTP", "raw", _stopped_form, codes(("stalled", CLOSED, BARE)), seconds=40.0),
        Case("slow: a header that stops", "HTTP", "raw", _stopped_header, codes((CLOSED, BARE, "bad_request")), seconds=70.0),
    ]  # fmt: skip


def _stopped() -> Wire:
    return Wire([request(body=jpeg())[:-2000]])


def _stopped_form() -> Wire:
    return Wire([_form(form(file_part(png())))[:-2000]])


def _stopped_header() -> Wire:
    return Wire([b"POST /predict HTTP/1.1\r\nHost: " + HOST + b"\r\nX-A: "])


__all__ = ["HOST", "KEY", "Wire", "cases", "file_part", "form", "request"]
