"""The License Manager of the local cloud on a port of 127.0.0.1, which speaks AWS JSON to boto3, the AWS CLI and functions.

`POST /_control/<command>` takes the arguments of the Python method as a JSON object, and answers its result as JSON.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.simulation.license_manager.service import ConversionService, Json, ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
COMMANDS = {"/_control/add_task", "/_control/license_context"}
CREDENTIAL = re.compile(r"Credential=([^/]*)/[^/]*/([^/]*)/")


class LicenseManagerServer(ConversionService):
    """Listens while its `with` block lasts. It checks no signature, and keeps all accounts in one.

    `denial` says why a call is not allowed, from operation, parameters, region and access key; `""` where it is.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.denial: Callable[[str, Json, str, str], str] = lambda *_: ""
        self._server = make_server(HOST, 0, self._serve, threaded=True, request_handler=QuietHandler)

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL_LICENSE_MANAGER."""
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request, status = Request(environ), 200
        try:
            answer = self._answer_on_the_wire(request, json.loads(request.get_data() or b"{}"))
        except ServiceError as error:
            answer = {"__type": error.name, "message": str(error)}
            status = 500 if error.name == "ServerInternalException" else 400
        headers = {"x-amzn-RequestId": str(uuid.uuid4())}  # Step Functions writes it into the Cause
        return Response(json.dumps(answer) + "\n", status, headers, mimetype="application/json")(
            environ, start_response
        )

    def _answer_on_the_wire(self, request: Request, parameters: Json) -> Any:
        if request.path in COMMANDS:
            return getattr(self, request.path.rpartition("/")[2])(**parameters)
        operation = request.headers["X-Amz-Target"].rpartition(".")[2]
        access_key, region = CREDENTIAL.findall(request.headers["Authorization"])[0]
        if denial := self.denial(operation, parameters, region, access_key):
            raise ServiceError("AccessDeniedException", denial)
        return self.reply(operation, parameters, region)


class QuietHandler(WSGIRequestHandler):
    """Keeps each request out of the log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
