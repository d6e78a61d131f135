"""One change set carried out, resource by resource, up to its first failure; and the way back from there.

LocalStack's engine resolves the template and acts on single resources. This adds what a rollback must know (what was
touched, what it was before, what is to be cleaned up later), and the attributes and ids of custom resources.
"""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localstack.aws.api.cloudformation import ChangeAction, ResourceStatus
from localstack.services.cloudformation.engine.v2.change_set_model import is_nothing
from localstack.services.cloudformation.engine.v2.change_set_model_executor import (
    ChangeSetModelExecutor,
    TriggerRollback,
)
from localstack.services.cloudformation.engine.v2.change_set_model_preproc import PreprocProperties, PreprocResource
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceProviderExecutor,
    ResourceProviderPayload,
)
from localstack.services.cloudformation.v2.entities import ChangeSet

from tests.local_cloud.localstack_plugins import resources

_OURS: dict[str, type[ResourceProvider]] = {
    "AWS::CloudFormation::WaitCondition": resources.WaitCondition,
    "AWS::CloudFormation::WaitConditionHandle": resources.WaitConditionHandle,
    "AWS::CloudWatch::Dashboard": resources.Dashboard,
    "AWS::Logs::QueryDefinition": resources.QueryDefinition,
}
_FAILED = (ResourceStatus.CREATE_FAILED, ResourceStatus.UPDATE_FAILED)


def _is_custom(resource_type: str) -> bool:
    return resource_type.startswith("Custom::") or resource_type == "AWS::CloudFormation::CustomResource"


class Providers(ResourceProviderExecutor):  # type: ignore[misc]
    """Ours before LocalStack's, and looked at more often than every five seconds."""

    def deploy_loop(self, *arguments: Any, **options: Any) -> ProgressEvent:
        return super().deploy_loop(*arguments, **{"sleep_time": 0.2, **options})

    @staticmethod
    def try_load_resource_provider(resource_type: str) -> ResourceProvider | None:
        ours = resources.CustomResource if _is_custom(resource_type) else _OURS.get(resource_type)
        return ours() if ours else ResourceProviderExecutor.try_load_resource_provider(resource_type)


@dataclass
class Change:
    """One resource that the deployment touched, as it was before (None: it was not there)."""

    name: str
    before: PreprocResource | None
    replaced: bool


