"""What the model has found, and what its promises are at their edges, one case at a time."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from license_conversion.request import Account
from tests.model.aws_clients import resource_arn
from tests.model.cloudformation import next_handle
from tests.model.faults import Fault
from tests.model.who_waits import FUNCTION, Resource, State
from tests.model.world import World
from tests.simulation.interpreter import Execution, gate

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


@pytest.fixture
def unjudged() -> Iterator[World]:
    """In which promises may be broken."""
    world = World(seed=0)
    with world.at_the_seams():
        yield world
    world.close()


def task(
    world: World, task_id: str = TASK, *, began: float = 0, seconds: float = FOR_EVER, end: str = "SUCCEEDED"
) -> None:
    world.license_manager.add(task_id, began=began, seconds=seconds, end=end)


def create(world: World, **properties: Any) -> None:
    named = {"ServiceToken": FUNCTION, **properties}
    if not any(name in properties for name in ("ResourceArn", "LicenseConversionTaskIds")):
        named.setdefault("LicenseConversionTaskId", TASK)
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)


def response(world: World, number: int = 0) -> dict[str, Any]:
    return world.cloudformation.requests[number].response or {}


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


def test_a_refused_create_starts_nothing_and_gets_the_same_response_twice(world: World) -> None:
    create(world, OnFailure="perhaps")
    world.deliver(world.cloudformation.requests[0], late=60)
    world.clock.run_for(120)

    one, other = world.cloudformation.requests[0].bodies
    assert one == other
    assert "license-conversion-gate-refused" in one
    assert not world.step_functions.executions


def test_a_task_that_has_ended_has_its_response_within_two_seconds(world: World) -> None:
    task(world, seconds=0)
    create(world)
    world.clock.run_for(2)

    assert response(world)["Data"]["Status"] == "SUCCEEDED"


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_REPLY, Fault.CRASH_AFTER])
def test_a_start_that_is_not_acknowledged_is_one_execution_all_the_same(world: World, fault: Fault) -> None:
    task(world, seconds=30)
    world.faults.queued["StartExecution"].append(fault)
    create(world)
    world.clock.run_for(200)

    assert response(world)["Status"] == "SUCCESS"
    assert len(world.step_functions.executions) == 1


@pytest.mark.parametrize("minutes", [1, 2])
def test_a_throttle_of_minutes_at_the_start_fails_no_gate(world: World, minutes: int) -> None:
    task(world, seconds=30)
    world.faults.weather["StartExecution"] = (Fault.THROTTLED, minutes * 60)
    create(world)
    world.clock.run_for(300)

    assert response(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize(("end", "status"), [("SUCCEEDED", "SUCCESS"), ("FAILED", "FAILED"), ("DENIED", "FAILED")])
def test_an_outcome_outlasts_an_outage_of_five_minutes(world: World, end: str, status: str) -> None:
    task(world, seconds=0, end=end)
    world.faults.weather["Put"] = (Fault.REFUSED, 300.0)
    create(world)
    world.clock.run_for(800)

    assert response(world)["Status"] == status
    assert "The gate itself broke" not in response(world)["Reason"]


def test_a_response_that_is_taken_but_never_acknowledged_stays_the_same(world: World) -> None:
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
    assert execution.error == "LicenseConversion.NoResponse"


@pytest.mark.parametrize("event", [{"key1": "value1"}, {}, [], None, "words", {"RequestType": "Delete"}])
def test_a_malformed_event_in_a_warm_function_gets_no_response(world: World, event: Any) -> None:
    task(world, seconds=30)
    create(world)
    world.clock.run_for(1)
    world.malform(event)
    world.clock.run_for(100)

    assert [json.loads(body)["Status"] for body in world.cloudformation.requests[0].bodies] == ["SUCCESS"]
    assert "The event is none of CloudFormation's" in world.log.getvalue()


# A handle


def test_a_handles_stack_gets_its_response_after_the_first_check_and_the_handle_its_signal_at_the_end(
    world: World,
) -> None:
    task(world, seconds=1000)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(2)
    answered = response(world)
    world.clock.run_for(1100)

    assert (answered["Status"], answered["PhysicalResourceId"]) == ("SUCCESS", TASK)
    assert answered["Data"]["Status"] == "IN_PROGRESS"
    (signal,) = world.cloudformation.requests[0].signals
    assert json.loads(json.loads(signal)["Data"])["Status"] == "SUCCEEDED"


def test_a_task_that_had_ended_gives_both_a_response_and_a_signal(world: World) -> None:
    task(world, seconds=0)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(3)

    assert response(world)["Data"]["Status"] == "SUCCEEDED"
    assert len(world.cloudformation.requests[0].signals) == 1


def test_a_task_that_had_failed_fails_the_stack_and_needs_no_signal(world: World) -> None:
    task(world, seconds=0, end="FAILED")
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(60)

    assert response(world)["Status"] == "FAILED"
    assert not world.cloudformation.requests[0].signals


def test_a_handle_that_takes_nothing_is_signalled_later(world: World) -> None:
    task(world, seconds=0)
    world.faults.weather["Put"] = (Fault.REFUSED, 60.0)
    create(world, WaitConditionHandle=next_handle(1))
    world.clock.run_for(300)

    assert response(world)["Status"] == "SUCCESS"
    assert len(world.cloudformation.requests[0].signals) == 1


def test_a_throttle_does_not_fail_a_nameless_resource_that_a_handle_waits_for(world: World) -> None:
    task(world, began=-100, seconds=2000)
    world.faults.weather["ListTasks"] = (Fault.THROTTLED, 600.0)
    create(world, ResourceArn=resource_arn(TASK), WaitConditionHandle=next_handle(1))
    world.clock.run_for(2200)

    assert response(world)["PhysicalResourceId"] == TASK
    assert len(world.cloudformation.requests[0].signals) == 1


@pytest.mark.parametrize("service_timeout", [30, 120, 600])
@pytest.mark.parametrize("named", ["ResourceArn", "LicenseConversionTaskIds"])
def test_a_handle_makes_no_response_to_the_request_late(world: World, service_timeout: int, named: str) -> None:
    tasks = [f"lct-{number:017x}" for number in range(40)]
    for task_id in tasks:
        task(world, task_id, began=-9)
    world.faults.weather["ListTasks"] = (Fault.THROTTLED if named == "ResourceArn" else Fault.REFUSED, 900.0)
    what = {"ResourceArn": resource_arn(tasks[0])} if named == "ResourceArn" else {named: tasks}
    create(world, **what, WaitConditionHandle=next_handle(1), TimeoutSeconds="700", ServiceTimeout=str(service_timeout))

    response_in_time(world, service_timeout)


# What a later request stops


def update(world: World, **properties: Any) -> None:
    named = {"ServiceToken": FUNCTION, **properties}
    world.cloudformation.update(world.cloudformation.resources[0], named, then_fails=False, undo_by_delete=False)


def test_a_clean_up_leaves_the_execution_alone_that_has_taken_its_place(world: World) -> None:
    task(world, began=-100, seconds=50)
    task(world, OTHER, began=100, seconds=600)
    newest = {"ResourceArn": resource_arn(TASK)}
    create(world, **newest)
    world.run_for(200)
    update(world, **newest, WaitConditionHandle=next_handle(1), TimeoutSeconds="7200")
    world.run_for(3000)

    create_, update_, clean_up = world.cloudformation.requests
    assert (create_.response or {})["PhysicalResourceId"] == clean_up.physical_id == TASK
    assert (update_.response or {})["PhysicalResourceId"] == OTHER
    assert len(update_.signals) == 1


@pytest.mark.parametrize(
    ("first", "kept_id"),
    [
        pytest.param({"OnFailure": "perhaps"}, "license-conversion-gate-refused", id="refused"),
        pytest.param({}, TASK, id="failed"),
    ],
)
def test_the_clean_up_of_a_kept_create_leaves_its_successors_execution_alone(
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


def test_a_delete_stops_the_execution_whose_id_only_a_check_knew(world: World) -> None:
    task(world, began=-100)
    create(world, ResourceArn=resource_arn(TASK), WaitConditionHandle=next_handle(1))
    world.run_for(100)
    world.cloudformation.delete(world.cloudformation.resources[0])
    world.run_for(10)

    (execution,) = world.step_functions.executions.values()
    assert (execution.status, response(world, 1)["Status"]) == ("ABORTED", "SUCCESS")


def test_a_delete_while_the_create_is_in_flight_stops_its_execution(world: World) -> None:
    task(world)
    create(world)
    world.run_for(5)
    world.cloudformation.cancel(world.cloudformation.resources[0])
    world.run_for(10)

    (execution,) = world.step_functions.executions.values()
    assert (execution.status, response(world, 1)["Status"]) == ("ABORTED", "SUCCESS")


@pytest.mark.parametrize("fault", [*(f for f in Fault if "CRASH" not in f.name), None])
@pytest.mark.parametrize("others", [0, 40])
def test_a_delete_gets_its_response_whatever_the_search_for_executions_meets(
    world: World, fault: Fault | None, others: int
) -> None:
    for number in range(others):  # two a page
        name = f"other-{number}"
        world.step_functions.executions[name] = Execution(
            world.clock, lambda *_: None, machine=gate(), name=name, arn="arn:other", text="{}", lost=lambda *_: None
        )
    if fault:
        world.faults.weather["ListExecutions"] = (fault, 1000.0)
    resource = world.cloudformation.resources[0]
    resource.state, resource.physical_id, resource.properties = State.READY, TASK, {"LicenseConversionTaskId": TASK}
    world.cloudformation.delete(resource)
    world.clock.run_for(60)

    world.step_functions.executions.clear()
    assert response(world)["Status"] == "SUCCESS"


# In time, whatever breaks between the deadline and the answer


def response_in_time(world: World, service_timeout: int) -> dict[str, Any]:
    """What the one request is answered, before CloudFormation gives it up."""
    (request,) = world.cloudformation.requests
    while request.response is None:
        assert world.clock.now < request.requested + service_timeout, "CloudFormation has given up"
        world.clock.run_for(0.5)
    return request.response


def margin(service_timeout: int) -> int:
    return min(60, service_timeout // 5)


def gate_that_waits(world: World, service_timeout: int, until: float) -> None:
    task(world)
    create(world, ServiceTimeout=str(service_timeout))
    world.clock.run_for(until)


TIMEOUTS = [60, 120, 300, 3600]


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("before", [60, 30, 10, 1])
def test_checks_that_hang_leave_time_for_a_response(world: World, service_timeout: int, before: int) -> None:
    gate_that_waits(world, service_timeout, max(1, service_timeout - margin(service_timeout) - before))
    world.faults.weather["Invoke CheckTask"] = (Fault.SLOW, FOR_EVER)

    said = response_in_time(world, service_timeout)

    assert (said["Status"], "States.Timeout" in said["Reason"]) == ("FAILED", True)


@pytest.mark.parametrize("service_timeout", [10, 20, 30])
@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.SLOW_FAILURE])
def test_checks_that_hang_from_the_first_on_get_a_response_in_a_short_time_too(
    world: World, service_timeout: int, fault: Fault
) -> None:
    world.faults.weather["Invoke CheckTask"] = (fault, FOR_EVER)
    gate_that_waits(world, service_timeout, 1)

    assert response_in_time(world, service_timeout)["Status"] == "FAILED"


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("before", [60, 30, 10, 1])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_FAILURE])
def test_checks_that_lambda_fails_leave_time_for_a_response(
    world: World, service_timeout: int, before: int, fault: Fault
) -> None:
    gate_that_waits(world, service_timeout, max(1, service_timeout - margin(service_timeout) - before))
    world.faults.weather["Invoke CheckTask"] = (fault, FOR_EVER)

    assert response_in_time(world, service_timeout)["Status"] == "FAILED"


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW, Fault.SLOW_FAILURE, Fault.LOST])
@pytest.mark.parametrize("call", ["Invoke CheckTask", "Invoke Respond", "PutEvents", "PutMetricData", "Put"])
def test_one_fault_at_any_step_leaves_the_response_in_time(
    world: World, service_timeout: int, fault: Fault, call: str
) -> None:
    gate_that_waits(world, service_timeout, service_timeout - margin(service_timeout) - 0.5)
    world.faults.queued[call].append(fault)

    said = response_in_time(world, service_timeout)["Reason"]
    # Where there is no time for another check, whoever waits hears what has failed.
    assert said.startswith(
        ("The wait ran out", "The gate itself broke") if call == "Invoke CheckTask" else "The wait ran out"
    )


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
def test_neither_metrics_nor_events_that_hang_make_a_response_late(world: World, service_timeout: int) -> None:
    gate_that_waits(world, service_timeout, 1)
    world.faults.weather["Invoke CheckTask"] = (Fault.THROTTLED, FOR_EVER)
    for call in ("PutMetricData", "PutEvents"):
        world.faults.weather[call] = (Fault.SLOW, FOR_EVER)

    response_in_time(world, service_timeout)


@pytest.mark.parametrize("service_timeout", [5, 10, 20, *TIMEOUTS])
@pytest.mark.parametrize("ended_before", [4.5, 3, 1.5, 0.5])
def test_an_event_that_hangs_delays_no_response_past_a_short_time(
    world: World, service_timeout: int, ended_before: float
) -> None:
    task(world, seconds=max(0.5, service_timeout - margin(service_timeout) - ended_before))
    world.faults.weather["PutEvents"] = (Fault.SLOW, FOR_EVER)
    create(world, ServiceTimeout=str(service_timeout))

    assert response_in_time(world, service_timeout)["Status"] in ("SUCCESS", "FAILED")


@pytest.mark.parametrize("service_timeout", [300, 3600])
@pytest.mark.parametrize("ended_before", [50, 1])
def test_a_throttle_at_the_deadline_decides_no_gate(world: World, service_timeout: int, ended_before: int) -> None:
    deadline = service_timeout - 60
    task(world, seconds=deadline - ended_before)
    create(world, ServiceTimeout=str(service_timeout))
    world.clock.run_for(deadline - ended_before)
    world.faults.weather["GetTask"] = (Fault.THROTTLED, deadline + 15.0)

    assert response_in_time(world, service_timeout)["Status"] == "SUCCESS"


@pytest.mark.parametrize("service_timeout", [5, 10, 20, 30, *TIMEOUTS])
@pytest.mark.parametrize("seed", range(3))
def test_a_table_that_takes_no_registration_makes_no_response_late(service_timeout: int, seed: int) -> None:
    world = World(seed)
    with world.at_the_seams():
        world.faults.weather["Register"] = (Fault.THROTTLED, FOR_EVER)
        gate_that_waits(world, service_timeout, 1)

        assert response_in_time(world, service_timeout)["Reason"].startswith("The wait ran out")
    world.close()


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
def test_a_throttle_that_does_not_end_is_a_wait_that_ran_out_in_time(world: World, service_timeout: int) -> None:
    gate_that_waits(world, service_timeout, 1)
    world.faults.weather["GetTask"] = (Fault.THROTTLED, FOR_EVER)

    assert response_in_time(world, service_timeout)["Reason"].startswith("The wait ran out")


# The protocol of waiting


def several(world: World, seconds: float = 300) -> None:
    """Four stacks, each with a task of its own, whose gates are registered by then. License Manager takes one call in two
    seconds.
    """
    world.license_manager.quota.limit(0.5)
    for number, resource in enumerate(world.cloudformation.resources, start=1):
        task(world, TASK[:-1] + str(number), seconds=seconds)
        named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK[:-1] + str(number)}
        world.cloudformation.create(resource, named, keeps_failed=True)
    world.clock.run_for(60)


def responses(world: World) -> list[str]:
    return [(request.response or {}).get("Status", "") for request in world.cloudformation.requests]


def lag(world: World, seconds: float) -> float:
    """Runs until the one gate, whose conversion ended after so many seconds, has its response."""
    while not response(world):
        assert world.clock.now < seconds + 250
        world.clock.run_for(0.5)
    return world.clock.now - seconds


def checks(world: World) -> float:
    return sum(waiter.metrics["Checks"] for waiter in world.cloudformation.requests)


def test_several_gates_are_called_back_by_one_poller(world: World) -> None:
    several(world)
    assert len(world.table.items) == 4
    assert len([poller for poller in world.pollers if not poller.dead]) == 1

    world.clock.run_for(300)

    assert responses(world) == ["SUCCESS"] * 4
    assert not world.table.items


def test_a_lone_gate_of_any_age_has_its_response_within_six_seconds_and_asks_only_once_by_itself(world: World) -> None:
    task(world, seconds=2000)
    create(world)
    world.clock.run_for(2000)

    assert lag(world, 2000) <= 6.5
    assert world.cloudformation.requests[0].metrics["Checks"] <= 2000 / 96 + 2


@pytest.mark.parametrize("every", [1.0, 7.0, 13.0, 40.0])
def test_a_poller_that_is_killed_again_and_again_fails_no_gate(world: World, every: float) -> None:
    several(world)
    for _ in range(int(600 / every)):
        world.kill_pollers()
        world.clock.run_for(every)

    assert responses(world) == ["SUCCESS"] * 4


@pytest.mark.parametrize("call", ["Table", "Register", "SendTaskSuccess", "Invoke PollTasks", "Poll", "PollList"])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.SLOW_FAILURE, Fault.SLOW, Fault.SLOW_REPLY, Fault.DENIED])
def test_a_gate_hears_within_two_minutes_without_its_table_its_callback_or_its_poller(
    world: World, call: str, fault: Fault
) -> None:
    task(world, seconds=300)
    create(world)
    world.clock.run_for(60)
    world.faults.weather[call] = (fault, FOR_EVER)

    tries = 80 if call == "Register" and fault is Fault.SLOW_FAILURE else 0
    assert lag(world, 300) <= 125 + tries
    world.faults.clear()


@pytest.mark.parametrize("call", ["Table", "Register", "GetTask", "ListTasks", "SendTaskSuccess"])
@pytest.mark.parametrize("fault", [Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.LOST])
@pytest.mark.parametrize("nth", range(8))
def test_a_death_at_any_call_of_the_protocol_fails_no_gate(world: World, call: str, fault: Fault, nth: int) -> None:
    several(world, seconds=100)
    world.clock.run_for(39)
    world.faults.queued[call].extend([*[None] * nth, fault])
    world.clock.run_for(600)

    assert responses(world) == ["SUCCESS"] * 4
    world.faults.clear()


def test_a_table_that_hangs_for_a_minute_kills_no_check(world: World) -> None:
    world.faults.weather["Table"] = (Fault.SLOW, 60.0)
    task(world, seconds=300)
    create(world)
    world.clock.run_for(250)

    assert "ChecksFailed" not in world.cloudformation.requests[0].metrics
    assert lag(world, 300) <= 125


def test_a_gate_whose_poller_was_killed_after_one_poll_asks_by_itself_when_it_wakes(world: World) -> None:
    task(world, seconds=50)
    create(world)
    world.clock.run_for(45)
    world.kill_pollers()
    world.faults.weather["Invoke PollTasks"] = (Fault.REFUSED, FOR_EVER)

    assert lag(world, 50) <= 60 + 120


def test_a_task_that_is_refused_to_the_poller_alone_wakes_its_gate_once_a_minute(world: World) -> None:
    task(world, seconds=600)
    create(world)
    world.clock.run_for(20)
    world.faults.weather["Poll"] = (Fault.DENIED, FOR_EVER)
    before = checks(world)
    world.clock.run_for(580)

    assert lag(world, 600) <= 65
    assert checks(world) - before <= 2 * 580 / 48 + 3
    world.faults.clear()


def test_two_pollers_of_one_account_become_one(world: World) -> None:
    task(world)
    create(world)
    world.clock.run_for(20)
    world.table.until = 0.0  # an item that is lost, or a clock that is off
    task(world, OTHER)
    world.call({"LicenseConversionTaskId": OTHER}, token=False)
    world.clock.run_for(30)

    assert len([poller for poller in world.pollers if not poller.dead]) == 1


def test_a_gate_that_registers_while_the_poller_ends_has_one(world: World) -> None:
    """For each moment of the poller's end."""
    task(world, seconds=20)
    create(world)
    lag(world, 20)
    for tenth in range(80):
        name = f"lct-a{tenth:016x}"
        task(world, name, seconds=world.clock.now + 60)
        world.call({"LicenseConversionTaskId": name}, token=False)
        world.clock.run_for(0.3)
    world.clock.run_for(70)

    assert {caller.execution.status for caller in world.callers if caller.execution} == {"SUCCEEDED"}


