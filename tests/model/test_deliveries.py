"""What the model has found, and what its promises are at their edges, one case at a time."""

import json
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.model.aws_clients import resource_arn
from tests.model.cloudformation import next_handle
from tests.model.faults import Fault
from tests.simulation.interpreter import Done, Execution, Failed
from tests.model.who_waits import FUNCTION, Resource, State
from tests.model.world import World
from tests.simulation.definition import definition

TASK = "lct-00000000000000001"
OTHER = TASK[:-1] + "2"
"""Of the same resource."""
FOR_EVER = 10.0**9


@pytest.fixture
def world() -> Iterator[World]:
    world = World(seed=0)
    with world.at_the_seams():
        yield world
        world.settle()
    world.close()


def task(
    world: World, task_id: str = TASK, *, began: float = 0, seconds: float = FOR_EVER, end: str = "SUCCEEDED"
) -> None:
    world.license_manager.add(task_id, began=began, seconds=seconds, end=end)


def create(world: World, **properties: Any) -> None:
    named = {"ServiceToken": FUNCTION, **properties}
    if not any(name in properties for name in ("ResourceArn", "LicenseConversionTaskIds")):
        named["LicenseConversionTaskId"] = TASK
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)


def answer(world: World, number: int = 0) -> dict[str, Any]:
    return world.cloudformation.requests[number].answer or {}


# One execution for each request, and one answer


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "DENIED"])
@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.parametrize("late", [0, 1, 60])
def test_a_duplicate_adds_nothing(world: World, end: str, seconds: float, late: float) -> None:
    task(world, seconds=seconds, end=end)
    create(world)
    world.deliver(world.cloudformation.requests[0], late=late)
    world.clock.run_for(180)

    assert len(world.cloudformation.requests[0].bodies) == 1
    assert len(world.step_functions.executions) == 1


def test_a_refused_create_starts_nothing_and_has_the_same_answer_twice(world: World) -> None:
    create(world, OnFailure="perhaps")
    world.deliver(world.cloudformation.requests[0], late=60)
    world.clock.run_for(120)

    one, other = world.cloudformation.requests[0].bodies
    assert one == other
    assert "license-conversion-gate-refused" in one
    assert not world.step_functions.executions


def test_a_task_that_has_ended_is_answered_within_two_seconds(world: World) -> None:
    task(world, seconds=0)
    create(world)
    world.clock.run_for(2)

    assert answer(world)["Data"]["Status"] == "SUCCEEDED"


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_REPLY, Fault.CRASH_AFTER])
def test_a_start_that_is_not_acknowledged_is_one_wait_all_the_same(world: World, fault: Fault) -> None:
    task(world, seconds=30)
    world.faults.queued["StartExecution"].append(fault)
    create(world)
    world.clock.run_for(200)

    assert answer(world)["Status"] == "SUCCESS"
    assert len(world.step_functions.executions) == 1


