"""What a check decides: when a gate ends, how, and until when it sleeps. Through the check function, as the state machine calls
it; the order of what comes after a check is the definition's (tests/unit/test_state_machine_walks.py).
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion import reason
from license_conversion.conversion import ATTRIBUTES, ConversionTask
from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown
from license_conversion.gate import (
    CLOSE,
    LONGEST_SLEEP,
    RETRY_SECONDS,
    SHORTEST_PAUSE,
    TRUSTED_POLLS,
    TRUSTED_SECONDS,
    WRITTEN_SECONDS,
)
from license_conversion.registrations import LastPoll
from tests.unit.conftest import Said
from tests.unit.one_gate import (
    BEGAN,
    EXECUTION,
    FAULT,
    INSTANCE,
    NEW_ID,
    NEW_ROLE,
    TASK_ID,
    THROTTLE,
    WRONG,
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
REFUSED_TO_POLLER = {"LicenseConversionTaskId": TASK_ID}
"""The poller's words for "ask yourself"."""
NOW = BEGAN.timestamp()
outcomes = pytest.mark.parametrize("outcome", [SUCCEEDED, FAILED])
troubles = pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["a throttle", "a fault"])
shares = st.floats(0, 1)


def whole(status: str, task_id: str = TASK_ID) -> dict[str, Any]:
    """A task's shape, as License Manager gives it and the poller sends it."""
    return {
        "LicenseConversionTaskId": task_id,
        "ResourceArn": INSTANCE,
        "Status": status,
        "StatusMessage": MESSAGE,
    }


def task(status: str) -> ConversionTask:
    return ConversionTask(whole(status))


def registered(gate: OneGate, *, polls: LastPoll | None = None) -> OneGate:
    """After its first check, with somebody at the lease, and the last whole poll."""
    gate.check()
    gate.registrations.until = float("inf")
    gate.registrations.last_poll = polls or LastPoll()
    return gate


# The protocol of waiting


def test_a_first_check_asks_license_manager_before_the_table_and_starts_the_poller_where_nobody_polls() -> None:
    """A table that hangs would kill the check before it has asked."""
    gate, asked_before = OneGate(), []
    gate.registrations.called = lambda _: asked_before.append(list(gate.asked))

    state = gate.check()

    assert asked_before == [[TASK_ID]]
    assert gate.pollers == [f"Gate-1@{NOW:.3f}"]
    assert state["Registration"] == {"Account": {"S": "here"}, "Gate": {"S": "Gate-1"}}


def test_a_first_check_leaves_a_poller_that_runs_alone() -> None:
    gate = OneGate()
    gate.registrations.until = NOW + 1

    assert "Registration" in gate.check()
    assert gate.pollers == []


@pytest.mark.parametrize("says", [SUCCEEDED, FAILED])
def test_a_first_check_that_ends_the_gate_touches_no_table(says: str) -> None:
    gate = OneGate()

    assert gate.check(says)["Ended"]
    assert gate.touched == []


@pytest.mark.parametrize("says", [SUCCEEDED, IN_PROGRESS, THROTTLE])
def test_the_last_check_asks_license_manager_and_touches_no_table(says: Any) -> None:
    gate = registered(OneGate(), polls=LastPoll(NOW + AN_HOUR - 1, 1.0))

    gate.license_manager.says = says
    gate.woken(at=AN_HOUR)

    assert (gate.asked, gate.touched) == ([TASK_ID], [])


def test_the_last_check_of_a_fleet_asks_for_all_that_is_pending_whatever_woke_it() -> None:
    gate = registered(fleet(3))

    gate.woken(ids(3)[0], {"LicenseConversionTaskId": ids(3)[1]}, at=AN_HOUR)

    assert (gate.asked, gate.touched) == ([IN_PROGRESS], [])
    gate.woken(ids(3)[1], at=AN_HOUR)
    assert gate.asked == [ids(3)[2]]


