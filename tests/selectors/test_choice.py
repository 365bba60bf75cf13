"""The selectors of a setting together: when they are asked, when they cannot see, and which logins come too late."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import jwt
import pytest

from mfa_middleware import ConfigurationError, LoginNotHeld, Misconfigured, Settings, mark_login
from mfa_middleware.passage import READING
from mfa_middleware.selectors import LoginSelectors, Place, RequestExchange, RequestSelectors, parse_selectors
from mfa_middleware.selectors.base import ALREADY_HAD, Selector
from mfa_middleware.selectors.choice import selector_kinds
from mfa_middleware.sessions import SessionBefore
from tests.selectors.exchanges import login_exchange, login_user, scope_of

KEY = "k" * 32
#: As long as the shortest session id.
ID = "0123456789abcdef"


def selectors(text: str, **given: object) -> LoginSelectors:
    return LoginSelectors(parse_selectors("MFA_LOGIN_USER", text, Settings(**given)))


def of_requests(text: str, variable: str = "MFA_REQUEST_USER", **given: object) -> RequestSelectors:
    return RequestSelectors(variable, parse_selectors(variable, text, Settings(**given)))


def token_of(user: str) -> str:
    return jwt.encode({"sub": user}, KEY)


# ---------------------------------------------------------------------------------------------- at a response's start


def test_a_mark_is_noticed():
    exchange = login_exchange()
    assert not selectors("mark").notice(exchange)
    mark_login(exchange.scope, "alice")
    assert selectors("mark").notice(exchange)


def test_a_mark_of_nobody_silences_the_others():
    exchange = login_exchange(b"", {"x-user": "alice"})
    mark_login(exchange.scope, None)
    assert not selectors("mark, header:X-User").notice(exchange)


def test_a_field_is_noticed_however_it_is_spelt():
    assert selectors("header:x-user").notice(login_exchange(b"", {"X-User": "alice"}, declared=False))
    assert not selectors("header:x-user").notice(login_exchange(b"", {"X-Other": "alice"}))


@pytest.mark.parametrize("declared", [True, False])
def test_inside_a_session_s_change_is_noticed_on_every_path(declared):
    exchange = login_exchange(session={"u": "alice"}, declared=declared)
    assert exchange.place is Place.INSIDE
    assert selectors("session:u").notice(exchange)
    exchange.session_before = SessionBefore(exchange.scope)
    assert not selectors("session:u").notice(exchange)


@pytest.mark.parametrize("declared", [True, False])
def test_outside_a_session_that_the_app_leaves_is_noticed_on_declared_paths(declared):
    exchange = login_exchange(declared=declared)
    exchange.scope["session"] = {"u": "alice"}
    assert exchange.place is Place.OUTSIDE
    assert selectors("session:u").notice(exchange) is declared


def test_what_reads_a_body_notices_nothing_and_needs_all_of_it():
    exchange = login_exchange({"user": "alice"})
    assert not selectors("json:/user").notice(exchange)
    assert not Selector().notices(exchange)
    assert selectors("json:/user").needs_body(Place.OUTSIDE)
    assert selectors("mark, json:/user").needs_body(Place.INSIDE)
    assert not selectors("mark, session:u, header:x-user").needs_body(Place.INSIDE)
    assert selectors("whoami:/me#/id").needs_body(Place.OUTSIDE)
    assert not selectors("whoami:/me#/id").needs_body(Place.INSIDE)


def test_the_field_between_the_app_and_us_does_not_go_out():
    fields = [(b"X-USER", b"alice"), (b"x-kept", b"x-user"), (b"X-Kept", b"2")]
    assert selectors("header:x-user, json:/user").without_fields(fields) == fields[1:]
    assert selectors("json:/user").without_fields(fields) == fields


def test_the_session_s_value_is_what_stands_there_now():
    assert selectors("json:/user, session:u").session_value({"session": {"u": 7}}) == 7
    assert selectors("json:/user").session_value({"session": {"u": 7}}) is None
    assert selectors("session:u").sees_session
    assert not selectors("json:/user").sees_session


# ------------------------------------------------------------------------------------------- where none can ever see


@pytest.mark.parametrize(
    ("text", "place"),
    [("mark", Place.OUTSIDE), ("mark", Place.INSIDE), ("json:/user", Place.INSIDE), ("whoami:/me#/id", Place.OUTSIDE)],
)
def test_selectors_that_can_see_are_no_blindness(text, place):
    exchange = login_exchange(b"", {"set-cookie": "session=NEW"})
    exchange.place = place
    selectors(text).refuse_blindness(exchange)


async def test_a_selector_for_the_other_place_is_blind_unless_the_app_marks():
    blind = selectors("mark, whoami:/me#/id")
    exchange = login_exchange(session={})
    with pytest.raises(Misconfigured) as refused:
        blind.refuse_blindness(exchange)
    assert "inside of the session middleware" in refused.value.reason
    mark_login(exchange.scope, "alice")
    assert await blind.user(exchange) == "alice"
    blind.refuse_blindness(login_exchange(session={}))


@pytest.mark.parametrize(
    ("text", "response", "scope", "blind"),
    [
        ("mark, session:u", {"set-cookie": "session=NEW"}, {}, True),
        ("session:u", {"set-cookie": "session=NEW"}, {}, True),
        ("session:u", {"set-cookie": "other=NEW"}, {}, False),
        ("session:u", {}, {}, False),
        ("session:u, json:/user", {"set-cookie": "session=NEW"}, {}, False),
        ("json:/user", {"set-cookie": "session=NEW"}, {}, False),
        ("session:u", {"set-cookie": "session=NEW"}, {"session": {}}, False),
    ],
    ids=repr,
)
def test_from_outside_session_is_blind_where_the_app_leaves_none_and_starts_one(text, response, scope, blind):
    exchange = login_exchange(b"", response)
    exchange.scope.update(scope)  # what the app left there
    assert exchange.place is Place.OUTSIDE
    if blind:
        with pytest.raises(Misconfigured, match="not set up"):
            selectors(text).refuse_blindness(exchange)
    else:
        selectors(text).refuse_blindness(exchange)


def test_inside_session_is_not_blind():
    exchange = login_exchange(b"", {"set-cookie": "session=NEW"}, session={})
    del exchange.scope["session"]  # an app that throws it away
    selectors("session:u").refuse_blindness(exchange)


# --------------------------------------------------------------------- where nobody is found, and a token may be given


def expected(body: object, response: dict | None = None, status: int = 200):
    exchange = login_exchange(body, response)
    exchange.expected = True
    exchange.status = status
    return exchange


@pytest.mark.parametrize("text", ["json:/user", "jwt:/jwt#sub", "mark, json:/user, jwt:/jwt#sub"])
@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(lambda: expected({"data": {"token": "opaque"}}), id="a token in another place"),
        pytest.param(lambda: expected({"data": {"access_token": "opaque"}}, status=400), id="a token with an error"),
        pytest.param(lambda: expected(b"opaque"), id="a success that is no JSON"),
        pytest.param(lambda: expected(b"opaque", status=299), id="the last status of success"),
        pytest.param(lambda: expected(b"", {"set-cookie": "session=NEW"}, 302), id="a redirection with a session"),
        pytest.param(lambda: expected(b"no", {"set-cookie": "session=NEW"}, 400), id="an error with a session"),
    ],
)
async def test_a_login_that_these_selectors_cannot_read_is_a_doubt(text, exchange):
    with pytest.raises(LoginNotHeld):
        await selectors(text).user(exchange())


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(lambda: expected({"error": "wrong"}), id="JSON without a token"),
        pytest.param(lambda: expected({"error": "wrong"}, {"set-cookie": "session=NEW"}), id="JSON with a session"),
        pytest.param(lambda: expected(b"wrong", status=300), id="no success"),
        pytest.param(lambda: expected(b"wrong", status=401), id="an error"),
        pytest.param(lambda: expected(b" \n"), id="a blank body"),
        pytest.param(lambda: expected(b""), id="no body"),
        pytest.param(lambda: expected(b"", status=302), id="a redirection"),
        pytest.param(lambda: login_exchange({"token": "opaque"}), id="of another method"),
        pytest.param(lambda: login_exchange(b"opaque"), id="no JSON of another method"),
    ],
)
async def test_a_login_that_failed_is_nobody_s(exchange):
    assert await selectors("json:/user").user(exchange()) is None


async def test_what_sees_more_than_json_is_believed_when_it_finds_nobody():
    assert await selectors("json:/user, header:x-user").user(expected(b"opaque")) is None
    inside = login_exchange(b"opaque", session={})
    inside.expected = True
    assert await selectors("json:/user, session:u").user(inside) is None


async def test_a_packed_answer_is_unpacked_before_it_is_doubted():
    packed = gzip.compress(b'{"token": "opaque"}')
    with pytest.raises(LoginNotHeld):
        await selectors("json:/user").user(expected(packed, {"content-encoding": "gzip"}))


# ------------------------------------------------------------------------------------------- a login of several users


@pytest.mark.parametrize("text", ["json:/user", "header:x-user"])
@pytest.mark.parametrize(
    ("document", "doubt"),
    [
        ([token_of("alice"), token_of("bob")], False),
        ([{"t": token_of("alice")}, {"t": token_of("bob")}], True),
        ({"a": {"t": token_of("alice")}, "b": {"t": token_of("bob")}}, True),
        ({"a": {"t": token_of("alice")}, "b": [[{"t": token_of("bob")}]]}, True),
        ({"a": {"t": token_of("alice")}, "b": {"t": token_of("bob")}, "c": {"t": token_of("carol")}}, True),
        ({"a": {"t": token_of("alice")}, "b": {"t": token_of("alice")}}, False),
        ({"access": token_of("alice"), "identity": token_of("alice@example.com")}, False),
        ({"a": {"t": token_of("alice")}, "b": {"t": "opaque"}, "c": {}, "d": 1}, False),
        ({"a": {"t": token_of("alice")}, "b": {"t": jwt.encode({}, KEY)}}, True),
        ({"a": {"t": token_of("alice")}, "b": {"t": "eyJunkunk.junk." + "j" * 16}}, True),
    ],
)
async def test_tokens_of_several_subjects_in_different_objects_are_a_doubt(text, document, doubt):
    exchange = login_exchange({"user": "alice", "data": document}, {"x-user": "alice"})
    if doubt:
        with pytest.raises(LoginNotHeld) as refused:
            await login_user(text, exchange)
        assert "several users" in refused.value.reason
    else:
        assert await login_user(text, exchange) == "alice"


async def test_an_expired_token_names_its_subject_too():
    expired = jwt.encode({"sub": "bob", "exp": 1}, KEY)
    with pytest.raises(LoginNotHeld):
        await login_user(
            "json:/user", login_exchange({"user": "alice", "a": {"t": token_of("alice")}, "b": [{"t": expired}]})
        )


async def test_jwt_takes_a_token_of_another_name_and_refuses_those_of_several_users():
    alice, bob = token_of("alice"), token_of("bob")
    assert await login_user("jwt:/token#sub", login_exchange({"data": {"mine": alice, "token": "opaque"}})) == "alice"
    assert await login_user("jwt:/token#sub", login_exchange([{"token": alice}, {"token": alice}])) == "alice"
    for document in ([{"token": alice}, {"token": bob}], {"x": alice, "y": bob}):
        with pytest.raises(LoginNotHeld):
            await login_user("jwt:/token#sub", login_exchange(document))


@dataclass
class Read:
    """What a dialect has read in a request."""

    is_plain: bool
    changes: bool = False

    def may_have_chosen(self, name: str) -> bool:
        return not self.is_plain


ALICE, BOB = token_of("alice"), token_of("bob")


@pytest.mark.parametrize(
    ("document", "read", "user"),
    [
        ({"token": ALICE, "mine": BOB}, None, "alice"),
        ({"token": ALICE, "mine": BOB}, Read(is_plain=True), "alice"),
        ({"token": ALICE, "mine": BOB}, Read(is_plain=False), LoginNotHeld),
        ({"token": ALICE}, Read(is_plain=False), "alice"),
        ({"data": {"token": ALICE, "mine": BOB}}, None, LoginNotHeld),
        ({"data": {"token": ALICE, "mine": BOB}}, Read(is_plain=True), "alice"),
    ],
)
async def test_where_the_client_may_choose_names_jwt_counts_all_tokens(document, read, user):
    text = "jwt:/data/token#sub" if "data" in document else "jwt:/token#sub"
    assert await found_or_doubt(text, document, read) == user


@pytest.mark.parametrize(
    ("document", "read", "user"),
    [
        ({"user": "alice"}, Read(is_plain=True), "alice"),
        ({"user": "alice"}, Read(is_plain=False), LoginNotHeld),
        ({"mine": "junk"}, Read(is_plain=False), None),
        ({"token": "opaque"}, Read(is_plain=False), LoginNotHeld),
        ({"mine": "0123456789-abcdefghij"}, Read(is_plain=False), None),
        ({"mine": "0123456789-abcdefghij"}, Read(is_plain=False, changes=True), LoginNotHeld),
        ({"mine": "junk"}, Read(is_plain=False, changes=True), None),
        ({"mine": "0123456789-abcdefghij"}, Read(is_plain=True, changes=True), None),
    ],
)
async def test_where_the_client_may_choose_names_json_is_not_believed(document, read, user):
    assert await found_or_doubt("json:/user", document, read) == user


async def found_or_doubt(text: str, document: object, read: Read | None) -> object:
    exchange = login_exchange(document)
    if read is not None:
        exchange.scope[READING] = read
    try:
        return await login_user(text, exchange)
    except LoginNotHeld:
        return LoginNotHeld


async def test_json_of_a_batch_must_name_one_user():
    assert await login_user("json:/user", login_exchange([{"user": 7}, {"user": "7"}, {}])) == "7"
    with pytest.raises(LoginNotHeld):
        await login_user("json:/user", login_exchange([{"user": "alice"}, {"user": "bob"}]))


# ------------------------------------------------------------------------------------ what the client had already


@pytest.mark.parametrize(
    ("body", "response", "request_fields", "reason"),
    [
        ({"access_token": "OLD"}, {}, {"authorization": "Bearer OLD"}, "the client had before"),
        ({"access_token": "NEW"}, {}, {"authorization": "Bearer OLD"}, None),
        ({"token": "OLD", "access_token": "NEW"}, {}, {"authorization": "Bearer OLD"}, None),
        ({"access_token": "OLD"}, {"set-cookie": "session=NEW"}, {"authorization": "Bearer OLD"}, None),
        ({}, {}, {"authorization": "Bearer OLD"}, None),
        ({}, {"set-cookie": "session=NEW"}, {"cookie": "session=OLD"}, None),
        ({"token": "NEW"}, {}, {"cookie": "session=OLD"}, None),
        ({}, {}, {"cookie": "session=OLD"}, ALREADY_HAD),
        ({}, {"set-cookie": "session=OLD"}, {"cookie": "session=OLD"}, ALREADY_HAD),
        ({}, {"set-cookie": "session="}, {"cookie": "session=OLD"}, ALREADY_HAD),
        ({}, {"set-cookie": f"sid={ID}"}, {"cookie": f"sid={ID}"}, ALREADY_HAD),
        ({}, {"set-cookie": f'sid="{ID}"'}, {"cookie": f"sid={ID}"}, ALREADY_HAD),
        ({}, {"set-cookie": f"sid=X{ID}X"}, {"cookie": f"sid=X{ID}X"}, ALREADY_HAD),
        ({}, {"set-cookie": f"sid={ID[1:]}"}, {"cookie": f"sid={ID[1:]}"}, None),
        ({}, {"set-cookie": f"sid={ID}x"}, {"cookie": f"sid={ID}"}, None),
        ({}, {"set-cookie": f"sid={ID}; Max-Age=0"}, {"cookie": f"sid={ID}"}, None),
        ({}, {"set-cookie": f"other={ID}"}, {"cookie": f"sid={ID}"}, None),
        ({}, {}, {"cookie": f"sid={ID}"}, None),
        ({}, {}, {}, None),
    ],
    ids=repr,
)
async def test_from_outside_a_login_that_the_client_could_use_without_its_response_is_refused(
    body, response, request_fields, reason
):
    def exchange(**more):
        return login_exchange({"user": "alice", **body}, response, request=request_fields, **more)

    if reason is None:
        assert await login_user("json:/user", exchange()) == "alice"
    else:
        with pytest.raises(LoginNotHeld) as refused:
            await login_user("json:/user", exchange())
        assert reason in refused.value.reason
    assert await login_user("json:/user", exchange(session={})) == "alice"  # inside, the session is put back


async def test_a_session_that_is_blocked_may_be_signed_in():
    exchange = login_exchange({"user": "alice"}, request={"cookie": "session=OLD"})
    exchange.gated = True
    assert await login_user("json:/user", exchange) == "alice"


# ------------------------------------------------------------------------------------------------------------ requests


def exchange_of(scope: dict | None = None) -> RequestExchange:
    return RequestExchange(scope or scope_of(), None)


def test_no_selectors_are_false():
    assert not RequestSelectors("MFA_REQUEST_ADMIN", ())
    assert of_requests("session:u")


def test_which_selectors_answer_in_a_request():
    both = of_requests("session:u, header:x-user")
    assert [one.kind for one in both.usable(Place.OUTSIDE)] == ["header"]
    assert [one.kind for one in both.usable(Place.INSIDE)] == ["session", "header"]


async def test_the_user_of_the_bearer_token_alone():
    request = exchange_of(scope_of({"authorization": f"Bearer {token_of('7')}", "x-user": "bob"}))
    assert await of_requests("header:x-user, bearer:sub", app_jwt_key=KEY).bearer(request) == "7"
    assert await of_requests("header:x-user").bearer(request) is None
    assert await of_requests("bearer:sub", app_jwt_key=KEY).bearer(exchange_of()) is None


async def test_one_selector_that_cannot_answer_is_no_trouble_where_another_does():
    class Troubled(Selector):
        kind = "troubled"
        in_request = Place.ANYWHERE

        async def of_request(self, request: RequestExchange) -> object:
            raise Misconfigured("cannot answer")

    (header,) = parse_selectors("MFA_REQUEST_USER", "header:x-user", Settings())
    both = RequestSelectors("MFA_REQUEST_USER", (Troubled(), header))
    assert await both.values(exchange_of(scope_of({"x-user": "alice"}))) == ["alice"]
    with pytest.raises(Misconfigured) as refused:
        await both.values(exchange_of())
    assert refused.value.reason == "cannot answer"


def test_only_who_logs_in_must_be_asked_for():
    assert parse_selectors("MFA_REQUEST_ADMIN", "", Settings()) == ()
    for variable in ("MFA_LOGIN_USER", "MFA_REQUEST_USER"):
        with pytest.raises(ConfigurationError, match=variable):
            parse_selectors(variable, " , ", Settings())


def test_a_plugin_s_kind_is_added_and_may_not_take_a_name_that_exists():
    class Badge(Selector):
        kind = "badge"

    kinds = selector_kinds([Badge])
    assert kinds["badge"] is Badge
    assert {"mark", "json", "whoami"} < set(kinds)
    assert "badge" not in selector_kinds([])
    for again in ([Badge, Badge], [type("Json", (Selector,), {"kind": "json"})]):
        with pytest.raises(ConfigurationError, match="twice"):
            selector_kinds(again)


# ---------------------------------------------------------------------------------------------------------- a setting


def test_what_there_is_among_the_selectors_is_known():
    found = selectors("mark, whoami:/me#/user")
    assert found.marks
    assert found.asks is not None
    assert found.asks.kind == "whoami"
    other = selectors("json:/user")
    assert not other.marks
    assert other.asks is None


@pytest.mark.parametrize(("variable", "text", "said"), [
    ("MFA_LOGIN_USER", "bearer:sub", "a login response"),
    ("MFA_REQUEST_USER", "json:/user", "a request"),
])  # fmt: skip
def test_a_selector_that_can_never_answer_there_is_refused_with_the_place(variable: str, text: str, said: str):
    with pytest.raises(ConfigurationError, match=f"cannot answer for {said};"):
        parse_selectors(variable, text, Settings(app_jwt_key=KEY))


async def test_who_cannot_answer_names_the_setting():
    asked = of_requests("session:name", "MFA_REQUEST_NAME")
    with pytest.raises(Misconfigured) as raised:
        await asked.values(RequestExchange(scope_of(), None))
    assert raised.value.reason.startswith("MFA_REQUEST_NAME: ")