class Executor(ChangeSetModelExecutor):  # type: ignore[misc]
    """Carries out one change set up to its first failure; the lifecycle around it is the provider's."""

    def __init__(self, change_set: ChangeSet, caller_key: str) -> None:
        """``caller_key`` is the access key of who asked for the deployment: resources are made in their name."""
        super().__init__(change_set=change_set)
        self._caller_key = caller_key
        stack = change_set.stack
        self.resource_provider_executor = Providers(stack_name=stack.stack_name, stack_id=stack.stack_id)
        self.stack = stack
        self.changes: list[Change] = []
        self.cleanups: list[Callable[[], bool]] = []
        self.failed_resource: str | None = None
        self.finished = threading.Event()

    def run(self) -> str | None:
        """Deploy; return why it failed, or None."""
        _put_waits_last(self._change_set)
        try:
            self.process()
        except TriggerRollback as error:
            return error.reason or "Resource failed"
        except Exception as error:
            return str(error) or type(error).__name__
        return None

    def create_resource_provider_payload(self, *arguments: Any, **options: Any) -> ResourceProviderPayload | None:
        payload = super().create_resource_provider_payload(*arguments, **options)
        if payload:
            payload["requestData"]["callerCredentials"]["accessKeyId"] = self._caller_key
        return payload

    def _process_event(
        self,
        *,
        action: ChangeAction,
        logical_resource_id: str,
        event_status: OperationStatus,
        resource_type: str,
        special_action: str | None = None,
        reason: str | None = None,
    ) -> None:
        if event_status == OperationStatus.FAILED:
            if self.failed_resource:
                return  # The failure travels up through the resources that depend on this one; they never began.
            self.failed_resource = logical_resource_id
        verb = special_action or {"Add": "CREATE", "Modify": "UPDATE", "Remove": "DELETE"}[action.value]
        end = "COMPLETE" if event_status == OperationStatus.SUCCESS else event_status.name
        known = self.resources.get(logical_resource_id) or self.stack.resolved_resources.get(logical_resource_id, {})
        self._report(
            logical_resource_id, {**known, "Type": resource_type}, ResourceStatus(f"{verb}_{end}"), reason or None
        )

    def _defer_action(self, name: str, action: Callable[[], None]) -> None:
        """LocalStack's own clean-up actions look at no result: `_execute_resource_change` schedules ours instead."""

    def _execute_resource_change(self, name: str, before: PreprocResource, after: PreprocResource) -> None:
        if resources.cancelled[self.stack.stack_id].is_set():
            raise TriggerRollback(name, "Resource creation cancelled")
        existed = not is_nothing(before)
        wanted = not is_nothing(after)
        old = self.stack.resolved_resources.get(name)
        if existed and not wanted:
            if old:
                self.cleanups.append(lambda: self.remove(name, old))
            return
        migrated = existed and before.resource_type != after.resource_type
        replaced = existed and (migrated or after.requires_replacement)
        self.changes.append(Change(name, before if existed else None, replaced))
        super()._execute_resource_change(name, before, after)
        new = self.resources.get(name)
        if not (existed and old and new):
            return
        if new["ResourceStatus"] in _FAILED:
            if not replaced:
                new.setdefault("PhysicalResourceId", old["PhysicalResourceId"])
        elif replaced or self._is_another(old, new):
            self.cleanups.append(lambda: self.remove(name, old))

    def _execute_resource_action(self, *arguments: Any, **options: Any) -> ProgressEvent:
        event = super()._execute_resource_action(*arguments, **options)
        resource = self.resources.get(options["logical_resource_id"])
        if event.status == OperationStatus.FAILED and resource and "PhysicalResourceId" in (event.resource_model or ()):
            # A custom resource that failed still has an id, by which it will be updated back or deleted.
            resource["PhysicalResourceId"] = event.resource_model["PhysicalResourceId"]
        return event

    def _resolve_attribute(self, arguments: str | list[str], select_before: bool) -> Any:
        """LocalStack would cut dotted names short, and prefer a property of the same name to the attribute."""
        name, attribute = (arguments if isinstance(arguments, str) else ".".join(arguments)).split(".", 1)
        node = self._get_node_resource_for(name, self._change_set.update_model.node_template)
        if not _is_custom(node.type_.value):
            return super()._resolve_attribute(arguments, select_before)
        known = self._before_resolved_resources if select_before else self.resources
        return resources.CustomResource.attribute(known[name], attribute)

    @staticmethod
    def _is_another(old: dict[str, Any], new: dict[str, Any]) -> bool:
        return _is_custom(new["Type"]) and old["PhysicalResourceId"] != new["PhysicalResourceId"]

    def remove(self, name: str, resource: dict[str, Any]) -> bool:
        """Delete one resource that was created. False if it failed."""
        self._report(name, resource, ResourceStatus.DELETE_IN_PROGRESS)
        event = self._act(ChangeAction.Remove, name, resource, PreprocProperties(resource["Properties"]), None)
        failed = event.status == OperationStatus.FAILED
        status = ResourceStatus.DELETE_FAILED if failed else ResourceStatus.DELETE_COMPLETE
        self._report(name, resource, status, event.message if failed else None)
        return not failed

    def restore(self, change: Change) -> str | None:
        """Update a resource back to what it was; return why that failed, or None. What is left over joins the clean-up."""
        old, new = self.stack.resolved_resources[change.name], self.resources.get(change.name)
        if new is None:
            self.resources[change.name] = old
            return None
        failed = new["ResourceStatus"] in _FAILED
        if change.replaced:
            if not failed and "PhysicalResourceId" in new:
                self.cleanups.append(lambda: self.remove(change.name, new))
            self.resources[change.name] = old
            return None
        if failed and self._is_another(old, new):
            return f"The failed update of {change.name} answered with a new physical id."
        assert change.before is not None
        properties = change.before.properties.properties
        wanted = old["Properties"]["ResourceProperties"] if _is_custom(new["Type"]) else properties
        current = new["Properties"] or old["Properties"]
        self._report(change.name, new, ResourceStatus.UPDATE_IN_PROGRESS)
        event = self._act(ChangeAction.Modify, change.name, new, PreprocProperties(current), PreprocProperties(wanted))
        if event.status == OperationStatus.FAILED:
            self._report(change.name, new, ResourceStatus.UPDATE_FAILED, event.message)
            return str(event.message)
        restored = self.resources[change.name]
        if self._is_another(new, restored):
            self.cleanups.append(lambda: self.remove(change.name, new))
        self._report(change.name, restored, ResourceStatus.UPDATE_COMPLETE)
        return None

    def _act(
        self,
        action: ChangeAction,
        name: str,
        resource: dict[str, Any],
        before: PreprocProperties,
        after: PreprocProperties | None,
    ) -> ProgressEvent:
        return self._execute_resource_action(
            action=action, logical_resource_id=name, resource_type=resource["Type"], before_properties=before,
            after_properties=after, part_of_replacement=action == ChangeAction.Remove,
        )  # fmt: skip

    def _report(self, name: str, resource: dict[str, Any], status: ResourceStatus, reason: str | None = None) -> None:
        physical_id, states = resource.get("PhysicalResourceId"), self.stack.resource_states
        current = states.setdefault(name, {})
        self.stack.set_resource_status(
            logical_resource_id=name, physical_resource_id=physical_id, resource_type=resource["Type"], status=status,
            resource_status_reason=reason,
        )  # fmt: skip
        if status.startswith("DELETE_") and current.get("PhysicalResourceId") != physical_id:
            states[name] = current  # the newer one's state stays what describe-stack-resources shows


def _put_waits_last(change_set: ChangeSet) -> None:
    """CloudFormation begins what does not depend on a wait condition while that waits; one after the other, it goes first."""
    template = (change_set.processed_template or change_set.template or {}).get("Resources", {})
    texts = {name: json.dumps(body, default=str) for name, body in template.items()}
    waiting = {name for name, body in template.items() if body.get("Type") == "AWS::CloudFormation::WaitCondition"}
    while more := {
        name
        for name, text in texts.items()
        if name not in waiting and any(re.search(rf"\b{one}\b", text) for one in waiting)
    }:
        waiting |= more
    change_set.update_model.node_template.resources.resources.sort(key=lambda node: node.name in waiting)
