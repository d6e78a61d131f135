"""Many tasks in one gate."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_conversion.shared import SharedLicenseManager
from license_conversion.stack_response import message, response
from license_conversion.task import ConversionTask, Status

from check_task import TaskCheck
from license_conversion.errors import AccessDenied, InvalidRequest, StillUnknown
from license_conversion.fleet import Fleet, Look, look
from license_conversion.gate import Ended, Gate, Outcome, Wait, Waiting, cause, known_before
from license_conversion.license_manager import LicenseManager
from license_conversion.request import Request, fleet_id
from license_conversion.text import MARK
from tests.simulation.memory_table import nobody

STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
EXECUTION_BYTES = 256 * 1024
STACK_EVENT: dict[str, Any] = {
    "RequestType": "Update",
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "LogicalResourceId": "Gate",
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "ResponseURL": "https://bucket.s3.amazonaws.com/key?" + "x" * 1000,
    "ResourceProperties": {},
}
SUCCEEDED, FAILED, IN_PROGRESS = "SUCCEEDED", "FAILED", "IN_PROGRESS"
THROTTLE = StillUnknown("License Manager answered RateLimitExceededException: slow down", throttled=True)
FAULT = StillUnknown("License Manager could not be asked: ReadTimeoutError")


class CallsTakeTime:
    """Moves when somebody sleeps, and with each call that costs time."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return STARTED_AT + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class TasksOfAFleet(LicenseManager):
    """Tasks by id. `got` has each id that was asked for.

    `troubles` are raised in the place of the calls of these numbers, from 1.
    """

    def __init__(self, tasks: dict[str, str], *, messages: dict[str, str] | None = None) -> None:
        self.tasks = tasks
        self.messages = messages or {}
        self.got: list[str] = []
        self.troubles: dict[int, Exception] = {}
        self.clock = CallsTakeTime()
        self.call_seconds = 0.0

    def get_task(self, task_id: str) -> ConversionTask:
        self.got.append(task_id)
        self._called()
        said = {"StatusMessage": self.messages[task_id]} if task_id in self.messages else {}
        return ConversionTask({"LicenseConversionTaskId": task_id, "Status": self.tasks[task_id], **said})

    @property
    def calls(self) -> int:
        return len(self.got)

    def _called(self) -> None:
        self.clock.sleep(self.call_seconds)
        if trouble := self.troubles.get(self.calls):
            raise trouble

    def shared(self) -> SharedLicenseManager:
        return SharedLicenseManager(self, self.clock.monotonic)


def ids(count: int) -> tuple[str, ...]:
    """Ids of 50 characters."""
    return tuple(f"lct-{number:046x}" for number in range(count))


def tasks(**counts: int) -> dict[str, str]:
    """So many tasks of each status."""
    statuses = [status for status, count in counts.items() for _ in range(count)]
    return dict(zip(ids(len(statuses)), statuses, strict=True))


def looked(
    license_manager: TasksOfAFleet,
    fleet: Fleet | None = None,
    *,
    seconds: float = 16,
    stop_at_failure: bool = False,
) -> tuple[Fleet, Look]:
    clock = license_manager.clock
    fleet = fleet or Fleet.unseen(tuple(license_manager.tasks))
    found = look(
        fleet,
        fleet.pending,
        license_manager.shared(),
        clock,
        clock.sleep,
        until=clock() + timedelta(seconds=seconds),
        stop_at_failure=stop_at_failure,
    )
    return found.fleet, found


def through_json(fleet: Fleet) -> Fleet:
    return Fleet.from_carried(fleet.task_ids, json.loads(json.dumps(fleet.carried())))


# Which fleet it is


@given(order=st.permutations(list(ids(8))))
def test_a_fleets_id_depends_on_the_set_of_its_tasks_alone(order: list[str]) -> None:
    assert Fleet.unseen(tuple(order)).task_id == Fleet.unseen(ids(8)).task_id


def test_a_fleets_id_is_the_same_in_every_release() -> None:
    """Another one would have CloudFormation replace the resource."""
    assert fleet_id(["lct-2", "lct-1"]) == "license-conversion-fleet-b1a6aae84e6172ca379a2d58"


