"""What happens around one stack that waits: what CloudFormation, the gate and License Manager report, in order of time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack


@dataclass(frozen=True, order=True)
class Moment:
    """``at`` is in epoch seconds."""

    at: float
    who: str
    what: str


class Narrator:
    """Look again and again; each thing that happened is reported once."""

    def __init__(self, cloud: LocalCloud, state_machine_arn: str, stack: Stack, task_id: str) -> None:
        self.stack = stack
        self._cloud = cloud
        self._steps = cloud.client("stepfunctions")
        self._state_machine_arn = state_machine_arn
        self._task_id = task_id
        self._reported: set[Moment] = set()
        self._execution = ""
        self._execution_ended = False
        self._state = ""

    @property
    def ended(self) -> bool:
        """The stack has come to rest, and so has the execution that belonged to it."""
        return not self.stack.status.endswith("_IN_PROGRESS") and (self._execution_ended or not self._execution)

    def look(self) -> list[Moment]:
        """What is new since the last look, oldest first."""
        self.stack = self._cloud.stacks.describe(self.stack.id)
        found = {*self._stack_events(), *self._responses(), self._task_status(), *self._states()}
        new = sorted(found - self._reported)
        self._reported |= found
        return new

    def _stack_events(self) -> Iterator[Moment]:
        for event in self.stack.events:
            own = "stack " if event.get("PhysicalResourceId") == self.stack.id else ""
            what = f"{own}{event['LogicalResourceId']} {event['ResourceStatus']}"
            yield Moment(event["Timestamp"].timestamp(), "CloudFormation", what)

    def _responses(self) -> Iterator[Moment]:
        for one in self._cloud.answers(self.stack.id):
            verb = "signals" if "UniqueId" in one.json else "responds to"
            yield Moment(one.at, "The gate", f"{verb} {one.key.split('|')[1]}: {one.json['Status']}")

    def _task_status(self) -> Moment:
        task = self._cloud.client("license-manager").get_license_conversion_task(LicenseConversionTaskId=self._task_id)
        at = task["EndTime"] if "EndTime" in task else task["StartTime"]
        return Moment(at.timestamp(), "License Manager", f"task {task['Status']}")

    def _states(self) -> Iterator[Moment]:
        self._execution = self._execution or self._find_execution()
        if not self._execution:
            return
        pages = self._steps.get_paginator("get_execution_history").paginate(executionArn=self._execution)
        for event in (event for page in pages for event in page["events"]):
            at = event["timestamp"].timestamp()
            if event["type"] in {"TaskStateEntered", "WaitStateEntered"}:
                self._state = event["stateEnteredEventDetails"]["name"]
                yield Moment(at, "State machine", self._state)
            elif event["type"] == "TaskSucceeded" and self._state == "Wait for Result":
                yield Moment(at, "The poller", "calls the gate back")
            elif event["type"] in {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted"}:
                self._execution_ended = True

    def _find_execution(self) -> str:
        """The one whose input carries an event of this stack."""
        for one in self._steps.list_executions(stateMachineArn=self._state_machine_arn)["executions"]:
            execution = self._steps.describe_execution(executionArn=one["executionArn"])
            if json.loads(execution["input"]).get("Stack", {}).get("Event", {}).get("StackId") == self.stack.id:
                return str(one["executionArn"])
        return ""
