"""What the model has found, one case at a time."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.model.aws_clients import Task, resource_arn
from tests.model.cloudformation import FUNCTION, next_handle
from tests.model.faults import Fault
from tests.model.world import World

TASK = "lct-00000000000000001"


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