def test_any_other_check_takes_the_results_that_woke_it_and_asks_nothing() -> None:
    gate = registered(OneGate())

    state = gate.woken(whole(SUCCEEDED), at=20)

    assert (state["Passed"], state["Output"]) == (True, whole(SUCCEEDED))
    assert (gate.asked, gate.touched) == ([], [])


@pytest.mark.parametrize(
    ("began", "took", "woken_at", "asks"),
    [
        pytest.param(0, 0, 100, True, id="no poll"),
        pytest.param(WRITTEN_SECONDS - 1, 1, 50, True, id="began before the registration was surely there"),
        pytest.param(-5, 20, 50, True, id="began before the registration and ended after it"),
        pytest.param(WRITTEN_SECONDS, 1, 50, False, id="began after the registration"),
        pytest.param(40, 1, 40 + TRUSTED_SECONDS, False, id="began a minute ago"),
        pytest.param(40, 1, 41 + TRUSTED_SECONDS, True, id="began longer ago"),
        pytest.param(15, 20, 15 + TRUSTED_POLLS * 20, False, id="began longer ago, but a poll takes long"),
        pytest.param(15, 20, 16 + TRUSTED_POLLS * 20, True, id="began too long ago for that too"),
    ],
)
def test_any_other_check_trusts_the_last_whole_poll_if_it_began_after_the_registration_and_not_long_ago(
    began: float, took: float, woken_at: float, asks: bool
) -> None:
    gate = registered(OneGate(), polls=LastPoll(NOW + began, took) if took else None)

    state = gate.woken(at=woken_at)

    assert gate.asked == ([TASK_ID] if asks else [])
    assert (state["Ended"], "Registration" in state) == (False, True)


def test_a_gate_that_has_not_registered_asks_whatever_the_poller_does() -> None:
    gate = registered(OneGate(), polls=LastPoll(NOW + 100, 1.0))
    gate.registered_at = ""

    gate.woken(at=101)

    assert gate.asked == [TASK_ID]


@pytest.mark.parametrize("polled", [True, False], ids=["trusts the last poll", "asks by itself"])
def test_any_other_check_looks_after_the_lease(polled: bool) -> None:
    """Also the one that is woken without results, by a poller whose time is over: it starts the next one."""
    gate = registered(OneGate(), polls=LastPoll(NOW + 100, 1.0) if polled else None)
    gate.registrations.until = NOW + 110

    gate.woken(at=109)
    assert len(gate.pollers) == 1
    gate.woken(at=111)
    assert len(gate.pollers) == 2


def test_a_gate_asks_nothing_for_as_long_as_it_is_polled_for() -> None:
    gate = registered(OneGate(TimeoutSeconds=86400))
    gate.asked.clear()

    for _ in range(20):
        gate.seconds += gate.sleeps
        gate.registrations.last_poll = LastPoll(NOW + gate.seconds - 5, 1.0)
        gate.check()

    assert gate.asked == []


def test_a_gate_whose_table_is_away_asks_by_itself_and_is_counted(said: Callable[[], Said]) -> None:
    gate = registered(OneGate(), polls=LastPoll(NOW + 100, 1.0))
    gate.table_away = True
    said()

    state = gate.woken(at=101)

    assert gate.asked == [TASK_ID]
    assert "Registration" in state, "the state machine finds out whether the table is back"
    assert said().metrics == {"Checks": 1, "TableFailures": 1}
    assert gate.woken(whole(SUCCEEDED), at=110)["Passed"]


@given(share=shares)
def test_a_gate_that_registers_wakes_by_itself_after_96_to_120_seconds(share: float) -> None:
    gate = OneGate()
    gate.share = share

    assert 96 <= gate.sleep() <= 120
    assert 96 <= gate.sleep(at=200) <= 120


@given(share=shares)
def test_a_gate_that_was_throttled_while_nobody_polls_sleeps_32_to_40_seconds(share: float) -> None:
    gate = registered(OneGate())
    gate.share = share

    state = gate.check(THROTTLE, at=120)

    assert 32 <= gate.sleeps <= 40
    assert "Registration" in state


def test_a_first_check_that_is_throttled_leaves_the_gate_to_the_poller_that_it_starts() -> None:
    gate = OneGate()

    assert gate.sleep(THROTTLE) == LONGEST_SLEEP
    assert len(gate.pollers) == 1


@given(share=shares)
def test_a_task_that_is_refused_to_the_poller_but_not_to_the_gate_sleeps_a_minute_without_a_registration(
    share: float,
) -> None:
    """The poller would wake it again at once."""
    gate = registered(OneGate(), polls=LastPoll(NOW + 100, 1.0))
    gate.share = share

    state = gate.woken(REFUSED_TO_POLLER, at=101)

    assert gate.asked == [TASK_ID]
    assert "Registration" not in state
    assert 48 <= gate.sleeps <= 60
    assert "Registration" in gate.woken(at=170)


def test_a_task_that_is_refused_to_the_poller_and_to_the_gate_too_ends_it() -> None:
    gate = registered(OneGate())
    gate.license_manager.says = NEW_ROLE

    with pytest.raises(AccessDenied):
        gate.woken(REFUSED_TO_POLLER, at=20)
    assert gate.insists(at=20)["Error"] == NEW_ROLE.name


def test_a_fleet_asks_by_itself_for_no_more_than_what_is_refused_to_the_poller() -> None:
    gate = registered(fleet(50))

    state = gate.woken({"LicenseConversionTaskId": ids(50)[7]}, ids(50)[8], at=20)

    assert gate.asked == [ids(50)[7]]
    assert state["Pending"].split() == [one for one in ids(50) if one != ids(50)[8]]
    assert "Registration" not in state


def test_a_fleet_takes_its_results_and_waits_on_for_the_others() -> None:
    gate = registered(fleet(50, OnFailure="CONTINUE"))
    failed = {"LicenseConversionTaskId": ids(50)[1], "Status": FAILED, "StatusMessage": MESSAGE}

    state = gate.woken(ids(50)[0], failed, at=40)

    assert (gate.asked, state["Ended"]) == ([], False)
    assert state["Pending"].split() == ids(50)[2:]
    assert state["FailedTasks"] == {ids(50)[1]: MESSAGE}
    assert "Registration" in state
    assert gate.woken(*ids(50)[2:], at=80)["Output"]["Succeeded"] == 49


def test_a_failed_result_fails_a_fleet_at_once() -> None:
    gate = registered(fleet(50))

    state = gate.woken({**whole(FAILED, ids(50)[9])}, at=40)

    assert (state["Ended"], state["Passed"], gate.asked) == (True, False, [])


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


@pytest.mark.parametrize("error", [NEW_ID, NEW_ROLE], ids=["an id", "a denial"])
def test_a_fleet_with_one_refused_id_raises(error: GateError) -> None:
    gate = fleet(5)
    gate.license_manager.of = {**dict.fromkeys(ids(5), SUCCEEDED), ids(5)[2]: error}

    with pytest.raises(type(error)):
        gate.check()
    assert gate.insists()["Error"] == error.name


def test_results_that_come_as_the_deadline_passes_do_not_stand_for_the_check_at_the_deadline() -> None:
    gate = registered(fleet(50))
    gate.registrations.called = lambda _: setattr(gate, "seconds", gate.seconds + 1)

    state = gate.woken(ids(50)[0], at=AN_HOUR - 0.5)

    assert not state["Ended"]
    gate.license_manager.of = dict.fromkeys(ids(50), SUCCEEDED)
    gate.seconds += gate.sleeps
    assert gate.check()["Passed"]


# How long it sleeps


@given(elapsed=st.floats(0, AN_HOUR - 0.01), share=shares, trouble=st.sampled_from([None, THROTTLE, FAULT]))
def test_a_gate_sleeps_never_past_the_deadline_and_never_from_far_before_it_to_the_deadline_itself(
    elapsed: float, share: float, trouble: StillUnknown | None
) -> None:
    """A gate that asks at the deadline alone may be throttled there, though the task had ended long before."""
    gate = registered(OneGate())
    gate.share = share

    seconds = gate.sleep(trouble, at=elapsed)

    left = AN_HOUR - elapsed
    assert 1 <= seconds < max(1, left) + 1
    assert left <= CLOSE or seconds <= left - SHORTEST_PAUSE + 1


