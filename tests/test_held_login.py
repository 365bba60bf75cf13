"""The held login: captured whole, kept as it was, released byte for byte but for what its new place demands."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import LoginNotHeld, response_body
from mfa_middleware.held_login import Capture, HeldLogin
from mfa_middleware.records import TokenRecord
from mfa_middleware.response_body import decoded_body, json_body
from tests.strategies import JSON

ZLIB = zlib.decompressobj
HEADERS = st.lists(st.tuples(st.binary(), st.binary())).map(tuple)


def released(*headers, body=b"", status=200, path="/login", accept_encoding=""):
    status, fields, body = HeldLogin(status, tuple(headers), body, path).release(accept_encoding=accept_encoding)
    return status, list(fields), body


def fields(*headers, **more):
    """The app's own fields of the released login."""
    ours = [(b"content-length", str(len(more.get("body", b""))).encode()), (b"cache-control", b"no-store")]
    found = released(*headers, **more)[1]
    assert found[-2:] == ours
    return found[:-2]


# ------------------------------------------------------------------------------------------------------------- at rest


@given(st.integers(100, 599), HEADERS, st.binary(), st.text(), st.none() | st.dictionaries(st.text(), JSON))
def test_what_is_decoded_is_what_was_encoded(status, headers, body, path, session):
    record = TokenRecord("alice", held=HeldLogin(status, headers, body, path, session))
    assert TokenRecord.decode(record.encode()) == record


def test_nothing_of_it_is_in_its_repr():
    login = HeldLogin(200, ((b"set-cookie", b"CANARY"),), b"CANARY", "/login", {"user": "CANARY"})
    assert "CANARY" not in repr(login)


# ---------------------------------------------------------------------------------------------------------- released


def test_fields_are_equal_bytes_in_the_same_order():
    given_fields = [
        (b"Set-Cookie", b"a=1; Path=/"),
        (b"X-Mixed-Case", b"caf\xe9 \xff"),
        (b"set-cookie", b"b=2; PATH=/app; HttpOnly"),
        (b"SET-COOKIE", b"a=3; path = /"),
        (b"x-empty", b""),
        (b"Vary", b"Cookie"),
        (b"vary", b"Accept"),
    ]
    assert fields(*given_fields) == given_fields


def test_hop_by_hop_fields_and_what_connection_names_are_dropped_and_the_length_is_right():
    given_fields = [
        (name, b"x")
        for name in (b"Keep-Alive", b"TE", b"Trailer", b"Transfer-Encoding", b"upgrade", b"Proxy-Connection")
    ]
    given_fields += [
        (b"Connection", b"close, X-Internal,x-other"),
        (b"connection", b"X-Third"),
        (b"x-internal", b"1"),
        (b"X-OTHER", b"1"),
        (b"x-third", b"1"),
        (b"Content-Length", b"999"),
        (b"x-kept", b"1"),
    ]
    assert fields(*given_fields, body=b"1234") == [(b"x-kept", b"1")]


def test_the_app_s_cors_fields_are_dropped():
    assert fields((b"Access-Control-Allow-Origin", b"*"), (b"access-control-max-age", b"1")) == []


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/login", "/"),
        ("/", "/"),
        ("/a/login", "/a"),
        ("/a/b/", "/a/b"),
        ("/caf%C3%A9/login", "/caf%C3%A9"),
        ("/caf\xe9/login", "/caf%C3%A9"),
        ("/\udcff/login", "/%FF"),
    ],
)
@pytest.mark.parametrize("attributes", ["", "; HttpOnly", "; Path=", "; Path=relative", "; xPath=/"])
def test_a_cookie_without_a_path_gets_the_default_path_of_the_login_s_url(path, default, attributes):
    cookie = f"id=1{attributes}".encode()
    assert fields((b"set-cookie", cookie), path=path) == [
        (b"set-cookie", cookie + b"; Path=" + default.encode("latin-1"))
    ]


@pytest.mark.parametrize(
    "path",
    ["/日本/login", "/a\r\nSet-Cookie: b=1/login", "/a;Domain=example.com/login", "/a\0/login"],
    ids=["not latin-1", "a line break", "an attribute", "NUL"],
)
def test_whatever_path_a_server_tells_no_field_is_broken_by_it(path):
    (_, value), *_ = fields((b"set-cookie", b"id=1"), path=path)
    assert not {b"\r", b"\n", b"\0"} & {bytes([byte]) for byte in value}
    assert value.count(b";") == 1


