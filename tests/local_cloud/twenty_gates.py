"""Twenty gates and all that can happen to them: a run in which every metric of the application is written.

Most succeed. Four are throttled, and wait in a crowd, some fail, one has a status that nobody knows, waits run out of
time, one is deleted, one answer nobody takes; in the end the check function loses its layer, and the bus is gone.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

GATES = 20
_EXAMPLE = Path(__file__).parents[2] / "examples" / "stack-gate.yaml"
_FOREVER = float("inf")
_INCOMPLETE = {"Input": {}, "Gate": {"Waiter": "CALLER"}, "StartedAt": "2026-11-25T12:00:00Z", "Execution": "wait"}
"""A state machine's event without what every one of them has."""
_SECONDS = 400
"""For all gates of a part of the run to end, on the slowest machine."""


class TwentyGates:
    """Use once: ``TwentyGates(cloud, application).run()``. ``application`` is left as it was."""

    def __init__(self, cloud: LocalCloud, application: Stack) -> None:
        self._cloud = cloud
        self._application = application
        self._lambda = cloud.client("lambda")
        self._step_functions = cloud.client("stepfunctions")
        self._add_task = cloud.license_manager.add_task
        self._executions: list[str] = []
        self._stacks: dict[str, str] = {}

    def run(self) -> None:
        """Raise RuntimeError if they were not twenty, TimeoutError if one of them does not end."""
        self._succeed()
        self._come_to_another_end()
        self._ended()
        self._wait_in_a_crowd()
        self._ended()
        self._meet_what_is_broken()
        self._ended()
        self._strangers()
        eventually(lambda: self._said("The crowd is watched"), _SECONDS, pause=1)  # known once the watch has ended
        if (gates := len(self._executions) + len(self._stacks)) != GATES:
            raise RuntimeError(f"{gates} gates, not {GATES}")
        self._cloud.misbehave(stack="twenty-not-answered")  # nobody any more
        for stack_id in self._stacks.values():
            self._cloud.stacks.delete(stack_id)

    def _succeed(self) -> None:
        for seconds in (4, 6, 8, 12, 16, 20):
            self._start(self._add_task(duration=seconds))
        self._create("goes-on", self._add_task(duration=9))

    def _come_to_another_end(self) -> None:
        self._start(self._add_task(duration=5, end_status="FAILED"))
        self._create("fails", self._add_task(duration=7, end_status="FAILED"))
        self._start(self._add_task(duration=_FOREVER), TimeoutSeconds=20)
        self._start(self._add_task(duration=0, end_status="PAUSED"), TimeoutSeconds=40)
        self._start("lct-0123456789abcdef0", OnFailur="FAIL")
        self._cloud.misbehave(*[503] * 100, stack="twenty-not-answered")
        self._create("not-answered", self._add_task(duration=3), ServiceTimeout="40")
        deleted = self._add_task(duration=_FOREVER)
        self._create("deleted", deleted)
        eventually(lambda: self._cloud.license_manager.calls_for(deleted), _SECONDS)
        self._cloud.stacks.delete(self._stacks["deleted"], wait=False)

    def _wait_in_a_crowd(self) -> None:
        """License Manager throttles each gate's first check, and at first the crowd's table does not answer."""
        self._cloud.dynamodb.away = True
        try:
            self._start_throttled()
            eventually(lambda: self._said("The gate has no place in the crowd"), _SECONDS, pause=1)
        finally:
            self._cloud.dynamodb.away = False
        for _ in range(3):
            self._start_throttled()

    def _start_throttled(self) -> None:
        task_id = self._add_task(duration=25)
        self._cloud.license_manager.faults.queue(
            "RateLimitExceededException", operation="GetLicenseConversionTask", task_id=task_id
        )
        self._start(task_id)

    def _meet_what_is_broken(self) -> None:
        with (
            self._changed("CheckTaskFunction", layers=False),
            self._changed("AnnounceEndFunction", GATE_EVENT_BUS_NAME="gone"),
        ):
            self._create("broken", self._add_task(duration=_FOREVER), ServiceTimeout="30")
            self._start(self._add_task(duration=_FOREVER), TimeoutSeconds=12)
            self._ended()
            self._invoke("AnnounceEndFunction", {"DetailType": "License Conversion Succeeded", "Detail": {}})

    def _strangers(self) -> None:
        """No gates: callers and events that the functions refuse, or cannot use."""
        self._invoke("CheckTaskFunction", {"LicenseConversionTaskIdd": "lct-0123456789abcdef0"})
        self._invoke("CheckTaskFunction", _INCOMPLETE)
        self._invoke("CustomResourceFunction", {"RequestType": "Create"})

    def _start(self, task_id: str, **given: Any) -> None:
        started = self._step_functions.start_execution(
            stateMachineArn=self._application.outputs["StateMachineArn"],
            input=json.dumps({"LicenseConversionTaskId": task_id, **given}),
        )
        self._executions.append(started["executionArn"])

    def _create(self, name: str, task_id: str, **parameters: str) -> None:
        """A stack that stays as it is when its gate fails: a rollback's Delete would stop an execution on its way to its end."""
        given = {"LicenseConversionTaskId": task_id, **parameters}
        self._stacks[name] = self._cloud.stacks.create(
            f"twenty-{name}", _EXAMPLE, given, wait=False, OnFailure="DO_NOTHING"
        ).id  # fmt: skip

    def _said(self, words: str) -> bool:
        return any(words in line for line in self._cloud.log_lines())

    def _ended(self) -> None:
        def statuses() -> Iterator[str]:
            for arn in self._executions:
                yield self._step_functions.describe_execution(executionArn=arn)["status"]
            machine = self._application.outputs["StateMachineArn"]
            for one in self._step_functions.list_executions(stateMachineArn=machine)["executions"]:
                yield one["status"]

        eventually(lambda: "RUNNING" not in statuses(), _SECONDS, pause=0.5)
        for stack_id in self._stacks.values():
            self._cloud.stacks.wait_for(stack_id, _SECONDS)

    def _physical_id(self, logical_id: str) -> str:
        found = self._cloud.client("cloudformation").describe_stack_resource(
            StackName=self._application.id, LogicalResourceId=logical_id
        )
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def _invoke(self, logical_id: str, event: Mapping[str, Any]) -> None:
        self._lambda.invoke(FunctionName=self._physical_id(logical_id), Payload=json.dumps(event))

    @contextlib.contextmanager
    def _changed(self, logical_id: str, *, layers: bool = True, **variables: str) -> Iterator[None]:
        """The function with other environment variables, and perhaps without its layers."""
        name = self._physical_id(logical_id)
        before = self._lambda.get_function_configuration(FunctionName=name)
        kept, known = [layer["Arn"] for layer in before["Layers"]], before["Environment"]["Variables"]
        self._configure(name, kept if layers else [], {**known, **variables})
        try:
            yield
        finally:
            self._configure(name, kept, known)

    def _configure(self, name: str, layers: list[str], variables: Mapping[str, str]) -> None:
        self._lambda.update_function_configuration(
            FunctionName=name, Layers=layers, Environment={"Variables": variables}
        )
        self._lambda.get_waiter("function_updated_v2").wait(FunctionName=name)
