"""Properties of a stack, or input of a state machine -> one request."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.conversion import iso
from license_conversion.errors import InvalidRequest
from license_conversion.fleet import fleet_id
from license_conversion.request import (
    EXECUTION_INPUT,
    MARGIN,
    RESPOND_SECONDS,
    STACK_PROPERTIES,
    Account,
    Request,
    Times,
)
from tests.unit.strategies import any_json, any_text

TASK_ID = "lct-0123456789abcdef0"
SERVICE_TOKEN = "arn:aws:lambda:us-east-1:123456789012:function:gate"
HANDLE = (
    "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com/arn%3Aaws%3Acloudformation%3Aus-east-1%3A123456789012"
    "%3Astack/gate/handle?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
)


def properties(**more: Any) -> dict[str, Any]:
    return {"ServiceToken": SERVICE_TOKEN, "LicenseConversionTaskId": TASK_ID, **more}


def refusal_of_properties(**more: Any) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        Request.from_properties(properties(**more))
    return str(refusal.value)


def refusal_of_input(execution_input: Any) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        Request.from_input(execution_input)
    return str(refusal.value)


# A stack's properties


def test_a_task_id_is_all_that_a_stack_has_to_say() -> None:
    request = Request.from_properties(properties())

    assert request.task_ids == (TASK_ID,)
    assert request.fails_on_failure is True
    assert request.wait_condition_handle == ""
    assert 3500 <= request.timeout < 3600


@pytest.mark.parametrize(
    "task_id",
    [
        pytest.param("lct-0", id="one character"),
        pytest.param("lct-" + "a" * 46, id="fifty characters in all"),
        pytest.param("lct-AbC123", id="letters in both cases"),
    ],
)
def test_a_task_id_of_the_form_is_taken(task_id: str) -> None:
    assert Request.from_properties(properties(LicenseConversionTaskId=task_id)).task_ids == (task_id,)


@pytest.mark.parametrize(
    "task_id",
    [
        pytest.param("", id="empty"),
        pytest.param("lct-", id="nothing after the dash"),
        pytest.param("lct-" + "a" * 47, id="fifty-one characters"),
        pytest.param("LCT-0123", id="the wrong case"),
        pytest.param("lct_0123", id="the wrong dash"),
        pytest.param("i-0123456789abcdef0", id="an instance's id"),
        pytest.param("lct-0123\n", id="a newline at the end"),
        pytest.param("\nlct-0123", id="a newline at the start"),
        pytest.param(" lct-0123", id="a blank at the start"),
        pytest.param("lct-0123٣", id="a digit that is not ASCII"),
        pytest.param("lct-ä", id="a letter that is not ASCII"),
        pytest.param("lct-0123\x00", id="a NUL"),
        pytest.param("lct-0123-4", id="two dashes"),
        pytest.param(["lct-0123"], id="a list"),
        pytest.param({"Ref": "Task"}, id="an object"),
        pytest.param(123, id="a number"),
    ],
)
def test_a_task_id_of_another_form_is_refused(task_id: Any) -> None:
    refusal = refusal_of_properties(LicenseConversionTaskId=task_id)

    assert refusal.startswith("LicenseConversionTaskId: ")
    assert "lct-…" in refusal


@pytest.mark.parametrize("given_", [{}, {"ServiceToken": SERVICE_TOKEN}], ids=["nothing", "all but a task"])
def test_properties_that_name_no_task_are_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="LicenseConversionTaskId"):
        Request.from_properties(given_)


@pytest.mark.parametrize(
    ("on_failure", "fails"), [pytest.param("FAIL", True, id="fail"), pytest.param("CONTINUE", False, id="continue")]
)
def test_on_failure_says_what_a_failed_conversion_does(on_failure: str, fails: bool) -> None:
    assert Request.from_properties(properties(OnFailure=on_failure)).fails_on_failure is fails


@pytest.mark.parametrize("value", ["60", 60], ids=["as CloudFormation sends it", "as a number"])
def test_both_forms_of_a_number_are_taken(value: Any) -> None:
    assert Request.from_properties(properties(TimeoutSeconds=value)).timeout == 60
    assert Request.from_properties(properties(ServiceTimeout=value)).timeout < 60


@given(service_timeout=st.integers(2, 3600))
def test_the_default_wait_ends_in_time_for_the_response_and_keeps_at_most_a_minute_for_it(service_timeout: int) -> None:
    request = Request.from_properties(properties(ServiceTimeout=str(service_timeout)))

    assert 1 <= request.timeout < service_timeout
    assert service_timeout - request.timeout <= 60


@pytest.mark.parametrize(("service_timeout", "left"), [(3600, 3540), (301, 241), (300, 240), (60, 48), (5, 4), (2, 1)])
def test_a_minute_is_kept_for_the_response_and_a_fifth_of_less_than_five(service_timeout: int, left: int) -> None:
    assert Request.from_properties(properties(ServiceTimeout=service_timeout)).timeout == left


def test_the_shortest_service_timeout_of_all_leaves_one_check_and_no_wait() -> None:
    assert Request.from_properties(properties(ServiceTimeout=1)).timeout == 0


@given(service_timeout=st.integers(2, 3600))
def test_a_timeout_that_fits_is_taken_to_the_second_and_one_more_second_is_refused(service_timeout: int) -> None:
    longest = Request.from_properties(properties(ServiceTimeout=service_timeout)).timeout

    taken = Request.from_properties(properties(ServiceTimeout=service_timeout, TimeoutSeconds=longest))
    refusal = refusal_of_properties(ServiceTimeout=service_timeout, TimeoutSeconds=longest + 1)

    assert taken.timeout == longest
    assert f"TimeoutSeconds: {longest + 1} does not fit in a ServiceTimeout of {service_timeout} s" in refusal
    assert f"at most {longest}" in refusal
    assert "WaitConditionHandle" in refusal


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        pytest.param("ServiceTimeout", 0, "from 1 to 3600", id="no service time-out"),
        pytest.param("ServiceTimeout", 3601, "from 1 to 3600", id="a service time-out over an hour"),
        pytest.param("ServiceTimeout", True, "from 1 to 3600", id="a boolean for a service time-out"),
        pytest.param("ServiceTimeout", "true", "from 1 to 3600", id="a word for a service time-out"),
        pytest.param("TimeoutSeconds", 0, "from 1 to 43200", id="no time-out"),
        pytest.param("TimeoutSeconds", 43201, "from 1 to 43200", id="a time-out over twelve hours"),
        pytest.param("TimeoutSeconds", -5, "from 1 to 43200", id="a negative time-out"),
        pytest.param("TimeoutSeconds", 60.5, "from 1 to 43200", id="no whole number"),
        pytest.param("TimeoutSeconds", ["60"], "from 1 to 43200", id="a list"),
        pytest.param("OnFailure", "IGNORE", "FAIL or CONTINUE", id="another word"),
        pytest.param("OnFailure", False, "FAIL or CONTINUE", id="a boolean for a word"),
        pytest.param("ServiceToken", "gate", "an ARN", id="a token that is no ARN"),
        pytest.param("ServiceToken", f"{SERVICE_TOKEN}\n", "an ARN", id="a newline after an ARN"),
    ],
)
def test_a_wrong_value_is_refused_by_name_value_and_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    refusal = refusal_of_properties(**{name: value})

    assert refusal.startswith(f"{name}: {value!r} is not allowed: it must be ")
    assert allowed in refusal


def test_a_misspelt_property_is_refused_with_the_one_that_was_probably_meant() -> None:
    assert "Did you mean TimeoutSeconds?" in refusal_of_properties(TimeoutSecond="60")


# When a wait ends, and what fits in before whoever waits gives up

BEGAN = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
EVENTS = 25_000
"""Of an execution. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
TURN = 9
"""Events of one check that fails, the state that routes, and one pause."""
SHORTEST_PAUSE = 0.8
"""What jitter leaves of a pause: *Back Off* in statemachine/gate.asl.json."""