def test_another_set_of_tasks_is_another_fleet() -> None:
    assert len({fleet_id(ids(count)) for count in range(1, 20)}) == 19


def test_a_fleet_of_one_is_a_fleet() -> None:
    fleet = Fleet.unseen(ids(1))

    assert fleet.task_id.startswith("license-conversion-fleet-")
    assert fleet.attributes()["Total"] == "1"


# What a fleet says


def test_a_fleet_that_nobody_has_seen_is_in_progress_and_says_so_in_every_attribute() -> None:
    assert Fleet.unseen(ids(12)).attributes() == {
        "Status": IN_PROGRESS,
        "Total": "12",
        "Succeeded": "0",
        "Failed": "0",
        "FailedTaskIds": "",
        "StatusMessage": "",
    }


def test_a_fleet_has_succeeded_when_all_its_tasks_have() -> None:
    fleet = Fleet(ids(3), (), {})

    assert (fleet.status, fleet.terminal) == (Status.SUCCEEDED, True)
    assert fleet.attributes()["Succeeded"] == "3"


def test_a_fleet_counts_its_failed_tasks_and_has_a_line_for_each() -> None:
    one, two, three = ids(3)
    fleet = Fleet((one, two, three), (three,), {two: "No AMI of yours.", one: "No."})

    assert (fleet.status, fleet.terminal) == (Status.FAILED, False)
    assert fleet.attributes() == {
        "Status": FAILED,
        "Total": "3",
        "Succeeded": "0",
        "Failed": "2",
        "FailedTaskIds": f"{two},{one}",
        "StatusMessage": f"{two}: No AMI of yours.\n{one}: No.",
    }


def test_a_fleet_that_is_waited_for_is_in_progress_to_a_person_also_when_a_task_failed() -> None:
    fleet = Fleet(ids(3), ids(1), {ids(3)[2]: "No."})

    assert fleet.status_word == IN_PROGRESS
    assert "1 of 3 tasks FAILED, 1 not ended" in fleet.label


