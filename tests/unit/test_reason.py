"""The sentences that a person reads at two in the morning."""

from datetime import timedelta

import pytest

from license_conversion import reason
from license_conversion.conversion import ConversionTask
from license_conversion.reason import LONGER
from tests.unit.one_gate import INSTANCE, TASK_ID

MESSAGE = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
FURTHER = " --region eu-central-1 (as arn:aws:iam::210987654321:role/reads-conversions); execution arn:1234"
AN_HOUR = timedelta(hours=1, minutes=2, seconds=3)
COMMAND = f"aws license-manager get-license-conversion-task --license-conversion-task-id {TASK_ID}"


def task(**members: str) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": TASK_ID, **members})


def timed_out(known: ConversionTask) -> str:
    return reason.timed_out(known, AN_HOUR, FURTHER, trouble="", longer=LONGER)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (timedelta(seconds=0.999), "0 s"),
        (timedelta(seconds=59.999), "59 s"),
        (timedelta(minutes=1), "1 min"),
        (timedelta(minutes=1, seconds=1), "1 min 1 s"),
        (timedelta(hours=1), "1 h"),
        (timedelta(hours=1, seconds=5), "1 h 5 s"),
        (timedelta(days=2), "48 h"),
        (timedelta(seconds=-5), "0 s"),  # a clock that went back
    ],
    ids=str,
)
def test_a_duration_is_said_without_the_parts_that_are_nought(span: timedelta, expected: str) -> None:
    assert reason.duration(span) == expected


def test_the_reason_of_a_failed_conversion_says() -> None:
    """License Manager's own words come last, because the end is what a limit cuts off."""
    failed = task(ResourceArn=INSTANCE, Status="FAILED", StatusMessage=MESSAGE)

    assert reason.failed(failed, AN_HOUR, FURTHER) == (
        f"License conversion FAILED: task {TASK_ID} of {INSTANCE}, after the gate waited 1 h 2 min 3 s. "
        f"For more: {COMMAND}{FURTHER}. License Manager says: {MESSAGE}"
    )


def test_a_failed_conversion_without_message_or_resource_says_that_there_is_none() -> None:
    said = reason.failed(task(Status="FAILED"), AN_HOUR, "")

    assert f"task {TASK_ID} of an unknown resource, " in said
    assert said.endswith(f"For more: {COMMAND}. License Manager says: (no StatusMessage)")


def test_the_reason_of_a_wait_that_ran_out_says() -> None:
    assert timed_out(task(ResourceArn=INSTANCE, Status="IN_PROGRESS")) == (
        f"The wait ran out, the conversion did not fail: task {TASK_ID} of {INSTANCE} is still IN_PROGRESS after the gate "
        "waited 1 h 2 min 3 s. The conversion itself goes on. To wait longer raise TimeoutSeconds and ServiceTimeout (59 minutes "
        f"at most), or name a WaitConditionHandle (12 hours). For more: {COMMAND}{FURTHER}."
    )


@pytest.mark.parametrize(
    ("known", "said", "command"),
    [
        (task(), f"License Manager has said nothing of task {TASK_ID} of an unknown resource", COMMAND),
        (task(Status="CANCELLED"), "License Manager says CANCELLED of task", COMMAND),
        (
            ConversionTask.unseen(resource_arn=INSTANCE),
            f"License Manager could not say which task is the newest of {INSTANCE}",
            f"aws license-manager list-license-conversion-tasks --filters Name=ResourceArns,Values={INSTANCE}",
        ),
    ],
    ids=["nothing", "a word of its own", "not even which task"],
)
def test_a_reason_never_claims_what_was_never_seen(known: ConversionTask, said: str, command: str) -> None:
    reason_ = timed_out(known)

    assert said in reason_
    assert f"{command}{FURTHER}." in reason_
    for claim in ("goes on", "did not fail", "still"):
        assert claim not in reason_