def times(*, responds: bool = True, **more: Any) -> tuple[Times, float]:
    """A wait's times, and its deadline in seconds since it began."""
    found = Request.from_properties(properties(**more)).times(BEGAN, responds=responds)
    return found, (found.deadline - BEGAN).total_seconds()


@pytest.mark.parametrize("timeout_seconds", [None, 1, 30], ids=["what is left", "a second", "half a minute"])
def test_one_hang_at_any_step_after_the_deadline_leaves_the_response_in_time(timeout_seconds: int | None) -> None:
    more: dict[str, Any] = {} if timeout_seconds is None else {"TimeoutSeconds": timeout_seconds}
    for service_timeout in range(60, 3601):
        found, deadline = times(ServiceTimeout=service_timeout, **more)

        last_check = (found.checks_until - BEGAN).total_seconds()
        assert deadline <= last_check
        hangs = found.attempt_seconds  # the last check, or the response after it
        respond = min(RESPOND_SECONDS, max(2, (service_timeout - deadline) // 3))
        assert last_check + hangs + respond <= service_timeout, service_timeout
        assert respond >= 4
        assert found.attempt_seconds >= 5


def test_a_check_that_lambda_fails_just_before_it_is_given_up_is_tried_again_in_time() -> None:
    for service_timeout in range(60, 3601):
        found, _ = times(ServiceTimeout=service_timeout)

        assert found.give_up_at + timedelta(seconds=found.pause_seconds) <= found.checks_until


@pytest.mark.parametrize(
    ("timeout", "margin", "last_check_within", "attempt", "pause"),
    [
        (1, 1, -6, 5, 1),
        (8, 2, -5, 5, 1),
        (30, 7, 0, 5, 1),
        (30, 8, 1, 5, 2),
        (30, 14, 5, 5, 3),
        (30, 19, 7, 6, 4),
        (30, 31, 12, 11, 7),
        (600, 60, 27, 25, 15),
        (43_000, 160, 127, 25, 29),
        (86_400, 60, 27, 25, 58),
    ],
)
def test_what_is_left_after_the_deadline_is_shared_out_in_whole_seconds(
    timeout: int, margin: int, *, last_check_within: int, attempt: int, pause: int
) -> None:
    """Between the last check, an attempt that hangs, and the response: where they do not fit, a check that fails is given up
    before the deadline.
    """
    found = Times.of(BEGAN, timeout, margin)

    assert found.deadline == BEGAN + timedelta(seconds=timeout)
    assert found.checks_until == found.deadline + timedelta(seconds=last_check_within)
    assert found.give_up_at == found.checks_until - timedelta(seconds=pause)
    given_up = iso(found.give_up_at)
    state = f'{{"GiveUpAt": "{given_up}", "AttemptSeconds": {attempt}, "PauseSeconds": {pause}}}'
    assert json.dumps(found.state()) == state


def test_the_state_machine_reads_whole_seconds() -> None:
    found, _ = times(ServiceTimeout=300)

    assert found.state() == {"GiveUpAt": "2026-11-22T17:44:07Z", "AttemptSeconds": 25, "PauseSeconds": 15}


def test_until_the_stack_has_its_response_a_handle_gives_the_wait_no_more_time_than_the_request_has() -> None:
    _, until_responded = times(WaitConditionHandle=HANDLE, ServiceTimeout=600)
    _, until_signalled = times(WaitConditionHandle=HANDLE, ServiceTimeout=600, responds=False)

    assert (until_responded, until_signalled) == (540, 43_000)


def test_a_signal_comes_before_a_wait_condition_of_twelve_hours_gives_up() -> None:
    found, _ = times(WaitConditionHandle=HANDLE, responds=False)

    last = found.checks_until + timedelta(seconds=found.attempt_seconds + RESPOND_SECONDS)
    assert last - BEGAN <= timedelta(seconds=43_200)


def test_a_whole_wait_for_a_lambda_that_does_not_work_fits_into_an_executions_history() -> None:
    """However long a gate may wait: an execution that runs into that limit responds to nobody."""
    for timeout in range(1, 86_401):
        found = Times.of(BEGAN, timeout, MARGIN)

        turns = (timeout + MARGIN) / (SHORTEST_PAUSE * found.pause_seconds)
        assert turns * TURN < EVENTS * 0.9, timeout


# The three ways to name a task

INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
ROLE = "arn:aws:iam::210987654321:role/reads-conversions"
WAYS: dict[str, Any] = {
    "LicenseConversionTaskId": TASK_ID,
    "LicenseConversionTaskIds": [TASK_ID, "lct-1"],
    "ResourceArn": INSTANCE,
}


@pytest.mark.parametrize(
    ("way", "task_ids", "resource_arn", "fleet"),
    [
        ("LicenseConversionTaskId", (TASK_ID,), "", False),
        ("LicenseConversionTaskIds", (TASK_ID, "lct-1"), "", True),
        ("ResourceArn", (), INSTANCE, False),
    ],
)
def test_each_way_to_name_a_task_is_taken_alone(
    way: str, task_ids: tuple[str, ...], resource_arn: str, fleet: bool
) -> None:
    of_stack = Request.from_properties({"ServiceToken": SERVICE_TOKEN, way: WAYS[way]})
    of_execution = Request.from_input({way: WAYS[way]})

    for request in (of_stack, of_execution):
        assert (request.task_ids, request.resource_arn, request.fleet) == (task_ids, resource_arn, fleet)
        assert (request.account.role_arn, request.account.external_id, request.account.region) == ("", "", "")


@pytest.mark.parametrize("ways", [*combinations(WAYS, 2), tuple(WAYS)], ids=" and ".join)
def test_ways_at_once_are_refused_by_name(ways: tuple[str, ...]) -> None:
    refusal = refusal_of_input({way: WAYS[way] for way in ways})

    assert refusal.startswith(f"{' and '.join(ways)} are given at once: give exactly one of ")


def test_no_way_at_all_is_refused_with_the_three_that_there_are() -> None:
    refusal = refusal_of_input({"OnFailure": "FAIL"})

    assert refusal.startswith("No task is named")
    assert all(way in refusal for way in WAYS)


@pytest.mark.parametrize(
    ("task_ids", "shown"),
    [
        pytest.param([], "[]", id="none"),
        pytest.param([TASK_ID, "lct-1", TASK_ID], f"value 3 is the same as value 1, '{TASK_ID}'", id="a repeat"),
        pytest.param([f"lct-{number}" for number in range(1001)], "a list of 1001 values", id="1,001"),
        pytest.param([*(f"lct-{number}" for number in range(199)), ""], "value 200 is ''", id="an empty one of 200"),
        pytest.param([TASK_ID, "i-0123"], "value 2 is 'i-0123'", id="an instance among them"),
        pytest.param([TASK_ID, None], "value 2 is null", id="null among them"),
        pytest.param([TASK_ID, {"Ref": "Task"}], "value 2 is {'Ref': 'Task'}", id="an object among them"),
        pytest.param([[TASK_ID]], f"value 1 is ['{TASK_ID}']", id="a list of lists"),
        pytest.param(TASK_ID, f"'{TASK_ID}'", id="a text"),
        pytest.param(f"{TASK_ID},lct-1", f"'{TASK_ID},lct-1'", id="a comma-separated text"),
        pytest.param({"0": TASK_ID}, f"{{'0': '{TASK_ID}'}}", id="an object"),
    ],
)
def test_a_list_of_another_form_is_refused_with_its_first_value_that_is_wrong(task_ids: Any, shown: str) -> None:
    refusal = refusal_of_input({"LicenseConversionTaskIds": task_ids})

    assert refusal.startswith("LicenseConversionTaskIds: ")
    assert f"{shown} is not allowed" in refusal or f"is not allowed, {shown}: it must be" in refusal
    assert "a list of 1 to 1000 different values, each a task id" in refusal
    assert "lct-2" not in refusal, "nor any value that is right"
    assert len(refusal) < 400


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_a_fleet_has_one_to_a_thousand_tasks(count: int) -> None:
    request = Request.from_input({"LicenseConversionTaskIds": [f"lct-{number}" for number in range(count)]})

    assert len(request.task_ids) == count
    assert request.task_id.startswith("license-conversion-fleet-")


def test_the_physical_id_is_the_tasks_or_the_fleets_and_none_while_nobody_knows_which_task_is_the_newest() -> None:
    fleet = {"LicenseConversionTaskIds": [TASK_ID, "lct-1"]}
    turned = {"LicenseConversionTaskIds": ["lct-1", TASK_ID]}

    assert Request.from_input({"LicenseConversionTaskId": TASK_ID}).task_id == TASK_ID
    assert Request.from_input({"ResourceArn": INSTANCE}).task_id == ""
    assert Request.from_input(fleet).task_id == Request.from_input(turned).task_id == fleet_id([TASK_ID, "lct-1"])


# Another account, another region


def test_a_role_an_external_id_and_a_region_are_taken() -> None:
    request = Request.from_properties(properties(RoleArn=ROLE, ExternalId="wanted+=,.@:/-_1", Region="eu-central-1"))

    assert request.account == Account(ROLE, "wanted+=,.@:/-_1", "eu-central-1")


OPTIONAL = [one.name for one in EXECUTION_INPUT if one.name != "LicenseConversionTaskId"]


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_optional_member_that_is_null_is_absent(name: str) -> None:
    """As a state machine sends what its own caller left out: `"RoleArn": null`."""
    assert Request.from_input({"LicenseConversionTaskId": TASK_ID, name: None}) == Request((TASK_ID,), timeout=3600)


@pytest.mark.parametrize("way", WAYS)
def test_a_task_that_is_null_is_none(way: str) -> None:
    assert refusal_of_input({way: None}).startswith("No task is named")


def test_an_event_of_another_service_is_refused_without_a_hint_that_misleads() -> None:
    refusal = refusal_of_input({"version": "0", "detail-type": "Scheduled Event", "region": "us-east-1"})

    assert "'version' is not a known input member. Known are: " in refusal


def test_an_external_id_without_a_role_is_refused() -> None:
    assert "without a RoleArn" in refusal_of_properties(ExternalId="wanted")


@pytest.mark.parametrize(
    "region",
    ["us-east-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "ap-southeast-4", "eusc-de-east-1"],
)
def test_the_regions_of_all_partitions_are_taken(region: str) -> None:
    assert Request.from_properties(properties(Region=region)).account.region == region


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Region", ""),
        ("Region", "us-east"),
        ("Region", "US-EAST-1"),
        ("Region", "us-east-1a"),
        ("Region", "us-east-1\n"),
        ("Region", "us-east-1.evil.example"),
        ("Region", "local"),
        ("RoleArn", "reads-conversions"),
        ("RoleArn", "arn:aws:iam::123:role/short"),
        ("RoleArn", "arn:aws:iam::210987654321:user/someone"),
        ("RoleArn", ROLE + "\n"),
        ("RoleArn", ""),
        ("ExternalId", "x"),
        ("ExternalId", "two words"),
        ("ExternalId", "gewünscht"),
        ("ExternalId", "x" * 1225),
        ("ResourceArn", "i-0123456789abcdef0"),
        ("ResourceArn", ""),
    ],
)
def test_a_role_a_region_and_a_resource_have_a_form(name: str, value: str) -> None:
    refusal = refusal_of_properties(**{"RoleArn": ROLE, name: value})

    assert refusal.startswith(f"{name}: ")


@pytest.mark.parametrize("partition", ["aws", "aws-us-gov", "aws-cn"])
def test_the_roles_of_all_partitions_are_taken(partition: str) -> None:
    role = f"arn:{partition}:iam::210987654321:role/path/reads-conversions"

    assert Request.from_properties(properties(RoleArn=role)).account.role_arn == role


# A wait condition's handle


def test_with_a_handle_the_gate_waits_until_just_before_the_wait_condition_gives_up() -> None:
    request = Request.from_properties(properties(WaitConditionHandle=HANDLE))

    assert request.timeout == 43000
    assert request.wait_condition_handle == HANDLE


@pytest.mark.parametrize("seconds", [1, 3600, 43200])
def test_with_a_handle_a_timeout_need_not_fit_in_the_service_timeout(seconds: int) -> None:
    request = Request.from_properties(
        properties(WaitConditionHandle=HANDLE, ServiceTimeout="60", TimeoutSeconds=str(seconds))
    )

    assert request.timeout == seconds


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param(HANDLE.replace("https", "http"), id="not over TLS"),
        pytest.param(HANDLE + "\n", id="a newline at the end"),
        pytest.param("https://?X-Amz-Signature=c0ffee", id="no host"),
        pytest.param([HANDLE], id="a list"),
        pytest.param(HANDLE + "x" * 5000, id="too long"),
    ],
)
def test_a_refused_handle_is_not_repeated_because_it_is_a_credential(handle: Any) -> None:
    refusal = refusal_of_properties(WaitConditionHandle=handle)

    assert refusal.startswith("WaitConditionHandle: ")
    assert "AWS::CloudFormation::WaitConditionHandle" in refusal
    assert "X-Amz" not in refusal
    assert "s3.amazonaws.com" not in refusal