def test_the_output_has_each_task_in_the_order_of_the_request() -> None:
    one, two, three = ids(3)

    assert Fleet((one, two, three), (three,), {one: "No."}).shape == {
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


@pytest.mark.parametrize("failed", [0, 1, 1000])
def test_an_output_that_would_not_fit_says_where_the_tasks_are_in_their_place(failed: int) -> None:
    fleet = Fleet(ids(1000), (), dict.fromkeys(ids(failed), "No."))

    shape = fleet.within(32_000)

    assert "Tasks" not in shape
    assert "list-license-conversion-tasks" in shape["TasksAt"]
    assert (shape["Total"], shape["Failed"]) == (1000, failed)
    assert set(shape["FailedTaskIds"]) <= set(ids(failed))
    assert bool(shape["FailedTaskIds"]) is bool(failed)


@given(failed=st.integers(0, 300), message=st.text(max_size=200))
def test_attributes_have_whole_ids_and_whole_lines(failed: int, message: str) -> None:
    fleet = Fleet(ids(300), (), dict.fromkeys(ids(failed), message))

    attributes = fleet.attributes()

    assert all(type(value) is str for value in attributes.values())
    assert set(attributes["FailedTaskIds"].split(",")) <= {*ids(failed), ""}
    assert fleet.status_message == "" or fleet.status_message.endswith(f": {message}")


def test_a_response_has_room_for_whole_ids_and_whole_lines_together() -> None:
    said = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
    fleet = Fleet(ids(300), (), dict.fromkeys(ids(300), said))

    body = response(STACK_EVENT, status="SUCCESS", reason="", physical_id=fleet.task_id, data=fleet.attributes())

    assert json.loads(body)["Data"] == fleet.attributes()
    assert len(fleet.attributes()["FailedTaskIds"].split(",")) > 25
    assert len(fleet.status_message.split("\n")) > 10


def test_a_message_of_ten_thousand_characters_is_shortened_and_not_left_out() -> None:
    fleet = Fleet(ids(2), (), {ids(1)[0]: "x" * 10_000})

    assert fleet.status_message.startswith(f"{ids(1)[0]}: xxx")
    assert fleet.status_message.endswith(MARK)


# Between two checks


@given(
    statuses=st.lists(st.sampled_from([SUCCEEDED, FAILED, IN_PROGRESS]), min_size=1, max_size=30),
    said=st.text(max_size=100),
)
def test_a_fleet_that_travelled_through_an_execution_is_the_same(statuses: list[str], said: str) -> None:
    known = dict(zip(ids(len(statuses)), statuses, strict=True))
    fleet, _ = looked(TasksOfAFleet(known, messages=dict.fromkeys(known, said)))

    assert through_json(fleet).carried() == fleet.carried()
    assert through_json(fleet).attributes() == fleet.attributes()


def test_a_fleet_without_a_state_has_not_been_seen() -> None:
    request = Request.from_input({"LicenseConversionTaskIds": list(ids(2))})

    assert known_before(request, {"Waiter": "CALLER", "Checks": 0}) == Fleet.unseen(ids(2))


def test_a_message_of_one_failed_task_in_a_thousand_is_kept_word_for_word() -> None:
    said = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI. " * 4
    known = tasks(FAILED=1, IN_PROGRESS=999)

    fleet, _ = looked(TasksOfAFleet(known, messages={ids(1)[0]: said}))

    assert fleet.failed == {ids(1)[0]: said}


def test_messages_are_shortened_before_there_are_too_many() -> None:
    fleet = Fleet.unseen(ids(1000))
    for task_id in ids(1000):
        shape = {"LicenseConversionTaskId": task_id, "Status": FAILED, "StatusMessage": "\N{GRINNING FACE}" * 10_000}
        fleet = fleet.with_seen(ConversionTask(shape))

    assert len(fleet.failed) == 1000
    assert sum(len(said.encode()) for said in fleet.failed.values()) <= 40_000
    assert fleet.failed[ids(1)[0]].endswith(f"\N{GRINNING FACE}{MARK}")


# One look


@pytest.mark.parametrize("status", [IN_PROGRESS, "CANCELLED", ""])
def test_a_task_that_is_not_listed_has_not_ended_for_that(status: str) -> None:
    license_manager = TasksOfAFleet({ids(2)[0]: SUCCEEDED, ids(2)[1]: "CANCELLED"})
    license_manager.tasks[ids(2)[1]] = status

    fleet, _ = looked(license_manager)

    assert fleet.pending == ids(2)[1:]
    assert not fleet.terminal


def test_a_task_that_has_ended_is_never_asked_for_again() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=2, FAILED=2, IN_PROGRESS=3))
    fleet, _ = looked(license_manager)
    ended = set(ids(7)) - set(fleet.pending)
    license_manager.tasks.update(dict.fromkeys(ids(7), SUCCEEDED))
    license_manager.got.clear()

    fleet, _ = looked(license_manager, through_json(fleet))

    assert fleet.terminal
    assert not ended & set(license_manager.got)
    assert len(fleet.failed) == 2


def test_a_throttle_stops_the_look_and_keeps_what_was_found() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=10))
    license_manager.troubles = {5: THROTTLE}

    fleet, found = looked(license_manager)

    assert license_manager.calls == 5
    assert set(fleet.pending) == set(ids(10)[4:])
    assert (found.throttled, fleet.unconfirmed) == (True, 6)
    assert str(THROTTLE) in found.trouble


def test_a_fault_of_one_task_does_not_keep_the_others_from_being_asked_for() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=5))
    license_manager.troubles = {3: FAULT}

    fleet, found = looked(license_manager)

    assert fleet.pending == ids(5)[2:3]
    assert found.trouble == f"{ids(5)[2]}: {FAULT}"
    assert not found.throttled


