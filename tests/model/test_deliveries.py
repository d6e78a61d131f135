"""What the promises are at their edges: where an order by chance comes too rarely, or an oracle allows more."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.model.aws_clients import resource_arn
from tests.model.cloudformation import next_handle
from tests.model.faults import Fault
from tests.model.who_waits import FUNCTION, Resource, State
from tests.model.world import World
from tests.simulation.interpreter import OWN_CALLS, Execution, gate

TASK = "lct-00000000000000001"
OTHER = TASK[:-1] + "2"
"""Of the same resource."""
FOR_EVER = 10.0**9
TIMEOUTS = [60, 120, 300, 3600]


@pytest.fixture
def unjudged() -> Iterator[World]:
    """In which promises may be broken."""
    world = World(seed=0)
    with world.at_the_seams():
        yield world
    world.close()


@pytest.fixture
def world(unjudged: World) -> Iterator[World]:
    yield unjudged
    unjudged.settle()


def task(
    world: World, task_id: str = TASK, *, began: float = 0, seconds: float = FOR_EVER, end: str = "SUCCEEDED"
) -> None:
    world.license_manager.add(task_id, began=began, seconds=seconds, end=end)


def named(**properties: Any) -> dict[str, Any]:
    named = {"ServiceToken": FUNCTION, **properties}
    return named if "ResourceArn" in named else {"LicenseConversionTaskId": TASK, **named}


def create(world: World, number: int = 0, **properties: Any) -> None:
    world.cloudformation.create(world.cloudformation.resources[number], named(**properties), keeps_failed=True)


def response(world: World, number: int = 0) -> dict[str, Any]:
    return world.cloudformation.requests[number].response or {}


def responses(world: World) -> list[str]:
    return [(request.response or {}).get("Status", "") for request in world.cloudformation.requests]


@pytest.mark.parametrize("end", ["SUCCEEDED", "FAILED", "DENIED"])
@pytest.mark.parametrize("seconds", [0, 30])
@pytest.mark.parametrize("late", [0, 1, 60])
def test_a_duplicate_adds_nothing(world: World, end: str, seconds: float, late: float) -> None:
    task(world, seconds=seconds, end=end)
    create(world)
    world.lateness = [late]
    world.deliver(world.cloudformation.requests[0])
    world.clock.run_for(180)

    assert len(world.cloudformation.requests[0].bodies) == 1
    assert len(world.step_functions.executions) == 1


@pytest.mark.parametrize(
    ("call", "fault", "seconds"),
    [
        ("Invoke CustomResource", Fault.THROTTLED, 480),
        ("StartExecution", Fault.THROTTLED, 120),
        ("GetTask", Fault.DENIED, 8),
        ("GetTask", Fault.DENIED, 25),
        ("Put", Fault.REFUSED, 300),
        ("CallBack", Fault.REFUSED, 400),
    ],
)
def test_an_outage_fails_no_gate(world: World, call: str, fault: Fault, seconds: int) -> None:
    task(world, seconds=30)
    world.faults.weather[call] = (fault, seconds)
    create(world)
    token = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.run_for(900)

    assert response(world)["Status"] == "SUCCESS"
    assert [list(said) for said in token.calls] == [["Output"]]


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


# What a later request stops


def test_a_clean_up_leaves_the_execution_alone_that_has_taken_its_place(world: World) -> None:
    task(world, began=-100, seconds=50)
    task(world, OTHER, began=100, seconds=600)
    newest = named(ResourceArn=resource_arn(TASK))
    create(world, **newest)
    world.run_for(200)
    newest |= {"WaitConditionHandle": next_handle(1), "TimeoutSeconds": "7200"}
    world.cloudformation.update(world.cloudformation.resources[0], newest, then_fails=False, undo_by_delete=False)
    world.run_for(3000)

    create_, update, clean_up = world.cloudformation.requests
    assert (create_.response or {})["PhysicalResourceId"] == clean_up.physical_id == TASK
    assert (update.response or {})["PhysicalResourceId"] == OTHER
    assert len(update.signals) == 1


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
    resource.state, resource.physical_id, resource.properties = State.READY, TASK, named()
    world.cloudformation.delete(resource)
    world.clock.run_for(60)

    world.step_functions.executions.clear()
    assert response(world)["Status"] == "SUCCESS"


@pytest.mark.slow
def test_a_thousand_deletes_at_once_each_get_a_response(world: World) -> None:
    """With the quotas of a small region: 100 lists and then 2 a second. What may remain is waits: a Delete that could not look
    for its own leaves it running, until its own deadline. It changes nothing then: its handle's stack is gone.
    """
    task(world)
    world.step_functions.page = 1000
    world.cloudformation.resources[:] = [Resource(f"arn:aws:cloudformation:::stack/s/{n}", "Gate") for n in range(1000)]
    for number, resource in enumerate(world.cloudformation.resources):
        if number % 10 == 0:
            create(world, number, WaitConditionHandle=next_handle(number), TimeoutSeconds="120")
        else:
            resource.state, resource.physical_id, resource.properties = State.READY, TASK, named()
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


@pytest.mark.parametrize(
    ("service_timeout", "since"),
    [
        *((service_timeout, 0) for service_timeout in (10, 20, 30)),
        *((timeout, max(1, timeout - margin(timeout) - before)) for timeout in TIMEOUTS for before in (60, 30, 10, 1)),
    ],
)
@pytest.mark.parametrize("fault", [Fault.SLOW, Fault.THROTTLED, Fault.REFUSED, Fault.SLOW_FAILURE])
def test_checks_that_fail_leave_time_for_a_response(
    world: World, service_timeout: int, since: int, fault: Fault
) -> None:
    gate_that_waits(world, service_timeout, since)
    world.faults.weather["Invoke CheckTask"] = (fault, FOR_EVER)

    said = response_in_time(world, service_timeout)

    assert said["Status"] == "FAILED"
    assert fault is not Fault.SLOW or "States.Timeout" in said["Reason"]


@pytest.mark.parametrize("service_timeout", TIMEOUTS)
@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.REFUSED, Fault.SLOW, Fault.SLOW_FAILURE, Fault.LOST])
@pytest.mark.parametrize("call", ["Invoke CheckTask", "Invoke Respond", "Put", *OWN_CALLS])
def test_one_fault_at_any_step_leaves_the_response_in_time(
    world: World, service_timeout: int, fault: Fault, call: str
) -> None:
    gate_that_waits(world, service_timeout, service_timeout - margin(service_timeout) - 0.5)
    world.faults.queued[call].append(fault)

    said = response_in_time(world, service_timeout)["Reason"]
    # Where there is no time for another check, the response says what has failed.
    assert said.startswith(
        ("The wait ran out", "The gate itself broke") if call == "Invoke CheckTask" else "The wait ran out"
    )


@pytest.mark.parametrize("service_timeout", [300, 3600])
@pytest.mark.parametrize("ended_before", [50, 1])
def test_a_throttle_at_the_deadline_decides_no_gate(world: World, service_timeout: int, ended_before: int) -> None:
    deadline = service_timeout - 60
    task(world, seconds=deadline - ended_before)
    create(world, ServiceTimeout=str(service_timeout))
    world.clock.run_for(deadline - ended_before)
    world.faults.weather["GetTask"] = (Fault.THROTTLED, deadline + 15.0)

    assert response_in_time(world, service_timeout)["Status"] == "SUCCESS"


# What License Manager refuses


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


# The protocol of waiting


def lag(world: World, seconds: float) -> float:
    """Runs until the one gate, whose conversion ended after so many seconds, has its response."""
    while not response(world):
        assert world.clock.now < seconds + 250
        world.clock.run_for(0.5)
    return world.clock.now - seconds


def test_a_lone_gate_of_any_age_has_its_response_within_six_seconds_and_asks_only_once_by_itself(world: World) -> None:
    task(world, seconds=2000)
    create(world)
    world.clock.run_for(2000)

    assert lag(world, 2000) <= 6.5
    assert world.cloudformation.requests[0].metrics["Checks"] <= 2000 / 96 + 2


@pytest.mark.parametrize("call", ["Table", "Register", "SendTaskSuccess", "Invoke PollTasks", "Poll", "PollList"])
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.SLOW_FAILURE, Fault.SLOW, Fault.SLOW_REPLY, Fault.DENIED])
def test_a_gate_sees_its_end_within_two_minutes_without_its_table_its_callback_or_its_poller(
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
    """Of four stacks, each with a task of its own, whose gates are registered by then. License Manager takes one call in two
    seconds.
    """
    world.license_manager.quota.limit(0.5)
    for number in range(4):
        task(world, f"{TASK[:-1]}{number + 1}", seconds=100)
        create(world, number, LicenseConversionTaskId=f"{TASK[:-1]}{number + 1}")
    world.clock.run_for(99)
    world.faults.queued[call].extend([*[None] * nth, fault])
    world.clock.run_for(600)

    assert responses(world) == ["SUCCESS"] * 4
    world.faults.clear()


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
    create(world, 1, WaitConditionHandle=next_handle(1))
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
    create(world, 1, WaitConditionHandle=next_handle(1))
    token = world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.clock.run_for(since)
    world.lacks = member
    world.clock.run_for(8000)

    stack, with_handle = world.cloudformation.requests[:2]
    assert stack.response
    assert with_handle.response
    assert with_handle.response["Status"] == "FAILED" or with_handle.signals
    assert token.calls