@pytest.mark.parametrize(
    "handle",
    [
        pytest.param("", id="empty"),
        pytest.param(5, id="a number"),
        pytest.param("https://host/c0ffee", id="no signature"),
        pytest.param("http://host/x?Signature=c0ffee", id="no TLS"),
        pytest.param("https://user:c0ffee@host/x?Signature=c0ffee", id="a user and a secret"),
        pytest.param("https://host/x?Signature=c0ffee x", id="a blank"),
        pytest.param("https://host/x?Signature=c0ffee\n", id="a newline"),
        pytest.param("https://h\u00f6st/x?Signature=c0ffee", id="no ASCII"),
        pytest.param(f"https://host/x?Signature={'c0ffee' * 1000}", id="too long"),
    ],
)
def test_a_handle_that_cloudformation_has_not_signed_is_refused_in_a_sentence_that_does_not_show_it(
    handle: Any,
) -> None:
    refusal = refusal_of_properties(WaitConditionHandle=handle)

    assert "it must be the URL that Ref gives of an AWS::CloudFormation::WaitConditionHandle" in refusal
    assert "c0ffee" not in refusal


@given(handle=any_text | any_text.map("https://{}/key".format) | any_text.map("https://host/{}".format))
def test_a_handle_that_is_taken_is_one_that_a_request_can_be_made_to(handle: str) -> None:
    try:
        Request.from_properties(properties(WaitConditionHandle=handle))
    except InvalidRequest:
        return
    parts = urlsplit(handle)
    HTTPSConnection(parts.netloc).close()
    parts.netloc.encode("idna")
    f"{parts.path}?{parts.query}".encode("ascii")


