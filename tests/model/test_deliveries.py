"""What the model has found, one case at a time."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.model.aws_clients import Task, resource_arn
from tests.model.cloudformation import FUNCTION, next_handle
from tests.model.faults import Fault
from tests.model.interpreter import Done, Execution, Failed
from tests.model.world import World

TASK = "lct-00000000000000001"
FOR_EVER = 10.0**9


@pytest.fixture
def world() -> Iterator[World]:
    world = World(seed=0)
    with world.at_the_seams():
        yield world
        world.settle()
    world.close()


def delivered_twice(world: World, end: str, **properties: Any) -> list[str]:
    """The responses to a Create that is delivered again a minute later."""
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=0, end=end)
    resource = world.cloudformation.resources[0]
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, **properties}
    world.cloudformation.create(resource, named, keeps_failed=True)
    world.deliver(world.cloudformation.requests[0], late=60)
    world.scheduler.run_for(120)
    return world.cloudformation.requests[0].bodies


def test_a_refused_create_has_the_same_answer_twice(world: World) -> None:
    one, other = delivered_twice(world, "SUCCEEDED", OnFailure="perhaps")

    assert one == other
    assert "license-conversion-gate-refused" in one


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "DENIED"])
def test_a_verdict_at_the_first_look_is_the_same_twice(world: World, end: str) -> None:
    one, other = delivered_twice(world, end)

    assert one == other


def test_a_verdict_at_the_first_look_has_not_been_waited_for(world: World) -> None:
    one, _ = delivered_twice(world, "FAILED")

    assert "after the gate waited 0 s" in one


@pytest.mark.parametrize(("conversion", "status"), [(30.0, "SUCCESS"), (3000.0, "FAILED")])
def test_a_wait_that_was_given_up_is_not_joined(world: World, conversion: float, status: str) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=conversion, end="SUCCEEDED")
    world.faults.queued["StartExecution"].append(Fault.LOST)
    world.faults.queued["Put"].append(Fault.CRASH_BEFORE)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "ServiceTimeout": "600"}

    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.scheduler.run_for(120)

    answer = world.cloudformation.requests[0].answer
    assert answer
    assert answer["Status"] == status


def test_a_clean_up_leaves_the_wait_alone_that_has_taken_its_place(world: World) -> None:
    other = TASK[:-1] + "2"
    world.license_manager.tasks[TASK] = Task(TASK, began=-100, seconds=50, end="SUCCEEDED")
    world.license_manager.tasks[other] = Task(other, began=100, seconds=600, end="SUCCEEDED")
    cloudformation, resource = world.cloudformation, world.cloudformation.resources[0]
    newest = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK)}
    cloudformation.create(resource, newest, keeps_failed=True)
    world.run_for(200)

    handle = {"WaitConditionHandle": next_handle(1), "TimeoutSeconds": "7200"}
    cloudformation.update(resource, newest | handle, then_fails=False, undo_by_delete=False)
    world.run_for(3000)

    create, update, clean_up = cloudformation.requests
    assert (create.answer or {})["PhysicalResourceId"] == clean_up.physical_id == TASK
    assert (update.answer or {})["PhysicalResourceId"] == other
    assert len(update.signals) == 1


@pytest.mark.parametrize(("end", "status"), [("SUCCEEDED", "SUCCESS"), ("FAILED", "FAILED"), ("DENIED", "FAILED")])
def test_a_verdict_at_the_first_look_outlasts_an_outage_of_ten_minutes(world: World, end: str, status: str) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=0, end=end)
    world.faults.weather["Put"] = (Fault.REFUSED, 600.0)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK}

    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.scheduler.run_for(800)

    answer = world.cloudformation.requests[0].answer
    assert answer
    assert answer["Status"] == status
    assert "The gate itself broke" not in answer["Reason"]


def test_an_answer_that_is_taken_but_never_acknowledged_stays_the_same(world: World) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=0, end="SUCCEEDED")
    world.faults.weather["Put"] = (Fault.LOST, 400.0)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK}

    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.scheduler.run_for(800)

    bodies = world.cloudformation.requests[0].bodies
    assert len(bodies) > 2
    assert len(set(bodies)) == 1


def test_a_handle_that_takes_nothing_at_the_first_look_is_signalled_by_a_wait(world: World) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=0, end="SUCCEEDED")
    world.faults.weather["Put"] = (Fault.REFUSED, 30.0)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "WaitConditionHandle": next_handle(1)}

    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.scheduler.run_for(300)

    (request,) = world.cloudformation.requests
    assert len(request.signals) == 1
    assert (request.answer or {})["Data"]["Status"] == "SUCCEEDED"


def test_a_throttle_at_the_first_look_does_not_fail_a_resource_that_a_handle_waits_for(world: World) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=-100, seconds=300, end="SUCCEEDED")
    world.faults.queued["ListTasks"].append(Fault.THROTTLED)
    newest = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK), "WaitConditionHandle": next_handle(1)}

    world.cloudformation.create(world.cloudformation.resources[0], newest, keeps_failed=True)
    world.scheduler.run_for(600)

    (request,) = world.cloudformation.requests
    assert (request.answer or {})["PhysicalResourceId"] == TASK
    assert len(request.signals) == 1


def test_a_wait_that_a_late_delivery_of_a_create_began_is_stopped_by_the_delete(world: World) -> None:
    """Another task has become the newest of the resource since the first delivery was answered."""
    other = TASK[:-1] + "2"
    world.license_manager.tasks[TASK] = Task(TASK, began=-100, seconds=50, end="SUCCEEDED")
    world.license_manager.tasks[other] = Task(other, began=100, seconds=5000, end="SUCCEEDED")
    cloudformation, resource = world.cloudformation, world.cloudformation.resources[0]
    newest = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK), "WaitConditionHandle": next_handle(1)}
    cloudformation.create(resource, newest, keeps_failed=True)
    world.run_for(200)
    world.deliver(cloudformation.requests[0], late=0)
    world.run_for(10)

    cloudformation.delete(resource)
    world.run_for(10)

    (execution,) = world.step_functions.executions.values()
    assert execution.status == "ABORTED"


# In time, whatever breaks at the deadline


def answer_in_time(world: World, service_timeout: int) -> dict[str, Any]:
    """What the one request is answered, before CloudFormation gives it up."""
    (request,) = world.cloudformation.requests
    while request.answer is None:
        assert world.scheduler.now < request.requested + service_timeout
        world.scheduler.run_for(0.5)
    return request.answer


def gate_that_waits(world: World, service_timeout: int, until: float, **properties: Any) -> None:
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=FOR_EVER, end="SUCCEEDED")
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "ServiceTimeout": str(service_timeout)}
    world.cloudformation.create(world.cloudformation.resources[0], named | properties, keeps_failed=True)
    world.scheduler.run_for(until)


@pytest.mark.parametrize("service_timeout", [60, 120, 300, 3600])
@pytest.mark.parametrize("before", [60, 30, 10, 1])
def test_a_check_that_hangs_at_the_deadline_leaves_time_for_an_answer(
    world: World, service_timeout: int, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadline = service_timeout - min(60, service_timeout // 5)
    gate_that_waits(world, service_timeout, max(1, deadline - before))
    monkeypatch.setattr(
        world.license_manager, "get_license_conversion_task", lambda **_: world.scheduler.sleep(FOR_EVER)
    )

    answer = answer_in_time(world, service_timeout)

    assert (answer["Status"], "States.Timeout" in answer["Reason"]) == ("FAILED", True)


@pytest.mark.parametrize("service_timeout", [60, 120, 300, 3600])
@pytest.mark.parametrize("before", [60, 30, 10, 1])
def test_lambda_that_throttles_at_the_deadline_leaves_time_for_an_answer(
    world: World, service_timeout: int, before: int
) -> None:
    deadline = service_timeout - min(60, service_timeout // 5)
    gate_that_waits(world, service_timeout, max(1, deadline - before))
    world.faults.weather["Invoke CheckTask"] = (Fault.THROTTLED, FOR_EVER)

    assert answer_in_time(world, service_timeout)["Status"] == "FAILED"


@pytest.mark.parametrize("service_timeout", [120, 300, 3600])
def test_a_function_that_hangs_with_the_answer_leaves_time_for_the_last_resort(
    world: World, service_timeout: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate_that_waits(world, service_timeout, 1)
    monkeypatch.setattr("custom_resource.StackGate._answer", lambda *_: world.scheduler.sleep(FOR_EVER))

    assert "The wait ran out" in answer_in_time(world, service_timeout)["Reason"]


@pytest.mark.parametrize("service_timeout", [10, 30, 120])
@pytest.mark.parametrize("named", ["ResourceArn", "LicenseConversionTaskIds"])
def test_a_handle_makes_no_answer_to_the_request_late(world: World, service_timeout: int, named: str) -> None:
    tasks = [f"lct-{number:017x}" for number in range(40)]
    for task_id in tasks:
        world.license_manager.tasks[task_id] = Task(task_id, began=-9, seconds=FOR_EVER, end="SUCCEEDED")
    world.faults.weather["ListTasks"] = (Fault.THROTTLED if named == "ResourceArn" else Fault.REFUSED, 500.0)
    what = {"ResourceArn": resource_arn(tasks[0])} if named == "ResourceArn" else {named: tasks}
    handle = {"WaitConditionHandle": next_handle(1), "TimeoutSeconds": "60", "ServiceTimeout": str(service_timeout)}
    world.cloudformation.create(
        world.cloudformation.resources[0], {"ServiceToken": FUNCTION, **what, **handle}, keeps_failed=True
    )

    answer_in_time(world, service_timeout)


@pytest.mark.parametrize(
    ("error", "seconds"), [("Lambda.TooManyRequestsException", 900), ("Lambda.AWSLambdaException", 180)]
)
@pytest.mark.parametrize("caller", [{}, {"TaskToken": "of-a-caller"}], ids=["sync", "task token"])
def test_a_caller_whose_first_check_lambda_never_begins_is_told_within_minutes(
    world: World, caller: dict[str, str], error: str, seconds: int
) -> None:
    """Nothing is known of its deadline yet."""
    said = []

    def invoke(function: str, payload: str, done: Done, failed: Failed) -> None:
        said.append(function)
        answer = partial(failed, error, "") if function == "CheckTask" else partial(done, {})
        world.scheduler.after(1, answer)

    text = json.dumps({"LicenseConversionTaskId": TASK, "TimeoutSeconds": 60, **caller})
    execution = Execution(world.scheduler, invoke, name="one", arn="arn:one", text=text, lost=lambda *_: None)
    execution.begin()
    world.scheduler.run_for(seconds)

    assert (execution.status, execution.error) == ("FAILED", "LicenseConversion.GateBroken")
    assert said.count("SendTaskFailure") == len(caller)


def test_a_resource_with_a_handle_is_answered_the_same_when_another_task_has_become_its_newest(world: World) -> None:
    other = TASK[:-1] + "2"
    world.license_manager.tasks[TASK] = Task(TASK, began=-100, seconds=5000, end="SUCCEEDED")
    world.license_manager.tasks[other] = Task(other, began=30, seconds=5000, end="SUCCEEDED")
    newest = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK), "WaitConditionHandle": next_handle(1)}
    world.cloudformation.create(world.cloudformation.resources[0], newest, keeps_failed=True)
    world.deliver(world.cloudformation.requests[0], late=60)
    world.scheduler.run_for(120)

    one, again = world.cloudformation.requests[0].bodies
    assert one == again


def test_a_first_look_whose_signal_and_answer_nobody_takes_announces_one_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    announced: list[str] = []
    monkeypatch.setattr(world, "_announced", announced.append)
    world.license_manager.tasks[TASK] = Task(TASK, began=0, seconds=0, end="SUCCEEDED")
    world.faults.weather["Put"] = (Fault.REFUSED, 100.0)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "WaitConditionHandle": next_handle(1)}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.scheduler.run_for(600)

    assert len(announced) == 1
    assert len(world.step_functions.executions) == 2


def test_a_delete_succeeds_whatever_breaks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    gate_that_waits(world, 3600, 1)
    monkeypatch.setattr(world.step_functions, "paginate", lambda **_: 1 / 0)
    world.cloudformation.cancel(world.cloudformation.resources[0])
    world.scheduler.run_for(10)

    assert (world.cloudformation.requests[1].answer or {})["Status"] == "SUCCESS"
