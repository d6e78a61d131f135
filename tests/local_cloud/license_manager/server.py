"""The service on a port of 127.0.0.1, and commands under `/_control/` beside it."""

import json
import socket
import threading
from collections.abc import Iterable
from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Self

from werkzeug import Request, Response
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.local_cloud.license_manager.back_end import answer_request
from tests.simulation.license_manager.service import ConversionService

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HOST = "127.0.0.1"
CONTROL = "/_control/"
COMMANDS = (
    "add_task", "change_task", "finish_task", "delete_task", "tasks", "calls", "configure", "reset", "license_context",
    "faults/queue", "faults/rates", "faults/limit", "faults/clear",
)  # fmt: skip


class LicenseManagerServer(ConversionService):
    """A License Manager that listens while its `with` block lasts; port 0 takes a free one.

    moto's `ThreadedMotoServer` can serve one too, but wants Flask's CORS extension, keeps its port after it has stopped,
    and waits for ever for a port that is taken, where this one raises OSError.
    """

    def __init__(self, port: int = 0, **settings: Any) -> None:
        super().__init__(**settings)
        self._port = port
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
        """Close the port, and drop the calls that wait for a reply. Tasks and calls stay readable."""
        if self._server:
            self.released.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server, self.released = None, threading.Event()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _serve(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        if request.path.startswith(CONTROL):
            return self._control(request)(environ, start_response)
        status, headers, body = answer_request(self, request)
        return Response(body, status, headers)(environ, start_response)

    def _control(self, request: Request) -> Response:
        command, body = request.path.removeprefix(CONTROL), request.get_data()
        if command not in COMMANDS:
            return _as_json({"error": f"{command!r} is no command: use one of {', '.join(COMMANDS)}"}, 404)
        try:
            found = attrgetter(command.replace("/", "."))(self)
            return _as_json(found(**json.loads(body or b"{}")) if callable(found) else found)
        except KeyError as error:
            return _as_json({"error": f"There is no task {error}"}, 400)
        except (TypeError, ValueError) as error:
            return _as_json({"error": str(error)}, 400)


def _as_json(result: object, status: int = 200) -> Response:
    return Response(json.dumps(result, default=asdict) + "\n", status, mimetype="application/json")


class QuietHandler(WSGIRequestHandler):
    """Keeps each request out of the log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass
