"""A DynamoDB on loopback: LocalStack's own runs a Java program that it downloads, moto's runs in this process."""

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any, Self

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, make_server

from tests.local_cloud.license_manager.server import HOST, QuietHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


_accounts = itertools.count(1)
"""moto keeps one state for all of a process; each server has an account of its own there."""


class DynamoDBServer:
    """Listens while its `with` block lasts. `away`: it answers every call with a fault of its own.

    `denial` says why a call is not allowed, from operation, parameters, region and access key; `""` where it is.
    """

    def __init__(self) -> None:
        self.away = False
        self.denial: Callable[[str, Any, str, str], str] = lambda *_: ""
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None
        self._account = f"{next(_accounts):012}"

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL_DYNAMODB."""
        assert self._server
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._server = make_server(HOST, 0, self._serve, threaded=True, request_handler=QuietHandler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        if self.away:
            return _error("InternalServerError", "It is away.", 500)(environ, start_response)
        body = request.get_data()
        environ["wsgi.input"] = BytesIO(body)  # moto reads it again
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = self._account
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        key, _, region, *_ = request.headers.get("Authorization", "").partition("Credential=")[2].split("/") + [""] * 3
        if denial := self.denial(operation, json.loads(body or b"{}"), region, key):
            return _error("AccessDeniedException", denial, 400)(environ, start_response)
        return self._moto(environ, start_response)  # type: ignore[no-any-return]


def _error(code: str, message: str, status: int) -> Response:
    said = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    request_id = {"x-amzn-RequestId": str(uuid.uuid4())}  # Step Functions writes it into the Cause
    return Response(json.dumps(said), status, request_id, mimetype="application/x-amz-json-1.0")