@pytest.mark.parametrize("minutes", [1, 2])
def test_a_throttle_of_minutes_at_the_start_fails_no_gate(world: World, minutes: int) -> None:
    task(world, seconds=30)
    world.faults.weather["StartExecution"] = (Fault.THROTTLED, minutes * 60)
    create(world)
    world.clock.run_for(300)

    assert answer(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize(("end", "status"), [("SUCCEEDED", "SUCCESS"), ("FAILED", "FAILED"), ("DENIED", "FAILED")])
def test_a_verdict_outlasts_an_outage_of_five_minutes(world: World, end: str, status: str) -> None:
    task(world, seconds=0, end=end)
    world.faults.weather["Put"] = (Fault.REFUSED, 300.0)
    create(world)
    world.clock.run_for(800)

    assert answer(world)["Status"] == status
    assert "The gate itself broke" not in answer(world)["Reason"]


def test_an_answer_that_is_taken_but_never_acknowledged_stays_the_same(world: World) -> None:
    task(world, seconds=0)
    world.faults.weather["Put"] = (Fault.LOST, 400.0)
    create(world)
    world.clock.run_for(800)

    bodies = world.cloudformation.requests[0].bodies
    assert len(bodies) > 2
    assert len(set(bodies)) == 1


def test_sending_ends_when_cloudformation_has_given_up(world: World) -> None:
    task(world, seconds=0)
    world.faults.weather["Put"] = (Fault.REFUSED, FOR_EVER)
    create(world, ServiceTimeout="90")
    world.clock.run_for(120)

    (execution,) = world.step_functions.executions.values()
    assert execution.error == "LicenseConversion.NotAnswered"


@pytest.mark.parametrize("event", [{"key1": "value1"}, {}, [], None, "words", {"RequestType": "Delete"}])
def test_a_malformed_event_in_a_warm_function_answers_nobody(world: World, event: Any) -> None:
    task(world, seconds=30)
    create(world)
    world.clock.run_for(1)
    world.malform(event)
    world.clock.run_for(100)

    assert [json.loads(body)["Status"] for body in world.cloudformation.requests[0].bodies] == ["SUCCESS"]
    assert "The event is none of CloudFormation's" in world.log.getvalue()


# A handle


def test_a_handles_stack_is_answered_by_the_first_check_and_the_handle_at_the_end(world: World) -> None:
    task(world, seconds=1000)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(2)
    answered = answer(world)
    world.clock.run_for(1100)

    assert (answered["Status"], answered["PhysicalResourceId"]) == ("SUCCESS", TASK)
    assert answered["Data"]["Status"] == "IN_PROGRESS"
    (signal,) = world.cloudformation.requests[0].signals
    assert json.loads(json.loads(signal)["Data"])["Status"] == "SUCCEEDED"


def test_a_task_that_had_ended_is_both_answered_and_signalled(world: World) -> None:
    task(world, seconds=0)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(3)

    assert answer(world)["Data"]["Status"] == "SUCCEEDED"
    assert len(world.cloudformation.requests[0].signals) == 1


def test_a_task_that_had_failed_fails_the_stack_and_needs_no_signal(world: World) -> None:
    task(world, seconds=0, end="FAILED")
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(60)

    assert answer(world)["Status"] == "FAILED"
    assert not world.cloudformation.requests[0].signals


def test_a_handle_that_takes_nothing_is_signalled_later(world: World) -> None:
    task(world, seconds=0)
    world.faults.weather["Put"] = (Fault.REFUSED, 60.0)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(300)

    assert answer(world)["Status"] == "SUCCESS"
    assert len(world.cloudformation.requests[0].signals) == 1


def test_a_throttle_does_not_fail_a_nameless_resource_that_a_handle_waits_for(world: World) -> None:
    task(world, began=-100, seconds=2000)
    world.faults.weather["ListTasks"] = (Fault.THROTTLED, 600.0)
    create(world, ResourceArn=resource_arn(TASK), WaitConditionHandle=next_handle(1))
    world.clock.run_for(2200)

    assert answer(world)["PhysicalResourceId"] == TASK
    assert len(world.cloudformation.requests[0].signals) == 1


@pytest.mark.parametrize("service_timeout", [30, 120, 600])
@pytest.mark.parametrize("named", ["ResourceArn", "LicenseConversionTaskIds"])
def test_a_handle_makes_no_answer_to_the_request_late(world: World, service_timeout: int, named: str) -> None:
    tasks = [f"lct-{number:017x}" for number in range(40)]
    for task_id in tasks:
        task(world, task_id, began=-9)
    world.faults.weather["ListTasks"] = (Fault.THROTTLED if named == "ResourceArn" else Fault.REFUSED, 900.0)
    what = {"ResourceArn": resource_arn(tasks[0])} if named == "ResourceArn" else {named: tasks}
    create(world, **what, WaitConditionHandle=next_handle(1), TimeoutSeconds="700", ServiceTimeout=str(service_timeout))

    answer_in_time(world, service_timeout)


# What a later request stops


def update(world: World, **properties: Any) -> None:
    named = {"ServiceToken": FUNCTION, **properties}
    world.cloudformation.update(world.cloudformation.resources[0], named, then_fails=False, undo_by_delete=False)


def test_a_clean_up_leaves_the_wait_alone_that_has_taken_its_place(world: World) -> None:
    task(world, began=-100, seconds=50)
    task(world, OTHER, began=100, seconds=600)
    newest = {"ResourceArn": resource_arn(TASK)}
    create(world, **newest)
    world.run_for(200)
    update(world, **newest, WaitConditionHandle=next_handle(1), TimeoutSeconds="7200")
    world.run_for(3000)

    create_, update_, clean_up = world.cloudformation.requests
    assert (create_.answer or {})["PhysicalResourceId"] == clean_up.physical_id == TASK
    assert (update_.answer or {})["PhysicalResourceId"] == OTHER
    assert len(update_.signals) == 1


@pytest.mark.parametrize(
    ("first", "kept_id"),
    [
        pytest.param({"OnFailure": "perhaps"}, "license-conversion-gate-refused", id="refused"),
        pytest.param({}, TASK, id="failed"),
    ],
)
def test_the_clean_up_of_a_kept_create_leaves_its_successors_wait_alone(
    world: World, first: dict[str, Any], kept_id: str
) -> None:
    """Both name the same resource: only the history of the second one's wait says whose task it waits for."""
    task(world, began=-100, seconds=50, end="FAILED")
    task(world, OTHER, began=100, seconds=600)
    newest = {"ResourceArn": resource_arn(TASK)}
    create(world, **newest, **first)
    world.run_for(200)
    resource = world.cloudformation.resources[0]
    assert (resource.state, resource.physical_id) == (State.CREATE_FAILED, kept_id)

    world.cloudformation.create_anew(
        resource, {"ServiceToken": FUNCTION, **newest, "WaitConditionHandle": next_handle(1)}
    )
    world.run_for(3000)

    _, anew, clean_up = world.cloudformation.requests
    assert (clean_up.kind, clean_up.physical_id) == ("Delete", kept_id)
    assert len(anew.signals) == 1


def test_a_delete_stops_the_wait_whose_id_only_a_check_knew(world: World) -> None:
    task(world, began=-100)
    create(world, ResourceArn=resource_arn(TASK), WaitConditionHandle=next_handle(1))
    world.run_for(100)
    world.cloudformation.delete(world.cloudformation.resources[0])
    world.run_for(10)

    (execution,) = world.step_functions.executions.values()
    assert (execution.status, answer(world, 1)["Status"]) == ("ABORTED", "SUCCESS")


def test_a_delete_while_the_create_is_in_flight_stops_its_wait(world: World) -> None:
    task(world)
    create(world)
    world.run_for(5)
    world.cloudformation.cancel(world.cloudformation.resources[0])
    world.run_for(10)

    (execution,) = world.step_functions.executions.values()
    assert (execution.status, answer(world, 1)["Status"]) == ("ABORTED", "SUCCESS")


@pytest.mark.parametrize("fault", [*(f for f in Fault if "CRASH" not in f.name), None])
@pytest.mark.parametrize("others", [0, 40])
def test_a_delete_is_answered_whatever_the_search_for_waits_meets(
    world: World, fault: Fault | None, others: int
) -> None:
    for number in range(others):  # two a page
        world.step_functions.executions[f"other-{number}"] = Execution(
            world.clock, lambda *_: None, name=f"other-{number}", arn="arn:other", text="{}", lost=lambda *_: None
        )
    if fault:
        world.faults.weather["ListExecutions"] = (fault, 1000.0)
    resource = world.cloudformation.resources[0]
    resource.state, resource.physical_id, resource.properties = State.READY, TASK, {"LicenseConversionTaskId": TASK}
    world.cloudformation.delete(resource)
    world.clock.run_for(60)

    world.step_functions.executions.clear()
    assert answer(world)["Status"] == "SUCCESS"


# In time, whatever breaks between the deadline and the answer


def answer_in_time(world: World, service_timeout: int) -> dict[str, Any]:
    """What the one request is answered, before CloudFormation gives it up."""
    (request,) = world.cloudformation.requests
    while request.answer is None:
        assert world.clock.now < request.requested + service_timeout, "CloudFormation has given up"
        world.clock.run_for(0.5)
    return request.answer


def margin(service_timeout: int) -> int:
    return min(60, service_timeout // 5)


def gate_that_waits(world: World, service_timeout: int, until: float) -> None:
    task(world)
    create(world, ServiceTimeout=str(service_timeout))
    world.clock.run_for(until)


TIMEOUTS = [60, 120, 300, 3600]


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("before", [60, 30, 10, 1])
def test_checks_that_hang_leave_time_for_an_answer(
    world: World, service_timeout: int, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate_that_waits(world, service_timeout, max(1, service_timeout - margin(service_timeout) - before))
    monkeypatch.setattr(world.license_manager, "get_license_conversion_task", lambda **_: world.clock.sleep(FOR_EVER))

    said = answer_in_time(world, service_timeout)

    assert (said["Status"], "States.Timeout" in said["Reason"]) == ("FAILED", True)


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("before", [60, 30, 10, 1])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_FAILURE])
def test_checks_that_lambda_fails_leave_time_for_an_answer(
    world: World, service_timeout: int, before: int, fault: Fault
) -> None:
    gate_that_waits(world, service_timeout, max(1, service_timeout - margin(service_timeout) - before))
    world.faults.weather["Invoke CheckTask"] = (fault, FOR_EVER)

    assert answer_in_time(world, service_timeout)["Status"] == "FAILED"


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW, Fault.SLOW_FAILURE, Fault.LOST])
@pytest.mark.parametrize("call", ["Invoke CheckTask", "Invoke AnswerStack", "AnnounceEnd", "PutMetricData", "Put"])
def test_one_fault_at_any_step_leaves_the_answer_in_time(
    world: World, service_timeout: int, fault: Fault, call: str
) -> None:
    gate_that_waits(world, service_timeout, service_timeout - margin(service_timeout) - 0.5)
    world.faults.queued[call].append(fault)

    said = answer_in_time(world, service_timeout)["Reason"]
    # Where there is no time for another check, whoever waits hears what has failed.
    assert said.startswith(
        ("The wait ran out", "The gate itself broke") if call == "Invoke CheckTask" else "The wait ran out"
    )


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
def test_whoever_waits_is_told_before_anything_is_counted(world: World, service_timeout: int) -> None:
    gate_that_waits(world, service_timeout, 1)
    world.faults.weather["Invoke CheckTask"] = (Fault.THROTTLED, FOR_EVER)
    world.faults.weather["PutMetricData"] = (Fault.SLOW, FOR_EVER)

    answer_in_time(world, service_timeout)
    world.clock.run_for(60)
    (execution,) = world.step_functions.executions.values()
    names = [name for name, _ in execution.entered]
    assert names.index("Answer as Last Resort") < names.index("Count Broken Gate")


