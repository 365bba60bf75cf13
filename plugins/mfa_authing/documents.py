"""GraphQL requests, looked at before they reach the app: which are ours, which carry a code, which rename fields."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Visitor,
    parse,
    visit,
)
from graphql.utilities import value_from_ast_untyped

from mfa_authing.asked import Look
from mfa_middleware.passage import Scope

OURS = frozenset({"queryMFA", "queryMfa", "changeMFA", "changeMfa"})
_OURS = re.compile(r"\b(query|change)M(FA|fa)\b")
_CODE = "MFACode"
_LOGIN = "login"
_UTF_8 = re.compile(rb"\s*charset=\"?utf-?8\"?\s*")
_MOST_TOKENS = 2000
MOST_FIELDS = 10
_KNOWN = frozenset({"query", "variables", "operationName"})  # others may name a document that the server keeps


class Whose(Enum):
    """Who is to answer a request."""

    APPS = "the app's"
    OURS = "ours"
    MIXED = "both"


@dataclass(frozen=True, slots=True)
class Asking:
    """One operation of a request, as it came. ``plain`` says that no server can read another one out of it."""

    query: str = field(repr=False)
    variables: Mapping[str, object] = field(repr=False)
    operation: str | None = None
    plain: bool = False

    def document(self) -> DocumentNode | None:
        """The document; None for one that does not parse, or is too large to be worth it."""
        try:
            return parse(self.query, no_location=True, max_tokens=_MOST_TOKENS)
        except (GraphQLError, RecursionError):
            return None

    @property
    def whose(self) -> Whose:
        """Who answers it. What does not parse is the app's to refuse."""
        document = self.document() if _OURS.search(self.query) else None
        if document is None:
            return Whose.APPS
        fields = [one for operation in self._operations(document) for one in _root_fields(document, operation)]
        names = {one.name.value for one in fields} - {"__typename"}
        if not names & OURS:
            return Whose.APPS
        return Whose.OURS if names <= OURS and len(fields) <= MOST_FIELDS else Whose.MIXED

    @property
    def changes(self) -> bool:
        """Whether it is, or may be, more than a query."""
        document = self.document()
        operations = [] if document is None else self._operations(document)
        return any(one.operation is not OperationType.QUERY for one in operations)

    @property
    def mfa_code(self) -> str | None:
        """The code that the old ``login`` mutation carries."""
        document = self.document() if _CODE in self.query else None
        if document is None:
            return None
        operations = self._operations(document)
        fields = list(_root_fields(document, operations[0])) if len(operations) == 1 else []
        if len(fields) != 1 or fields[0].name.value != _LOGIN:
            return None
        given = [one.value for one in fields[0].arguments or () if one.name.value == _CODE]
        value: object = value_from_ast_untyped(given[0], dict(self.variables)) if given else None
        return value if isinstance(value, str) and value else None

    @property
    def look(self) -> Look:
        """What a server is asked by it, whichever operation it runs."""
        document = self.document() if self.plain else None
        if document is None:
            return Look()
        aliases = _Aliases()
        visit(document, aliases)
        operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
        fields = [one for operation in operations for one in _root_fields(document, operation)]
        changes = any(one.operation is not OperationType.QUERY for one in operations)
        return Look(frozenset(aliases.names), len(fields) == 1 and not aliases.names, changes)

    def _operations(self, document: DocumentNode) -> list[OperationDefinitionNode]:
        """Those that may be run."""
        found = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
        if not self.operation:
            return found
        return [one for one in found if one.name is not None and one.name.value == self.operation]


class _Aliases(Visitor):
    """Collects aliases."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: object) -> None:
        if node.alias is not None:
            self.names.add(node.alias.value)


def _root_fields(document: DocumentNode, operation: OperationDefinitionNode) -> Iterator[FieldNode]:
    """What an operation asks for at its root, through fragments. Each fragment once: they may go in circles."""
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    open_sets: list[SelectionSetNode] = [operation.selection_set]
    while open_sets:
        for one in open_sets.pop().selections:
            if isinstance(one, FieldNode):
                yield one
            elif isinstance(one, FragmentSpreadNode):
                fragment = fragments.pop(one.name.value, None)
                open_sets += [fragment.selection_set] if fragment else []
            elif isinstance(one, InlineFragmentNode):
                open_sets.append(one.selection_set)


def look_at(askings: Sequence[Asking]) -> Look:
    """What the operations of one request ask together."""
    looks = [one.look for one in askings]
    known = [one.aliases for one in looks if one.aliases is not None]
    if not looks or len(known) < len(looks):
        return Look()
    aliases = frozenset[str]().union(*known)
    return Look(aliases, len(looks) == 1 and looks[0].is_plain, any(one.changes for one in looks))


def asked_by_post(scope: Scope, body: bytes) -> Sequence[Asking]:
    """The operations in a JSON body, several in a batch; none where it is nothing of ours to read."""
    try:
        document: object = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return ()
    # Some servers prefer a query in the URL, and some decode the body as its type says.
    plain = not scope["query_string"] and _is_utf_8(scope)
    return _askings(document if isinstance(document, list) else [document], plain=plain)


def asked_by_get(scope: Scope) -> Sequence[Asking]:
    """The operation in a query string."""
    try:
        pairs = parse_qsl(scope["query_string"].decode("ascii"), max_num_fields=20)
        fields = _object(list[tuple[str, object]](pairs))
        fields["variables"] = json.loads(str(fields.get("variables") or "{}"))
    except (ValueError, RecursionError):
        return ()
    has_body = any(name.lower() in (b"content-type", b"transfer-encoding") for name, _ in scope["headers"])
    return _askings([fields], plain=not has_body)


def may_ask(scope: Scope) -> bool:
    """Whether the body of a request is to be read: others (uploads, say) go on at once."""
    kinds = _kinds(scope)
    return (
        scope["method"] == "POST"
        and len(kinds) == 1
        and kinds[0].partition(b";")[0].strip().lower() == b"application/json"
    )


def _kinds(scope: Scope) -> Sequence[bytes]:
    return [value for name, value in scope["headers"] if name.lower() == b"content-type"]


def _is_utf_8(scope: Scope) -> bool:
    """Whether its type names no other character set."""
    parameters = _kinds(scope)[0].lower().partition(b";")[2]
    return b"charset" not in parameters or _UTF_8.fullmatch(parameters) is not None


def is_batch(body: bytes) -> bool:
    """Whether that body is a list."""
    return body.lstrip()[:1] == b"["


class _Twice(dict[str, object]):
    """A JSON object in which a name stands twice: which one counts, each parser decides for itself."""


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Twice(found)


def _askings(items: Sequence[object], *, plain: bool) -> Sequence[Asking]:
    found = [_asking(one, plain=plain) for one in items]
    return () if None in found else [one for one in found if one is not None]


def _asking(item: object, *, plain: bool) -> Asking | None:
    if not isinstance(item, dict) or not isinstance(query := item.get("query"), str):
        return None
    variables, operation = item.get("variables"), item.get("operationName")
    others = {name for name, value in item.items() if value not in (None, "", {})} - _KNOWN
    return Asking(
        query,
        variables if isinstance(variables, dict) else {},
        operation if isinstance(operation, str) else None,
        plain and not others and not isinstance(item, _Twice),
    )
