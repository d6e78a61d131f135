"""What a check decides: when a gate ends, how, and until when it sleeps. Through the check function, as the state machine calls
it; the order of what comes after a check is the definition's (tests/unit/test_state_machine_walks.py).
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from license_conversion import reason
from license_conversion.conversion import ConversionTask
from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown
from license_conversion.gate import CLOSE, LONGEST_SLEEP, RETRY_SECONDS, SHORTEST_PAUSE
from license_conversion.registrations import LastPoll
from tests.template import STATES
from tests.unit.conftest import Said
from tests.unit.one_gate import (
    BEGAN,
    EXECUTION,
    FAULT,
    HANDLE,
    INSTANCE,
    NEW_ID,
    NEW_ROLE,
    TASK,
    TASK_ID,
    THROTTLE,
    OneGate,
    fleet,
    ids,
)
from tests.unit.strategies import any_json

AN_HOUR = 3600
CHECKS_UNTIL = AN_HOUR + 27
"""The last check may come again until then: after it, an attempt that hangs and the response would not fit."""
SUCCEEDED, FAILED, IN_PROGRESS = "SUCCEEDED", "FAILED", "IN_PROGRESS"
MESSAGE = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
REFUSED_TO_POLLER = TASK
"""The poller's words for "ask yourself"."""
NOW = BEGAN.timestamp()
troubles = pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])


def whole(status: str) -> dict[str, Any]:
    """A task's shape, as License Manager gives it and the poller sends it."""
    return {**TASK, "ResourceArn": INSTANCE, "Status": status, "StatusMessage": MESSAGE}


def registered(gate: OneGate, *, polled_at: float | None = None, took: float = 1.0, share: float = 0.0) -> OneGate:
    """After its first check, with a poller that has the lease, and the last whole poll."""
    gate.check()
    gate.share = share
    gate.registrations.until = float("inf")
    gate.registrations.last_poll = LastPoll() if polled_at is None else LastPoll(NOW + polled_at, took)
    return gate


# The protocol of waiting


def test_a_first_check_asks_license_manager_before_the_table_and_starts_the_poller_where_none_runs() -> None:
    """A table that hangs would kill the check before it has asked."""
    ended, gate, asked_before = OneGate(), OneGate(), []
    gate.registrations.called = lambda _: asked_before.append(list(gate.asked))

    state = gate.check()

    assert asked_before == [[TASK_ID]]
    assert gate.pollers == [f"Gate-1@{NOW:.3f}"]
    assert state["Registration"] == {"Account": {"S": "here"}, "Gate": {"S": "Gate-1"}}
    assert ended.check(SUCCEEDED)["Ended"]
    assert ended.touched == []


def test_the_last_check_of_a_fleet_asks_for_all_that_is_pending_whatever_woke_it() -> None:
    gate = registered(fleet(3))

    gate.woken(ids(3)[0], {"LicenseConversionTaskId": ids(3)[1]}, at=AN_HOUR)

    assert (gate.asked, gate.touched) == ([IN_PROGRESS], [])
    gate.woken(ids(3)[1], at=AN_HOUR)
    assert gate.asked == [ids(3)[2]]


@pytest.mark.parametrize(
    ("began", "took", "woken_at", "asks"),
    [
        pytest.param(None, 0, 100, True, id="no poll"),
        pytest.param(9, 1, 50, True, id="began before the registration was surely there"),
        pytest.param(-5, 20, 50, True, id="began before the registration and ended after it"),
        pytest.param(10, 1, 50, False, id="began after the registration"),
        pytest.param(40, 1, 80, False, id="began 40 seconds ago"),
        pytest.param(40, 1, 81, True, id="began longer ago"),
        pytest.param(15, 20, 95, False, id="began longer ago, but a poll takes long"),
        pytest.param(15, 20, 96, True, id="began longer ago than four times what it took"),
    ],
)
def test_any_other_check_trusts_the_last_whole_poll_if_it_began_after_the_registration_and_not_long_ago(
    began: float | None, took: float, woken_at: float, asks: bool
) -> None:
    gate = registered(OneGate(), polled_at=began, took=took)

    state = gate.woken(at=woken_at)

    assert gate.asked == ([TASK_ID] if asks else [])
    assert (state["Ended"], "Registration" in state) == (False, True)


