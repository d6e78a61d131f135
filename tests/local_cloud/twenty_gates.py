"""Twenty gates and all that can happen to them: a run in which every metric of the application is written.

Most succeed, some fail, one has a status that nobody knows, some run out of time, one is deleted, one is stopped by hand, one
response is not taken, one caller's token is none here, one gate meets a table that is away, one as many pollers as may run; in
the end the check function loses its layer, and the bus takes no event.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from license_conversion.registrations import MOST_POLLERS, SLOTS
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

GATES = 20
_EXAMPLE = Path(__file__).parents[2] / "examples" / "stack-gate.yaml"
_FOREVER = float("inf")
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
        self._meet_a_throttle_and_a_table_that_is_away()
        self._find_as_many_pollers_as_may_run()
        self._succeed()
        self._come_to_another_end()
        self._ended()
        self._meet_what_is_broken()
        self._ended()
        self._strangers()
        eventually(lambda: self._said("The poller has polled"), _SECONDS, pause=1)  # known once that poller has ended
        if (gates := len(self._executions) + len(self._stacks)) != GATES:
            raise RuntimeError(f"{gates} gates, not {GATES}")
        self._cloud.misbehave(stack="twenty-not-taken")  # no response any more
        for stack_id in self._stacks.values():
            self._cloud.stacks.delete(stack_id)

    def _meet_a_throttle_and_a_table_that_is_away(self) -> None:
        task_id = self._add_task(duration=25)
        self._cloud.license_manager.faults.queue(
            "RateLimitExceededException", operation="GetLicenseConversionTask", task_id=task_id
        )
        self._cloud.dynamodb.away = True
        try:
            self._start(task_id, TimeoutSeconds=30)
            eventually(lambda: self._said("The gate asks by itself"), _SECONDS, pause=1)
        finally:
            self._cloud.dynamodb.away = False

    def _find_as_many_pollers_as_may_run(self) -> None:
        """In a region of which no gate has waited for a task: its first gate starts a poller."""
        dynamodb, table = self._cloud.client("dynamodb"), self._physical_id("RegistrationTable")
        taken = {f"Slot{number}": {"N": f"{time.time() + _SECONDS}"} for number in range(MOST_POLLERS)}
        dynamodb.put_item(TableName=table, Item={**SLOTS, **taken})
        self._start(self._add_task(duration=_FOREVER), TimeoutSeconds=20, Region="us-west-2")
        eventually(lambda: self._said("As many pollers run as may"), _SECONDS, pause=1)
        dynamodb.delete_item(TableName=table, Key=SLOTS)

    def _succeed(self) -> None:
        for seconds in (4, 6, 8, 12, 16, 20):
            self._start(self._add_task(duration=seconds))
        self._create("goes-on", self._add_task(duration=9))

    def _come_to_another_end(self) -> None:
        self._start(self._add_task(duration=5, end_status="FAILED"), TaskToken="of-another-account")
        self._create("fails", self._add_task(duration=7, end_status="FAILED"))
        self._start(self._add_task(duration=_FOREVER), TimeoutSeconds=20)
        self._start(self._add_task(duration=0, end_status="PAUSED"), TimeoutSeconds=40)
        self._start("lct-0123456789abcdef0", OnFailur="FAIL")
        self._cloud.misbehave(*[503] * 100, stack="twenty-not-taken")
        self._create("not-taken", self._add_task(duration=3), ServiceTimeout="40")
        for name in ("deleted", "stopped"):
            task_id = self._add_task(duration=_FOREVER)
            self._create(name, task_id)
            eventually(lambda task_id=task_id: self._cloud.license_manager.calls_for(task_id), _SECONDS)  # type: ignore[misc]
        self._cloud.stacks.delete(self._stacks["deleted"], wait=False)
        self._stop_by_hand(self._stacks["stopped"])

    def _stop_by_hand(self, stack_id: str) -> None:
        """The responder stands in for the execution."""
        machine = self._application.outputs["StateMachineArn"]
        running = self._step_functions.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        for arn in (one["executionArn"] for one in running):
            if stack_id in self._step_functions.describe_execution(executionArn=arn)["input"]:
                self._step_functions.stop_execution(executionArn=arn, error="Operator")

    def _meet_what_is_broken(self) -> None:
        with self._without_layers("CheckTaskFunction"):
            self._create("broken", self._add_task(duration=_FOREVER), ServiceTimeout="30")
            self._start(self._add_task(duration=_FOREVER), TimeoutSeconds=12)
            self._ended()
        with self._denied("events:PutEvents"):
            self._start(self._add_task(duration=0))
            self._ended()

    def _strangers(self) -> None:
        """No gates: callers and events that the functions refuse, or cannot use."""
        self._invoke("CheckTaskFunction", {"LicenseConversionTaskIdd": "lct-0123456789abcdef0"})
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
    def _without_layers(self, logical_id: str) -> Iterator[None]:
        name = self._physical_id(logical_id)
        layers = [one["Arn"] for one in self._lambda.get_function_configuration(FunctionName=name)["Layers"]]
        self._give_layers(name, [])
        try:
            yield
        finally:
            self._give_layers(name, layers)

    def _give_layers(self, name: str, layers: list[str]) -> None:
        self._lambda.update_function_configuration(FunctionName=name, Layers=layers)
        self._lambda.get_waiter("function_updated_v2").wait(FunctionName=name)

    @contextlib.contextmanager
    def _denied(self, action: str) -> Iterator[None]:
        """To the state machine."""
        policy = {"RoleName": self._physical_id("StateMachineRole"), "PolicyName": "denied"}
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam = self._cloud.client("iam")
        iam.put_role_policy(**policy, PolicyDocument=document)
        try:
            yield
        finally:
            iam.delete_role_policy(**policy)
