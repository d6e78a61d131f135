"""CloudFormation's lifecycles on LocalStack's engine: what happens to a stack when a resource fails.

LocalStack's engine resolves templates and creates, updates and deletes single resources. It rolls nothing back, calls a
failed update complete, and cannot delete a stack whose create is in flight; this provider does that, as far as custom
resources can see:

- a failed create is rolled back: what was created is deleted, last first, the failed resource by the physical id that it
  answered or that CloudFormation made up (``OnFailure`` may be DO_NOTHING)
- a failed update is rolled back by a second update with the properties swapped, and what it created is deleted
- a changed physical id is followed by a delete of the old one, in the clean-up after the update or after its rollback
- a delete during a create sends the resource in flight its Delete at once
- a failed delete leaves the stack in DELETE_FAILED, with the resource

Not AWS's: resources are dealt with one after the other, those behind a wait condition last; the first failed delete stops
the deletion; a failed update that answers with a new physical id ends in UPDATE_ROLLBACK_FAILED, from which only a delete
leads on; a stack is updated and deleted whatever it is doing, and no update is cancelled.
"""

import logging
import uuid
from datetime import UTC, datetime
from functools import partial
from typing import Any

from localstack.aws.api import RequestContext, handler
from localstack.aws.api.cloudformation import (
    ChangeSetStatus,
    ChangeSetType,
    CreateStackInput,
    CreateStackOutput,
    ExecuteChangeSetOutput,
    ExecutionStatus,
    StackStatus,
    UpdateStackInput,
    UpdateStackOutput,
)
from localstack.services.cloudformation.engine.validations import ValidationError
from localstack.services.cloudformation.stores import get_cloudformation_store
from localstack.services.cloudformation.v2.entities import ChangeSet, Stack
from localstack.services.cloudformation.v2.provider import (
    CloudformationProviderV2,
    find_change_set_v2,
    find_stack_v2,
)
from localstack.services.plugins import Service, aws_provider
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header
from localstack.utils.threads import start_worker_thread

from tests.local_cloud.localstack_plugins import resources
from tests.local_cloud.localstack_plugins.executor import Executor

LOG = logging.getLogger(__name__)

_CREATING = (StackStatus.CREATE_IN_PROGRESS, StackStatus.ROLLBACK_IN_PROGRESS)


@aws_provider(api="cloudformation", name="lifecycles")  # type: ignore[untyped-decorator,unused-ignore]
def cloudformation() -> Service:
    return Service.for_provider(LifecycleProvider())