def test_the_checks_before_one_deadline_of_many_gates_come_each_at_a_time_of_its_own() -> None:
    before_it = set()
    for one in range(26):
        gate = OneGate()
        gate.share = one / 25
        before_it.add(CLOSE + 20 - gate.sleep(at=AN_HOUR - CLOSE - 20))

    assert (min(before_it) <= SHORTEST_PAUSE, max(before_it)) == (True, CLOSE)
    assert len(before_it) > 15


def test_the_check_at_the_deadline_is_not_a_moment_before_it() -> None:
    assert OneGate().sleep(at=AN_HOUR - 2.1) == 3


def test_the_jitter_comes_from_outside() -> None:
    one, other = OneGate(), OneGate()
    other.share = 1.0

    assert one.sleep() > other.sleep()


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


@pytest.mark.parametrize(("left", "ends"), [(RETRY_SECONDS + 1, False), (RETRY_SECONDS - 1, True)])
def test_a_refusal_is_the_end_where_no_other_try_fits_before_the_deadline(left: int, ends: bool) -> None:
    gate = OneGate()

    if ends:
        assert gate.check(NEW_ROLE, at=AN_HOUR - left)["Error"] == NEW_ROLE.name
    else:
        with pytest.raises(AccessDenied):
            gate.check(NEW_ROLE, at=AN_HOUR - left)


def test_what_is_wrong_in_itself_ends_the_gate_at_once() -> None:
    assert OneGate().check(WRONG)["Error"] == WRONG.name
    misspelt = OneGate(LicenseConversionTaskIdd=TASK_ID)
    assert misspelt.check()["Error"] == "LicenseConversion.InvalidRequest"
    assert misspelt.asked == []


def test_the_state_machine_tries_again_after_as_many_seconds_as_the_gate_reckons_with() -> None:
    states = json.loads((Path(__file__).parents[2] / "statemachine" / "gate.asl.json").read_text())["States"]
    (again,) = states["Check Task"]["Retry"]

    assert (again["IntervalSeconds"], again["BackoffRate"]) == (RETRY_SECONDS, 1)
    assert set(again["ErrorEquals"]) == {NEW_ID.name, NEW_ROLE.name}
    assert again["MaxAttempts"] * RETRY_SECONDS > NEW_ROLE.grace


# The gate ends


def test_a_conversion_that_succeeded_passes_with_its_shape_and_attributes() -> None:
    state = OneGate().check(task(SUCCEEDED), at=90)

    assert (state["Passed"], state["Error"], state["Cause"], state["Output"]) == (True, "", "", whole(SUCCEEDED))
    assert state["Response"] == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "Data": task(SUCCEEDED).attributes(),
    }


def test_a_conversion_that_failed_stops_whoever_waits_and_says_why() -> None:
    state = OneGate().check(task(FAILED), at=90)

    assert (state["Passed"], state["Error"], state["Output"]) == (False, "LicenseConversion.Failed", {})
    assert json.loads(state["Cause"]) == whole(FAILED)
    why = state["Response"]["Reason"]
    for expected in ("FAILED", TASK_ID, INSTANCE, MESSAGE, "waited 1 min 30 s", f"; execution {EXECUTION}."):
        assert expected in why
    assert state["Response"] == {"Status": "FAILED", "Reason": why, "PhysicalResourceId": TASK_ID, "Data": {}}


def test_a_failed_conversion_lets_a_stack_go_on_that_wants_to() -> None:
    state = OneGate(OnFailure="CONTINUE").check(task(FAILED))

    assert (state["Passed"], state["Error"], state["Output"]) == (True, "", whole(FAILED))
    response = state["Response"]
    assert (response["Status"], response["Data"].keys()) == ("SUCCESS", set(ATTRIBUTES))
    assert (response["Data"]["Status"], response["Data"]["StatusMessage"]) == (FAILED, MESSAGE)


