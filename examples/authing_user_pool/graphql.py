"""GraphQL without a schema: the fields that a document selects are picked from what the operations answer.

That is enough for the documents that the SDKs ship, whose selections are long and of several generations. A field that
an answer lacks is null. Introspection is refused, as many a server does; the Python SDK then sends its documents as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from graphql import FieldNode, GraphQLSyntaxError, OperationDefinitionNode, SelectionSetNode, Undefined, parse
from graphql.utilities import value_from_ast_untyped

from examples.authing_user_pool.pool import Refused

Json = dict[str, Any]
#: Takes an operation's arguments.
Operation = Callable[[Json], object]


def answer(asked: Json, operations: Mapping[str, Operation]) -> Json:
    """Run the operation of a request's document; in its errors ``message`` is an object, as the SDKs want it."""
    try:
        fields = _fields(asked)
    except (GraphQLSyntaxError, ValueError) as error:
        return {"errors": [{"message": {"code": 400, "message": str(error)}}]}
    data: Json = {}
    errors: list[Json] = []
    for node in fields:
        try:
            data[_key(node)] = _run(node, asked.get("variables") or {}, operations)
        except Refused as refused:
            data[_key(node)] = None
            errors.append({"message": {"code": refused.code, "message": refused.message}, "path": [_key(node)]})
    return {"errors": errors, "data": data} if errors else {"data": data}


def _fields(asked: Json) -> list[FieldNode]:
    nodes = parse(str(asked.get("query")), max_tokens=2000).definitions
    if len(nodes) != 1 or not isinstance(nodes[0], OperationDefinitionNode):
        raise ValueError("one operation, please, and no fragments")
    return _selected(nodes[0].selection_set)


def _selected(selection: SelectionSetNode) -> list[FieldNode]:
    return [node for node in selection.selections if isinstance(node, FieldNode)]


def _key(node: FieldNode) -> str:
    return (node.alias or node.name).value


def _run(node: FieldNode, variables: Json, operations: Mapping[str, Operation]) -> object:
    if node.name.value not in operations:
        raise Refused(400, f"there is no operation {node.name.value}")
    arguments = {one.name.value: value_from_ast_untyped(one.value, variables) for one in node.arguments or ()}
    given = {name: value for name, value in arguments.items() if value is not Undefined}
    return _picked(operations[node.name.value](given), node.selection_set)


def _picked(value: object, selection: SelectionSetNode | None) -> object:
    if selection is None:
        return value
    if isinstance(value, list):
        return [_picked(one, selection) for one in value]
    if not isinstance(value, dict):
        return None
    return {_key(node): _picked(value.get(node.name.value), node.selection_set) for node in _selected(selection)}