@pytest.mark.parametrize("service_timeout", [300, 3600])
@pytest.mark.parametrize("ended_before", [50, 1])
def test_a_throttle_at_the_deadline_decides_no_gate(world: World, service_timeout: int, ended_before: int) -> None:
    deadline = service_timeout - 60
    task(world, seconds=deadline - ended_before)
    create(world, ServiceTimeout=str(service_timeout))
    world.clock.run_for(deadline - ended_before)
    world.faults.weather["GetTask"] = (Fault.THROTTLED, deadline + 15.0)

    assert answer_in_time(world, service_timeout)["Status"] == "SUCCESS"


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
def test_a_throttle_that_does_not_end_is_a_wait_that_ran_out_in_time(world: World, service_timeout: int) -> None:
    gate_that_waits(world, service_timeout, 1)
    world.faults.weather["GetTask"] = (Fault.THROTTLED, FOR_EVER)

    assert answer_in_time(world, service_timeout)["Reason"].startswith("The wait ran out")


# A crowd: License Manager takes a call in two seconds, and four stacks wait


def crowd(world: World, seconds: float = 300) -> list[str]:
    """Four stacks, each with a task of its own, of which the gates have places by then."""
    world.license_manager.quota.limit(0.5)
    tasks = [TASK[:-1] + str(number) for number in range(1, 5)]
    for resource, task_id in zip(world.cloudformation.resources, tasks, strict=True):
        task(world, task_id, seconds=seconds)
        named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": task_id}
        world.cloudformation.create(resource, named, keeps_failed=True)
    world.clock.run_for(60)
    return tasks


