"""The sentences that a person reads at two in the morning."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion import reason
from license_conversion.conversion import ConversionTask
from license_conversion.reason import LONGER, LONGER_WITH_HANDLE

TASK_ID = "lct-0123456789abcdef0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
MESSAGE = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
FURTHER = " --region eu-central-1 (as arn:aws:iam::210987654321:role/reads-conversions); execution arn:1234"
AN_HOUR = timedelta(hours=1, minutes=2, seconds=3)
COMMAND = f"aws license-manager get-license-conversion-task --license-conversion-task-id {TASK_ID}"


def task(**members: str) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": TASK_ID, **members})


RUNNING = task(ResourceArn=INSTANCE, Status="IN_PROGRESS")


def timed_out(known: ConversionTask, *, trouble: str = "", longer: str = LONGER) -> str:
    return reason.timed_out(known, AN_HOUR, FURTHER, trouble=trouble, longer=longer)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        pytest.param(timedelta(0), "0 s", id="nothing"),
        pytest.param(timedelta(seconds=0.999), "0 s", id="less than a second"),
        pytest.param(timedelta(seconds=59.999), "59 s", id="seconds"),
        pytest.param(timedelta(minutes=1), "1 min", id="a minute"),
        pytest.param(timedelta(minutes=1, seconds=1), "1 min 1 s", id="a minute and a second"),
        pytest.param(timedelta(hours=1), "1 h", id="an hour"),
        pytest.param(timedelta(hours=1, seconds=5), "1 h 5 s", id="an hour and five seconds"),
        pytest.param(AN_HOUR, "1 h 2 min 3 s", id="all three"),
        pytest.param(timedelta(days=2), "48 h", id="two days"),
        pytest.param(timedelta(seconds=-5), "0 s", id="a clock that went back"),
    ],
)
def test_a_duration_is_said_without_the_parts_that_are_nought(span: timedelta, expected: str) -> None:
    assert reason.duration(span) == expected


@given(span=st.timedeltas())
def test_every_duration_can_be_said(span: timedelta) -> None:
    assert reason.duration(span)


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param("FAILED", id="that it failed"),
        pytest.param(TASK_ID, id="the task"),
        pytest.param(INSTANCE, id="the resource"),
        pytest.param(MESSAGE, id="the message word for word"),
        pytest.param("waited 1 h 2 min 3 s", id="how long it waited"),
        pytest.param(f"For more: {COMMAND}{FURTHER}.", id="what to run, and where to look"),
    ],
)
def test_the_reason_of_a_failed_conversion_says(expected: str) -> None:
    failed = task(ResourceArn=INSTANCE, Status="FAILED", StatusMessage=MESSAGE)

    said = reason.failed(failed, AN_HOUR, FURTHER)

    assert expected in said


def test_a_reason_reads_as_one_text_from_beginning_to_end() -> None:
    failed = reason.failed(task(Status="FAILED"), timedelta(seconds=90), "")
    of = f"task {TASK_ID} of an unknown resource"

    assert failed == (
        f"License conversion FAILED: {of}, after the gate waited 1 min 30 s. "
        f"For more: {COMMAND}. License Manager says: (no StatusMessage)"
    )
    assert reason.timed_out(task(Status="IN_PROGRESS"), AN_HOUR, "", trouble="", longer=LONGER) == (
        f"The wait ran out, the conversion did not fail: {of} is still IN_PROGRESS after the gate waited 1 h 2 min 3 s. "
        "The conversion itself goes on. To wait longer raise TimeoutSeconds and ServiceTimeout (59 minutes at most), or name a "
        f"WaitConditionHandle (12 hours). For more: {COMMAND}."
    )


def test_license_managers_own_words_come_last_because_the_end_is_what_a_limit_cuts_off() -> None:
    failed = task(ResourceArn=INSTANCE, Status="FAILED", StatusMessage=MESSAGE)

    assert reason.failed(failed, AN_HOUR, FURTHER).endswith(MESSAGE)


def test_a_failed_conversion_without_message_or_resource_says_that_there_is_none() -> None:
    said = reason.failed(task(Status="FAILED"), AN_HOUR, FURTHER)

    assert "(no StatusMessage)" in said
    assert "an unknown resource" in said


@pytest.mark.parametrize(
    "expected",
    [
        pytest.param("the conversion did not fail", id="that it did not fail"),
        pytest.param("The conversion itself goes on", id="that it goes on"),
        pytest.param("still IN_PROGRESS", id="the status"),
        pytest.param(TASK_ID, id="the task"),
        pytest.param(INSTANCE, id="the resource"),
        pytest.param("waited 1 h 2 min 3 s", id="how long it waited"),
        pytest.param(f"For more: {COMMAND}{FURTHER}.", id="what to run, and where to look"),
    ],
)
def test_the_reason_of_a_wait_that_ran_out_says(expected: str) -> None:
    said = timed_out(RUNNING)

    assert expected in said
    assert "FAILED" not in said


def test_a_stack_whose_wait_ran_out_hears_of_the_handle_and_one_that_has_it_does_not() -> None:
    without, with_handle = timed_out(RUNNING), timed_out(RUNNING, longer=LONGER_WITH_HANDLE)

    assert "WaitConditionHandle" in without
    assert "WaitConditionHandle" not in with_handle
    assert "raise TimeoutSeconds and the wait condition's Timeout (12 hours at most)." in with_handle


def test_a_wait_that_ran_out_in_trouble_says_which() -> None:
    troubled, untroubled = timed_out(RUNNING, trouble="License Manager answered 500: no"), timed_out(RUNNING)

    assert troubled.endswith("The last check said: License Manager answered 500: no")
    assert "The last check" not in untroubled


@pytest.mark.parametrize(
    ("known", "said"),
    [
        pytest.param(
            task(), f"License Manager has said nothing of task {TASK_ID} of an unknown resource", id="nothing"
        ),
        pytest.param(task(Status="CANCELLED"), "License Manager says CANCELLED of task", id="a word of its own"),
        pytest.param(
            ConversionTask.unseen(resource_arn=INSTANCE),
            f"License Manager could not say which task is the newest of {INSTANCE}",
            id="not even which task",
        ),
    ],
)
def test_a_reason_never_claims_what_was_never_seen(known: ConversionTask, said: str) -> None:
    reason_ = timed_out(known)

    assert said in reason_
    assert "goes on" not in reason_
    assert "did not fail" not in reason_
    assert "still" not in reason_


def test_a_resource_whose_newest_task_nobody_could_name_is_looked_up_with_its_list() -> None:
    said = timed_out(ConversionTask.unseen(resource_arn=INSTANCE))

    assert (
        f"aws license-manager list-license-conversion-tasks --filters Name=ResourceArns,Values={INSTANCE}{FURTHER}."
    ) in said
