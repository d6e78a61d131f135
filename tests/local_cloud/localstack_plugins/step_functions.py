"""What Step Functions on AWS has, and LocalStack lacks: quotas, and reads that are eventually consistent. Neither is there until
somebody asks for it:

- ``POST`` an operation, calls a second, calls at once, and how many to refuse whenever they come; or StateTransition, and so
  many states of all executions together. The answer is how many the quota before has held back.
- ``POST`` seconds: what began or ended less than that ago is not seen yet.

A function is Inactive for so many invocations: those that ``POST`` says to refuse of the operation Invoke, a colon and its name.

The account's root meets neither of both: it is how tests look on.
"""

import json
import time
from collections import Counter
from typing import Any

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.api.stepfunctions import ExecutionDoesNotExist
from localstack.aws.chain import HandlerChain
from localstack.http import Request, Response
from localstack.runtime import hooks
from localstack.services.edge import ROUTER
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header

from tests.local_cloud.clients import ROOT_USER
from tests.local_cloud.localstack_plugins.cloud_settings import CONSISTENCY, QUOTAS
from tests.simulation.token_bucket import TokenBucket

TRANSITION = "StateTransition"
WAKES = "Lambda is initializing your function. It will be ready to invoke shortly."
_buckets: dict[str, TokenBucket] = {}
_to_refuse: Counter[str] = Counter()
_held_back: Counter[str] = Counter()
_consistent_after = [0.0]


@hooks.on_infra_start()  # type: ignore[untyped-decorator,unused-ignore]  # LocalStack is untyped
def listen() -> None:
    handlers.serve_custom_service_request_handlers.append(_count)
    ROUTER.add(QUOTAS, _set_quota, methods=["POST"])
    ROUTER.add(CONSISTENCY, _set_consistency, methods=["POST"])


def _set_quota(request: Request, **_: object) -> Response:
    operation, per_second, at_once, _to_refuse[operation] = json.loads(request.get_data())
    _buckets[operation] = TokenBucket(time.monotonic, per_second, at_once)
    return Response(json.dumps(_held_back.pop(operation, 0)))


def _set_consistency(request: Request, **_: object) -> Response:
    _consistent_after[0] = float(json.loads(request.get_data()))
    return Response("{}")


def _is_root(context: RequestContext) -> bool:
    return bool(extract_access_key_id_from_auth_header(context.request.headers) == ROOT_USER.access_key_id)


def _count(_: HandlerChain, context: RequestContext, __: Response) -> None:
    if not (context.service and context.operation) or context.service.service_name not in ("stepfunctions", "lambda"):
        return
    called = context.operation.name
    if called == "Invoke" and context.service_request.get("InvocationType") != "Event":
        called = f"Invoke:{context.service_request['FunctionName'].rpartition(':')[2]}"
    bucket = _buckets.get(called)
    if bucket and not _is_root(context) and (_to_refuse[called] or not bucket.take()):
        _to_refuse[called] -= bool(_to_refuse[called])
        _held_back[called] += 1
        if called.startswith("Invoke:"):
            raise CommonServiceException("CodeArtifactUserPendingException", WAKES, 409, sender_fault=True)
        raise CommonServiceException("ThrottlingException", "Rate exceeded", 400, sender_fault=True)


def enter_in_turn(state_field: Any) -> None:
    """A state that comes too soon is entered later. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
    enter = state_field._eval_body

    def enter_later(self: Any, env: Any) -> None:
        while (bucket := _buckets.get(TRANSITION)) and not bucket.take():
            _held_back[TRANSITION] += 1
            time.sleep(0.1)
        enter(self, env)

    state_field._eval_body = enter_later


def stay_stopped(environment: Any) -> None:
    """An execution that was stopped is ABORTED, whatever the state that it was in comes to, and at once where that waits for a
    task token. LocalStack has it fail, and with an error of the interpreter's own where the stop comes between two states.
    """
    set_error, set_stop = environment.set_error, environment.set_stop

    def set_error_unless_stopped(self: Any, error: Any) -> None:
        if type(self.program_state()).__name__ != "ProgramStopped":
            set_error(self, error)

    def stop_and_wake(self: Any, *arguments: Any, **named: Any) -> None:
        set_stop(self, *arguments, **named)
        for endpoint in list(self.callback_pool_manager._pool.values()):
            endpoint.interrupt_all()

    environment.set_error, environment.set_stop = set_error_unless_stopped, stop_and_wake


def eventually_consistent(provider: Any) -> Any:
    """LocalStack's provider with its two reads of executions as AWS has them."""

    class Provider(provider):  # type: ignore[misc]
        def describe_execution(self, context: RequestContext, execution_arn: str, *more: Any, **named: Any) -> Any:
            said = super().describe_execution(context, execution_arn, *more, **named)
            seen = said if _is_root(context) else _as_seen(said)
            if seen is None:
                raise ExecutionDoesNotExist(f"Execution Does Not Exist: '{execution_arn}'")
            return seen

        def list_executions(
            self, context: RequestContext, state_machine_arn: str, status_filter: str | None = None, **named: Any
        ) -> Any:
            if _is_root(context) or not _consistent_after[0]:
                return super().list_executions(context, state_machine_arn, status_filter, **named)
            said = super().list_executions(context, state_machine_arn, max_results=1000)
            seen = [_as_seen(one) for one in said["executions"]]
            return {"executions": [one for one in seen if one and status_filter in (None, one["status"])]}

    return Provider


def _as_seen(execution: Any) -> Any:
    """None: nobody sees it yet."""
    seen_until = time.time() - _consistent_after[0]
    if execution["startDate"].timestamp() > seen_until:
        return None
    ended = execution.get("stopDate")
    if not ended or ended.timestamp() <= seen_until:
        return execution
    unknown = ("stopDate", "output", "outputDetails", "error", "cause")
    return {name: value for name, value in execution.items() if name not in unknown} | {"status": "RUNNING"}
