"""A client of Authing's Python SDK: calls come as lines of JSON, and each is answered with one; see ``clients.py``."""

import json
import sys

import requests
from authing.v2.authentication import (  # type: ignore[import-not-found]
    AuthenticationClient,
    AuthenticationClientOptions,
)
from authing.v2.common.codegen import QUERY  # type: ignore[import-not-found]
from authing.v2.exceptions import AuthingException  # type: ignore[import-not-found]


def main(options):
    known = requests.get(options["host"] + "/api/v2/.well-known", timeout=20).json()["data"]
    client = AuthenticationClient(
        AuthenticationClientOptions(app_id="example", app_host=options["host"], enc_public_key=known["publicKey"])
    )
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": call(client, asked["call"], asked["arguments"])}
        except AuthingException as error:
            answer = {"thrown": {"code": error.code, "message": error.message}}
        except Exception as error:  # noqa: BLE001  the tests look at it
            answer = {"thrown": {"name": type(error).__name__, "message": str(error)}}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def call(client, name, arguments):
    """Call a method; ``document`` sends a GraphQL document that the package ships without a method for it."""
    if name == "document":
        document, variables = arguments
        return client.graphqlClient.request(QUERY[document], variables, client.get_token())
    target = client
    for step in name.split("."):
        target = getattr(target, step)
    keywords = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
    return target(*arguments, **keywords)


main(json.loads(sys.argv[1]))
