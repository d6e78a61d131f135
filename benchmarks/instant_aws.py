"""AWS on loopback, as far as a function's first invocation meets it: it answers at once, over TLS."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import certifi
import trustme

TASK_ID = "lct-0123456789abcdef0"
BEGAN = 1795369195
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:1"
ANSWERS = {
    "GetLicenseConversionTask": {"LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS", "StartTime": BEGAN},
    "StartExecution": {"executionArn": EXECUTION, "startDate": BEGAN},
    "DescribeExecution": {"executionArn": EXECUTION, "status": "ABORTED", "startDate": BEGAN, "input": "{}"},
    "GetExecutionHistory": {"events": []},
    "PutEvents": {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "UpdateItem": {"Attributes": {}},
}


class Answers(BaseHTTPRequestHandler):
    """By the operation that a request names. A response that is put here, and whatever else comes, gets an empty one."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: the second one would wait for an acknowledgement

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        body = json.dumps(ANSWERS.get(operation, {})).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET = _answer  # noqa: N815 - the server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads it."""


@contextmanager
def answering(folder: Path) -> Iterator[tuple[str, Path]]:
    """The address, and a file of authorities as long as the one that a function reads."""
    authority = trustme.CA()
    authorities = folder / "authorities.pem"
    authorities.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    server = ThreadingHTTPServer(("localhost", 0), Answers)
    server.daemon_threads = True
    # A client with little of the processor may take long to shake hands: in the thread that serves it, not in the one for all.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://localhost:{server.server_port}", authorities
    finally:
        server.shutdown()
        server.server_close()
