"""GetLicenseConversionTask's answer -> a status, attributes, an output."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.conversion import ConversionTask, Status, iso
from license_conversion.text import MARK, size
from tests.unit.one_gate import INSTANCE, TASK_ID
from tests.unit.one_gate import TASK as ID
from tests.unit.strategies import any_json

STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, 500_000, tzinfo=UTC)
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
TIMES = {
    "StartTime": "2026-11-22T17:39:55Z",
    "LicenseConversionTime": "2026-11-22T17:40:55Z",
    "EndTime": "2026-11-22T17:41:55Z",
}
ATTRIBUTES = {
    "LicenseConversionTaskId": TASK_ID,
    "ResourceArn": INSTANCE,
    "SourceLicenseContext.UsageOperation": "RunInstances:0800",
    "SourceLicenseContext.ProductCodes": "",
    "DestinationLicenseContext.UsageOperation": "RunInstances:0002",
    "DestinationLicenseContext.ProductCodes": "8hjj2k3l,4m5n6p7q",
    "Status": "SUCCEEDED",
    "StatusMessage": "Done",
    **TIMES,
}


def answered(**members: Any) -> ConversionTask:
    return ConversionTask.from_answer(TASK_ID, {**ID, **members})


# What of an answer goes on


def test_a_finished_task_has_every_attribute_and_keeps_the_services_shape_with_times_as_text() -> None:
    task = ConversionTask.from_answer(TASK_ID, SUCCEEDED)

    assert task.attributes() == ATTRIBUTES
    assert task.shape == {**SUCCEEDED, **TIMES}
    assert ConversionTask(json.loads(json.dumps(task.shape))) == task, "after its way through an execution too"


def test_an_answer_without_an_id_is_about_the_task_that_was_asked_for() -> None:
    assert ConversionTask.from_answer(TASK_ID, {"Status": "SUCCEEDED"}).shape == {**ID, "Status": "SUCCEEDED"}


@pytest.mark.parametrize("other", ["lct-other", "", None, 5, ["lct-other"]], ids=repr)
def test_an_answer_about_another_task_says_nothing_about_this_one(other: Any) -> None:
    assert ConversionTask.from_answer(TASK_ID, {**SUCCEEDED, "LicenseConversionTaskId": other}).shape == ID


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"ResponseMetadata": {"HTTPStatusCode": 200}, "Surprise": "!"},
        {"ResourceArn": 5},
        {"Status": True},
        {"StatusMessage": ["a"]},
        {"StatusMessage": None},
        {"StartTime": "2026-11-22T17:39:55Z"},
        {"SourceLicenseContext": 5},
        {"SourceLicenseContext": "a"},
        {"SourceLicenseContext": ["a"]},
    ],
    ids=str,
)
def test_a_member_of_the_wrong_type_and_one_that_no_task_has_go_no_further(members: dict[str, Any]) -> None:
    task = answered(**members)

    assert task.shape == ID
    assert task.attributes() == {**dict.fromkeys(ATTRIBUTES, ""), **ID}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], ""),
        ([{"ProductCodeId": "a"}, {"ProductCodeId": 5}, {"ProductCodeId": None}, {}, None, "b", ["c"]], "a"),
        ([{"ProductCodeId": str(number)} for number in range(1000)], "0,1,2,3,4,5,6,7,8,9"),
        ({"ProductCodeId": "a"}, ""),
        ("a", ""),
        (5, ""),
        (None, ""),
    ],
)
def test_product_codes_are_the_ids_of_a_list(codes: Any, expected: str) -> None:
    attributes = answered(SourceLicenseContext={"UsageOperation": 5, "ProductCodes": codes}).attributes()

    assert attributes["SourceLicenseContext.ProductCodes"] == expected
    assert attributes["SourceLicenseContext.UsageOperation"] == ""


@pytest.mark.parametrize("character", ["x", "€", "😀", '"'], ids=["one byte", "three bytes", "four bytes", "escaped"])
def test_a_message_that_fits_into_no_answer_is_shortened_on_the_way_in(character: str) -> None:
    task = answered(StatusMessage=character * 1_000_000)

    assert task.status_message.endswith(MARK)
    assert 14_000 < size(task.status_message) <= 15_000


def test_nothing_that_an_answer_says_makes_an_output_too_long_or_unsendable() -> None:
    task = answered(StatusMessage="half a character: \ud800", SourceLicenseContext={"UsageOperation": "x" * 1_000_000})

    assert len(json.dumps(task.shape, ensure_ascii=False).encode()) < 1000


contexts = st.fixed_dictionaries({}, optional={"UsageOperation": any_json, "ProductCodes": any_json})
members_of_any_kind = st.dictionaries(
    st.sampled_from([*SUCCEEDED, "Surprise"]), any_json | contexts | st.datetimes(timezones=st.just(UTC))
)


@given(members=members_of_any_kind)
def test_whatever_the_service_answers_every_attribute_is_there_and_a_text(members: dict[str, Any]) -> None:
    task = ConversionTask.from_answer(TASK_ID, {**members, **ID})

    attributes = task.attributes()

    assert attributes.keys() == ATTRIBUTES.keys()
    assert all(type(value) is str for value in attributes.values())
    assert json.dumps(task.shape)
    assert isinstance(task.label + task.status_message, str)


# Status


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("SUCCEEDED", Status.SUCCEEDED),
        ("FAILED", Status.FAILED),
        ("IN_PROGRESS", Status.IN_PROGRESS),
        *((word, Status.UNKNOWN) for word in ("CANCELLED", "UNKNOWN", "succeeded", "SUCCEEDED ", "", True, 1, None)),
        *((value, Status.UNKNOWN) for value in (["SUCCEEDED"], {"Value": "SUCCEEDED"})),
    ],
)
def test_only_the_documented_words_say_that_a_task_has_ended(word: Any, status: Status) -> None:
    task = answered(Status=word)

    assert task.status is status
    assert task.terminal is (status in (Status.SUCCEEDED, Status.FAILED))


@given(status=any_json)
def test_no_answer_but_the_two_words_ends_a_task(status: Any) -> None:
    assert answered(Status=status).terminal == (status in ("SUCCEEDED", "FAILED"))


# Times


def test_a_time_is_said_in_utc() -> None:
    moment = datetime(2026, 11, 22, 7, 9, 55, 999_999, tzinfo=timezone(timedelta(hours=-10.5)))

    assert iso(moment) == "2026-11-22T17:39:55Z"


# What the poller sends


def test_a_task_becomes_what_a_result_says_of_it_and_takes_no_other_ones_nor_one_that_says_nothing() -> None:
    known, said = answered(Status="IN_PROGRESS"), {**ID, "Status": "SUCCEEDED"}
    other = {"LicenseConversionTaskId": "lct-2", "Status": "FAILED"}
    results = [ConversionTask.from_result(one) for one in (other, ID, said)]

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