def answered(world: World) -> list[str]:
    return [(request.answer or {}).get("Status", "") for request in world.cloudformation.requests]


def test_a_crowd_is_woken_by_its_watch(world: World) -> None:
    crowd(world)
    assert len(world.table.items) >= 2
    assert any(not watch.dead for watch in world.watches)

    world.clock.run_for(300)

    assert answered(world) == ["SUCCESS"] * 4
    assert not world.table.items


@pytest.mark.parametrize("every", [1.0, 7.0, 13.0, 40.0])
def test_a_watch_that_is_killed_again_and_again_fails_nobody(world: World, every: float) -> None:
    crowd(world)
    for _ in range(int(600 / every)):
        world.kill_watches()
        world.clock.run_for(every)

    assert answered(world) == ["SUCCESS"] * 4


@pytest.mark.parametrize("call", ["Table", "SendTaskSuccess", "Invoke WatchCrowd"])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.SLOW_FAILURE])
def test_a_crowd_without_its_table_its_bells_or_its_watch_hears_of_the_end(
    world: World, call: str, fault: Fault
) -> None:
    crowd(world)
    world.faults.weather[call] = (fault, FOR_EVER)
    world.clock.run_for(600)

    assert answered(world) == ["SUCCESS"] * 4
    world.faults.clear()