@pytest.mark.parametrize("polled_at", [100, None], ids=["trusts the last poll", "asks by itself"])
def test_any_other_check_looks_after_the_lease(polled_at: float | None) -> None:
    """Also the one that is woken without results, by a poller whose time is over: it starts the next one."""
    gate = registered(OneGate(), polled_at=polled_at)
    gate.registrations.until = NOW + 110

    gate.woken(at=109)
    assert len(gate.pollers) == 1
    gate.woken(at=111)
    assert len(gate.pollers) == 2


def test_a_gate_whose_table_is_away_asks_by_itself_and_is_counted(said: Callable[[], Said]) -> None:
    gate = registered(OneGate(), polled_at=100)
    gate.table_away = True
    said()

    state = gate.woken(at=101)

    assert gate.asked == [TASK_ID]
    assert "Registration" in state, "the state machine finds out whether the table is back"
    assert said().metrics == {"Checks": 1, "TableFailures": 1}
    assert gate.woken(whole(SUCCEEDED), at=110)["Passed"]


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 120), (1.0, 96)])
def test_a_gate_that_registers_wakes_by_itself_after_96_to_120_seconds(share: float, seconds: int) -> None:
    gate = OneGate()
    gate.share = share

    assert (gate.sleep(), gate.sleep(at=200)) == (seconds, seconds)


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 40), (1.0, 32)])
def test_a_gate_that_was_throttled_while_no_poller_runs_sleeps_32_to_40_seconds(share: float, seconds: int) -> None:
    gate = OneGate()
    gate.share = share

    assert gate.sleep(THROTTLE) >= 96, "the first check has started the poller"
    assert gate.sleep(at=120) == seconds
    assert "Registration" in gate.state


@pytest.mark.parametrize(("share", "seconds"), [(0.0, 60), (1.0, 48)])
def test_a_task_that_is_refused_to_the_poller_alone_sleeps_48_to_60_seconds_without_a_registration(
    share: float, seconds: int
) -> None:
    """The poller would wake it again at once."""
    gate = registered(OneGate(), polled_at=100, share=share)

    state = gate.woken(REFUSED_TO_POLLER, at=101)

    assert gate.asked == [TASK_ID]
    assert "Registration" not in state
    assert gate.sleeps == seconds
    assert "Registration" in gate.woken(at=170)


def test_a_fleet_takes_its_results_and_asks_by_itself_for_no_more_than_what_is_refused_to_the_poller() -> None:
    gate = registered(fleet(50, OnFailure="CONTINUE"))
    succeeded, failed, refused, *others = ids(50)
    failure = {"LicenseConversionTaskId": failed, "Status": FAILED, "StatusMessage": MESSAGE}

    state = gate.woken(succeeded, failure, {"LicenseConversionTaskId": refused}, at=40)

    assert (gate.asked, state["Ended"]) == ([refused], False)
    assert state["Pending"].split() == [refused, *others]
    assert state["FailedTasks"] == {failed: MESSAGE}
    assert "Registration" not in state
    assert gate.woken(refused, *others, at=80)["Output"]["Succeeded"] == 49
    assert gate.asked == []


