"""Stands where X-Ray's daemon would, beside every function: takes what the X-Ray SDK sends, on a UDP port of 127.0.0.1."""

import json
import threading
from socketserver import BaseRequestHandler, UDPServer
from typing import Any, Self


class TraceDaemon(UDPServer):
    """Listens while its ``with`` block lasts."""

    max_packet_size = 65_536

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), BaseRequestHandler)
        self.subsegments: list[dict[str, Any]] = []
        """All so far, in the order in which they ended.
        https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html"""

    @property
    def address(self) -> str:
        """What goes into AWS_XRAY_DAEMON_ADDRESS."""
        return "{}:{}".format(*self.server_address)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.02,), name="trace-daemon", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def finish_request(self, request: Any, client_address: Any) -> None:
        datagram: bytes = request[0]
        _header, _, document = datagram.partition(b"\n")
        self.subsegments.append(json.loads(document))
