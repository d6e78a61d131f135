"""LocalStack's web server on loopback alone: by itself it listens on every interface, whatever GATEWAY_LISTEN says."""

from functools import partial

from localstack.runtime.server import twisted
from localstack.runtime.server.core import RuntimeServerPlugin


class LoopbackServerPlugin(RuntimeServerPlugin):  # type: ignore[misc]  # LocalStack is untyped
    name = "loopback"

    def load(self, *_: object, **__: object) -> twisted.TwistedRuntimeServer:
        twisted.endpoints.TCP4ServerEndpoint = partial(twisted.endpoints.TCP4ServerEndpoint, interface="127.0.0.1")
        return twisted.TwistedRuntimeServer()
