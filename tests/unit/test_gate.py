"""One check of one gate."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_conversion.crowd import Crowd
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import ATTRIBUTES, ConversionTask

from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown
from license_conversion.fleet import Fleet
from license_conversion.gate import (
    DETAIL_BYTES,
    Ended,
    Gate,
    Outcome,
    Refusal,
    Wait,
    Waiting,
    answer,
    cause,
    known_before,
    refusal_before,
    refused,
    utc_now,
)
from license_conversion.request import Account, Request
from tests.simulation.memory_table import MemoryTable, nobody
from tests.unit.fake_license_manager import FakeLicenseManager
from tests.unit.strategies import any_json

TASK_ID = "lct-0123456789abcdef0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
MESSAGE = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
LOOK = "execution arn:aws:states:us-east-1:123456789012:execution:gate:Gate"
STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
AN_HOUR = timedelta(hours=1)
LEFT_FOR_LOOKS = 27
"""Seconds after the deadline in which the last look may come again."""
STACK_EVENT = {"StackId": "arn:stack", "LogicalResourceId": "Gate", "ResponseURL": "https://bucket/?c0ffee"}


def task(**members: Any) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": TASK_ID, **members})


def check(
    answer: ConversionTask | Exception,
    *,
    after: float = 0.0,
    fails_on_failure: bool = True,
    throttles: int = 0,
    seen: ConversionTask | None = None,
    signals_handle: bool = False,
    share: float = 0.0,
    refusal: Refusal | None = None,
    account: Account = Account(),  # noqa: B008 - frozen
    gate: str = "execution",
    heard: float = 0.0,
    alone: tuple[str, ...] = (),
    crowds: Callable[[Account], Crowd] = nobody,
) -> Waiting | Ended:
    """One check, `after` seconds of a wait of one hour."""
    license_manager = FakeLicenseManager(answer)
    now = STARTED_AT + timedelta(seconds=after)
    checking = Gate(lambda _: license_manager, lambda: now, lambda: share, region="eu-central-1", crowds=crowds)
    wait = Wait(
        gate=gate,
        started_at=STARTED_AT,
        deadline=STARTED_AT + AN_HOUR,
        checks_until=STARTED_AT + AN_HOUR + timedelta(seconds=LEFT_FOR_LOOKS),
        look_until=STARTED_AT + AN_HOUR,
        look=LOOK,
        known=seen or ConversionTask.unseen(TASK_ID),
        throttles=throttles,
        signals_handle=signals_handle,
        refusal=refusal,
        heard=heard,
        alone=alone,
    )
    return checking.check(Request((TASK_ID,), timeout=3600, fails_on_failure=fails_on_failure, account=account), wait)


def ended(result: Waiting | Ended) -> Ended:
    assert isinstance(result, Ended)
    return result


def waiting(result: Waiting | Ended) -> Waiting:
    assert isinstance(result, Waiting)
    return result


def told(end: Ended) -> dict[str, Any]:
    """What a stack that waits for this end is answered."""
    answer_: dict[str, Any] = end.state(STACK_EVENT)["Answer"]
    return answer_


SUCCEEDED = task(ResourceArn=INSTANCE, Status="SUCCEEDED")
FAILED = task(ResourceArn=INSTANCE, Status="FAILED", StatusMessage=MESSAGE)
IN_PROGRESS = task(ResourceArn=INSTANCE, Status="IN_PROGRESS")
THROTTLE = StillUnknown("License Manager answered RateLimitExceededException: slow down", throttled=True)
FAULT = StillUnknown("License Manager answered 500: sorry")


def test_a_check_asks_for_the_task_of_the_request_once() -> None:
    license_manager = FakeLicenseManager(IN_PROGRESS)
    gate = Gate(lambda _: license_manager, lambda: STARTED_AT, lambda: 0.0, crowds=nobody)

    until = STARTED_AT + AN_HOUR
    wait = Wait(STARTED_AT, until, until, look_until=until, look="", known=ConversionTask.unseen("lct-other"))

    gate.check(Request(("lct-other",), timeout=60), wait)

    assert license_manager.asked == ["lct-other"]


def test_a_check_asks_for_the_newest_task_of_a_resource_until_it_has_a_name() -> None:
    license_manager = FakeLicenseManager(IN_PROGRESS)
    gate = Gate(lambda _: license_manager, lambda: STARTED_AT, lambda: 0.0, crowds=nobody)
    request, until = Request((), timeout=60, resource_arn=INSTANCE), STARTED_AT + AN_HOUR

    for known in (ConversionTask.unseen("", INSTANCE), IN_PROGRESS):
        gate.check(request, Wait(STARTED_AT, until, until, look_until=until, look="", known=known))

    assert license_manager.asked == [INSTANCE, TASK_ID]


# The gate ends


def test_a_conversion_that_succeeded_lets_the_stack_go_on_with_its_attributes() -> None:
    end = ended(check(SUCCEEDED, after=90))

    assert (end.outcome, end.passed, end.error, end.cause) == (Outcome.SUCCEEDED, True, "", "")
    assert end.waited_seconds == 90
    assert told(end) == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "Data": SUCCEEDED.attributes(),
    }


def test_a_conversion_that_failed_stops_the_stack_and_says_why() -> None:
    end = ended(check(FAILED, after=90))

    assert (end.outcome, end.passed, end.error) == (Outcome.FAILED, False, "LicenseConversion.Failed")
    assert json.loads(end.cause) == FAILED.shape
    assert end.waited_seconds == 90
    for expected in ("FAILED", TASK_ID, INSTANCE, MESSAGE, "waited 1 min 30 s", LOOK):
        assert expected in end.reason
    assert told(end) == {"Status": "FAILED", "Reason": end.reason, "PhysicalResourceId": TASK_ID, "Data": {}}


def test_a_failed_conversion_lets_a_stack_go_on_that_wants_to() -> None:
    end = ended(check(FAILED, fails_on_failure=False, after=90))

    assert (end.outcome, end.passed, end.error, end.waited_seconds) == (Outcome.FAILED, True, "", 90)
    said = told(end)
    assert said["Status"] == "SUCCESS"
    assert said["Data"].keys() == set(ATTRIBUTES)
    assert (said["Data"]["Status"], said["Data"]["StatusMessage"]) == ("FAILED", MESSAGE)


@pytest.mark.parametrize("verdict", [SUCCEEDED, FAILED], ids=["succeeded", "failed"])
@pytest.mark.parametrize("after", [3600, 999_999], ids=["at the deadline", "long after it"])
def test_a_verdict_that_comes_late_is_still_the_verdict(verdict: ConversionTask, after: float) -> None:
    assert ended(check(verdict, after=after)).outcome == verdict.status_word


@pytest.mark.parametrize("fails_on_failure", [True, False], ids=["OnFailure FAIL", "OnFailure CONTINUE"])
def test_a_wait_that_ran_out_is_no_failed_conversion_and_no_success(fails_on_failure: bool) -> None:
    end = ended(check(IN_PROGRESS, after=3600, fails_on_failure=fails_on_failure))

    assert (end.outcome, end.passed, end.error) == (Outcome.TIMED_OUT, False, "LicenseConversion.TimedOut")
    assert json.loads(end.cause) == IN_PROGRESS.shape
    assert end.waited_seconds == 3600
    assert told(end)["Status"] == "FAILED"
    for expected in (TASK_ID, INSTANCE, "waited 1 h", "The conversion itself goes on", LOOK):
        assert expected in end.reason


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])
def test_a_wait_that_ends_in_trouble_gives_the_last_task_seen_and_the_trouble(trouble: StillUnknown) -> None:
    end = ended(check(trouble, after=3600 + LEFT_FOR_LOOKS, seen=IN_PROGRESS))

    assert end.outcome is Outcome.TIMED_OUT
    assert json.loads(end.cause) == IN_PROGRESS.shape
    assert str(trouble) in end.reason


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])
def test_a_last_look_that_is_not_answered_comes_again_while_there_is_time_for_an_answer_after_it(
    trouble: StillUnknown, share: float
) -> None:
    again = waiting(check(trouble, after=3600, seen=IN_PROGRESS, share=share))
    last = check(trouble, after=3600 + LEFT_FOR_LOOKS - again.seconds, seen=IN_PROGRESS, share=share)
    too_late = check(trouble, after=3600 + LEFT_FOR_LOOKS - again.seconds + 0.1, seen=IN_PROGRESS, share=share)

    assert 1 <= again.seconds <= 5
    assert waiting(last).seconds == again.seconds
    assert ended(too_late).outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize("verdict", [SUCCEEDED, FAILED], ids=["succeeded", "failed"])
def test_no_throttle_decides_a_gate_a_repeated_last_look_sees_the_verdict(verdict: ConversionTask) -> None:
    after = 3600.0
    while after < 3600 + LEFT_FOR_LOOKS - 5:
        after += waiting(check(THROTTLE, after=after, throttles=9, seen=IN_PROGRESS, share=1.0)).seconds

    assert ended(check(verdict, after=after)).outcome == verdict.status_word


def test_a_last_look_that_was_answered_is_the_last_one() -> None:
    assert ended(check(IN_PROGRESS, after=3600)).outcome is Outcome.TIMED_OUT


@pytest.mark.parametrize(("signals_handle", "named"), [(True, False), (False, True)], ids=["with it", "without it"])
def test_a_wait_that_ran_out_names_the_handle_to_whoever_does_not_have_it(signals_handle: bool, named: bool) -> None:
    end = ended(check(IN_PROGRESS, after=3600, signals_handle=signals_handle))

    assert ("WaitConditionHandle" in end.reason) is named


@pytest.mark.parametrize(
    ("error", "name"),
    [
        pytest.param(InvalidRequest("License Manager refuses it."), "LicenseConversion.InvalidRequest", id="refused"),
        pytest.param(AccessDenied("It is denied."), "LicenseConversion.AccessDenied", id="denied"),
        pytest.param(GateError("It broke."), "LicenseConversion.GateBroken", id="broken"),
    ],
)
def test_an_error_without_a_grace_ends_the_gate_at_once(error: GateError, name: str) -> None:
    end = ended(check(error, seen=IN_PROGRESS))

    assert (end.outcome, end.passed, end.error) == (Outcome.REFUSED, False, name)
    assert end.cause == end.reason == str(error)
    assert end.refusal is error
    assert told(end) == {"Status": "FAILED", "Reason": str(error), "PhysicalResourceId": TASK_ID, "Data": {}}


def test_a_request_that_names_no_task_is_answered_without_a_physical_id() -> None:
    end = refused(InvalidRequest("No."), ConversionTask.unseen(""))

    assert told(end) == {"Status": "FAILED", "Reason": "No.", "PhysicalResourceId": "", "Data": {}}


# What is refused is believed when its grace is over

NEW_ID = InvalidRequest("There is no such task.", grace=10)
NEW_ROLE = AccessDenied("It is denied.", grace=30)


def looks(*answers: tuple[float, ConversionTask | GateError | StillUnknown]) -> list[Waiting | Ended]:
    """What each look of a gate comes to; each is `(seconds since the gate began, what License Manager says)`. What one look
    leaves for the next goes through JSON, as in the state machine.
    """
    results: list[Waiting | Ended] = []
    state: dict[str, Any] = {}
    for after, said in answers:
        result = check(said, after=after, refusal=refusal_before(state))
        state = json.loads(json.dumps(result.state())) if isinstance(result, Waiting) else {}
        results.append(result)
    return results


def repeated(error: GateError, *, since: float = 0.0) -> Ended:
    """The end of a gate that hears nothing else, looking when it says that it will."""
    after, refusal = since, None
    while True:
        result = check(error, after=after, refusal=refusal)
        if isinstance(result, Ended):
            return result
        assert result.error is error
        after, refusal = after + result.seconds, result.refusal


@pytest.mark.parametrize(("error", "grace"), [(NEW_ID, 10), (NEW_ROLE, 30)], ids=["an id", "a denial"])
@pytest.mark.parametrize("since", [0.0, 1800.0], ids=["at the start", "in the middle of a long wait"])
def test_a_refusal_ends_the_gate_when_it_has_been_said_for_its_grace(
    error: GateError, grace: int, since: float
) -> None:
    end = repeated(error, since=since)

    assert (end.outcome, end.error, end.reason) == (Outcome.REFUSED, error.name, str(error))
    first, before, at = looks((since, error), (since + grace - 0.1, error), (since + grace, error))
    assert isinstance(first, Waiting)
    assert isinstance(at, Ended)
    assert isinstance(before, Ended) is False


def test_a_task_that_is_known_at_last_is_waited_for_as_if_it_had_never_been_refused() -> None:
    _, found, _, again = looks((0, NEW_ID), (9, IN_PROGRESS), (12, NEW_ID), (21, NEW_ID))

    assert waiting(found).refusal is None
    assert waiting(again).error is NEW_ID


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])
def test_a_look_that_is_not_answered_between_two_denials_is_no_break(trouble: StillUnknown) -> None:
    *_, end = looks((0, NEW_ROLE), (10, trouble), (20, trouble), (30, NEW_ROLE))

    assert ended(end).error == NEW_ROLE.name


def test_an_answer_between_two_denials_is_a_break() -> None:
    *_, still, end = looks((0, NEW_ROLE), (15, IN_PROGRESS), (20, NEW_ROLE), (49, NEW_ROLE), (50, NEW_ROLE))

    assert waiting(still).error is NEW_ROLE
    assert ended(end).error == NEW_ROLE.name


def test_a_refusal_of_another_kind_counts_from_its_own_first_time() -> None:
    *_, still, end = looks((0, NEW_ROLE), (25, NEW_ID), (34, NEW_ID), (35, NEW_ID))

    assert waiting(still).error is NEW_ID
    assert ended(end).error == NEW_ID.name


def test_a_refusal_does_not_outlast_the_deadline() -> None:
    still = waiting(check(NEW_ROLE, after=3598))
    end = ended(check(NEW_ROLE, after=3600, refusal=still.refusal))

    assert still.seconds == 2
    assert (end.outcome, end.reason) == (Outcome.REFUSED, str(NEW_ROLE))


@pytest.mark.parametrize("hours", [1, 12, 24])
def test_a_service_that_says_now_this_now_that_does_not_fill_an_executions_history(hours: int) -> None:
    """25,000 events, of which a check takes 9: an execution that runs into that limit tells nobody."""
    deadline = STARTED_AT + timedelta(hours=hours)
    license_manager = FakeLicenseManager(*[NEW_ROLE, NEW_ID] * 50_000)
    now, checks, refusal = STARTED_AT, 0, None
    gate = Gate(lambda _: license_manager, lambda: now, lambda: 1.0, crowds=nobody)

    while now < deadline:
        wait = Wait(STARTED_AT, deadline, deadline, deadline, "", ConversionTask.unseen(TASK_ID), refusal=refusal)
        still = waiting(gate.check(Request((TASK_ID,), timeout=hours * 3600), wait))
        now, checks, refusal = now + timedelta(seconds=still.seconds), checks + 1, still.refusal

    assert checks * 9 < 25_000


def test_a_refusal_that_is_waited_out_is_said_meanwhile_and_looked_at_every_few_seconds() -> None:
    still = waiting(check(NEW_ROLE))

    assert still.trouble == str(NEW_ROLE)
    assert 1 <= still.seconds <= 5


# What a Reason claims


def test_a_gate_that_was_never_answered_does_not_claim_that_the_conversion_goes_on() -> None:
    end = ended(check(THROTTLE, after=3600 + LEFT_FOR_LOOKS))

    assert end.outcome is Outcome.TIMED_OUT
    assert "goes on" not in end.reason
    assert "did not fail" not in end.reason
    assert "has said nothing" in end.reason
    assert str(THROTTLE) in end.reason


@pytest.mark.parametrize("verdict", [FAILED, IN_PROGRESS], ids=["failed", "timed out"])
def test_the_command_in_a_reason_can_be_copied_as_it_stands(verdict: ConversionTask) -> None:
    role = "arn:aws:iam::210987654321:role/reads-conversions"

    own = ended(check(verdict, after=3600)).reason
    elsewhere = ended(check(verdict, after=3600, account=Account(role, "", "ap-south-1"))).reason

    command = f"aws license-manager get-license-conversion-task --license-conversion-task-id {TASK_ID} --region "
    assert f"{command}eu-central-1;" in own
    assert f"{command}ap-south-1 (as {role});" in elsewhere


# The gate waits


def test_a_conversion_in_progress_is_waited_for() -> None:
    wait = waiting(check(IN_PROGRESS))

    assert (wait.seconds, wait.known, wait.throttles, wait.trouble) == (5, IN_PROGRESS, 0, "")


@pytest.mark.parametrize("status", ["CANCELLED", "succeeded", "", None], ids=repr)
def test_a_status_that_nobody_documents_is_never_success_and_is_said(status: str | None) -> None:
    unknown = task() if status is None else task(Status=status)

    wait = waiting(check(unknown))
    end = ended(check(unknown, after=3600))

    assert unknown.status_word in wait.trouble
    assert (end.outcome, end.passed) == (Outcome.TIMED_OUT, False)
    assert unknown.status_word in end.reason


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])
def test_trouble_is_waited_out_with_the_last_task_in_hand(trouble: StillUnknown) -> None:
    wait = waiting(check(trouble, after=3599, seen=IN_PROGRESS))

    assert wait.known == IN_PROGRESS
    assert wait.trouble == str(trouble)


def test_a_throttled_gate_takes_a_place_in_the_crowd_and_is_woken_there() -> None:
    wait = waiting(check(THROTTLE, after=100))

    assert (wait.awaits_word, wait.throttles, wait.seconds) == (True, 1, 120)


def test_a_throttled_caller_that_asks_again_by_itself_waits_for_no_word() -> None:
    """Nothing could wake it."""
    wait = waiting(check(THROTTLE, after=100, gate=""))

    assert (wait.awaits_word, wait.throttles, wait.seconds) == (False, 1, 24)


def test_a_throttle_slows_a_gate_without_a_task_down_more_with_each_in_a_row() -> None:
    """While nobody knows which task is the newest of a resource, nobody else can look for it."""
    nameless = ConversionTask.unseen("", INSTANCE)
    paces = [waiting(check(THROTTLE, after=100, throttles=before, seen=nameless)) for before in range(4)]

    assert [pace.throttles for pace in paces] == [1, 2, 3, 4]
    assert [pace.seconds for pace in paces] == [24, 48, 96, 120]
    assert not any(pace.awaits_word for pace in paces)


@pytest.mark.parametrize("answer", [IN_PROGRESS, FAULT], ids=["an answer", "a fault"])
def test_what_is_no_throttle_ends_the_row(answer: ConversionTask | Exception) -> None:
    wait = waiting(check(answer, after=100, throttles=5))

    assert wait.throttles == 0
    assert wait.seconds == 12


def test_the_pace_counts_from_the_tasks_own_start() -> None:
    long_running = task(Status="IN_PROGRESS", StartTime="2026-11-22T17:36:35Z")

    assert waiting(check(long_running)).seconds == 17


def test_the_pace_counts_from_the_start_of_the_wait_where_the_task_has_not_said() -> None:
    assert waiting(check(IN_PROGRESS, after=200)).seconds == 17


def test_the_last_check_comes_at_the_deadline() -> None:
    assert waiting(check(IN_PROGRESS, after=3590)).seconds == 10


def test_the_jitter_comes_from_outside() -> None:
    assert waiting(check(IN_PROGRESS, after=300, share=1.0)).seconds < waiting(check(IN_PROGRESS, after=300)).seconds


def test_no_figure_depends_on_two_clocks_agreeing() -> None:
    """CloudFormation's, which signed the URL, and ours."""
    assert ended(check(SUCCEEDED, after=-0.6)).waited_seconds == 0
    assert "waited 0 s" in ended(check(FAILED, after=-0.6)).reason
    assert waiting(check(IN_PROGRESS, after=-0.6)).seconds == 5


# What the state machine keeps


def test_a_gate_that_waits_keeps_what_the_next_check_needs() -> None:
    state = waiting(check(THROTTLE, after=100, seen=IN_PROGRESS)).state()

    assert state == {
        "Ended": False,
        "SecondsUntilNextCheck": 120,
        "Throttles": 1,
        "Heard": (STARTED_AT + timedelta(seconds=100)).timestamp(),
        "AwaitsWord": True,
        "Task": IN_PROGRESS.shape,
    }


@pytest.mark.parametrize(
    ("result", "passed"),
    [
        pytest.param(check(SUCCEEDED), True, id="succeeded"),
        pytest.param(check(FAILED), False, id="failed"),
        pytest.param(check(IN_PROGRESS, after=3600), False, id="timed out"),
    ],
)
def test_a_gate_that_ended_keeps_what_each_of_those_who_wait_is_told(result: Waiting | Ended, passed: bool) -> None:
    end = ended(result)

    assert json.loads(json.dumps(end.state(STACK_EVENT))) == {
        "Ended": True,
        "Passed": passed,
        "Outcome": end.outcome,
        "Output": end.known.shape,
        "Error": end.error,
        "Cause": end.cause,
        "Answer": answer(end.known, fails_with="" if passed else end.reason),
        "Announcement": end.announcement(STACK_EVENT),
    }