class LifecycleProvider(CloudformationProviderV2):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self._deployments: dict[str, Executor] = {}

    @handler("CreateStack", expand=False)  # type: ignore[untyped-decorator,unused-ignore]
    def create_stack(self, context: RequestContext, request: CreateStackInput) -> CreateStackOutput:
        change_set = self._change_set(context, request, ChangeSetType.CREATE)
        change_set.stack.events.clear()  # no person reviews it
        self._begin(context, change_set, rolls_back=request.get("OnFailure") != "DO_NOTHING")
        return CreateStackOutput(StackId=change_set.stack.stack_id)

    @handler("UpdateStack", expand=False)  # type: ignore[untyped-decorator,unused-ignore]
    def update_stack(self, context: RequestContext, request: UpdateStackInput) -> UpdateStackOutput:
        change_set = self._change_set(context, request, ChangeSetType.UPDATE)
        if change_set.status == ChangeSetStatus.FAILED:
            raise ValidationError("No updates are to be performed.")
        self._begin(context, change_set)
        return UpdateStackOutput(StackId=change_set.stack.stack_id)

    def _change_set(self, context: RequestContext, request: Any, kind: ChangeSetType) -> ChangeSet:
        named = {**request, "ChangeSetName": f"direct-{uuid.uuid4()}", "ChangeSetType": kind}
        change_set_id = self.create_change_set(context, named)["Id"]
        return get_cloudformation_store(context.account_id, context.region).change_sets[change_set_id]

    @handler("CreateChangeSet", expand=False)  # type: ignore[untyped-decorator,unused-ignore]
    def create_change_set(self, context: RequestContext, request: Any) -> Any:
        stack = find_stack_v2(get_cloudformation_store(context.account_id, context.region), request["StackName"])
        status = stack.status if stack else None
        output = super().create_change_set(context, request)
        if stack and status == StackStatus.UPDATE_ROLLBACK_COMPLETE:
            stack.status = status  # LocalStack would put it under review
        return output

    @handler("ExecuteChangeSet")  # type: ignore[untyped-decorator,unused-ignore]
    def execute_change_set(
        self, context: RequestContext, change_set_name: str, stack_name: str | None = None, **_: Any
    ) -> ExecuteChangeSetOutput:
        store = get_cloudformation_store(context.account_id, context.region)
        self._begin(context, find_change_set_v2(store, change_set_name, stack_name))
        return ExecuteChangeSetOutput()

    @handler("DeleteStack")  # type: ignore[untyped-decorator,unused-ignore]
    def delete_stack(self, context: RequestContext, stack_name: str, *_: Any, **__: Any) -> None:
        stack = find_stack_v2(get_cloudformation_store(context.account_id, context.region), stack_name)
        if not stack or stack.status == StackStatus.DELETE_COMPLETE:
            return
        deployment = self._deployments.get(stack.stack_id)
        if stack.status in _CREATING:
            resources.cancelled[stack.stack_id].set()
        _set_status(stack, StackStatus.DELETE_IN_PROGRESS, "User Initiated")
        start_worker_thread(lambda *_: self._delete(stack, deployment, _key_of(context)))

    # The lifecycles, each on a thread of its own

    def _begin(self, context: RequestContext, change_set: ChangeSet, *, rolls_back: bool = True) -> None:
        stack = change_set.stack
        stack.tags = change_set.tags
        create = change_set.change_set_type == ChangeSetType.CREATE
        if create:
            _commit_template(stack, change_set)
        resources.cancelled[stack.stack_id].clear()
        change_set.set_execution_status(ExecutionStatus.EXECUTE_IN_PROGRESS)
        _set_status(
            stack, StackStatus.CREATE_IN_PROGRESS if create else StackStatus.UPDATE_IN_PROGRESS, "User Initiated"
        )
        executor = self._deployments[stack.stack_id] = Executor(change_set, _key_of(context))

        def run(*_: object) -> None:
            try:
                failure = executor.run()
                if failure is not None:
                    change_set.set_execution_status(ExecutionStatus.EXECUTE_FAILED)
                if create:
                    self._create(stack, change_set, executor, failure, rolls_back)
                else:
                    self._update(stack, change_set, executor, failure)
            except Exception as error:
                LOG.exception("The deployment of %s broke", stack.stack_name)
                _set_status(stack, StackStatus.CREATE_FAILED if create else StackStatus.UPDATE_FAILED, str(error))
            finally:
                executor.finished.set()

        start_worker_thread(run)

    @staticmethod
    def _create(stack: Stack, change_set: ChangeSet, executor: Executor, failure: str | None, rolls_back: bool) -> None:
        stack.resolved_resources = executor.resources
        if resources.cancelled[stack.stack_id].is_set():  # it is being deleted
            return
        if failure is None:
            _commit(stack, change_set, executor)
            _set_status(stack, StackStatus.CREATE_COMPLETE)
            return
        reason = _which_failed("create", executor, failure)
        if not rolls_back:
            _set_status(stack, StackStatus.CREATE_FAILED, reason)
            return
        _set_status(stack, StackStatus.ROLLBACK_IN_PROGRESS, f"{reason} Rollback requested by user.")
        complete = _remove_all(stack, executor)
        if not resources.cancelled[stack.stack_id].is_set():
            _set_status(stack, StackStatus.ROLLBACK_COMPLETE if complete else StackStatus.ROLLBACK_FAILED)

    @staticmethod
    def _update(stack: Stack, change_set: ChangeSet, executor: Executor, failure: str | None) -> None:
        if failure is None:
            _commit_template(stack, change_set)
            _commit(stack, change_set, executor)
            _clean_up(stack, executor, StackStatus.UPDATE_COMPLETE_CLEANUP_IN_PROGRESS)
            _set_status(stack, StackStatus.UPDATE_COMPLETE)
            return
        _set_status(stack, StackStatus.UPDATE_ROLLBACK_IN_PROGRESS, _which_failed("update", executor, failure))
        executor.cleanups.clear()
        for change in executor.changes:
            if change.before is None:
                created = executor.resources.pop(change.name, None)
                if created and "PhysicalResourceId" in created:
                    executor.cleanups.append(partial(executor.remove, change.name, created))
            elif problem := executor.restore(change):
                stack.resolved_resources = {**stack.resolved_resources, **executor.resources}
                _set_status(stack, StackStatus.UPDATE_ROLLBACK_FAILED, problem)
                return
        _clean_up(stack, executor, StackStatus.UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS)
        stack.resolved_resources = {
            name: executor.resources.get(name, old) for name, old in stack.resolved_resources.items()
        }
        _set_status(stack, StackStatus.UPDATE_ROLLBACK_COMPLETE)

    def _delete(self, stack: Stack, deployment: Executor | None, caller_key: str) -> None:
        if deployment:
            deployment.finished.wait()
        resources.cancelled[stack.stack_id].clear()
        executor = Executor(ChangeSet(stack, {"ChangeSetName": "delete"}, template_body=""), caller_key)
        if _remove_all(stack, executor):
            stack.resolved_exports = {}
            stack.deletion_time = datetime.now(UTC)
            _set_status(stack, StackStatus.DELETE_COMPLETE)
        else:
            _set_status(
                stack, StackStatus.DELETE_FAILED,
                f"The following resource(s) failed to delete: [{executor.failed_resource}].",
            )  # fmt: skip