@troubles
def test_a_resource_that_has_no_task_yet_is_asked_for_after_pauses_that_grow_and_registers_nothing(
    trouble: StillUnknown,
) -> None:
    gate, pauses = OneGate(ResourceArn=INSTANCE), []
    gate.license_manager.says = trouble
    for _ in range(8):
        pauses.append(gate.sleep())
        assert "Registration" not in gate.state
        gate.seconds += pauses[-1]

    assert pauses == [5, 5, 10, 20, 40, 80, 120, 120]
    assert gate.asked == [INSTANCE] * 8
    assert gate.touched.count("register") == 0
    assert "Registration" in gate.check(IN_PROGRESS), "it has a name"
    gate.woken()
    assert gate.asked == [TASK_ID], "and is asked for by that"


def test_results_that_come_as_the_deadline_passes_do_not_stand_for_the_check_at_the_deadline() -> None:
    gate = registered(fleet(50))
    gate.registrations.called = lambda _: setattr(gate, "seconds", gate.seconds + 1)

    state = gate.woken(ids(50)[0], at=AN_HOUR - 0.5)

    assert not state["Ended"]
    gate.license_manager.of = dict.fromkeys(ids(50), SUCCEEDED)
    gate.seconds += gate.sleeps
    assert gate.check()["Passed"]


# How long it sleeps


@example(elapsed=AN_HOUR - 2.1, share=0.0, trouble=None)
@given(elapsed=st.floats(0, AN_HOUR - 0.01), share=st.floats(0, 1), trouble=st.sampled_from([None, THROTTLE, FAULT]))
def test_a_gate_sleeps_never_past_the_deadline_and_never_from_far_before_it_to_the_deadline_itself(
    elapsed: float, share: float, trouble: StillUnknown | None
) -> None:
    """A gate that asks at the deadline alone may be throttled there, though the task had ended long before. The check at the
    deadline is not a moment before it.
    """
    gate = registered(OneGate(), share=share)

    seconds = gate.sleep(trouble, at=elapsed)

    left = AN_HOUR - elapsed
    assert 1 <= seconds < max(1, left) + 1
    assert seconds >= left if left <= CLOSE else seconds <= left - SHORTEST_PAUSE + 1


def test_the_checks_before_one_deadline_of_many_gates_come_each_at_a_time_of_its_own() -> None:
    before_it = set()
    for one in range(26):
        gate = OneGate()
        gate.share = one / 25
        before_it.add(CLOSE + 20 - gate.sleep(at=AN_HOUR - CLOSE - 20))

    assert (min(before_it) <= SHORTEST_PAUSE, max(before_it)) == (True, CLOSE)
    assert len(before_it) > 15