def test_a_refused_gate_keeps_no_announcement() -> None:
    assert "Announcement" not in ended(check(InvalidRequest("No."))).state({})


@pytest.mark.parametrize("state", [check(IN_PROGRESS), check(FAILED)], ids=["waiting", "ended"])
def test_a_state_holds_no_credential(state: Waiting | Ended) -> None:
    kept = state.state() if isinstance(state, Waiting) else state.state(STACK_EVENT)

    assert "c0ffee" not in json.dumps(kept)


# The event on the bus


@pytest.mark.parametrize(
    ("result", "detail_type"),
    [
        pytest.param(check(SUCCEEDED), "License Conversion Succeeded", id="succeeded"),
        pytest.param(check(FAILED), "License Conversion Failed", id="failed"),
        pytest.param(check(FAILED, fails_on_failure=False), "License Conversion Failed", id="failed, and went on"),
        pytest.param(check(IN_PROGRESS, after=3600), "License Conversion Wait Timed Out", id="timed out"),
    ],
)
def test_a_gate_that_ends_is_announced_with_the_task_and_the_stack(result: Waiting | Ended, detail_type: str) -> None:
    end = ended(result)

    assert end.announcement({}) == {"DetailType": detail_type, "Detail": end.known.shape}
    assert end.announcement(STACK_EVENT) == {
        "DetailType": detail_type,
        "Detail": {**end.known.shape, "StackId": "arn:stack", "LogicalResourceId": "Gate"},
    }