def _key_of(context: RequestContext) -> str:
    return extract_access_key_id_from_auth_header(context.request.headers) or str(context.account_id)


def _remove_all(stack: Stack, executor: Executor) -> bool:
    """Delete what the stack has, last first, up to the first that cannot be deleted."""
    for name, resource in reversed(list(stack.resolved_resources.items())):
        if "PhysicalResourceId" in resource and not executor.remove(name, resource):
            executor.failed_resource = name
            return False
        del stack.resolved_resources[name]
    return True


def _clean_up(stack: Stack, executor: Executor, status: StackStatus) -> None:
    _set_status(stack, status)
    for cleanup in reversed(executor.cleanups):
        cleanup()


def _set_status(stack: Stack, status: StackStatus, reason: str | None = None) -> None:
    stack.status_reason = None
    stack.set_stack_status(status, reason)


def _which_failed(verb: str, executor: Executor, failure: str) -> str:
    named = executor.failed_resource
    return f"The following resource(s) failed to {verb}: [{named}]." if named else f"{failure}."


def _commit_template(stack: Stack, change_set: ChangeSet) -> None:
    stack.template = change_set.template
    stack.template_body = change_set.template_body
    stack.processed_template = change_set.processed_template
    stack.description = (change_set.template or {}).get("Description")
    stack.resolved_parameters = change_set.resolved_parameters


def _commit(stack: Stack, change_set: ChangeSet, executor: Executor) -> None:
    stack.resolved_resources = executor.resources
    stack.resolved_outputs = executor.outputs
    stack.resolved_exports = {one["ExportName"]: one["OutputValue"] for one in executor.outputs if "ExportName" in one}
    stack.change_set_id = change_set.change_set_id
    change_set.set_execution_status(ExecutionStatus.EXECUTE_COMPLETE)