def test_after_a_quarter_of_an_hour_another_poller_takes_over_at_once(world: World) -> None:
    """Of gates one of which has gone: its token would swallow the only call."""
    task(world)
    gone = world.call({"LicenseConversionTaskId": TASK}, token=False)
    world.clock.run_for(5)
    task(world, OTHER, seconds=845)
    create(world, LicenseConversionTaskId=OTHER)
    world.clock.run_for(830)
    assert gone.execution
    world.end_from_outside(gone.execution, "ABORTED", "by hand")

    assert lag(world, 845) <= 15


def test_a_gate_that_a_poll_missed_is_found_by_its_newer_token(world: World) -> None:
    """It woke by itself and registered anew, while a long poll called its old token."""
    task(world, seconds=150)
    create(world)
    world.clock.run_for(90)
    (item,) = world.table.items.values()
    old = item.registration
    world.clock.run_for(31)
    (item,) = world.table.items.values()
    assert item.registration.token != old.token
    world.step_functions.executions[old.gate].call_back(old.token, [])

    assert lag(world, 150) <= 6.5


def test_a_callback_that_is_lost_wakes_the_gate_all_the_same(world: World) -> None:
    task(world, seconds=100)
    create(world)
    world.clock.run_for(50)
    world.faults.queued["SendTaskSuccess"].append(Fault.LOST)

    assert lag(world, 100) <= 6.5