@pytest.mark.parametrize(("count", "seconds"), [(1, 0.0), (2, 0.2), (3, 0.3)])
def test_a_look_leaves_a_pause_before_each_call_where_it_makes_several(count: int, seconds: float) -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=count))

    _, found = looked(license_manager)

    assert license_manager.clock.seconds == pytest.approx(seconds)
    assert (found.trouble, found.throttled, found.unknown_status) == ("", False, False)


def test_a_status_that_nobody_knows_is_said_and_no_verdict() -> None:
    license_manager = TasksOfAFleet({ids(2)[0]: "PAUSED", ids(2)[1]: SUCCEEDED})

    fleet, found = looked(license_manager)
    checked = waiting(check(license_manager))

    assert fleet.pending == ids(2)[:1]
    assert found.trouble == f"{ids(2)[0]}: the status is PAUSED, which License Manager does not document"
    assert (found.unknown_status, checked.unknown_status, checked.throttles) == (True, True, 0)


@pytest.mark.parametrize("error", [InvalidRequest("No such task."), AccessDenied("No.")], ids=["refused", "denied"])
def test_a_refusal_of_one_task_ends_the_gate(error: Exception) -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=5))
    license_manager.troubles = {3: error}

    with pytest.raises(type(error)):
        looked(license_manager)


@pytest.mark.parametrize("call_seconds", [0.0, 1.0, 5.0])
def test_a_look_ends_in_time_for_its_function_and_the_next_ones_come_to_the_rest(call_seconds: float) -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=300))
    license_manager.call_seconds = call_seconds
    fleet = Fleet.unseen(ids(300))

    for _ in range(300):
        begun = license_manager.clock.seconds
        fleet, _ = looked(license_manager, fleet)
        assert license_manager.clock.seconds - begun < 30
        if fleet.terminal:
            break

    assert fleet.terminal
    assert sorted(license_manager.got) == sorted(ids(300))


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("between_calls", [0.1, 1.0])
def test_no_call_of_a_look_begins_when_its_time_is_over(seconds: float, between_calls: float) -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=300, IN_PROGRESS=300))
    license_manager.call_seconds = 0.2
    shared, clock, fleet = license_manager.shared(), license_manager.clock, Fleet.unseen(ids(600))
    shared.between_calls = between_calls

    look(
        fleet,
        fleet.pending,
        shared,
        clock,
        clock.sleep,
        until=clock() + timedelta(seconds=seconds),
        stop_at_failure=False,
    )

    assert clock.seconds <= seconds + license_manager.call_seconds + 1e-6


def test_tasks_that_do_not_end_do_not_keep_the_look_from_the_others() -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=400, FAILED=1))
    fleet = Fleet.unseen(ids(401))

    for _ in range(5):
        fleet, _ = looked(license_manager, through_json(fleet))

    assert fleet.failed.keys() == {ids(401)[400]}


def test_the_look_stops_at_the_first_failure_where_it_fails_the_gate() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=1, FAILED=5))

    fleet, _ = looked(license_manager, stop_at_failure=True)

    assert license_manager.got == list(ids(2))
    assert len(fleet.failed) == 1


def test_the_look_goes_on_after_a_failure_where_the_gate_does() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=1, FAILED=5))

    fleet, _ = looked(license_manager)

    assert fleet.terminal
    assert len(fleet.failed) == 5


# One check


def check(
    license_manager: TasksOfAFleet,
    *,
    on_failure: str = "FAIL",
    known: Fleet | None = None,
    throttles: int = 0,
    deadline: float = 12 * 3600,
) -> Waiting | Ended:
    """One check; the last look may come again for 27 seconds after the `deadline`."""
    task_ids = tuple(license_manager.tasks)
    request = Request.from_input({"LicenseConversionTaskIds": list(task_ids), "OnFailure": on_failure})
    shared = license_manager.shared()
    gate = Gate(lambda _: shared, license_manager.clock, lambda: 0.0, crowds=nobody, sleep=license_manager.clock.sleep)
    until = STARTED_AT + timedelta(seconds=deadline)
    look_until = license_manager.clock() + timedelta(seconds=12.5)
    wait = Wait(
        STARTED_AT, until, until + timedelta(seconds=27), look_until, "", known or Fleet.unseen(task_ids), throttles
    )
    return gate.check(request, wait)