@pytest.mark.parametrize("hours", [1, *(pytest.param(hours, marks=pytest.mark.slow) for hours in (12, 24))])
@pytest.mark.parametrize("denied_for", [0, 25], ids=["answered at once", "denied for a while before each answer"])
def test_a_whole_wait_fits_into_an_executions_history(hours: int, denied_for: int) -> None:
    """25,000 events: a try takes three, and a check with what leads to the next one thirteen at most."""
    gate, events = OneGate(TimeoutSeconds=hours * 3600), 0
    gate.share = 1.0
    while not gate.state["Ended"]:
        entered = gate.now()
        for tries in range(denied_for // RETRY_SECONDS):
            events += 3
            if gate.seconds < hours * 3600 - 60:
                with pytest.raises(AccessDenied):
                    gate.check(NEW_ROLE, tries=tries, entered=entered)
                gate.seconds += RETRY_SECONDS
        gate.check(IN_PROGRESS)
        events += 13
        gate.seconds += gate.sleeps

    assert events < 25_000


# What is refused is believed when its grace is over


@pytest.mark.parametrize(
    ("error", "tries"), [(NEW_ID, 3), (NEW_ROLE, 7), (InvalidRequest("No.", grace=1), 2)], ids=["id", "role", "short"]
)
@pytest.mark.parametrize("since", [0, 1800], ids=["at the start", "in the middle of a long wait"])
def test_a_refusal_is_believed_after_two_tries_at_least_and_its_grace(error: GateError, tries: int, since: int) -> None:
    gate = OneGate()

    state = gate.insists(error, at=since)

    assert (state["Ended"], state["Passed"], state["Error"]) == (True, False, error.name)
    assert state["Cause"] == state["Response"]["Reason"] == str(error)
    assert gate.tries == tries
    assert "Event" not in state


def test_a_try_that_begins_late_does_not_eat_the_grace() -> None:
    """A function that has to start, and a call that is not answered, take longer than a task is too new."""
    with pytest.raises(InvalidRequest):
        OneGate().check(NEW_ID, at=12, entered=BEGAN)


@pytest.mark.parametrize("says", [IN_PROGRESS, THROTTLE, FAULT])
def test_a_gate_that_is_refused_no_longer_waits_as_if_it_had_never_been(says: Any) -> None:
    gate = OneGate()
    with pytest.raises(InvalidRequest):
        gate.check(NEW_ID)

    assert "Registration" in gate.check(says, at=5, entered=BEGAN, tries=1)
    assert gate.insists(NEW_ID, at=100)["Ended"]
    assert gate.tries == 3, "its grace begins anew"


def test_a_refusal_is_the_end_where_no_other_try_fits_before_the_deadline() -> None:
    with pytest.raises(AccessDenied):
        OneGate().check(NEW_ROLE, at=AN_HOUR - RETRY_SECONDS - 1)
    assert OneGate().check(NEW_ROLE, at=AN_HOUR - RETRY_SECONDS + 1)["Error"] == NEW_ROLE.name


def test_the_state_machine_tries_again_after_as_many_seconds_as_the_gate_reckons_with() -> None:
    (again,) = STATES["Check Task"]["Retry"]

    assert (again["IntervalSeconds"], again["BackoffRate"]) == (RETRY_SECONDS, 1)
    assert set(again["ErrorEquals"]) == {NEW_ID.name, NEW_ROLE.name}
    assert again["MaxAttempts"] * RETRY_SECONDS > NEW_ROLE.grace


# The gate ends


def test_a_conversion_that_succeeded_passes_with_its_shape_and_attributes() -> None:
    task = ConversionTask(whole(SUCCEEDED))
    passes = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": TASK_ID, "Data": task.attributes()}

    state = OneGate().check(task, at=90)

    assert (state["Passed"], state["Error"], state["Cause"], state["Output"]) == (True, "", "", whole(SUCCEEDED))
    assert state["Response"] == passes


def test_a_conversion_that_failed_fails_its_gate_and_says_why() -> None:
    state = OneGate().check(ConversionTask(whole(FAILED)), at=90)

    assert (state["Passed"], state["Error"], state["Output"]) == (False, "LicenseConversion.Failed", {})
    assert json.loads(state["Cause"]) == whole(FAILED)
    why = state["Response"]["Reason"]
    assert state["Response"] == {"Status": "FAILED", "Reason": why, "PhysicalResourceId": TASK_ID, "Data": {}}
    for expected in ("License conversion FAILED", INSTANCE, MESSAGE, "waited 1 min 30 s"):
        assert expected in why


def test_a_failed_conversion_lets_a_stack_go_on_that_wants_to() -> None:
    state = OneGate(OnFailure="CONTINUE").check(ConversionTask(whole(FAILED)))

    assert (state["Passed"], state["Error"], state["Output"]) == (True, "", whole(FAILED))
    assert state["Response"]["Status"] == "SUCCESS"
    assert state["Response"]["Data"] == ConversionTask(whole(FAILED)).attributes()


@pytest.mark.parametrize("on_failure", ["FAIL", "CONTINUE"])
@pytest.mark.parametrize(("says", "at"), [("", AN_HOUR), (THROTTLE, CHECKS_UNTIL), (FAULT, CHECKS_UNTIL)], ids=str)
def test_a_wait_that_ran_out_is_no_failed_conversion_and_no_success(on_failure: str, says: Any, at: float) -> None:
    gate = OneGate(OnFailure=on_failure)
    gate.check(ConversionTask(whole(IN_PROGRESS)))

    state = gate.check(says, at=at)

    assert (state["Ended"], state["Passed"], state["Error"]) == (True, False, "LicenseConversion.TimedOut")
    assert json.loads(state["Cause"]) == whole(IN_PROGRESS)
    assert state["Response"]["Status"] == "FAILED"
    for expected in ("The wait ran out", INSTANCE, "waited 1 h", str(says)):
        assert expected in state["Response"]["Reason"]


@pytest.mark.parametrize("request_", [{}, {"ResourceArn": INSTANCE}], ids=["a task", "a resource's newest"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@troubles
def test_a_last_check_that_is_not_answered_comes_again_while_there_is_time_for_a_response_after_it(
    trouble: StillUnknown, share: float, request_: dict[str, Any]
) -> None:
    gate = OneGate(**request_)
    gate.share = share

    again = gate.sleep(trouble, at=AN_HOUR)
    assert 1 <= again <= SHORTEST_PAUSE
    assert gate.sleep(trouble, at=CHECKS_UNTIL - again) == again
    assert "Registration" not in gate.state
    assert gate.check(trouble, at=CHECKS_UNTIL - again + 0.1)["Error"] == "LicenseConversion.TimedOut"


@pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED])
@pytest.mark.parametrize("tasks", [0, 1, 10], ids=["a resource's newest", "one", "a fleet"])
def test_no_throttle_of_license_manager_decides_a_gate(outcome: str, tasks: int) -> None:
    gate = fleet(tasks) if tasks else OneGate(ResourceArn=INSTANCE)
    while not gate.state["Ended"] and gate.seconds < CHECKS_UNTIL - SHORTEST_PAUSE:
        gate.check(THROTTLE)
        gate.seconds += gate.sleeps

    gate.license_manager.of = dict.fromkeys(ids(tasks), outcome)
    assert gate.check(outcome)["Response"]["Status"] == {SUCCEEDED: "SUCCESS", FAILED: "FAILED"}[outcome]


@pytest.mark.parametrize("status", ["CANCELLED", "succeeded", "", None], ids=repr)
@pytest.mark.parametrize("tasks", [1, 3])
def test_an_undocumented_status_is_never_success_and_is_said(status: str | None, tasks: int) -> None:
    word = status or "no status"
    unknown = ConversionTask({"LicenseConversionTaskId": ids(1)[0], **({} if status is None else {"Status": status})})
    gate = fleet(tasks)
    gate.license_manager.of[ids(1)[0]] = unknown

    assert not gate.check()["Ended"]
    end = gate.check(at=AN_HOUR if status is not None else CHECKS_UNTIL)
    assert end["Error"] == "LicenseConversion.TimedOut"
    assert word in end["Response"]["Reason"]


def test_a_wait_that_ran_out_names_the_handle_to_a_stack_that_has_none() -> None:
    without, with_one = OneGate(TASK), OneGate({**TASK, **HANDLE}, waiter="HANDLE")

    assert reason.LONGER in without.check(at=50_000)["Response"]["Reason"]
    assert reason.LONGER_WITH_HANDLE in with_one.check(at=50_000)["Response"]["Reason"]


@pytest.mark.parametrize(("says", "after"), [(FAILED, 0), (IN_PROGRESS, AN_HOUR)], ids=["failed", "timed out"])
def test_the_command_in_a_reason_can_be_copied_as_it_stands(says: str, after: float) -> None:
    role = "arn:aws:iam::210987654321:role/reads-conversions"
    command = f"aws license-manager get-license-conversion-task --license-conversion-task-id {TASK_ID} --region "

    own = OneGate().check(says, at=after)["Response"]["Reason"]
    elsewhere = OneGate(RoleArn=role, Region="ap-south-1").check(says, at=after)["Response"]["Reason"]

    assert f"{command}eu-central-1; execution {EXECUTION}." in own
    assert f"{command}ap-south-1 (as {role}); execution {EXECUTION}." in elsewhere
    of_a_resource = OneGate(ResourceArn=INSTANCE).check(THROTTLE, at=50_000)["Response"]["Reason"]
    assert f"Name=ResourceArns,Values={INSTANCE} --region eu-central-1; execution" in of_a_resource
    assert str(THROTTLE) in of_a_resource


def test_no_figure_depends_on_two_clocks_agreeing(said: Callable[[], Said]) -> None:
    """CloudFormation's, which signed the URL, and ours."""
    assert "waited 0 s" in OneGate().check(FAILED, at=-0.6)["Response"]["Reason"]
    assert said().metrics["SecondsWaited"] == 0
    assert OneGate().sleep(at=-0.6) == LONGEST_SLEEP


# A fleet


def test_one_failed_task_fails_a_fleet_which_then_asks_for_no_more() -> None:
    """A poll lists the ones that run, and those that have ended where that saves calls."""
    gate = fleet(3)
    gate.license_manager.of.update(dict.fromkeys(ids(3)[1:], FAILED))

    state = gate.check()

    assert (state["Passed"], state["Error"]) == (False, "LicenseConversion.Failed")
    assert json.loads(state["Cause"])["FailedTaskIds"] == [ids(3)[1]]
    assert gate.asked == [IN_PROGRESS, ids(3)[1]]


def test_a_check_stops_asking_when_half_of_its_attempt_is_over() -> None:
    """What it has found when the state machine gives the attempt up is lost."""
    gate = OneGate({"LicenseConversionTaskIds": ids(300), "ServiceTimeout": 25})
    gate.call_seconds, gate.license_manager.says = 0.2, SUCCEEDED

    state = gate.check()

    assert state["AttemptSeconds"] == 5
    assert gate.seconds <= 5 / 2 + 0.2 + 1e-6
    assert 0 < len(state["Pending"].split()) < 300


# Anything at all


@given(
    members=st.dictionaries(st.sampled_from(["Status", "StatusMessage", "ResourceArn", "StartTime"]), any_json),
    after=st.floats(-1e6, 1e6),
    on_failure=st.sampled_from(["FAIL", "CONTINUE"]),
)
def test_whatever_license_manager_says_the_gate_waits_or_ends_and_passes_on_an_outcome_alone(
    members: dict[str, Any], after: float, on_failure: str
) -> None:
    gate = OneGate(OnFailure=on_failure)
    state = gate.check(ConversionTask.from_answer(TASK_ID, members), at=after)

    if state["Ended"]:
        assert state["Passed"] == (
            members.get("Status") in ((SUCCEEDED,) if on_failure == "FAIL" else (SUCCEEDED, FAILED))
        )
        assert state["Passed"] or state["Response"]["Reason"]
    else:
        assert 1 <= gate.sleeps <= LONGEST_SLEEP


def test_a_result_about_another_task_ends_nothing() -> None:
    other = {**whole(FAILED), "LicenseConversionTaskId": "lct-other"}

    assert not registered(OneGate()).woken("lct-stranger", other, at=20)["Ended"]


@pytest.mark.parametrize(
    "junk",
    [None, 5, True, [], ["lct-1"], {}, {"LicenseConversionTaskId": "lct-other"}, "", {"Status": SUCCEEDED}],
    ids=repr,
)
@pytest.mark.parametrize("begin", [OneGate, lambda: fleet(2)], ids=["task", "fleet"])
def test_a_result_that_is_none_breaks_no_check_and_asks_for_no_task_but_the_gates_own(
    junk: Any, begin: Callable[[], OneGate]
) -> None:
    gate = registered(begin())

    assert not gate.woken(junk, at=20)["Ended"]
    assert set(gate.asked) <= set(gate.state["Pending"].split()) | {IN_PROGRESS}