def test_a_refused_request_is_not_announced() -> None:
    assert ended(check(InvalidRequest("No."))).announcement(STACK_EVENT) is None


def test_a_cause_has_the_characters_that_license_manager_wrote() -> None:
    assert "größer als 1 TiB 😀" in cause(task(StatusMessage="größer als 1 TiB 😀"))


@pytest.mark.parametrize("stack_event", [STACK_EVENT, {}], ids=["a stack", "a caller"])
def test_the_output_for_a_caller_is_whole_and_what_a_stack_carries_is_cut(stack_event: dict[str, str]) -> None:
    fleet = Fleet.from_carried(tuple(f"lct-{number:040}" for number in range(400)), {})
    end = refused(AccessDenied("No."), fleet)

    output = end.state(stack_event)["Output"]

    assert output == (fleet.within(DETAIL_BYTES) if stack_event else fleet.shape)
    assert ("Tasks" in output) == (not stack_event)


# What is known, from check to check


def test_what_the_last_check_saw_is_known_to_the_next_one() -> None:
    newest = Request((), timeout=60, resource_arn=INSTANCE)

    assert known_before(newest, IN_PROGRESS.carried()) == IN_PROGRESS
    assert known_before(newest, {}) == ConversionTask.unseen("", INSTANCE)
    assert known_before(Request((TASK_ID,), timeout=60), {}).task_id == TASK_ID


