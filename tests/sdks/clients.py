"""A client of an SDK in a process of its own, which the tests tell what to call.

The programs read lines of JSON ``{"call": "mfa.getMfaAuthenticators", "arguments": […]}`` and answer each with a line
``{"value": …}`` or ``{"thrown": …}``. What the SDK prints besides goes to the log.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from tests.sdks.installing import Sdks, own_environment

_HERE = Path(__file__).parent
_ANSWER_SECONDS = 60


class Thrown(Exception):
    """What the SDK threw: ``code``, ``message`` and ``data`` as its users see them."""

    def __init__(self, what: Mapping[str, Any]) -> None:
        super().__init__(json.dumps(what, ensure_ascii=False))
        self.what = what
        # Version 3 throws GraphQL's error as it is, whose message is an object.
        said = what["message"] if isinstance(what.get("message"), dict) else what
        self.code: object = said.get("code")
        self.message: object = said.get("message")
        self.data: Any = said.get("data")

    @property
    def reason(self) -> object:
        """The word for it that is our own; Authing has not a number for everything."""
        return self.data["error"]


class Client:
    """One client. A context manager that starts and ends its process."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        self._command = command
        self._env = env
        self._lines: queue.Queue[str] = queue.Queue()

    def call(self, name: str, *arguments: object) -> Any:
        """Call a method of the SDK's client; gives what it answers.

        :raises Thrown: what it threw.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._lines.get(timeout=_ANSWER_SECONDS) or '{"thrown": {"message": "its process ended"}}')
        if "thrown" in answer:
            raise Thrown(answer["thrown"])
        return answer.get("value")

    def refusal(self, name: str, *arguments: object) -> Thrown:
        """What a call throws that must not succeed."""
        try:
            value = self.call(name, *arguments)
        except Thrown as thrown:
            return thrown
        raise AssertionError(f"{name} should have been refused, and answered {value!r}")

    def __enter__(self) -> Self:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, env=self._env, stdin=pipe, stdout=pipe, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait(_ANSWER_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        """Collect its lines, then an empty one: it has ended."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")


def javascript(sdks: Sdks, program: str, options: Mapping[str, object]) -> Client:
    """A client in Node."""
    command = ("node", str(_HERE / program), json.dumps(options))
    return Client(command, own_environment(NODE_PATH=str(sdks.node_modules)))


def python(sdks: Sdks, options: Mapping[str, object]) -> Client:
    """A client of the Python SDK, run by the interpreter of its own environment."""
    return Client((str(sdks.python), str(_HERE / "sdk_python.py"), json.dumps(options)), own_environment())