def ended(result: Waiting | Ended) -> Ended:
    assert isinstance(result, Ended)
    return result


def waiting(result: Waiting | Ended) -> Waiting:
    assert isinstance(result, Waiting)
    return result


@pytest.mark.parametrize("running", [0, 3])
def test_one_failed_task_fails_the_gate(running: int) -> None:
    known = {**tasks(IN_PROGRESS=running, FAILED=1)}

    end = ended(check(TasksOfAFleet(known, messages=dict.fromkeys(known, "No AMI of yours."))))

    assert (end.outcome, end.passed, end.error) == (Outcome.FAILED, False, "LicenseConversion.Failed")
    assert "No AMI of yours." in end.reason
    assert json.loads(end.cause)["FailedTaskIds"] == [ids(running + 1)[running]]
    assert end.known.task_id == fleet_id(known)


def test_a_gate_that_goes_on_waits_for_all_of_them() -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=1, FAILED=2))

    known = waiting(check(license_manager, on_failure="CONTINUE")).known
    license_manager.tasks[ids(1)[0]] = SUCCEEDED
    assert isinstance(known, Fleet)
    end = ended(check(license_manager, on_failure="CONTINUE", known=known))

    assert (end.outcome, end.passed) == (Outcome.FAILED, True)
    assert end.known.attributes()["Failed"] == "2"


def test_no_throttle_decides_a_fleet_its_last_look_comes_again() -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=10))
    license_manager.troubles = {1: THROTTLE}
    license_manager.clock.seconds = 3600

    again = waiting(check(license_manager, deadline=3600, throttles=3))

    assert 1 <= again.seconds <= 5
    assert ended(check(license_manager, deadline=3600, throttles=again.throttles)).passed


def test_a_fleet_whose_last_look_saw_nothing_does_not_claim_that_the_conversions_go_on() -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=10))
    license_manager.troubles = {1: THROTTLE}
    license_manager.clock.seconds = 3700

    end = ended(check(license_manager, deadline=3600))

    assert end.outcome is Outcome.TIMED_OUT
    assert "goes on" not in end.reason
    assert str(THROTTLE) in end.reason


def test_a_throttled_fleet_is_not_looked_at_more_closely_than_one_that_is_not() -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=10))
    license_manager.clock.seconds = 1000
    unthrottled = waiting(check(license_manager)).seconds
    license_manager.troubles = {license_manager.calls + 1: THROTTLE}

    assert waiting(check(license_manager)).seconds >= 2 * unthrottled


def test_a_whole_day_of_checks_fits_into_an_executions_history() -> None:
    license_manager = TasksOfAFleet(tasks(IN_PROGRESS=3))
    shared, clock = license_manager.shared(), license_manager.clock
    request = Request.from_input({"LicenseConversionTaskIds": list(ids(3)), "TimeoutSeconds": 86400})
    gate = Gate(lambda _: shared, clock, lambda: 1.0, crowds=nobody, sleep=clock.sleep)
    until = STARTED_AT + timedelta(days=1)
    wait = Wait(STARTED_AT, until, until, until, "", Fleet.unseen(ids(3)))
    checks = 1

    while isinstance(result := gate.check(request, wait), Waiting):
        clock.sleep(result.seconds)
        checks += 1

    assert result.outcome is Outcome.TIMED_OUT
    assert checks * 9 < 25_000


@pytest.mark.parametrize("attempt_seconds", [5, 9, 27])
def test_a_look_ends_before_the_state_machine_gives_the_check_up(attempt_seconds: int) -> None:
    license_manager = TasksOfAFleet(tasks(SUCCEEDED=300))
    license_manager.call_seconds = 0.2
    shared, clock = license_manager.shared(), license_manager.clock
    task_check = TaskCheck(Gate(lambda _: shared, clock, lambda: 0.0, crowds=nobody, sleep=clock.sleep), clock)

    after = task_check.for_state_machine(
        {
            "Input": {"LicenseConversionTaskIds": list(ids(300))},
            "Gate": {"Waiter": "CALLER", "AttemptSeconds": attempt_seconds, "Checks": 1, "Alone": list(ids(300))},
            "StartedAt": STARTED_AT.isoformat(),
            "Execution": "arn:execution",
        }
    )

    assert clock.seconds <= attempt_seconds / 2 + license_manager.call_seconds + 1e-6
    assert 0 < len(after["Pending"]) < 300


