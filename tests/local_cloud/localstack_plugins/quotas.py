"""Step Functions' quotas of calls: none, until somebody sets one.

``POST`` operation, calls a second and calls at once; the answer is how many calls the quota before has refused. What the
account's root asks is not counted: it is how tests look on.
"""

import json
import time
from collections import Counter

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.chain import HandlerChain
from localstack.http import Request, Response
from localstack.runtime import hooks
from localstack.services.edge import ROUTER
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header

from tests.local_cloud.clients import ROOT_USER
from tests.local_cloud.localstack_plugins.settings import QUOTAS
from tests.simulation.token_bucket import TokenBucket

_buckets: dict[str, TokenBucket] = {}
_refused: Counter[str] = Counter()


@hooks.on_infra_start()  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def limit_calls() -> None:
    handlers.serve_custom_service_request_handlers.append(_count)
    ROUTER.add(QUOTAS, _set, methods=["POST"])


def _set(request: Request, **_: object) -> Response:
    operation, per_second, at_once = json.loads(request.get_data())
    _buckets[operation] = TokenBucket(time.monotonic, per_second, at_once)
    return Response(json.dumps(_refused.pop(operation, 0)))


def _count(_: HandlerChain, context: RequestContext, __: Response) -> None:
    if not (context.service and context.operation) or context.service.service_name != "stepfunctions":
        return
    bucket = _buckets.get(context.operation.name)
    by = extract_access_key_id_from_auth_header(context.request.headers)
    if bucket and by != ROOT_USER.access_key_id and not bucket.take():
        _refused[context.operation.name] += 1
        raise CommonServiceException("ThrottlingException", "Rate exceeded", 400, sender_fault=True)