def test_a_refusal_in_the_crowd_leaves_the_gate_its_place_and_what_it_asks_for_alone() -> None:
    now, table = STARTED_AT.timestamp(), MemoryTable()
    table.take_place("execution", [], "a token", now)
    crowd = Crowd(table, lambda: None, lambda _: None, STARTED_AT.timestamp)

    denied = AccessDenied("No.", grace=30)
    wait = waiting(check(denied, seen=IN_PROGRESS, heard=now, alone=(TASK_ID,), crowds=lambda _: crowd))

    assert (wait.heard, wait.alone) == (now, (TASK_ID,))


def test_a_refusal_is_waited_out_to_the_last_second_before_the_deadline() -> None:
    assert waiting(check(AccessDenied("No.", grace=30), after=3599.5)).seconds == 1


def test_a_gates_place_is_in_the_crowd_of_its_account() -> None:
    table, accounts = MemoryTable(), []

    def crowds(account: Account) -> Crowd:
        accounts.append(account)
        return Crowd(table, lambda: None, lambda _: None, STARTED_AT.timestamp)

    license_manager = FakeLicenseManager(SUCCEEDED)

    def license_managers(account: Account) -> SharedLicenseManager:
        accounts.append(account)
        return license_manager

    gate = Gate(license_managers, lambda: STARTED_AT, lambda: 0.0, crowds=crowds)
    request = Request((TASK_ID,), timeout=60, account=Account(region="eu-central-1"))
    now, until = STARTED_AT.timestamp(), STARTED_AT + AN_HOUR
    wait = Wait(STARTED_AT, until, until, until, look="", known=IN_PROGRESS, gate="one", heard=now, alone=(TASK_ID,))

    gate.take_place(request, wait, "a token")
    assert table.items.keys() == {"one"}
    gate.check(request, wait)

    assert table.items == {}, "whoever has ended leaves"
    assert set(accounts) == {request.account}


