"""Stacks wait at the deployed gate: the examples as they are, on the local cloud, in real time.

The stacks of this module are all created at once, because each of them spends its time waiting.
"""

import json
import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

import pytest

from tests.end_to_end.application import EXAMPLES, ROOT, Application, history_of, states_in
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

STACK_GATE = EXAMPLES / "stack-gate.yaml"
LONG = EXAMPLES / "long-conversion.yaml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
NOT_ALWAYS = ("License Manager gave no outcome this time", "The gate starts a poller")
SAID = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."


class NamedStacks:
    """Stacks by the name of what happens to them; `tasks` are the conversion tasks by the same name."""

    def __init__(self, application: Application) -> None:
        self.cloud = application.cloud
        self.tasks: dict[str, str] = {}
        self._stacks: dict[str, Stack] = {}

    def create(self, name: str, task_id: str, template: object = STACK_GATE, **parameters: str) -> None:
        self.tasks[name] = task_id
        self._stacks[name] = self.cloud.stacks.create(
            name, template, {"LicenseConversionTaskId": task_id, **parameters}, wait=False  # type: ignore[arg-type]
        )  # fmt: skip

    def update(self, name: str, task_id: str) -> None:
        """To another task, once the stack waits no more."""
        stack = self.ended(name)
        self.cloud.stacks.update(stack.id, STACK_GATE, {"LicenseConversionTaskId": task_id}, wait=False)

    def ended(self, name: str) -> Stack:
        return self.cloud.stacks.wait_for(self._stacks[name].id)


@pytest.fixture(scope="module")
def stacks(application: Application) -> NamedStacks:
    add = application.cloud.license_manager.add_task
    stacks = NamedStacks(application)
    clock = {"TimeoutSeconds": "600", "WaitConditionTimeout": "660"}
    failed = {"end_status": "FAILED", "status_message": SAID}
    stacks.create("updated", add(duration=0))
    stacks.create("rolled-back", add(duration=0))
    stacks.create("waits", add(duration=7))
    stacks.create("already-terminal", add(duration=0))
    stacks.create("fails", add(duration=8, **failed))
    stacks.create("long", add(duration=9), LONG, **clock)
    stacks.create("deleted-in-flight", add(duration=float("inf")))
    stacks.update("updated", add(duration=6))
    stacks.update("rolled-back", add(duration=3, **failed))
    return stacks


def reason(stack: Stack) -> str:
    """The Reason as the stack's events carry it."""
    (failure,) = (failed for failed in stack.failures if failed.startswith("Gate:"))
    return failure


def test_a_stack_waits_for_a_running_task_and_gets_its_attributes(stacks: NamedStacks) -> None:
    stack = stacks.ended("waits")

    assert stack.status == "CREATE_COMPLETE"
    assert stack.outputs["Task"] == stack.outputs["LicenseConversionTaskId"] == stacks.tasks["waits"]
    assert stack.outputs["ResourceArn"].startswith("arn:aws:ec2:")
    assert stack.outputs["SourceUsageOperation"] == "RunInstances:0800"
    assert stack.outputs["DestinationUsageOperation"] == "RunInstances:0002"
    assert stack.outputs["SourceProductCodes"] == stack.outputs["DestinationProductCodes"] == ""
    assert (stack.outputs["Status"], stack.outputs["StatusMessage"]) == ("SUCCEEDED", "")
    for member in ("StartTime", "LicenseConversionTime", "EndTime"):
        assert datetime.fromisoformat(stack.outputs[member]).tzinfo is not None
    noted = stacks.cloud.client("ssm").get_parameter(Name=_physical_id(stacks.cloud, stack, "BilledAs"))
    assert noted["Parameter"]["Value"] == "RunInstances:0002"


def test_a_terminal_task_is_one_execution_that_waits_for_nothing(stacks: NamedStacks, application: Application) -> None:
    stack = stacks.ended("already-terminal")

    assert stack.status == "CREATE_COMPLETE"
    (execution,) = (one for one in application.executions() if _waits_for(application, one, stack))
    assert states_in(history_of(application.cloud, execution["executionArn"])) == [
        "Open Gate",
        "Check Task",
        "Route",
        "Publish Event",
        "Route",
        "Respond",
        "Route",
        "Conversion Done",
    ]


def test_a_failed_conversion_rolls_the_stack_back_with_its_message(stacks: NamedStacks) -> None:
    stack = stacks.ended("fails")

    assert stack.status == "ROLLBACK_COMPLETE"
    for part in ("License conversion FAILED", stacks.tasks["fails"], "arn:aws:ec2:", SAID):
        assert part in reason(stack)


def test_the_long_pattern_holds_the_stack_by_a_wait_condition_and_still_gives_attributes(stacks: NamedStacks) -> None:
    stack = stacks.ended("long")

    assert stack.status == "CREATE_COMPLETE"
    assert stack.outputs["Status"] == "SUCCEEDED"
    assert stack.outputs["DestinationUsageOperation"] == "RunInstances:0002"
    started, signal, gate = stacks.cloud.received(stack.id)
    assert (started["Status"], started["Data"]["Status"]) == ("SUCCESS", "IN_PROGRESS")
    assert (signal["Status"], json.loads(signal["Data"])["Status"]) == ("SUCCESS", "SUCCEEDED")
    assert (gate["Status"], gate["Data"]["Status"]) == ("SUCCESS", "SUCCEEDED")


def test_a_delete_while_the_create_is_in_flight_stops_the_execution(
    stacks: NamedStacks, application: Application
) -> None:
    stack = stacks.cloud.stacks.describe("deleted-in-flight")
    eventually(lambda: _running_for(application, stack))

    stacks.cloud.stacks.delete(stack.id)

    assert _running_for(application, stack) == []
    assert stacks.cloud.stacks.wait_for(stack.id).status == "DELETE_COMPLETE"