@pytest.mark.parametrize(
    ("location", "absolute"),
    [
        ("/home", "/home"),
        ("home", "/app/home"),
        ("./home", "/app/home"),
        ("../home", "/home"),
        ("?next=1", "/app/login?next=1"),
        ("#top", "/app/login#top"),
        ("", "/app/login"),
        ("https://sso.example/x", "https://sso.example/x"),
        ("//cdn.example/x", "//cdn.example/x"),
        ("caf\xe9", "/app/caf\xe9"),
        ("app:open", "app:open"),
        ("a/b?c=d#e", "/app/a/b?c=d#e"),
        ("http://host/x", "http://host/x"),
    ],
)
@pytest.mark.parametrize("name", [b"location", b"Content-Location"])
def test_locations_are_absolute_against_the_login_s_url(name, location, absolute):
    assert fields((name, location.encode("latin-1")), path="/app/login") == [(name, absolute.encode("latin-1"))]


def test_a_location_keeps_every_letter_of_the_login_s_path():
    assert fields((b"location", b"home"), path="/X/XX/login") == [(b"location", b"/X/XX/home")]


def test_a_location_above_the_root_is_at_the_root():
    assert fields((b"location", b"../../../home"), path="/app/login") == [(b"location", b"/home")]


@pytest.mark.parametrize("path", ["//login", "//evil.example/login"])
def test_a_location_stays_on_this_host_whatever_the_spelling_of_the_login_s_path(path):
    """CVE-2023-49438: an open redirect by two slashes."""
    ((_, location),) = fields((b"location", b"home"), path=path)
    assert not location.startswith(b"//")


@pytest.mark.parametrize("location", [b"http://[", b"http://[x]/"])
def test_a_location_that_is_no_url_is_released_as_it_is(location):
    assert fields((b"location", location)) == [(b"location", location)]


@pytest.mark.parametrize(
    ("given_status", "status"), [(200, 200), (201, 201), (302, 302), (303, 303), (307, 303), (308, 303), (400, 400)]
)
def test_a_redirect_does_not_post_the_code_on(given_status, status):
    assert released(status=given_status)[0] == status


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_no_length(status):
    assert released((b"content-length", b"5"), status=status)[1] == [(b"cache-control", b"no-store")]


# -------------------------------------------------------------------------------------------------------------- codings


CODINGS: dict[bytes, Any] = {
    b"gzip": gzip.compress,
    b"x-gzip": gzip.compress,
    b"deflate": zlib.compress,
    b" GZip ": gzip.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_coding_that_is_not_accepted_is_decoded(coding):
    _, found, body = released((b"Content-Encoding", coding), body=CODINGS[coding](b"hello" * 100), accept_encoding="br")
    assert body == b"hello" * 100
    assert found == [(b"content-length", b"500"), (b"cache-control", b"no-store")]


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "GZIP"])
def test_a_coding_that_is_accepted_stays(accepted):
    packed = gzip.compress(b"hello")
    _, found, body = released((b"content-encoding", b"gzip"), body=packed, accept_encoding=accepted)
    assert (found[0], body) == ((b"content-encoding", b"gzip"), packed)


@pytest.mark.parametrize("accepted", ["gzip;q=0", "br, gzip; q=0.0"])
def test_a_coding_of_weight_zero_is_not_accepted(accepted):
    assert (
        released((b"content-encoding", b"gzip"), body=gzip.compress(b"hello"), accept_encoding=accepted)[2] == b"hello"
    )


@pytest.mark.parametrize("coding", [b"br", b"zstd", b"gzip, gzip", b"nonsense"])
def test_a_coding_that_we_cannot_read_stays(coding):
    assert released((b"content-encoding", coding), body=b"packed")[2] == b"packed"


@pytest.mark.parametrize("body", [b"", b"junk", gzip.compress(b"hello" * 100)[:-12]], ids=["empty", "junk", "cut off"])
def test_a_body_that_does_not_decode_stays_as_it_is(body):
    assert released((b"content-encoding", b"gzip"), body=body)[2] == body


@pytest.mark.parametrize("coding", [b"identity", b"Identity, identity", b"", b" , "])
def test_what_is_no_coding_is_no_coding(coding):
    assert decoded_body(((b"Content-Encoding", coding),), b"plain") == b"plain"
    assert json_body(((b"content-encoding", coding),), b'{"a": 1}') == {"a": 1}


def test_codings_are_taken_off_in_the_order_in_which_they_were_put_on():
    packed = gzip.compress(zlib.compress(b"plain"))
    assert decoded_body(((b"content-encoding", b"deflate, gzip"),), packed) == b"plain"
    assert decoded_body(((b"content-encoding", b"deflate"), (b"content-encoding", b"gzip")), packed) == b"plain"


def test_a_body_of_two_gzip_members_is_whole():
    assert (
        released((b"content-encoding", b"gzip"), body=gzip.compress(b"one ") + gzip.compress(b"two"))[2] == b"one two"
    )


def test_a_bomb_is_not_unpacked():
    bomb = gzip.compress(b"\0" * (65 * 1024 * 1024), 1)
    assert decoded_body(((b"content-encoding", b"gzip"),), bomb) is None