@pytest.mark.parametrize("call", ["Table", "GetTask", "ListTasks", "SendTaskSuccess"])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST])
@pytest.mark.parametrize("nth", range(8))
def test_a_death_at_any_call_of_a_crowd_fails_nobody(world: World, call: str, fault: Fault, nth: int) -> None:
    crowd(world, seconds=100)
    world.clock.run_for(39)
    world.faults.queued[call].extend([*[None] * nth, fault])
    world.clock.run_for(600)

    assert answered(world) == ["SUCCESS"] * 4
    world.faults.clear()


# A state machine that calls


@pytest.mark.parametrize(("end", "said"), [("SUCCEEDED", "Output"), ("FAILED", "Error"), ("DENIED", "Error")])
@pytest.mark.parametrize("token", [True, False], ids=["task token", "sync"])
def test_a_caller_is_told_once_and_its_execution_says_the_same(
    world: World, end: str, said: str, *, token: bool
) -> None:
    task(world, seconds=100, end=end)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=token)
    world.run_for(200)

    assert waiting.execution
    assert waiting.execution.status == ("SUCCEEDED" if said == "Output" else "FAILED")
    assert [said in verdict for verdict in waiting.calls] == [True] * token


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.THROTTLED, Fault.LOST, Fault.SLOW, Fault.SLOW_FAILURE])
@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED"])
def test_a_token_is_called_back_though_the_call_meets_a_fault(world: World, fault: Fault, end: str) -> None:
    task(world, seconds=100, end=end)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.faults.weather["CallBack"] = (fault, 130.0)
    world.run_for(300)

    assert waiting.calls
    assert all(verdict == waiting.calls[0] for verdict in waiting.calls)