def test_a_newest_task_without_a_name_yet_is_looked_for_soon_and_then_less_often(world: World) -> None:
    task(world, began=60)
    world.faults.weather["ListTasks"] = (Fault.THROTTLED, 60.0)
    create(world, ResourceArn=resource_arn(TASK), WaitConditionHandle=next_handle(1))
    world.clock.run_for(120)

    assert response(world)["PhysicalResourceId"] == TASK
    assert checks(world) >= 5
    assert world.table.items


def test_a_fleet_with_one_refused_id_ends_by_it(world: World) -> None:
    task(world)
    task(world, OTHER, end="DENIED")
    create(world, LicenseConversionTaskIds=[TASK, OTHER])
    world.clock.run_for(60)

    assert response(world)["Status"] == "FAILED"
    assert OTHER in response(world)["Reason"] or "denied" in response(world)["Reason"]


def test_a_fleet_of_many_ends_is_woken_every_ten_seconds_and_no_sooner(world: World) -> None:
    tasks = [f"lct-{number:017x}" for number in range(60)]
    for number, name in enumerate(tasks):
        task(world, name, seconds=60 + 10 * number)
    create(world, LicenseConversionTaskIds=tasks)
    world.clock.run_for(700)

    assert response(world)["Status"] == "SUCCESS"
    assert checks(world) <= 700 / 10 + 5