def test_no_more_is_unpacked_than_is_kept(monkeypatch):
    bounds: list[int] = []

    class Unpacker:
        def __init__(self, wbits: int) -> None:
            self._inner = ZLIB(wbits=wbits)

        def decompress(self, packed: bytes, most: int) -> bytes:
            bounds.append(most)
            return self._inner.decompress(packed, most)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    monkeypatch.setattr(response_body, "_LARGEST_DECODED", 1000)
    monkeypatch.setattr(zlib, "decompressobj", Unpacker)
    coding = ((b"content-encoding", b"gzip"),)
    assert decoded_body(coding, gzip.compress(b"a" * 600) + gzip.compress(b"b" * 399)) == b"a" * 600 + b"b" * 399
    assert bounds == [1000, 400]
    assert decoded_body(coding, gzip.compress(b"a" * 600) + gzip.compress(b"b" * 400)) is None
    assert decoded_body(coding, gzip.compress(b"a" * 10_000)) is None


@given(HEADERS, st.binary(), st.text(max_size=20), st.integers(200, 599))
def test_whatever_was_held_is_released(headers, body, accept_encoding, status):
    captured = [(name, value) for name, value in headers if name.lower() not in (b"location", b"content-location")]
    released(*captured, body=body, status=status, accept_encoding=accept_encoding)


# ------------------------------------------------------------------------------------------------------------- capture


def start(*headers, status=200, **more):
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def part(body, more_body=False):
    return {"type": "http.response.body", "body": body, "more_body": more_body}


@given(st.lists(st.binary(), min_size=1))
def test_any_split_of_the_body_is_one_body(parts):
    capture = Capture(10_000)
    capture.add(start())
    for body in parts[:-1]:
        capture.add(part(body, more_body=True))
        assert not capture.complete
    capture.add(part(parts[-1]))
    assert capture.complete
    assert capture.body == b"".join(parts)


def test_a_body_at_the_limit_is_held_and_one_byte_more_is_not():
    capture = Capture(4)
    capture.add(start())
    capture.add(part(b"1234", more_body=True))
    with pytest.raises(LoginNotHeld):
        capture.add(part(b"5", more_body=True))
    assert capture.body == b""
    assert capture.messages == []


@pytest.mark.parametrize(
    "kind",
    [
        "http.response.pathsend",
        "http.response.zerocopysend",
        "http.response.trailers",
        "http.response.push",
        "http.response.debug",
        "x",
    ],
)
def test_a_message_that_cannot_be_kept_refuses(kind):
    capture = Capture(100)
    capture.add(start())
    with pytest.raises(LoginNotHeld, match="protected"):
        capture.add({"type": kind})


def test_a_response_that_starts_twice_refuses():
    capture = Capture(100)
    capture.add(start(status=401))
    with pytest.raises(LoginNotHeld, match="protected"):
        capture.add(start())
    assert capture.status == 401


def test_before_anything_has_come_there_is_nothing():
    capture = Capture(100)
    assert (capture.status, capture.headers, capture.body, capture.messages) == (0, (), b"", [])
    assert capture.complete is False


def test_what_a_message_leaves_out_is_empty_and_the_last():
    capture = Capture(0)
    capture.add({"type": "http.response.start", "status": 204})
    assert capture.headers == ()
    assert capture.complete is False
    capture.add({"type": "http.response.body"})
    assert capture.complete is True
    assert capture.body == b""


def test_messages_are_kept_as_they_were_whatever_the_app_does_with_its_own():
    capture = Capture(100)
    buffer = bytearray(b"one")
    beginning = start((b"a", b"b"), x=1)
    capture.add(beginning)
    beginning["status"] = 500
    capture.add({"type": "http.response.body", "body": buffer, "more_body": True})
    buffer[:] = b"two"
    assert capture.messages == [start((b"a", b"b"), x=1), part(b"one", more_body=True)]


def test_trailers_that_are_announced_refuse():
    with pytest.raises(LoginNotHeld):
        Capture(100).add(start(trailers=True))


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0", b"\r\nSet-Cookie: a=b"], ids=["CR", "LF", "NUL", "a field"])
def test_a_field_that_would_split_the_response_refuses(byte):
    for pair in ((b"x-name" + byte, b"1"), (b"x-name", b"1" + byte)):
        with pytest.raises(LoginNotHeld):
            Capture(100).add(start(pair))


def test_fields_may_come_as_any_bytes_and_any_iterable():
    capture = Capture(100)
    capture.add({"type": "http.response.start", "status": 200, "headers": iter([[bytearray(b"a"), memoryview(b"b")]])})
    assert capture.headers == ((b"a", b"b"),)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_session_with_a_number_that_json_does_not_know_cannot_be_held(value: float):
    with pytest.raises(LoginNotHeld):
        TokenRecord("alice", held=HeldLogin(200, (), b"", "/login", session={"number": value})).encode()