def test_the_clock_of_a_gate_is_aware_of_its_zone() -> None:
    assert utc_now().utcoffset() == timedelta()


# Anything at all


@given(
    members=st.dictionaries(st.sampled_from(["Status", "StatusMessage", "ResourceArn"]), any_json),
    after=st.floats(-1e6, 1e6),
    fails_on_failure=st.booleans(),
)
def test_whatever_license_manager_says_the_gate_waits_or_ends_and_passes_on_a_verdict_alone(
    members: dict[str, Any], after: float, fails_on_failure: bool
) -> None:
    result = check(task(**members), after=after, fails_on_failure=fails_on_failure)

    if isinstance(result, Waiting):
        assert 1 <= result.seconds <= 60
    else:
        allowed = ("SUCCEEDED",) if fails_on_failure else ("SUCCEEDED", "FAILED")
        assert result.passed == (members.get("Status") in allowed)
        assert result.passed or result.reason


def test_a_task_that_began_in_year_1_is_waited_for_like_any_other() -> None:
    began = ConversionTask.from_answer(TASK_ID, {"Status": "IN_PROGRESS", "StartTime": datetime(1, 1, 1, tzinfo=UTC)})

    assert waiting(check(began)).seconds == 60


@pytest.mark.parametrize("count", [1, 300, 400, 1000])
def test_an_executions_cause_fits_however_large_the_fleet(count: int) -> None:
    """A longer one would end the execution with another error: 32,768 characters.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_ExecutionFailedEventDetails.html
    """
    task_ids = tuple(f"lct-{number:046}" for number in range(count))
    failed = Fleet.from_carried(task_ids, {"Pending": [], "FailedTasks": {task_ids[0]: MESSAGE}})

    said = cause(failed)

    assert len(said) <= 32_768
    assert json.loads(said)["Failed"] == 1
