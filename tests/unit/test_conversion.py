"""GetLicenseConversionTask's answer -> a status, attributes, an output."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.conversion import ConversionTask, Status, iso
from license_conversion.text import MARK, size
from tests.unit.strategies import any_json, any_text

TASK_ID = "lct-0123456789abcdef0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, 500_000, tzinfo=UTC)
ATTRIBUTES = {
    "LicenseConversionTaskId",
    "ResourceArn",
    "SourceLicenseContext.UsageOperation",
    "SourceLicenseContext.ProductCodes",
    "DestinationLicenseContext.UsageOperation",
    "DestinationLicenseContext.ProductCodes",
    "Status",
    "StatusMessage",
    "StartTime",
    "LicenseConversionTime",
    "EndTime",
}
SUCCEEDED: dict[str, Any] = {
    "LicenseConversionTaskId": TASK_ID,
    "ResourceArn": INSTANCE,
    "SourceLicenseContext": {"UsageOperation": "RunInstances:0800"},
    "DestinationLicenseContext": {
        "UsageOperation": "RunInstances:0002",
        "ProductCodes": [
            {"ProductCodeId": "8hjj2k3l", "ProductCodeType": "marketplace"},
            {"ProductCodeId": "4m5n6p7q", "ProductCodeType": "marketplace"},
        ],
    },
    "StatusMessage": "Done",
    "Status": "SUCCEEDED",
    "StartTime": STARTED_AT,
    "LicenseConversionTime": STARTED_AT + timedelta(minutes=1),
    "EndTime": STARTED_AT + timedelta(minutes=2),
}


def answered(**members: Any) -> ConversionTask:
    return ConversionTask.from_answer(TASK_ID, {"LicenseConversionTaskId": TASK_ID, **members})


def test_a_finished_task_has_every_attribute() -> None:
    task = ConversionTask.from_answer(TASK_ID, SUCCEEDED)

    assert task.attributes() == {
        "LicenseConversionTaskId": TASK_ID,
        "ResourceArn": INSTANCE,
        "SourceLicenseContext.UsageOperation": "RunInstances:0800",
        "SourceLicenseContext.ProductCodes": "",
        "DestinationLicenseContext.UsageOperation": "RunInstances:0002",
        "DestinationLicenseContext.ProductCodes": "8hjj2k3l,4m5n6p7q",
        "Status": "SUCCEEDED",
        "StatusMessage": "Done",
        "StartTime": "2026-11-22T17:39:55Z",
        "LicenseConversionTime": "2026-11-22T17:40:55Z",
        "EndTime": "2026-11-22T17:41:55Z",
    }


def test_what_license_manager_has_not_given_is_an_empty_attribute() -> None:
    attributes = ConversionTask.unseen(TASK_ID).attributes()

    assert attributes == {**dict.fromkeys(ATTRIBUTES, ""), "LicenseConversionTaskId": TASK_ID}


def test_a_task_keeps_the_services_shape_with_times_as_text() -> None:
    task = ConversionTask.from_answer(TASK_ID, SUCCEEDED)

    assert task.shape == {
        **SUCCEEDED,
        "StartTime": "2026-11-22T17:39:55Z",
        "LicenseConversionTime": "2026-11-22T17:40:55Z",
        "EndTime": "2026-11-22T17:41:55Z",
    }


def test_what_an_answer_lacks_is_absent_from_the_shape() -> None:
    task = answered(Status="IN_PROGRESS", StatusMessage=None)

    assert task.shape == {"LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS"}


def test_an_answer_without_an_id_is_about_the_task_that_was_asked_for() -> None:
    task = ConversionTask.from_answer(TASK_ID, {"Status": "SUCCEEDED"})

    assert task.task_id == TASK_ID
    assert task.status is Status.SUCCEEDED


@pytest.mark.parametrize("other", ["lct-other", "", None, 5, ["lct-other"]], ids=repr)
def test_an_answer_about_another_task_says_nothing_about_this_one(other: Any) -> None:
    task = ConversionTask.from_answer(TASK_ID, {**SUCCEEDED, "LicenseConversionTaskId": other})

    assert task.shape == {"LicenseConversionTaskId": TASK_ID}
    assert not task.terminal


def test_what_is_no_member_of_a_task_goes_no_further() -> None:
    task = answered(Status="SUCCEEDED", ResponseMetadata={"HTTPStatusCode": 200}, Surprise="!")

    assert task.shape.keys() == {"LicenseConversionTaskId", "Status"}


# Status


@pytest.mark.parametrize(
    ("word", "status", "terminal"),
    [
        pytest.param("SUCCEEDED", Status.SUCCEEDED, True, id="succeeded"),
        pytest.param("FAILED", Status.FAILED, True, id="failed"),
        pytest.param("IN_PROGRESS", Status.IN_PROGRESS, False, id="in progress"),
        pytest.param("CANCELLED", Status.UNKNOWN, False, id="a word that is not documented"),
        pytest.param("UNKNOWN", Status.UNKNOWN, False, id="our own word for it"),
        pytest.param("succeeded", Status.UNKNOWN, False, id="the wrong case"),
        pytest.param("SUCCEEDED ", Status.UNKNOWN, False, id="a blank at the end"),
        pytest.param("", Status.UNKNOWN, False, id="an empty word"),
        pytest.param(["SUCCEEDED"], Status.UNKNOWN, False, id="a list"),
        pytest.param({"Value": "SUCCEEDED"}, Status.UNKNOWN, False, id="an object"),
        pytest.param(True, Status.UNKNOWN, False, id="true"),
        pytest.param(1, Status.UNKNOWN, False, id="a number"),
        pytest.param(None, Status.UNKNOWN, False, id="none"),
    ],
)
def test_only_the_documented_words_say_that_a_task_has_ended(word: Any, status: Status, terminal: bool) -> None:
    task = answered(Status=word)

    assert task.status is status
    assert task.terminal is terminal


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        pytest.param({"Status": "CANCELLED"}, "CANCELLED", id="the service's own word"),
        pytest.param({"Status": ""}, "no status", id="an empty word"),
        pytest.param({}, "no status", id="none"),
    ],
)
def test_a_person_reads_the_services_own_word(members: dict[str, str], expected: str) -> None:
    assert answered(**members).status_word == expected


@given(status=any_json)
def test_no_answer_but_the_two_words_ends_a_task(status: Any) -> None:
    task = answered(Status=status)

    assert task.terminal == (status in ("SUCCEEDED", "FAILED"))
    assert isinstance(task.status_word, str)


# Times


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        pytest.param(STARTED_AT, "2026-11-22T17:39:55Z", id="UTC, without the fraction"),
        pytest.param(
            datetime(2026, 11, 22, 7, 9, 55, tzinfo=timezone(timedelta(hours=-10, minutes=-30))),
            "2026-11-22T17:39:55Z",
            id="another zone",
        ),
        pytest.param(datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z", id="the epoch"),
        pytest.param(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "9999-12-31T23:59:59Z", id="year 9999"),
        pytest.param(
            datetime(1, 1, 1, tzinfo=UTC),
            "0001-01-01T00:00:00Z",
            id="year 1",
        ),
    ],
)
def test_a_time_is_said_in_iso_8601_and_utc(moment: datetime, expected: str) -> None:
    assert iso(moment) == expected


@given(moment=st.datetimes(timezones=st.just(UTC)))
def test_a_start_time_is_the_one_that_license_manager_gave_to_the_second(moment: datetime) -> None:
    task = answered(StartTime=moment)

    assert task.start_time == moment.replace(microsecond=0)


def test_a_task_that_has_not_started_or_says_no_time_has_no_start_time() -> None:
    assert answered().start_time is None
    assert answered(StartTime="soon").start_time is None


def test_a_task_that_travelled_through_an_execution_is_the_same() -> None:
    task = ConversionTask.from_answer(TASK_ID, SUCCEEDED)

    travelled = ConversionTask(json.loads(json.dumps(task.shape)))

    assert travelled == task
    assert travelled.start_time == STARTED_AT.replace(microsecond=0)


# A service that lies


@pytest.mark.parametrize(
    ("members", "name"),
    [
        pytest.param({"ResourceArn": 5}, "ResourceArn", id="a number for an ARN"),
        pytest.param({"Status": True}, "Status", id="a boolean for a status"),
        pytest.param({"StatusMessage": ["a"]}, "StatusMessage", id="a list for a message"),
        pytest.param({"StartTime": "2026-11-22T17:39:55Z"}, "StartTime", id="a text for a time"),
        pytest.param({"SourceLicenseContext": 5}, "SourceLicenseContext.UsageOperation", id="a number for a context"),
        pytest.param({"SourceLicenseContext": "a"}, "SourceLicenseContext.ProductCodes", id="a text for a context"),
        pytest.param({"SourceLicenseContext": ["a"]}, "SourceLicenseContext.ProductCodes", id="a list for a context"),
    ],
)
def test_a_member_of_the_wrong_type_is_one_that_license_manager_has_not_given(
    members: dict[str, Any], name: str
) -> None:
    task = answered(**members)

    assert task.shape == {"LicenseConversionTaskId": TASK_ID}
    assert task.attributes()[name] == ""


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        pytest.param([], "", id="none"),
        pytest.param([{"ProductCodeId": "a"}], "a", id="one"),
        pytest.param([{"ProductCodeId": 5}], "", id="a number for an id"),
        pytest.param(None, "", id="null"),
        pytest.param("", "", id="an empty text"),
    ],
)
def test_product_codes_are_a_list_of_ids(codes: Any, expected: str) -> None:
    attributes = answered(SourceLicenseContext={"ProductCodes": codes}).attributes()

    assert attributes["SourceLicenseContext.ProductCodes"] == expected


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param(5, id="a number"),
        pytest.param(True, id="true"),
        pytest.param("8hjj2k3l", id="a text"),
        pytest.param(["8hjj2k3l"], id="a list of texts"),
        pytest.param([None], id="a list of nulls"),
        pytest.param([["8hjj2k3l"]], id="a list of lists"),
        pytest.param({"ProductCodeId": "8hjj2k3l"}, id="an object"),
    ],
)
def test_product_codes_of_the_wrong_type_are_still_a_text(codes: Any) -> None:
    attributes = answered(SourceLicenseContext={"ProductCodes": codes}).attributes()

    assert isinstance(attributes["SourceLicenseContext.ProductCodes"], str)


@pytest.mark.parametrize(
    ("context", "member"),
    [
        pytest.param({"UsageOperation": None}, "UsageOperation", id="a usage operation"),
        pytest.param({"ProductCodes": [{"ProductCodeId": None}]}, "ProductCodes", id="a product code"),
    ],
)
def test_a_null_inside_a_context_is_what_license_manager_has_not_given(context: dict[str, Any], member: str) -> None:
    assert answered(SourceLicenseContext=context).attributes()[f"SourceLicenseContext.{member}"] == ""


well_formed_codes = st.lists(
    st.dictionaries(st.sampled_from(["ProductCodeId", "ProductCodeType"]) | any_text, any_json)
)
contexts = any_json.filter(lambda value: not isinstance(value, dict)) | st.fixed_dictionaries(
    {}, optional={"UsageOperation": any_json, "ProductCodes": well_formed_codes}
)
times = st.datetimes(timezones=st.just(UTC)) | st.none() | any_text
answers = st.fixed_dictionaries(
    {},
    optional={
        "LicenseConversionTaskId": st.just(TASK_ID) | any_json,
        "ResourceArn": any_json,
        "SourceLicenseContext": contexts,
        "DestinationLicenseContext": contexts,
        "Status": st.sampled_from(["SUCCEEDED", "FAILED", "IN_PROGRESS"]) | any_json,
        "StatusMessage": any_json,
        "StartTime": times,
        "LicenseConversionTime": times,
        "EndTime": times,
        "Surprise": any_json,
    },
)


@given(answer=answers)
def test_whatever_the_service_answers_every_attribute_is_there_and_a_text(answer: dict[str, Any]) -> None:
    task = ConversionTask.from_answer(TASK_ID, answer)

    attributes = task.attributes()

    assert attributes.keys() == ATTRIBUTES
    assert all(type(value) is str for value in attributes.values())
    assert attributes["LicenseConversionTaskId"] == TASK_ID


@given(answer=answers)
def test_whatever_the_service_answers_the_output_is_json(answer: dict[str, Any]) -> None:
    task = ConversionTask.from_answer(TASK_ID, answer)

    assert json.dumps(task.shape)
    assert isinstance(task.label + task.status_message, str)


@pytest.mark.parametrize("character", ["x", "€", "😀", '"'], ids=["one byte", "three bytes", "four bytes", "escaped"])
def test_a_message_that_fits_into_no_answer_is_shortened_on_the_way_in(character: str) -> None:
    task = answered(StatusMessage=character * 1_000_000)

    assert task.status_message.endswith(MARK)
    assert 14_000 < size(task.status_message) <= 15_000


def test_a_message_that_fits_is_kept_word_for_word() -> None:
    message = "Instance [i-1] is launched from an Amazon owned AMI.\n  Provide another one. "

    assert answered(StatusMessage=message).status_message == message


def test_a_context_that_fits_into_no_answer_is_shortened_on_the_way_in() -> None:
    task = answered(SourceLicenseContext={"UsageOperation": "x" * 1_000_000})

    assert len(json.dumps(task.shape)) <= 32_768


def test_half_a_character_is_no_reason_that_the_output_cannot_be_sent() -> None:
    task = answered(StatusMessage="a\ud800b")

    assert json.dumps(task.shape, ensure_ascii=False).encode()


def test_a_long_list_of_product_codes_is_cut() -> None:
    codes = [{"ProductCodeId": str(number)} for number in range(1000)]

    assert answered(SourceLicenseContext={"ProductCodes": codes}).attributes()["SourceLicenseContext.ProductCodes"] == (
        "0,1,2,3,4,5,6,7,8,9"
    )


# What the poller sends


def test_a_task_becomes_what_a_result_says_of_it_and_takes_no_other_ones_nor_one_that_says_nothing() -> None:
    known, said = answered(Status="IN_PROGRESS"), {"LicenseConversionTaskId": TASK_ID, "Status": "SUCCEEDED"}
    other, nothing = {"LicenseConversionTaskId": "lct-2", "Status": "FAILED"}, {"LicenseConversionTaskId": TASK_ID}
    results = [ConversionTask.from_result(one) for one in (other, nothing, said)]

    assert known.after(results[:2]) is known
    assert known.after(results) == ConversionTask(said)
    assert ConversionTask.from_result(TASK_ID) == ConversionTask(said)


@pytest.mark.parametrize(
    ("task", "pending"),
    [
        (ConversionTask.unseen(), ()),
        (ConversionTask.unseen(TASK_ID), (TASK_ID,)),
        (answered(Status="PAUSED"), (TASK_ID,)),
        (answered(Status="FAILED"), ()),
    ],
    ids=["has no name", "has not been seen", "has an unknown status", "has ended"],
)
def test_a_task_is_pending_from_when_it_has_a_name_until_it_has_ended(
    task: ConversionTask, pending: tuple[str, ...]
) -> None:
    assert task.pending == pending
