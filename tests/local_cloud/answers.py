"""Where CloudFormation's presigned URLs lead: an HTTPS receiver on loopback that takes the PUTs of our functions.

It stands in for the S3 buckets behind a custom resource's ``ResponseURL`` and behind a wait condition's handle. Like S3 it takes
a PUT only under a URL that was issued, character for character, with an empty Content-Type and a Content-Length. Unlike S3 it
keeps every PUT it ever received, refused ones too, and can be made to misbehave. It runs inside LocalStack's virtual
environment, where `cloud` asks it, and inside the tests' own.
"""

import base64
import json
import secrets
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

_URL_SECONDS = 7200
_HANDLE_SECONDS = 86400

RESET = "reset"
"""Cut the connection with a TCP reset, nothing taken."""
TIMEOUT = "timeout"
"""Say nothing until the client gives up (at most a minute), nothing taken."""
LOST = "lost"
"""Take the PUT, then cut the connection before the reply."""

Misbehaviour = int | str
"""What one PUT meets: an HTTP status such as 503, ``RESET``, ``TIMEOUT`` or ``LOST``."""


@dataclass(frozen=True)
class Answer:
    """One PUT as it arrived. ``key`` is ``<stack id>|<logical id>|<request id>``, ``outcome`` what the sender got."""

    key: str
    body: str
    outcome: str
    taken: bool
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Issued:
    """One URL as it was handed out, with the request (the custom resource's event, say) that carried it."""

    key: str
    url: str
    request: Mapping[str, Any]

    @property
    def signature(self) -> str:
        """The part of the URL that makes it a credential, as it stands in it."""
        return self.url.rsplit("Signature=", 1)[1]


class AnswersReceiver:
    """Listens from construction until its `with` block ends; everything it offers may be called from any thread."""

    def __init__(self, certificate: Path) -> None:
        """``certificate`` is one PEM file: private key, certificate, chain, good for 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server = _Server(context, self)
        self._changed = threading.Condition()
        self._issued: list[Issued] = []
        self._answers: list[Answer] = []
        self._misbehaviour: list[tuple[str, Misbehaviour]] = []
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="answers", daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def issue(self, key: str, request: Mapping[str, Any] | None = None, *, handle: bool = False) -> str:
        """A URL that looks like S3's presigned ones, under which one request may be answered.

        That of a ``handle`` has the older form: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
        """
        now = datetime.now(UTC)
        if handle:
            signature = quote(base64.b64encode(secrets.token_bytes(20)), safe="")
            query = f"AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires={int(now.timestamp()) + _HANDLE_SECONDS}&Signature={signature}"
        else:
            query = (
                f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date={now:%Y%m%dT%H%M%SZ}"
                f"&X-Amz-SignedHeaders=host&X-Amz-Expires={_URL_SECONDS - 1}"
                f"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F{now:%Y%m%d}%2Fus-east-1%2Fs3%2Faws4_request"
                f"&X-Amz-Signature={secrets.token_hex(32)}"
            )
        url = f"{self.url}/{quote(key, safe='/')}?{query}"
        with self._changed:
            self._issued.append(Issued(key, url, dict(request or {})))
        return url

    def issued(self, key_part: str = "") -> list[Issued]:
        with self._changed:
            return [one for one in self._issued if key_part in one.key]

    def answers(self, key_part: str = "") -> list[Answer]:
        """Every PUT so far whose key contains ``key_part`` (a stack id, a request id), oldest first."""
        with self._changed:
            return [answer for answer in self._answers if key_part in answer.key]

    def wait_for(
        self,
        key: str,
        seconds: float,
        cancelled: threading.Event | None = None,
        enough: Callable[[list[Answer]], object] = bool,
    ) -> list[Answer]:
        """The answers taken under ``key`` as soon as they are ``enough``; what there is when time or patience runs out."""
        deadline = time.monotonic() + seconds
        while True:
            with self._changed:
                taken = [one for one in self._answers if one.key == key and one.taken]
                left = deadline - time.monotonic()
                if enough(taken) or left <= 0 or (cancelled and cancelled.is_set()):
                    return taken
                self._changed.wait(min(left, 0.2))

    def misbehave(self, *kinds: Misbehaviour, key_part: str = "") -> None:
        """Meet the next PUTs whose key contains ``key_part``, one for each kind, with these instead of 200; none given:
        behave again.
        """
        with self._changed:
            if kinds:
                self._misbehaviour.extend((key_part, kind) for kind in kinds)
            else:
                self._misbehaviour.clear()

    def _next_misbehaviour(self, key: str) -> Misbehaviour | None:
        with self._changed:
            for place, (key_part, kind) in enumerate(self._misbehaviour):
                if key_part in key:
                    del self._misbehaviour[place]
                    return kind
            return None

    def _status(self, target: str, headers: Message) -> int:
        """What S3 says to a PUT.

        Its signature covers the path as it was sent (``%7C`` is not ``|``) and, in the older form, the Content-Type, which
        was empty when the URL was signed. The sender of a signal cannot know which form the URL will have.
        """
        if "Transfer-Encoding" in headers:
            return HTTPStatus.NOT_IMPLEMENTED
        if "Content-Length" not in headers:
            return HTTPStatus.LENGTH_REQUIRED
        issued = any(one.url == self.url + target for one in self.issued())
        if not issued or headers.get("Content-Type"):
            return HTTPStatus.FORBIDDEN
        return HTTPStatus.OK

    def _record(self, answer: Answer) -> None:
        with self._changed:
            self._answers.append(answer)
            self._changed.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, context: ssl.SSLContext, receiver: AnswersReceiver) -> None:
        self.context = context
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        # The handshake happens on the connection's own thread: a client that stalls must not keep the others waiting.
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Say nothing: a client that leaves is nothing new here, and a traceback could show a URL."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the base class's name)
        """Say nothing: the request line is a credential."""

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
        kind = self.server.receiver._next_misbehaviour(_key(self.path))
        status = int(self.server.receiver._status(self.path, self.headers))
        good = status == HTTPStatus.OK
        if kind is None:
            # What has no length is not read, so nothing after it would be.
            self.close_connection = status in (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.LENGTH_REQUIRED)
            self._take(body, str(status), taken=good)
            self._reply(status)
        elif isinstance(kind, int):
            self._take(body, str(kind), taken=False)
            self._reply(kind)
        else:
            self._take(body, kind, taken=good and kind == LOST)
            self._leave(kind)

    def _take(self, body: str, outcome: str, *, taken: bool) -> None:
        self.server.receiver._record(Answer(_key(self.path), body, outcome, taken, time.time()))

    def _reply(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _leave(self, kind: str) -> None:
        if kind == TIMEOUT:
            self.connection.settimeout(60)
            self.connection.recv(1)
        if kind == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket(fileno=self.connection.detach()).close()
        self.close_connection = True


def _key(target: str) -> str:
    return unquote(urlsplit(target).path).removeprefix("/")