@outcomes
@pytest.mark.parametrize("after", [AN_HOUR, 999_999], ids=["at the deadline", "long after it"])
def test_an_outcome_that_comes_late_is_still_the_outcome(outcome: str, after: float) -> None:
    assert OneGate().check(outcome, at=after)["Passed"] is (outcome == SUCCEEDED)
    assert OneGate(OnFailure="CONTINUE").check(outcome, at=after)["Output"]["Status"] == outcome


@pytest.mark.parametrize("on_failure", ["FAIL", "CONTINUE"])
def test_a_wait_that_ran_out_is_no_failed_conversion_and_no_success(on_failure: str) -> None:
    state = OneGate(OnFailure=on_failure).check(task(IN_PROGRESS), at=AN_HOUR)

    assert (state["Ended"], state["Passed"], state["Error"]) == (True, False, "LicenseConversion.TimedOut")
    assert json.loads(state["Cause"]) == whole(IN_PROGRESS)
    assert state["Response"]["Status"] == "FAILED"
    for expected in (TASK_ID, INSTANCE, "waited 1 h", "The conversion itself goes on", f"; execution {EXECUTION}."):
        assert expected in state["Response"]["Reason"]


@troubles
def test_a_wait_that_ends_in_trouble_gives_the_last_task_seen_and_the_trouble(trouble: StillUnknown) -> None:
    gate = OneGate()
    gate.check(task(IN_PROGRESS))

    state = gate.check(trouble, at=CHECKS_UNTIL)

    assert json.loads(state["Cause"]) == whole(IN_PROGRESS)
    assert str(trouble) in state["Response"]["Reason"]


@pytest.mark.parametrize("gate", [OneGate(), OneGate(ResourceArn=INSTANCE), fleet(10)], ids=["one", "newest", "fleet"])
def test_a_gate_that_was_never_answered_does_not_claim_that_the_conversion_goes_on(gate: OneGate) -> None:
    why = gate.check(THROTTLE, at=CHECKS_UNTIL)["Response"]["Reason"]

    assert "goes on" not in why
    assert "did not fail" not in why
    assert str(THROTTLE) in why


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@troubles
def test_a_last_check_that_is_not_answered_comes_again_while_there_is_time_for_a_response_after_it(
    trouble: StillUnknown, share: float
) -> None:
    gate = OneGate()
    gate.share = share

    again = gate.sleep(trouble, at=AN_HOUR)
    assert 1 <= again <= SHORTEST_PAUSE
    assert gate.sleep(trouble, at=CHECKS_UNTIL - again) == again
    assert "Registration" not in gate.state
    assert gate.check(trouble, at=CHECKS_UNTIL - again + 0.1)["Error"] == "LicenseConversion.TimedOut"


@outcomes
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
def test_a_status_that_nobody_documents_is_never_success_and_is_said(status: str | None, tasks: int) -> None:
    word = status or "no status"
    unknown = ConversionTask({"LicenseConversionTaskId": ids(1)[0], **({} if status is None else {"Status": status})})
    gate = fleet(tasks)
    gate.license_manager.of[ids(1)[0]] = unknown

    assert not gate.check()["Ended"]
    end = gate.check(at=AN_HOUR if status is not None else CHECKS_UNTIL)
    assert end["Error"] == "LicenseConversion.TimedOut"
    assert word in end["Response"]["Reason"]


@pytest.mark.parametrize(
    ("properties", "longer"),
    [
        ({}, reason.LONGER),
        ({"WaitConditionHandle": "https://handles.s3.amazonaws.com/key?Signature=facade"}, reason.LONGER_WITH_HANDLE),
    ],
    ids=["without a handle", "with one"],
)
def test_a_wait_that_ran_out_names_the_handle_to_a_stack_that_has_none(properties: dict[str, str], longer: str) -> None:
    gate = OneGate({"LicenseConversionTaskId": TASK_ID, **properties}, waiter="HANDLE" if properties else "")

    assert longer in gate.check(at=50_000)["Response"]["Reason"]


