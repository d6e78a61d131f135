"""What makes the service a back end of moto's, from outside: a module where moto looks for it, and a URL pattern.

moto's own serializer is left aside: it drops nulls and gives every error status 400, and both matter here.
"""

import os
import re
import socket
import struct
import sys
import time
import uuid
from types import ModuleType
from typing import Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from moto import backend_index
from moto.core.base_backend import BackendDict, BaseBackend
from moto.core.models import DEFAULT_ACCOUNT_ID
from werkzeug import Request

from tests.simulation.license_manager.service import ConversionService
from tests.simulation.license_manager.service_faults import CONNECTION_RESET, NO_REPLY, SLOW_REPLY, ServiceFault

CREDENTIAL = re.compile(r"Credential=(?P<access_key>[^/]*)/[^/]*/(?P<region>[^/]*)/")
MotoReply = tuple[int, dict[str, str], str]


def answer_request(service: ConversionService, request: Request) -> MotoReply:
    """Answer a request, from the wire or from a client under `mock_aws`, and act its fault out."""
    connection: socket.socket | None = request.environ.get("werkzeug.socket")
    signed = CREDENTIAL.search(request.headers.get("Authorization", ""))
    released = service.released
    reply = service.reply(
        request.headers.get("X-Amz-Target", "").rpartition(".")[2],
        request.get_data(),
        region=signed["region"] if signed else "us-east-1",
        access_key=signed["access_key"] if signed else "",
    )
    fault = reply.fault
    if fault and fault.name in (CONNECTION_RESET, NO_REPLY):
        if connection is None:
            raise _as_botocore_would(fault, request.url)
        if fault.name == NO_REPLY:
            released.wait(fault.seconds)
        raise _reset(connection)
    if fault:
        usual_seconds = 1.0 if fault.name == SLOW_REPLY else 0.0
        time.sleep(usual_seconds if fault.seconds is None else fault.seconds)
    return reply.status, {"Content-Type": reply.content_type, "x-amzn-RequestId": str(uuid.uuid4())}, reply.body


def _as_botocore_would(fault: ServiceFault, url: str) -> Exception:
    """Under `mock_aws` there is no connection: the client gets the error at once that it would make of the fault."""
    if fault.name == NO_REPLY:
        return ReadTimeoutError(endpoint_url=url, error="the fault no-reply")
    return ConnectionClosedError(endpoint_url=url, error="the fault connection-reset")


def _reset(connection: socket.socket) -> ConnectionResetError:
    """Send a TCP reset, and leave a closed socket in the connection's place, which ends werkzeug's handler quietly."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        os.dup2(ours.fileno(), connection.fileno())
    return ConnectionResetError("the connection was reset on purpose")


class LicenseManagerBackend(BaseBackend):
    """moto makes one for each account and region; the first one's service answers for all."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.service = ConversionService()

    @property
    def _url_module(self) -> Any:
        return sys.modules[__name__]


def _answer_for_moto(request: Request, _url: str, _headers: Any) -> MotoReply:
    return answer_request(in_process(), request)


licensemanager_backends = BackendDict(LicenseManagerBackend, "license-manager")
url_bases = [r"https?://license-manager\.(.+)\.amazonaws\.com"]
url_paths = {"{0}/$": _answer_for_moto}


def in_process() -> ConversionService:
    """The service under `mock_aws` and `ThreadedMotoServer`. Ask anew in each `mock_aws`: moto makes a fresh one."""
    return licensemanager_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].service


def plug_into_moto() -> None:
    """Let moto find this module as its own `moto.licensemanager`. Twice is once."""
    module: ModuleType = sys.modules[__name__]
    if sys.modules.setdefault("moto.licensemanager", module) is module:
        pattern = ("licensemanager", re.compile(url_bases[0]))
        if pattern not in backend_index.backend_url_patterns:
            backend_index.backend_url_patterns.append(pattern)
