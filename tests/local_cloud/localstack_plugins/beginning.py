"""What happens before LocalStack begins: its process offers what the tests' own uses."""

import threading
from typing import cast

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.chain import HandlerChain
from localstack.http import Response
from localstack.runtime import hooks
from localstack.services.plugins import SERVICE_PLUGINS

from tests.local_cloud import inside, parse_once
from tests.local_cloud.localstack_plugins import permissions, resources
from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings

tables_are_away = threading.Event()


@hooks.on_infra_start()  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def begin() -> None:
    parse_once.services()
    _load_one_service_at_a_time()
    settings = CloudSettings.from_environment()
    handlers.serve_custom_service_request_handlers.append(_spoil)
    inside.Inside.register("tables_are_away", lambda: tables_are_away)
    inside.Inside.register("receiver", resources.answers)
    if settings.node:
        inside.Inside.register("gatekeeper", permissions.gatekeeper)
        permissions.check()
    server = inside.Inside((inside.HOST, 0), settings.inside_key.encode()).get_server()
    threading.Thread(target=server.serve_forever, name="inside", daemon=True).start()
    _, port = cast("tuple[str, int]", server.address)
    settings.inside_file.write_text(str(port))


def _load_one_service_at_a_time() -> None:
    """They import each other, and Python breaks off two threads that wait for each other's imports."""
    loading = threading.RLock()
    SERVICE_PLUGINS._plugin_load_locks.default_factory = lambda: loading


def _spoil(_: HandlerChain, context: RequestContext, __: Response) -> None:
    if tables_are_away.is_set() and context.service and context.service.service_name == "dynamodb":
        raise CommonServiceException("InternalServerError", "They are away.", 500)