def test_fifty_accounts_with_one_gate_each_have_twenty_pollers_and_lose_no_gate(world: World) -> None:
    for number in range(50):
        account = Account(f"arn:aws:iam::{number:012d}:role/reads", "", "eu-west-1")
        world.add_account(account).add(TASK, seconds=300, end="SUCCEEDED")
        given = {"LicenseConversionTaskId": TASK, "RoleArn": account.role_arn, "Region": account.region}
        world.call(given, token=True)
    world.clock.run_for(250)
    assert len([poller for poller in world.pollers if not poller.dead]) == 20

    world.clock.run_for(175)
    assert all(caller.calls for caller in world.callers)


# A function that cannot start


@pytest.mark.parametrize("function", ["CheckTask", "Respond"])
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_FAILURE, Fault.SLOW])
@pytest.mark.parametrize("seconds", [30, 1800])
def test_a_function_that_cannot_start_for_half_an_hour_fails_no_gate_whose_deadline_is_not_near(
    world: World, function: str, fault: Fault, seconds: int
) -> None:
    """A stack, a handle, a task token, and a .sync caller whose request no check has read yet."""
    world.clock.run_for(1)
    world.faults.weather[f"Invoke {function}"] = (fault, 1.0 + seconds)
    task(world, seconds=20)
    create(world)
    handle = {"WaitConditionHandle": next_handle(1), "LicenseConversionTaskId": TASK, "ServiceToken": FUNCTION}
    world.cloudformation.create(world.cloudformation.resources[1], handle, keeps_failed=True)
    token, sync = (world.call({"LicenseConversionTaskId": TASK}, token=token) for token in (True, False))
    digits = world.call({"LicenseConversionTaskId": TASK, "TimeoutSeconds": "3000"}, token=False)
    world.clock.run_for(seconds + 240)

    assert responses(world) == ["SUCCESS"] * 2
    assert len(world.cloudformation.requests[1].signals) == 1
    assert [list(said) for said in token.calls[:1]] == [["Output"]]
    assert [one.execution.status for one in (token, sync, digits) if one.execution] == ["SUCCEEDED"] * 3
    counted = sum(waiter.metrics["ChecksFailed"] for waiter in (*world.cloudformation.requests, *world.callers))
    assert counted == (5 * max(1, seconds // 600) if function == "CheckTask" else 0)
    world.faults.clear()


@pytest.mark.parametrize("seconds", [8, 25])
def test_a_license_manager_that_refuses_for_a_moment_fails_no_gate(world: World, seconds: float) -> None:
    task(world, seconds=100)
    world.faults.weather["GetTask"] = (Fault.DENIED, seconds)
    create(world)
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.clock.run_for(200)

    assert response(world)["Status"] == "SUCCESS"


def test_a_license_manager_that_goes_on_refusing_is_believed_after_its_grace(world: World) -> None:
    task(world)
    world.faults.weather["GetTask"] = (Fault.DENIED, FOR_EVER)
    create(world)
    world.clock.run_for(29)
    assert not response(world)
    world.clock.run_for(11)

    assert "denied" in response(world)["Reason"]


@pytest.mark.parametrize("service_timeout", [10, 20, 30])
def test_a_refusal_is_responded_in_time_though_its_grace_is_longer(world: World, service_timeout: int) -> None:
    task(world)
    world.faults.weather["GetTask"] = (Fault.DENIED, FOR_EVER)
    create(world, ServiceTimeout=str(service_timeout))

    assert "denied" in response_in_time(world, service_timeout)["Reason"]


# A state machine that calls


@pytest.mark.parametrize(("end", "said"), [("SUCCEEDED", "Output"), ("FAILED", "Error"), ("DENIED", "Error")])
@pytest.mark.parametrize("token", [True, False], ids=["task token", "sync"])
def test_a_caller_is_called_back_once_and_its_execution_ends_the_same_way(
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


def test_a_token_that_step_functions_does_not_take_for_minutes_is_called_back_then(world: World) -> None:
    task(world, seconds=100)
    waiting = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.faults.weather["CallBack"] = (Fault.REFUSED, 400.0)
    world.run_for(800)

    assert waiting.execution
    assert waiting.execution.status == "SUCCEEDED"
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
def test_an_execution_that_is_ended_from_outside_leaves_neither_stack_nor_caller_without_a_response(
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

    begins = "The gate's execution was stopped by an operator" if end[0] == "ABORTED" else "The gate itself broke"
    if at > 0.1:  # before, no execution had begun, and nobody was there to stop it
        assert response(world)["Reason"].startswith(begins)
        assert len(set(world.cloudformation.requests[0].bodies)) == 1
    assert waiting.calls
    assert waiting.calls[0]["Cause"].startswith(begins)


@pytest.mark.parametrize("end", OUTSIDE)
def test_a_handle_is_signalled_though_its_execution_is_ended_from_outside(world: World, end: tuple[str, str]) -> None:
    task(world)
    create(world, WaitConditionHandle=next_handle(1))
    world.run_for(100)
    (execution,) = world.step_functions.executions.values()
    world.end_from_outside(execution, *end)
    world.run_for(10)

    (signal,) = world.cloudformation.requests[0].signals
    assert json.loads(signal)["Status"] == "FAILURE"
    assert response(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize("seconds", [10.0, 100.0])
def test_the_safety_net_waits_until_step_functions_says_how_the_execution_ended(world: World, seconds: float) -> None:
    task(world)
    create(world)
    world.run_for(5)
    (execution,) = world.step_functions.executions.values()
    world.faults.weather["DescribeExecution"] = (Fault.STALE, 5 + seconds)
    world.end_events = ((0.0,),)
    world.end_from_outside(execution, "FAILED", "States.Runtime")
    world.run_for(10)

    assert "States.Runtime" in response(world)["Reason"]


# Lambda throttles the function that CloudFormation invokes


@pytest.mark.parametrize("minutes", [1, 5, 8])
def test_an_event_that_lambda_throttles_for_minutes_begins_its_execution_then(world: World, minutes: int) -> None:
    task(world)
    world.faults.weather["Invoke CustomResource"] = (Fault.THROTTLED, minutes * 60)
    create(world)
    world.license_manager.service.change_task(TASK, duration=1000)
    world.run_for(1100)

    assert response(world)["Status"] == "SUCCESS"


@pytest.mark.parametrize("kind", ["Create", "Delete"])
def test_an_event_that_lambda_throttles_until_it_is_too_old_gets_the_responders_response(
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

    assert response(world)["Status"] == ("FAILED" if kind == "Create" else "SUCCESS")
    assert ("EventAgeExceeded" in response(world)["Reason"]) is (kind == "Create")


# Quotas


@pytest.mark.slow
def test_a_thousand_deletes_at_once_each_get_a_response(world: World) -> None:
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
    assert {(request.response or {}).get("Status") for request in deletes} == {"SUCCESS"}
    assert {resource.state for resource in world.cloudformation.resources} == {State.ABSENT}
    ends = Counter(execution.status for execution in world.step_functions.executions.values())
    assert ends["ABORTED"] > 0
    assert ends["RUNNING"] < 100
    world.run_for(200)
    assert not any(execution.status == "RUNNING" for execution in world.step_functions.executions.values())


# What a payload lacks

MEMBERS = (
    *("Waiter", "GiveUpAt", "AttemptSeconds", "PauseSeconds", "Ended", "Pending", "Task", "NextCheckAt"),
    *("Registration", "Passed", "Output", "Error", "Cause", "Response", "Event", "LicenseConversionTaskId", "Status"),
)


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED"])
@pytest.mark.parametrize("since", [0, 50], ids=["from the first check on", "from the second check on"])
@pytest.mark.parametrize(
    "member", [pytest.param(m, marks=[pytest.mark.slow] * m.startswith("License")) for m in MEMBERS]
)
def test_neither_stack_nor_handle_nor_token_is_silent_where_a_payload_lacks_a_member(
    unjudged: World, member: str, since: int, end: str
) -> None:
    """Step Functions ends an execution in which an expression finds nothing, past every Catch: the safety net responds."""
    world = unjudged
    task(world, seconds=100, end=end)
    create(world)
    handle = {"WaitConditionHandle": next_handle(1), "LicenseConversionTaskId": TASK, "ServiceToken": FUNCTION}
    world.cloudformation.create(world.cloudformation.resources[1], handle, keeps_failed=True)
    token = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.clock.run_for(since)
    world.lacks = member
    world.clock.run_for(8000)

    stack, with_handle = world.cloudformation.requests[:2]
    assert stack.response
    assert with_handle.response
    assert with_handle.response["Status"] == "FAILED" or with_handle.signals
    assert token.calls