@pytest.mark.parametrize(("says", "after"), [(FAILED, 0), (IN_PROGRESS, AN_HOUR)], ids=["failed", "timed out"])
def test_the_command_in_a_reason_can_be_copied_as_it_stands(says: str, after: float) -> None:
    role = "arn:aws:iam::210987654321:role/reads-conversions"
    command = f"aws license-manager get-license-conversion-task --license-conversion-task-id {TASK_ID} --region "

    own = OneGate().check(says, at=after)["Response"]["Reason"]
    elsewhere = OneGate(RoleArn=role, Region="ap-south-1").check(says, at=after)["Response"]["Reason"]

    assert f"{command}eu-central-1; execution {EXECUTION}." in own
    assert f"{command}ap-south-1 (as {role}); execution {EXECUTION}." in elsewhere


def test_no_figure_depends_on_two_clocks_agreeing(said: Callable[[], Said]) -> None:
    """CloudFormation's, which signed the URL, and ours."""
    assert "waited 0 s" in OneGate().check(FAILED, at=-0.6)["Response"]["Reason"]
    assert said().metrics["SecondsWaited"] == 0
    assert OneGate().sleep(at=-0.6) == LONGEST_SLEEP


# A fleet


@pytest.mark.parametrize("running", [0, 3])
def test_one_failed_task_fails_a_fleet(running: int) -> None:
    gate = fleet(running + 1)
    gate.license_manager.of[ids(running + 1)[running]] = FAILED

    state = gate.check()

    assert (state["Passed"], state["Error"]) == (False, "LicenseConversion.Failed")
    assert json.loads(state["Cause"])["FailedTaskIds"] == [ids(running + 1)[running]]


def test_a_fleet_that_fails_asks_for_no_more_tasks() -> None:
    """A poll lists the ones that run, and those that have ended where that saves calls."""
    gate = fleet(2)
    gate.license_manager.of = dict.fromkeys(ids(2), FAILED)

    gate.check()

    assert gate.asked == [IN_PROGRESS, ids(2)[0]]


def test_a_fleet_that_goes_on_waits_for_all_of_them() -> None:
    gate = fleet(3, OnFailure="CONTINUE")
    gate.license_manager.of[ids(3)[1]] = FAILED

    assert not gate.check()["Ended"]
    gate.license_manager.of.update({ids(3)[0]: SUCCEEDED, ids(3)[2]: SUCCEEDED})
    state = gate.check()

    assert (state["Passed"], state["Response"]["Data"]["Failed"]) == (True, "1")


def test_a_fault_of_one_task_does_not_keep_the_others_from_being_seen() -> None:
    gate = fleet(5)
    gate.license_manager.of = {**dict.fromkeys(ids(5), SUCCEEDED), ids(5)[2]: FAULT}

    assert gate.check()["Pending"].split() == [ids(5)[2]]


@pytest.mark.parametrize(("margin", "attempt_seconds"), [(5, 5), (60, 25)])
def test_a_check_stops_asking_when_half_of_its_attempt_is_over(margin: int, attempt_seconds: int) -> None:
    """What it has found when the state machine gives the attempt up is lost."""
    timeout = 5 * margin
    gate = OneGate({"LicenseConversionTaskIds": ids(300), "ServiceTimeout": timeout})
    gate.call_seconds, gate.license_manager.says = 0.2, SUCCEEDED

    state = gate.check()

    assert state["AttemptSeconds"] == attempt_seconds
    assert gate.seconds <= attempt_seconds / 2 + 0.2 + 1e-6
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
    assert not registered(OneGate()).woken("lct-stranger", whole(FAILED, "lct-other"), at=20)["Ended"]


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


def test_a_task_that_began_in_year_1_is_waited_for_like_any_other() -> None:
    began = {"Status": IN_PROGRESS, "StartTime": datetime(1, 1, 1, tzinfo=UTC)}

    assert OneGate().sleep(ConversionTask.from_answer(TASK_ID, began)) == LONGEST_SLEEP