def test_an_update_to_another_task_gates_and_replaces_the_id(stacks: NamedStacks) -> None:
    updated = stacks.ended("updated")

    task, first = updated.outputs["Task"], stacks.tasks["updated"]
    assert (updated.status, updated.outputs["LicenseConversionTaskId"]) == ("UPDATE_COMPLETE", task)
    assert task != first
    deletes = [one.request for one in stacks.cloud.requests(updated.id) if one.request["RequestType"] == "Delete"]
    assert [delete["PhysicalResourceId"] for delete in deletes] == [first]


def test_an_update_that_fails_rolls_back_to_the_finished_task(stacks: NamedStacks) -> None:
    updated, first = stacks.ended("rolled-back"), stacks.tasks["rolled-back"]

    assert updated.status == "UPDATE_ROLLBACK_COMPLETE"
    assert updated.outputs["Task"] == first
    assert [(one["Status"], one["PhysicalResourceId"]) for one in stacks.cloud.received(updated.id)] == [
        ("SUCCESS", first),
        ("FAILED", first),
        ("SUCCESS", first),
    ]


def story(application: Application, **wanted: str) -> list[dict[str, Any]]:
    """What the query of docs/operations.md finds: CloudWatch Logs reads the keys of lines that are JSON."""
    lines = [json.loads(text) for text in application.cloud.log_lines() if text.startswith("{")]
    found = [line for line in lines if "message" in line and wanted.items() <= line.items()]
    return sorted(found, key=lambda line: str(line["timestamp"]))


def test_the_query_of_a_gates_story_is_the_one_that_operations_has() -> None:
    query = re.search(r"\| filter (.+)\n\| filter ispresent\(message\)", OPERATIONS)

    assert query
    assert query[1] == (
        '(stack_id like "stack/MY-STACK/" and logical_resource_id = "MY-GATE") or task_id = "lct-MY-TASK"'
    )


def test_the_log_has_a_gate_from_its_request_to_its_response(application: Application, stacks: NamedStacks) -> None:
    stack, responded = stacks.ended("waits"), "The STACK got its response"
    mine = partial(story, application, stack_id=stack.id, logical_resource_id="Gate")
    lines = eventually(mine, until=lambda found: responded in [line["message"] for line in found])

    # A check that comes to nothing on a busy machine says so, and one gate of all starts the poller.
    messages = [str(line["message"]) for line in lines if not line["message"].startswith(NOT_ALWAYS)]
    assert [*dict.fromkeys(messages)] == [
        "The execution responds", "The gate waits", "The gate ends: SUCCEEDED", responded,
    ]  # fmt: skip
    assert {line["task_id"] for line in lines if line["message"] in messages} == {stacks.tasks["waits"]}
    assert all(line["request_id"] for line in lines if line["message"] != responded)
    assert [line["waited_seconds"] for line in lines if "waited_seconds" in line][-1] > 5
    assert len({line["execution"] for line in lines if "execution" in line}) == 1


def test_the_log_says_why_a_gate_fails(application: Application, stacks: NamedStacks) -> None:
    stacks.ended("fails")
    lines = story(application, task_id=stacks.tasks["fails"])

    (end,) = (line for line in lines if "outcome" in line)
    assert (end["outcome"], end["status"]) == ("FAILED", "FAILED")
    assert SAID in end["reason"]


def test_every_stack_gets_its_response_though_the_runtime_is_killed_again_and_again(application: Application) -> None:
    cloud = application.cloud
    tasks = [cloud.license_manager.add_task(duration=5 + number) for number in range(5)]
    names = [
        cloud.stacks.create(f"killed-{number}", STACK_GATE, {"LicenseConversionTaskId": task}, wait=False).id
        for number, task in enumerate(tasks)
    ]
    # A request no more often than it is tried again, however slow the machine.
    for function, times in (("CustomResourceFunction", 1), ("CheckTaskFunction", 2), ("RespondFunction", 1)):
        arn = application.function_arn(function)
        for _ in range(times):
            eventually(lambda arn=arn: cloud.localstack.kill_runtimes(arn))  # type: ignore[misc]
            time.sleep(1.1)

    for name, task in zip(names, tasks, strict=True):
        stack = cloud.stacks.wait_for(name)
        assert stack.status == "CREATE_COMPLETE", stack.failures
        assert stack.outputs["Status"] == "SUCCEEDED"
        assert len(cloud.received(stack.id)) == 1, task


def test_no_log_line_contains_a_response_url_or_a_handle(application: Application, stacks: NamedStacks) -> None:
    cloud = application.cloud
    secrets = [issued.signature for issued in cloud.requests() + cloud.handles()]
    text = unquote("\n".join(cloud.log_lines()))

    assert len(secrets) > len(stacks.tasks)
    assert "The gate ends" in text
    assert not [secret for secret in secrets if unquote(secret) in text]


def _physical_id(cloud: LocalCloud, stack: Stack, logical_id: str) -> str:
    found = cloud.client("cloudformation").describe_stack_resource(StackName=stack.id, LogicalResourceId=logical_id)
    return str(found["StackResourceDetail"]["PhysicalResourceId"])


def _waits_for(application: Application, execution: Mapping[str, object], stack: Stack) -> bool:
    described = application.cloud.client("stepfunctions").describe_execution(executionArn=execution["executionArn"])
    return stack.id in described["input"]


def _running_for(application: Application, stack: Stack) -> list[Mapping[str, object]]:
    return [one for one in application.executions("RUNNING") if _waits_for(application, one, stack)]