@pytest.mark.parametrize(
    "host", ["s3.amazonaws.com", "s3.cn-north-1.amazonaws.com.cn", "127.0.0.1:4566", "localhost:8443"]
)
def test_the_handles_of_all_partitions_and_of_a_local_cloud_are_taken(host: str) -> None:
    handle = f"https://{host}/arn%3Aaws%3Acloudformation/key?Signature=c0ffee"

    assert Request.from_properties(properties(WaitConditionHandle=handle)).wait_condition_handle == handle


# A trigger


@pytest.mark.parametrize("value", ["2", 2, 2.5, True, "", "x" * 1024, ["1", 2, False], []], ids=repr)
def test_a_trigger_may_be_any_scalar_or_list_and_means_nothing(value: Any) -> None:
    assert Request.from_properties(properties(Trigger=value)) == Request.from_properties(properties())
    assert Request.from_input({"LicenseConversionTaskId": TASK_ID, "Trigger": value}) == Request.from_input(
        {"LicenseConversionTaskId": TASK_ID}
    )


@pytest.mark.parametrize("value", ["x" * 1025, ["x" * 1000, "y" * 25], {"a": "b"}, [None], [["x"]]], ids=repr)
def test_a_trigger_of_another_kind_or_too_long_is_refused(value: Any) -> None:
    assert "a text, number or boolean, or a list of them, of at most 1,024 characters" in refusal_of_properties(
        Trigger=value
    )


