"""What happens around one stack that waits: as CloudFormation, the gate and License Manager tell it, in order of time."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

_CLOUDFORMATION, _STATE_MACHINE, _GATE, _POLLER, _LICENSE_MANAGER = (
    "CloudFormation", "State machine", "The gate", "The poller", "License Manager",
)  # fmt: skip


@dataclass(frozen=True, order=True)
class Moment:
    """``at`` is in epoch seconds."""

    at: float
    who: str
    what: str


class Narrator:
    """Look again and again; each thing that happened is told once."""

    def __init__(self, cloud: LocalCloud, state_machine_arn: str, stack: Stack, task_id: str) -> None:
        self.stack = stack
        self._cloud = cloud
        self._steps = cloud.client("stepfunctions")
        self._state_machine_arn = state_machine_arn
        self._task_id = task_id
        self._began = time.time()
        self._told: set[Moment] = set()
        self._execution = ""
        self._execution_ended = False
        self._state = ""
        self._status = ""

    @property
    def ended(self) -> bool:
        """The stack has come to rest, and so has the execution that belonged to it."""
        return not self.stack.status.endswith("_IN_PROGRESS") and (self._execution_ended or not self._execution)

    def look(self) -> list[Moment]:
        """What is new since the last look, oldest first."""
        self.stack = self._cloud.stacks.describe(self.stack.id)
        found = {*self._stack_events(), *self._responses(), *self._task_status(), *self._states()}
        new = sorted(found - self._told)
        self._told |= found
        return new

    def sentence(self) -> str:
        """Who waits for what, and how long already."""
        task = f"task {self._status}" if self._status else ""
        told = " · ".join(part for part in (self._who_waits(), task, self._state) if part)
        return f"{time.time() - self._began:.1f} s  {told}"

    def _who_waits(self) -> str:
        latest = {
            event["LogicalResourceId"]: event["ResourceStatus"]
            for event in self.stack.events
            if event.get("PhysicalResourceId") != self.stack.id
        }
        return " and ".join(f"{name} waits" for name, status in latest.items() if status.endswith("_IN_PROGRESS"))

    def _stack_events(self) -> Iterator[Moment]:
        for event in self.stack.events:
            own = "stack " if event.get("PhysicalResourceId") == self.stack.id else ""
            what = f"{own}{event['LogicalResourceId']} {event['ResourceStatus']}"
            yield Moment(event["Timestamp"].timestamp(), _CLOUDFORMATION, what)

    def _responses(self) -> Iterator[Moment]:
        for one in self._cloud.answers(self.stack.id):
            verb = "signals" if "UniqueId" in one.json else "responds to"
            yield Moment(one.at, _GATE, f"{verb} {one.key.split('|')[1]}: {one.json['Status']}")

    def _task_status(self) -> Iterator[Moment]:
        task = self._cloud.client("license-manager").get_license_conversion_task(LicenseConversionTaskId=self._task_id)
        self._status = task["Status"]
        at = task["EndTime"] if "EndTime" in task else task["StartTime"]
        yield Moment(at.timestamp(), _LICENSE_MANAGER, f"task {task['Status']}")

    def _states(self) -> Iterator[Moment]:
        self._execution = self._execution or self._find_execution()
        if not self._execution:
            return
        pages = self._steps.get_paginator("get_execution_history").paginate(executionArn=self._execution)
        for event in (event for page in pages for event in page["events"]):
            at = event["timestamp"].timestamp()
            if event["type"] in {"TaskStateEntered", "WaitStateEntered"}:
                self._state = event["stateEnteredEventDetails"]["name"]
                yield Moment(at, _STATE_MACHINE, self._state)
            elif event["type"] == "TaskSucceeded" and self._state == "Wait for Result":
                yield Moment(at, _POLLER, "calls the gate back")
            elif event["type"] in {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted"}:
                self._execution_ended, self._state = True, ""

    def _find_execution(self) -> str:
        """The one whose input carries an event of this stack."""
        for one in self._steps.list_executions(stateMachineArn=self._state_machine_arn)["executions"]:
            execution = self._steps.describe_execution(executionArn=one["executionArn"])
            if json.loads(execution["input"]).get("Stack", {}).get("Event", {}).get("StackId") == self.stack.id:
                return str(one["executionArn"])
        return ""
