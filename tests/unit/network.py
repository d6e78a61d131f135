"""AWS as botocore reaches it: real clients, and bytes in place of the network."""

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from urllib3 import HTTPResponse

ASSUMED = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIAOFTHEROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


@dataclass(frozen=True)
class SentCall:
    """One request: `said` is its body, `signed_by` the id of the key that it is signed with."""

    operation: str
    said: Mapping[str, Any]
    url: str
    headers: Mapping[str, str]

    @property
    def signed_by(self) -> str:
        return self.headers["Authorization"].partition("Credential=")[2].partition("/")[0]


Reply = tuple[int, Any]
"""A status, and a body: text, bytes, or what JSON can say. An exception in place of the body is raised: the network's."""


def refusal(code: str, message: str = "It said so.", status: int = 400) -> Reply:
    return status, {"__type": code, "message": message}


@dataclass
class Network:
    """Stands where botocore would send a request. `answers`: by operation, one or more, of which the last one stays. Each is a
    body, a whole reply, or a function that makes a reply of what is asked.
    """

    calls: list[SentCall] = field(default_factory=list)
    _answers: dict[str, list[Reply | Callable[[Mapping[str, Any]], Reply]]] = field(default_factory=dict)

    def answers(self, operation: str, *replies: Any, status: int = 200) -> None:
        self._answers[operation] = [
            one if callable(one) or isinstance(one, tuple) else (status, one) for one in replies
        ]

    def refuses(self, operation: str, code: str, message: str = "It said so.", *, status: int = 400) -> None:
        self.answers(operation, refusal(code, message, status))

    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]

    def call(self, operation: str) -> SentCall:
        """The only one of it."""
        (found,) = [call for call in self.calls if call.operation == operation]
        return found

    def __call__(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        headers = {name: _text(value) for name, value in request.headers.items()}
        said = dict(_members(_text(request.body)))
        self.calls.append(SentCall(operation, said, request.url, headers))
        left = self._answers.get(operation) or [(200, ASSUMED if operation == "AssumeRole" else "{}")]
        reply = left.pop(0) if len(left) > 1 else left[0]
        status, body = reply(said) if callable(reply) else reply
        if isinstance(body, Exception):
            raise body
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        raw = HTTPResponse(body=io.BytesIO(text.encode() if isinstance(text, str) else text), preload_content=False)
        return AWSResponse(request.url, status, HTTPHeaders(), raw)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")


def _members(body: str) -> Iterator[tuple[str, Any]]:
    """JSON, or the form of an older protocol."""
    yield from json.loads(body).items() if body.startswith("{") else parse_qsl(body)
