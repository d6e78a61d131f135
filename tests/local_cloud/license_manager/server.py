"""The service on a port of 127.0.0.1, and what other processes ask of it: `POST /_control/<command>` takes the Python method's
arguments as a JSON object, and answers its result as JSON.
"""

import json
import re
import socket
import threading
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.simulation.license_manager.service import ConversionService

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
CONTROL = "/_control/"
COMMANDS = {"add_task", "license_context"}
CREDENTIAL = re.compile(r"Credential=(?P<access_key>[^/]*)/[^/]*/(?P<region>[^/]*)/")


class LicenseManagerServer(ConversionService):
    """A License Manager that listens while its `with` block lasts, on a port that is free."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._port = 0
        self._server: BaseWSGIServer | None = None

    @property
    def url(self) -> str:
        """What goes into AWS_ENDPOINT_URL_LICENSE_MANAGER."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> Self:
        """Listen, in a thread of its own."""
        with socket.create_server((HOST, self._port)) as listening:
            self._port = listening.getsockname()[1]
            self._server = make_server(
                HOST, self._port, self._serve, threaded=True, request_handler=QuietHandler, fd=listening.fileno()
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port. Tasks and calls stay readable."""
        if self._server:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        answer = self._control if request.path.startswith(CONTROL) else self._service
        return answer(request)(environ, start_response)

    def _service(self, request: Request) -> Response:
        signed = CREDENTIAL.search(request.headers.get("Authorization", ""))
        status, body = self.reply(
            request.headers.get("X-Amz-Target", "").rpartition(".")[2],
            request.get_data(),
            region=signed["region"] if signed else "us-east-1",
            access_key=signed["access_key"] if signed else "",
        )
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
        return Response(body, status, headers)

    def _control(self, request: Request) -> Response:
        command, body = request.path.removeprefix(CONTROL), request.get_data()
        if command not in COMMANDS:
            return Response(f"{command!r} is no command", 404)
        result = getattr(self, command)(**json.loads(body or b"{}"))
        return Response(json.dumps(result) + "\n", mimetype="application/json")


class QuietHandler(WSGIRequestHandler):
    """Keeps each request out of the log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
