"""Many tasks in one gate."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from check_task import DETAIL_BYTES, OUTPUT_BYTES
from license_conversion.conversion import ConversionTask, Status
from license_conversion.fleet import MESSAGES_BYTES, Fleet, fleet_id
from license_conversion.response import RESPONSE_BYTES, response, signal
from license_conversion.text import MARK
from poll_tasks import RESULTS_BYTES
from tests.unit.one_gate import SERVICE_TOKEN, STACK_EVENT, OneGate, ids

EXECUTION_BYTES = 262_144
"""What a state may be given, and what it may leave."""
SUCCEEDED, FAILED, IN_PROGRESS = "SUCCEEDED", "FAILED", "IN_PROGRESS"
MESSAGE = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."


def unseen(count: int) -> Fleet:
    return Fleet.from_carried(tuple(ids(count)), {})


def failed_fleet(count: int, said: str = MESSAGE, *, of: int = 0) -> Fleet:
    """Of which so many tasks have failed, and the others have succeeded."""
    return Fleet(tuple(ids(of or count)), (), dict.fromkeys(ids(count), said))


def seen(task_id: str, status: str, said: str = "") -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": task_id, "Status": status, "StatusMessage": said})


def through_json(fleet: Fleet) -> Fleet:
    state = {"Pending": " ".join(fleet.pending), **fleet.carried()}
    return Fleet.from_carried(fleet.task_ids, json.loads(json.dumps(state)))


# Which fleet it is


@given(order=st.permutations(ids(8)))
def test_a_fleets_id_depends_on_the_set_of_its_tasks_alone(order: list[str]) -> None:
    assert fleet_id(order) == unseen(8).task_id


def test_a_fleets_id_is_the_same_in_every_release() -> None:
    """Another one would have CloudFormation replace the resource."""
    assert fleet_id(["lct-2", "lct-1"]) == "license-conversion-fleet-b1a6aae84e6172ca379a2d58"


# What it says


def test_a_fleet_that_was_not_seen_yet_is_in_progress_and_says_so_in_every_attribute() -> None:
    assert unseen(12).attributes() == {
        "Status": IN_PROGRESS,
        "Total": "12",
        "Succeeded": "0",
        "Failed": "0",
        "FailedTaskIds": "",
        "StatusMessage": "",
    }


def test_a_fleet_counts_its_failed_tasks_and_has_a_line_for_each() -> None:
    one, two, three = ids(3)
    fleet = Fleet((one, two, three), (three,), {two: MESSAGE, one: "No."})

    assert (fleet.status, fleet.terminal) == (Status.FAILED, False)
    assert fleet.status_word == IN_PROGRESS, "to a person"
    assert "2 of 3 tasks FAILED, 1 not ended" in fleet.label
    assert fleet.attributes() == {
        "Status": FAILED,
        "Total": "3",
        "Succeeded": "0",
        "Failed": "2",
        "FailedTaskIds": f"{two},{one}",
        "StatusMessage": f"{two}: {MESSAGE}\n{one}: No.",
    }


def test_the_output_has_each_task_in_the_order_of_the_request() -> None:
    one, two, three = ids(3)

    assert Fleet((one, two, three), (three,), {one: "No."}).output(OUTPUT_BYTES) == {
        "LicenseConversionTaskId": fleet_id((one, two, three)),
        "Status": FAILED,
        "Total": 3,
        "Succeeded": 1,
        "Failed": 1,
        "FailedTaskIds": [one],
        "Tasks": [
            {"LicenseConversionTaskId": one, "Status": FAILED, "StatusMessage": "No."},
            {"LicenseConversionTaskId": two, "Status": SUCCEEDED},
            {"LicenseConversionTaskId": three, "Status": IN_PROGRESS},
        ],
    }


@pytest.mark.parametrize("failed", [0, 1000])
def test_an_output_that_would_not_fit_says_where_the_tasks_are_in_their_place(failed: int) -> None:
    shape = failed_fleet(failed, of=1000).output(DETAIL_BYTES)

    assert "Tasks" not in shape
    assert "list-license-conversion-tasks" in shape["TasksAt"]
    assert (shape["Total"], shape["Failed"]) == (1000, failed)
    assert set(shape["FailedTaskIds"]) <= set(ids(failed))
    assert bool(shape["FailedTaskIds"]) is bool(failed)


@given(failed=st.integers(0, 300), message=st.text(max_size=200))
def test_attributes_have_whole_ids_and_whole_lines(failed: int, message: str) -> None:
    fleet = failed_fleet(failed, message, of=300)

    attributes = fleet.attributes()

    assert all(type(value) is str for value in attributes.values())
    assert set(attributes["FailedTaskIds"].split(",")) <= {*ids(failed), ""}
    assert fleet.status_message == "" or fleet.status_message.endswith(f": {message}")


def test_a_message_that_alone_is_too_long_is_shortened_and_not_left_out() -> None:
    assert failed_fleet(1, "x" * 10_000).status_message.endswith(f"xxx{MARK}")


def test_a_response_has_room_for_whole_ids_and_whole_lines_together() -> None:
    fleet = failed_fleet(300)

    body = response(STACK_EVENT, status="SUCCESS", reason="", physical_id=fleet.task_id, data=fleet.attributes())

    assert json.loads(body)["Data"] == fleet.attributes()
    assert len(fleet.attributes()["FailedTaskIds"].split(",")) > 25
    assert len(fleet.status_message.split("\n")) > 10


# From check to check


@given(statuses=st.lists(st.sampled_from([SUCCEEDED, FAILED, IN_PROGRESS]), min_size=1, max_size=30), said=st.text())
def test_a_fleet_that_travelled_through_an_execution_is_the_same(statuses: list[str], said: str) -> None:
    tasks = list(zip(ids(len(statuses)), statuses, strict=True))
    fleet = unseen(len(statuses)).after(seen(*one, said) for one in tasks)

    assert fleet.pending == tuple(task_id for task_id, status in tasks if status == IN_PROGRESS)
    assert fleet.status == next(one for one in (FAILED, IN_PROGRESS, SUCCEEDED) if one in statuses)
    assert fleet.terminal is not fleet.runs is (IN_PROGRESS in statuses)
    assert fleet.attributes()["Succeeded"] == str(statuses.count(SUCCEEDED))
    assert through_json(fleet) == fleet


def test_a_task_that_has_ended_stays_as_it_ended_and_a_strangers_end_counts_for_nothing() -> None:
    one, two = ids(2)
    fleet = unseen(2).after([seen(one, SUCCEEDED)])

    assert fleet.after([seen(one, FAILED), seen("lct-stranger", FAILED), seen(two, "PAUSED")]) == fleet


@pytest.mark.parametrize(("not_seen", "known"), [(0, True), (1, True), (2, False)])
def test_a_fleet_runs_as_far_as_anybody_has_seen(not_seen: int, known: bool) -> None:
    fleet = unseen(2).after([], not_seen)

    assert (fleet.seen, fleet.runs) == (known, known)


def test_a_message_of_one_failed_task_in_a_thousand_is_kept_word_for_word() -> None:
    assert unseen(1000).after([seen(ids(1)[0], FAILED, MESSAGE * 4)]).failed == {ids(1)[0]: MESSAGE * 4}


@pytest.mark.parametrize("at_once", [True, False])
def test_messages_are_shortened_before_there_are_too_many(at_once: bool) -> None:
    tasks = [seen(task_id, FAILED, "\N{GRINNING FACE}" * 10_000) for task_id in ids(1000)]
    fleet = unseen(1000)
    for some in [tasks] if at_once else [[task] for task in tasks]:
        fleet = fleet.after(some)

    assert len(fleet.failed) == 1000
    assert sum(len(said.encode()) for said in fleet.failed.values()) <= MESSAGES_BYTES
    assert fleet.failed[ids(1)[0]].endswith(f"\N{GRINNING FACE}{MARK}")
    assert all(fleet.failed[one] for one in ids(10)), "the first one leaves room for more"


# Everything fits


def json_bytes(*parts: Any) -> int:
    return sum(len(json.dumps(part, ensure_ascii=False).encode()) for part in parts)


def gate_for(count: int, *, stack: bool, on_failure: str = "CONTINUE") -> OneGate:
    request: dict[str, Any] = {"LicenseConversionTaskIds": ids(count), "OnFailure": on_failure}
    if not stack:
        return OneGate(**request)
    gate = OneGate(request)
    gate.input["Stack"]["Event"]["OldResourceProperties"] = {"ServiceToken": SERVICE_TOKEN, **request}
    return gate


@pytest.mark.parametrize("count", [10, *(pytest.param(n, marks=pytest.mark.slow) for n in (400, 500, 700)), 1000])
@pytest.mark.parametrize(
    ("status", "character"),
    [(SUCCEEDED, ""), *((FAILED, one) for one in ("x", '"', "\\", "\N{GRINNING FACE}"))],
    ids=["succeeded", "x", "quotes", "backslashes", "faces"],
)
@pytest.mark.parametrize("stack", [True, False], ids=["a stack", "a caller"])
@pytest.mark.parametrize("on_failure", ["FAIL", "CONTINUE"])
def test_the_state_of_the_largest_fleet_fits_with_its_input_its_next_results_its_event_and_its_cause(
    count: int, status: str, character: str, stack: bool, on_failure: str
) -> None:
    """A longer Cause than 32,768 characters would end the execution with another error.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ExecutionFailedEventDetails.html
    """
    waits, gate = gate_for(count, stack=stack), gate_for(count, stack=stack, on_failure=on_failure)
    results = [dict(seen(task_id, status, character * 10_000).shape) for task_id in ids(count)]

    assert not waits.check(None, *results[:-1])["Ended"]
    assert json_bytes(waits.input, waits.state) + RESULTS_BYTES < EXECUTION_BYTES
    state = gate.check(None, *results)
    assert state["Ended"]
    assert json_bytes(gate.input, state) < EXECUTION_BYTES
    assert json_bytes(state["Event"]["Detail"]) <= DETAIL_BYTES + 200, "and whose stack it was"
    assert len(state["Cause"]) <= 32_768
    said, event = state["Response"], {**STACK_EVENT, "PhysicalResourceId": "x" * 1024}
    parts = {"status": said["Status"], "reason": said["Reason"], "data": said["Data"]}
    assert len(response(event, **parts, physical_id=said["PhysicalResourceId"])) <= RESPONSE_BYTES
    assert len(signal(**parts, unique_id=said["PhysicalResourceId"])) <= RESPONSE_BYTES


@pytest.mark.parametrize("stack", [True, False])
def test_the_output_for_a_caller_is_whole_and_what_a_stack_carries_is_cut(stack: bool) -> None:
    output = gate_for(400, stack=stack).check(None, *ids(400))["Output"]

    assert ("Tasks" in output) == (not stack)