def test_a_look_that_sees_no_end_leaves_the_fleet_as_it_is() -> None:
    """A check looks at hundreds of tasks that still run."""
    fleet = failed_fleet(10, "x")
    running = ConversionTask({"LicenseConversionTaskId": ids(10)[0], "Status": "IN_PROGRESS"})

    assert fleet.with_seen(running) is fleet


# Everything fits


WORST = {
    "succeeded": Fleet(ids(1000), (), {}),
    "in progress": Fleet.unseen(ids(1000)),
}


def failed_fleet(count: int, character: str) -> Fleet:
    said = {"Status": FAILED, "StatusMessage": character * 10_000}
    tasks = [ConversionTask({"LicenseConversionTaskId": task_id, **said}) for task_id in ids(count)]
    return Fleet.unseen(ids(count)).with_seen(*tasks)


def json_bytes(*parts: Any) -> int:
    return sum(len(json.dumps(part, ensure_ascii=False).encode()) for part in parts)


def update_event(task_ids: Iterable[str]) -> dict[str, Any]:
    properties = {"ServiceToken": "arn:aws:lambda:us-east-1:1:function:gate", "LicenseConversionTaskIds": [*task_ids]}
    return {**STACK_EVENT, "ResourceProperties": properties, "OldResourceProperties": properties}


fleets = pytest.mark.parametrize(
    "fleet",
    [
        *(pytest.param(fleet, id=name) for name, fleet in WORST.items()),
        *(pytest.param(failed_fleet(1000, one), id=f"failed, {one!r}") for one in ("x", '"', "\N{GRINNING FACE}")),
        pytest.param(failed_fleet(10, "\\"), id="ten of them failed"),
    ],
)


@fleets
@pytest.mark.parametrize("stack", [True, False], ids=["a stack", "a caller"])
def test_what_a_thousand_tasks_leave_in_an_execution_fits(fleet: Fleet, stack: bool) -> None:
    end = Ended(Outcome.FAILED, fleet, "LicenseConversion.Failed", cause(fleet), fleet.status_message, 60)
    event = update_event(fleet.task_ids) if stack else {}

    state = end.state(event)

    handed_on = [state, event] if stack else [state, {"LicenseConversionTaskIds": fleet.task_ids}]
    assert json_bytes(*handed_on) < EXECUTION_BYTES
    assert len(end.cause) <= 32_768


@fleets
def test_what_a_thousand_tasks_carry_from_check_to_check_fits(fleet: Fleet) -> None:
    state = Waiting(60, fleet, 1, "x" * 1000).state()

    assert json_bytes(state, update_event(fleet.task_ids)) < EXECUTION_BYTES


@fleets
@pytest.mark.parametrize("status", ["SUCCESS", "FAILED"])
def test_the_response_and_the_signal_of_a_thousand_tasks_fit(fleet: Fleet, status: str) -> None:
    answer = {
        "Status": status,
        "Reason": fleet.status_message,
        "PhysicalResourceId": fleet.task_id,
        "Data": fleet.attributes(),
    }
    with_handle = {**STACK_EVENT, "ResourceProperties": {"WaitConditionHandle": "https://handle"}}

    body = response(
        STACK_EVENT, status=status, reason=fleet.status_message, physical_id=fleet.task_id, data=fleet.attributes()
    )
    _, signalled = message(with_handle, answer, "HANDLE")

    assert len(body) <= 4096
    assert len(signalled) <= 4096
    assert json.loads(body)["PhysicalResourceId"] == fleet.task_id
    assert status == "FAILED" or json.loads(body)["Data"].keys() == fleet.attributes().keys()