def test_a_request_does_not_show_its_handle() -> None:
    assert "c0ffee" not in repr(Request.from_properties(properties(WaitConditionHandle=HANDLE)))


# An execution's input


def test_an_execution_waits_an_hour_unless_its_input_says_otherwise() -> None:
    request = Request.from_input({"LicenseConversionTaskId": TASK_ID})

    assert request == Request((TASK_ID,), timeout=3600, fails_on_failure=True)


def test_an_execution_waits_for_a_day_at_most() -> None:
    request = Request.from_input({"LicenseConversionTaskId": TASK_ID, "TimeoutSeconds": 86400, "OnFailure": "CONTINUE"})

    assert request == Request((TASK_ID,), timeout=86400, fails_on_failure=False)
    assert "from 1 to 86400" in refusal_of_input({"LicenseConversionTaskId": TASK_ID, "TimeoutSeconds": 86401})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("ServiceToken", SERVICE_TOKEN, id="token"),
        pytest.param("ServiceTimeout", "60", id="service time-out"),
        pytest.param("WaitConditionHandle", HANDLE, id="handle"),
    ],
)
def test_what_only_a_stack_has_is_no_input_of_an_execution(name: str, value: str) -> None:
    refusal = refusal_of_input({"LicenseConversionTaskId": TASK_ID, name: value})

    assert f"'{name}' is not a known input member" in refusal
    assert "c0ffee" not in refusal


