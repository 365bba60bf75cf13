"""The body of a response, read: whatever coding or form hides it, the tokens in it are found, or it is a doubt."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfa_middleware import LoginNotHeld
from mfa_middleware.response_body import bearer_tokens, decoded_body, header, is_graphql, is_jwt, json_body, token_like
from tests.strategies import JSON


def test_a_body_hidden_by_a_coding_is_a_doubt_and_not_held():
    with pytest.raises(LoginNotHeld):
        json_body(((b"content-encoding", b"br"),), b"x")


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"br", b""),
        (b"gzip", b""),
        (b"gzip", gzip.compress(b"")),
        (b"deflate, gzip", gzip.compress(zlib.compress(b""))),
    ],
    ids=["br", "gzip", "packed", "packed twice"],
)
def test_nothing_is_hidden_by_a_coding_of_nothing(coding, body):
    fields = ((b"content-encoding", coding), (b"content-type", b"application/json"))
    assert decoded_body(fields, body) == b""
    assert json_body(fields, body) is None


def test_bearer_tokens_are_found_at_any_depth():
    document = {"data": [{"token": "one"}, {"deep": {"access_token": "two", "token": 3}}], "access_token": ""}
    assert bearer_tokens(document) == ["one", "two"]
    nested: object = {"token": "deep"}
    for _ in range(500):
        nested = [nested]
    assert bearer_tokens(nested) == ["deep"]


def test_what_is_like_a_token_is_found_at_any_depth_once_and_in_order():
    one, two = "token-0123456789-abcd", "A1" * 10
    document = {"a": [one, {"b": {"c": two}}], "d": one, "e": 5, "f": None, "g": "short1", "h": True}
    assert list(token_like(document).items()) == [(one, frozenset("ad")), (two, frozenset("c"))]
    assert token_like(one) == {one: {""}}
    assert token_like(7) == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a" * 19 + "1", True),
        ("a" * 18 + "1", False),
        ("a" * 40, False),
        ("1" + "a" * 4095, True),
        ("1" + "a" * 4096, False),
        ("a1._~+/-" * 3 + "==", True),
        ("a1=" + "a" * 30, False),
        ("a1 " + "a" * 30, False),
        ("\u0661" * 30, False),
        ("0123abcd-0123-4567-89ab-0123456789ab", False),
        ("0123ABCD-0123-4567-89AB-0123456789AB", False),
        ("0123abcd-0123-4567-89ab-0123456789abc", True),
        ("0123abcd-0123-4567-89ab-0123456789ag", True),
    ],
)
def test_a_token_is_long_has_a_digit_and_is_no_uuid(text, found):
    assert list(token_like([text])) == ([text] if found else [])


@pytest.mark.parametrize("finding", [token_like, bearer_tokens], ids=lambda one: one.__name__)
def test_no_depth_hides_a_token(finding):
    """A client of GraphQL may choose how deep its answer is."""
    token = "eyJhbGciOi.eyJzdWIi." + "s" * 15 + "1"
    nested: object = token
    for number in range(5000):
        nested = [nested] if number % 2 else {"x": nested}
    assert list(finding(nested)) == [token]


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("text/event-stream", 'event: next\r\ndata: {"data": {"token": "one"}}\r\n\r\n', [{"data": {"token": "one"}}]),
        ("multipart/mixed; boundary=-", '---\r\n\r\n{"a": 1}\r\n---\r\n\r\n[2]\r\n-----', [{"a": 1}, [2]]),
        ("text/event-stream", "data: <p>Welcome</p>\n\n", None),
        ("text/html", '{"a": 1}\n{"b": 2}', None),
    ],
)
def test_the_documents_of_a_stream_are_read_line_by_line(kind, body, found):
    """As GraphQL servers answer a client that asks for it."""
    assert json_body(((b"content-type", kind.encode()),), body.encode()) == found


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"data": {"user": 1}}, True),
        ({"data": None, "errors": [], "extensions": {}}, True),
        ([{"other": 1}, {"data": {}}], True),
        ([5, "data"], False),
        ({"errors": []}, False),
        ({"data": 1, "status": "ok"}, False),
        ("data", False),
        (None, False),
    ],
    ids=str,
)
def test_what_a_graphql_server_may_have_answered(document, found):
    assert is_graphql(document) is found


@pytest.mark.parametrize("kind", [b"text/event-stream", b" Multipart/mixed; boundary=B"])
def test_an_answer_in_several_parts_is_each_document_that_stands_in_a_line(kind):
    body = b'event: next\r\ndata: {"data": 1}\n\n--B\n{"token": "x"}\n[[[\n'
    assert json_body(((b"content-type", kind),), body) == [{"data": 1}, {"token": "x"}]
    assert json_body(((b"content-type", kind),), b"--B--") is None
    assert json_body(((b"content-type", b"text/html"),), body) is None


def test_the_tokens_of_an_object_come_before_those_in_it():
    jwt = "eyJhbGciOi.eyJzdWIi." + "s" * 16
    assert bearer_tokens({"deep": [{"token": "two"}], "mine": jwt, "token": "one", "again": jwt}) == ["one", "two", jwt]


@pytest.mark.parametrize(
    ("text", "jwt"),
    [
        ("eyJhbGci.ey." + "s" * 16, True),
        ("eyJhbGc.ey." + "s" * 16, False),
        ("eyJhbGci.e." + "s" * 16, False),
        ("eyJhbGci.ey." + "s" * 15, False),
        ("fyJhbGci.ey." + "s" * 16, False),
        ("eyJhbGci.ey." + "s" * 16 + ".", False),
        (" eyJhbGci.ey." + "s" * 16, False),
    ],
)
def test_the_shape_of_a_jwt(text, jwt):
    assert is_jwt(text) is jwt
    assert bearer_tokens({"any": [text]}) == ([text] if jwt else [])


def test_the_first_field_of_a_name_counts():
    assert header(((b"x", b"0"), (b"X-User", b"caf\xe9"), (b"x-user", b"2")), b"x-user") == "caf\xe9"
    assert header((), b"x-user") == ""


@pytest.mark.parametrize(
    ("body", "fields", "doubt"),
    [
        (b'{"a": 1', ((b"Content-Type", b"application/vnd.api+JSON"),), True),
        (b'{"a": 1', ((b"content-type", b"text/html"),), False),
        (b'{"a": 1', (), False),
        (b" \n", ((b"content-type", b"application/json"),), False),
        (b"", ((b"content-type", b"application/json"),), False),
    ],
)
def test_what_calls_itself_json_and_does_not_parse_is_a_doubt(body, fields, doubt):
    if doubt:
        with pytest.raises(LoginNotHeld, match="protected"):
            json_body(fields, body)
    else:
        assert json_body(fields, body) is None


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_json_or_none(body):
    json_body((), body)