def test_a_token_that_step_functions_does_not_take_for_minutes_is_called_back_by_the_second_net(world: World) -> None:
    task(world, seconds=100)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.faults.weather["CallBack"] = (Fault.REFUSED, 400.0)
    world.run_for(800)

    assert waiting.execution
    assert waiting.execution.error == "LicenseConversion.NotAnswered"
    assert [verdict["Output"]["Status"] for verdict in waiting.calls] == ["SUCCEEDED"]


def test_nobody_calls_a_caller_that_has_gone_again(world: World) -> None:
    task(world, seconds=100)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=True, hears=50)
    world.run_for(200)

    assert waiting.execution
    assert (waiting.execution.status, waiting.calls) == ("SUCCEEDED", [])


# Past every state: Step Functions ends the execution, or somebody stops it

OUTSIDE = [("FAILED", "States.Runtime"), ("TIMED_OUT", "States.Timeout"), ("ABORTED", ""), ("ABORTED", "by hand")]


@pytest.mark.parametrize("end", OUTSIDE)
@pytest.mark.parametrize("events", [(0.5,), (70.0,), (0.0, 0.1), (0.5, 70.0)], ids=str)
@pytest.mark.parametrize("at", [0.02, 0.5, 30])
def test_whoever_waits_for_an_execution_that_is_ended_from_outside_is_told(
    world: World, end: tuple[str, str], events: tuple[float, ...], at: float
) -> None:
    task(world)
    world.end_events = (events,)
    create(world)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.run_for(at)
    for execution in world.step_functions.executions.values():
        world.end_from_outside(execution, *end)
    world.run_for(90)

    begins = "Somebody stopped the gate" if end[0] == "ABORTED" else "The gate itself broke"
    if at > 0.1:  # before, no execution had begun, and nobody was there to stop it
        assert answer(world)["Reason"].startswith(begins)
        assert len(set(world.cloudformation.requests[0].bodies)) == 1
    assert waiting.calls
    assert waiting.calls[0]["Cause"].startswith(begins)


@pytest.mark.parametrize("end", OUTSIDE)
def test_a_handle_is_signalled_though_its_wait_is_ended_from_outside(world: World, end: tuple[str, str]) -> None:
    task(world)
    create(world, WaitConditionHandle=next_handle(1))
    world.run_for(100)
    (execution,) = world.step_functions.executions.values()
    world.end_from_outside(execution, *end)
    world.run_for(10)

    (signal,) = world.cloudformation.requests[0].signals
    assert json.loads(signal)["Status"] == "FAILURE"
    assert answer(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize("seconds", [10.0, 100.0])
def test_the_second_net_waits_until_step_functions_says_how_the_execution_ended(world: World, seconds: float) -> None:
    task(world)
    create(world)
    world.run_for(5)
    (execution,) = world.step_functions.executions.values()
    world.faults.weather["DescribeExecution"] = (Fault.STALE, 5 + seconds)
    world.end_events = ((0.0,),)
    world.end_from_outside(execution, "FAILED", "States.Runtime")
    world.run_for(10)

    assert "States.Runtime" in answer(world)["Reason"]


# Lambda throttles the function that CloudFormation invokes


@pytest.mark.parametrize("minutes", [1, 5, 8])
def test_an_event_that_lambda_throttles_for_minutes_begins_its_wait_then(world: World, minutes: int) -> None:
    task(world)
    world.faults.weather["Invoke CustomResource"] = (Fault.THROTTLED, minutes * 60)
    create(world)
    world.license_manager.service.change_task(TASK, duration=1000)
    world.run_for(1100)

    assert answer(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["Create", "Delete"])
def test_an_event_that_lambda_throttles_until_it_is_too_old_is_answered_by_the_last_resort(
    world: World, kind: str
) -> None:
    world.faults.weather["Invoke CustomResource"] = (Fault.THROTTLED, FOR_EVER)
    resource = world.cloudformation.resources[0]
    if kind == "Create":
        create(world)
    else:
        resource.state, resource.physical_id, resource.properties = State.READY, TASK, {"LicenseConversionTaskId": TASK}
        world.cloudformation.delete(resource)
    world.run_for(950)

    assert answer(world)["Status"] == ("FAILED" if kind == "Create" else "SUCCESS")
    assert ("EventAgeExceeded" in answer(world)["Reason"]) is (kind == "Create")


# Quotas


def test_a_thousand_deletes_at_once_leave_no_stack_unanswered(world: World) -> None:
    """With the quotas of a small region: 100 lists and then 2 a second. What may remain is waits: a Delete that could not look
    for its own leaves it running, until its own deadline. It disturbs nobody then: its handle's stack is gone.
    """
    task(world)
    world.step_functions.page = 1000
    world.cloudformation.resources[:] = [Resource(f"arn:aws:cloudformation:::stack/s/{n}", "Gate") for n in range(1000)]
    for number, resource in enumerate(world.cloudformation.resources):
        named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK}
        if number % 10 == 0:
            handle = {"WaitConditionHandle": next_handle(number), "TimeoutSeconds": "120"}
            world.cloudformation.create(resource, named | handle, keeps_failed=True)
        else:
            resource.state, resource.physical_id, resource.properties = State.READY, TASK, named
    world.run_for(10)
    for call, size, rate in (("ListExecutions", 100, 2), ("DescribeExecution", 250, 10)):
        world.step_functions.quotas[call].limit(rate, size)
    for resource in world.cloudformation.resources:
        world.cloudformation.delete(resource)
    world.run_for(61)

    deletes = [request for request in world.cloudformation.requests if request.kind == "Delete"]
    assert {(request.answer or {}).get("Status") for request in deletes} == {"SUCCESS"}
    assert {resource.state for resource in world.cloudformation.resources} == {State.ABSENT}
    ends = Counter(execution.status for execution in world.step_functions.executions.values())
    assert ends["ABORTED"] > 0
    assert ends["RUNNING"] < 100
    world.run_for(200)
    assert not any(execution.status == "RUNNING" for execution in world.step_functions.executions.values())