def test_a_task_token_is_taken() -> None:
    request = Request.from_input({"LicenseConversionTaskId": TASK_ID, "TaskToken": "AAAAKgAAAAIAAA/+="})

    assert request.task_ids == (TASK_ID,)
    assert "AAAAKgAAAAIAAA" not in repr(request)


def test_a_task_token_is_no_property_of_a_stack() -> None:
    assert "'TaskToken' is not a known property" in refusal_of_properties(TaskToken="AAAAKgAAAAIAAA")


@pytest.mark.parametrize(
    "token", ["", "c0ffee c0ffee", ["c0ffee"], "c0ffee" * 1000], ids=["empty", "two", "list", "long"]
)
def test_a_refused_task_token_is_not_repeated(token: Any) -> None:
    refusal = refusal_of_input({"LicenseConversionTaskId": TASK_ID, "TaskToken": token})

    assert refusal.startswith("TaskToken: ")
    assert "c0ffee" not in refusal


def test_the_member_that_links_executions_in_the_console_is_taken_and_changes_nothing() -> None:
    link = "arn:aws:states:us-east-1:123456789012:execution:caller:1"

    request = Request.from_input(
        {"LicenseConversionTaskId": TASK_ID, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": link}
    )

    assert request == Request.from_input({"LicenseConversionTaskId": TASK_ID})


# Anything at all

property_names = st.sampled_from([p.name for p in STACK_PROPERTIES + EXECUTION_INPUT])
plausible = st.sampled_from(
    [TASK_ID, [TASK_ID], [TASK_ID, "lct-1"], HANDLE, SERVICE_TOKEN, "FAIL", "60", 60, 3600, "43200"]
)
anything = st.dictionaries(property_names | any_text, plausible | any_json, max_size=5) | any_json


def ways_in(given_: dict[str, Any]) -> tuple[tuple[str, ...], str]:
    """The tasks that the properties name, and the resource: one of the two."""
    task_ids = given_.get("LicenseConversionTaskIds") or [given_.get("LicenseConversionTaskId")]
    return tuple(filter(None, task_ids)), given_.get("ResourceArn") or ""


def taken_or_refused(parse: Callable[[Any], Request], given_: Any) -> Request | str:
    try:
        return parse(given_)
    except InvalidRequest as refusal:
        return str(refusal)


@given(given_=anything)
def test_whatever_properties_are_given_they_are_taken_or_refused_in_a_sentence(given_: Any) -> None:
    result = taken_or_refused(Request.from_properties, given_)

    if isinstance(result, str):
        assert 0 < len(result.encode()) < 2000
    else:
        assert (result.task_ids, result.resource_arn) == ways_in(given_)
        assert 0 <= result.timeout <= 43200


@given(given_=anything)
def test_whatever_input_is_given_it_is_taken_or_refused_in_a_sentence(given_: Any) -> None:
    result = taken_or_refused(Request.from_input, given_)

    if isinstance(result, str):
        assert 0 < len(result.encode()) < 2000
    else:
        assert (result.task_ids, result.resource_arn) == ways_in(given_)
        assert 1 <= result.timeout <= 86400