# A caller's own execution


def caller(world: World, invoke: Any, **members: Any) -> Execution:
    text = json.dumps({"LicenseConversionTaskId": TASK, "TimeoutSeconds": 60, **members})
    execution = Execution(world.clock, invoke, name="one", arn="arn:one", text=text, lost=lambda *_: None)
    execution.begin()
    return execution


@pytest.mark.parametrize("error", ["Lambda.TooManyRequestsException", "Lambda.AWSLambdaException", "States.Timeout"])
@pytest.mark.parametrize("members", [{}, {"TaskToken": "of-a-caller"}], ids=["sync", "task token"])
def test_a_caller_whose_first_check_lambda_never_begins_is_told_after_a_quarter_of_an_hour(
    world: World, members: dict[str, str], error: str
) -> None:
    """Nothing is known of its deadline yet."""
    said = []

    def invoke(function: str, _payload: str, done: Done, failed: Failed) -> None:
        said.append(function)
        reply = partial(failed, error, "") if function == "CheckTask" else partial(done, {})
        world.clock.after(0.1, reply)

    execution = caller(world, invoke, **members)
    world.clock.run_for(800)
    assert execution.status == "RUNNING"
    world.clock.run_for(600)

    assert (execution.status, execution.error) == ("FAILED", "LicenseConversion.GateBroken")
    assert error in execution.cause
    assert said.count("SendTaskFailure") == len(members)


@pytest.mark.parametrize("state", ["First Check", "Check Task"])
def test_our_own_broken_function_is_not_waited_for(world: World, state: str) -> None:
    for error in definition()["States"][state]["Retry"][0]["ErrorEquals"]:
        began = world.clock.now

        def invoke(function: str, _payload: str, done: Done, failed: Failed, error: str = error) -> None:
            reply = partial(failed, error, "it broke") if function == "CheckTask" else partial(done, {})
            world.clock.after(0.1, reply)

        execution = caller(world, invoke)
        world.clock.run_for(60)

        assert execution.cause.endswith(f"Lambda said {error}: it broke")
        assert execution.stopped - began < 10
