"""Properties of a stack, or input of a state machine -> one request."""

from collections.abc import Callable
from datetime import timedelta
from http.client import HTTPSConnection
from itertools import combinations
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from tests.unit.one_gate import BEGAN, INSTANCE, SERVICE_TOKEN, TASK, TASK_ID
from tests.unit.strategies import any_json, any_text

ROLE = "arn:aws:iam::210987654321:role/reads-conversions"
HANDLE = (
    "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com/arn%3Aaws%3Acloudformation%3Aus-east-1%3A123456789012"
    "%3Astack/gate/handle?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
)
TOKEN = "AAAAKgAAAAIAAA/+=c0ffee"
WAYS: dict[str, Any] = {**TASK, "LicenseConversionTaskIds": [TASK_ID, "lct-1"], "ResourceArn": INSTANCE}
"""The three ways to name a task."""


def of_stack(**more: Any) -> Request:
    return Request.from_properties({"ServiceToken": SERVICE_TOKEN, **TASK, **more})


def refusal_of_properties(**more: Any) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        of_stack(**more)
    return str(refusal.value)


def refusal_of_input(execution_input: Any) -> str:
    with pytest.raises(InvalidRequest) as refusal:
        Request.from_input(execution_input)
    return str(refusal.value)


# What is taken, and what is refused


def test_a_task_id_is_all_that_a_stack_or_an_execution_has_to_say() -> None:
    assert of_stack() == Request((TASK_ID,), timeout=3540, service_timeout=3600)
    assert Request.from_input(TASK) == Request((TASK_ID,), timeout=3600, fails_on_failure=True)


def test_a_request_has_all_that_is_given() -> None:
    where = {"RoleArn": ROLE, "ExternalId": "wanted+=,.@:/-_1", "Region": "eu-central-1"}
    given_ = {**where, "TimeoutSeconds": "60", "OnFailure": "CONTINUE", "WaitConditionHandle": HANDLE}
    account = Account(ROLE, "wanted+=,.@:/-_1", "eu-central-1")

    assert of_stack(**given_, ServiceTimeout="300") == Request((TASK_ID,), 60, False, HANDLE, "", account, False, 300)
    longest = Request.from_input({**TASK, **where, "TimeoutSeconds": 86400, "TaskToken": TOKEN, "OnFailure": "FAIL"})
    assert longest == Request((TASK_ID,), timeout=86400, account=account)
    assert "from 1 to 86400" in refusal_of_input({**TASK, "TimeoutSeconds": 86401})


TAKEN = {
    "LicenseConversionTaskId": ["lct-0", "lct-" + "a" * 46, "lct-AbC123"],
    "RoleArn": [f"arn:{one}:iam::210987654321:role/path/reads" for one in ("aws", "aws-us-gov", "aws-cn")],
    "Region": ["us-gov-west-1", "cn-north-1", "us-isob-east-1", "ap-southeast-4", "eusc-de-east-1"],
    "WaitConditionHandle": [
        f"https://{one}/k?Signature=c" for one in ("s3.cn-north-1.amazonaws.com.cn", "127.0.0.1:4566")
    ],
}
REFUSED: dict[str, tuple[str, list[Any]]] = {
    "LicenseConversionTaskId": (
        "a task id of the form lct-…",
        ["", "lct-", "lct-" + "a" * 47, "LCT-0", "lct_0", "lct-ä", "lct-0-4", "lct-0\n"],
    ),
    "ServiceTimeout": ("a whole number from 1 to 3600", [0, 3601, "true"]),
    "TimeoutSeconds": ("a whole number from 1 to 43200", [0, 43201, -5, 60.5]),
    "OnFailure": ("FAIL or CONTINUE", ["IGNORE", False]),
    "ServiceToken": ("an ARN", ["gate", f"{SERVICE_TOKEN}\n"]),
    "ResourceArn": ("an ARN", ["", "i-0123456789abcdef0"]),
    "RoleArn": ("the ARN of an IAM role", ["", "arn:aws:iam::123:role/a", "arn:aws:iam::210987654321:user/a"]),
    "ExternalId": ("an external id", ["x", "two words", "gewünscht", "x" * 1225]),
    "Region": ("the name of a region", ["", "us-east", "US-EAST-1", "us-east-1a", "us-east-1.evil.example", "local"]),
    "Trigger": ("a text, number or boolean, or a list of them, of at most 1,024 characters", ["x" * 1025, {"a": "b"}]),
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, values in TAKEN.items() for one in values])
def test_ids_and_what_all_partitions_and_a_local_cloud_have_are_taken(name: str, value: str) -> None:
    request = of_stack(**{name: value})

    assert value in (request.task_id, request.account.role_arn, request.account.region, request.wait_condition_handle)


@pytest.mark.parametrize(
    ("name", "allowed", "value"),
    [(name, allowed, one) for name, (allowed, values) in REFUSED.items() for one in values],
)
def test_a_wrong_value_is_refused_by_name_and_what_is_allowed(name: str, allowed: str, value: Any) -> None:
    refusal = refusal_of_properties(**{"RoleArn": ROLE, name: value})

    assert refusal.startswith(f"{name}: ")
    assert f" is not allowed: it must be {allowed}" in refusal


def test_an_external_id_without_a_role_is_refused() -> None:
    assert "without a RoleArn" in refusal_of_properties(ExternalId="wanted")


@pytest.mark.parametrize(
    "more",
    [
        *({one.name: None} for one in EXECUTION_INPUT if one.name not in TASK),
        *({"Trigger": any_} for any_ in (2.5, True, "", "x" * 1024, ["1", 2, False], [])),
        {"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn:aws:states:us-east-1:123456789012:execution:caller:1"},
    ],
    ids=str,
)
def test_null_any_trigger_and_what_links_executions_in_the_console_change_nothing(more: dict[str, Any]) -> None:
    """A state machine sends null for what its own caller left out: `"RoleArn": null`."""
    assert Request.from_input({**TASK, **more}) == Request.from_input(TASK)
    assert "Trigger" not in more or of_stack(**more) == of_stack()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ServiceToken", SERVICE_TOKEN), ("ServiceTimeout", "60"), ("WaitConditionHandle", HANDLE), ("version", "0")],
)
def test_what_only_a_stack_or_an_event_has_is_refused_without_a_hint_that_misleads(name: str, value: str) -> None:
    refusal = refusal_of_input({**TASK, name: value})

    assert refusal.startswith(f"'{name}' is not a known input member. Known are: ")
    assert "c0ffee" not in refusal


# Credentials


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("TaskToken", value) for value in ("", "c0ffee c0ffee", ["c0ffee"], "c0ffee" * 1000)),
        *(("WaitConditionHandle", value) for value in ("", [HANDLE], HANDLE.replace("https", "http"), HANDLE + " ")),
        ("WaitConditionHandle", f"{HANDLE}{'c0ffee' * 1000}"),
    ],
)
def test_a_refused_credential_is_not_repeated(name: str, value: Any) -> None:
    """Which URLs CloudFormation has signed: tests/unit/test_response.py."""
    token = name == "TaskToken"

    refusal = refusal_of_input({**TASK, name: value}) if token else refusal_of_properties(**{name: value})

    assert refusal.startswith(f"{name}: ")
    assert f"must be the {'task token' if token else 'URL that Ref gives of an'} " in refusal
    assert "c0ffee" not in refusal


@given(handle=any_text | any_text.map("https://{}/key".format) | any_text.map("https://host/{}".format))
def test_a_handle_that_is_taken_is_one_that_a_request_can_be_made_to(handle: str) -> None:
    try:
        of_stack(WaitConditionHandle=handle)
    except InvalidRequest:
        return
    parts = urlsplit(handle)
    HTTPSConnection(parts.netloc).close()
    parts.netloc.encode("idna")
    f"{parts.path}?{parts.query}".encode("ascii")


def test_a_request_does_not_show_its_handle() -> None:
    assert "c0ffee" not in repr(of_stack(WaitConditionHandle=HANDLE))


# How long a gate waits


@pytest.mark.parametrize(("service_timeout", "left"), [(3600, 3540), (301, 241), (300, 240), (60, 48), (2, 1), (1, 0)])
def test_a_minute_is_kept_for_the_response_and_a_fifth_of_less_than_five(service_timeout: int, left: int) -> None:
    assert of_stack(ServiceTimeout=service_timeout).timeout == left


@given(service_timeout=st.integers(2, 3600))
def test_a_timeout_that_fits_is_taken_to_the_second_and_one_more_second_is_refused(service_timeout: int) -> None:
    longest = of_stack(ServiceTimeout=service_timeout).timeout

    taken = of_stack(ServiceTimeout=service_timeout, TimeoutSeconds=longest)
    refusal = refusal_of_properties(ServiceTimeout=service_timeout, TimeoutSeconds=longest + 1)

    assert taken.timeout == longest
    assert f"TimeoutSeconds: {longest + 1} does not fit in a ServiceTimeout of {service_timeout} s" in refusal
    assert f"at most {longest}" in refusal
    assert "WaitConditionHandle" in refusal


@pytest.mark.parametrize("seconds", [1, 43_200])
def test_with_a_handle_a_timeout_need_not_fit_in_the_service_timeout(seconds: int) -> None:
    request = of_stack(WaitConditionHandle=HANDLE, ServiceTimeout="60", TimeoutSeconds=str(seconds))

    assert request.timeout == seconds


# When a wait ends, and what fits in before the recipient gives up

EVENTS = 25_000
"""Of an execution. https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""
TURN = 9
"""Events of one check that fails, the state that routes, and one pause."""
SHORTEST_PAUSE = 0.8
"""What jitter leaves of a pause: *Back Off* in statemachine/gate.asl.json."""


@pytest.mark.parametrize("timeout", [{}, {"TimeoutSeconds": 1}, {"TimeoutSeconds": 30}], ids=str)
def test_one_hang_at_any_step_after_the_deadline_leaves_the_response_in_time(timeout: dict[str, Any]) -> None:
    for service_timeout in range(60, 3601):
        found = of_stack(ServiceTimeout=service_timeout, **timeout).times(BEGAN, responds=True)

        deadline, last_check = ((one - BEGAN).total_seconds() for one in (found.deadline, found.checks_until))
        assert deadline <= last_check
        hangs = found.attempt_seconds  # the last check, or the response after it
        respond = min(RESPOND_SECONDS, max(2, (service_timeout - deadline) // 3))
        assert last_check + hangs + respond <= service_timeout, service_timeout
        assert respond >= 4
        assert hangs >= 5


@pytest.mark.parametrize(
    ("timeout", "margin", "shared_out"),
    [
        (1, 1, (-6, 5, 1)),
        (30, 7, (0, 5, 1)),
        (30, 14, (5, 5, 3)),
        (30, 19, (7, 6, 4)),
        (600, 60, (27, 25, 15)),
        (86_400, 60, (27, 25, 58)),
    ],
)
def test_what_is_left_after_the_deadline_is_shared_out_in_whole_seconds(
    timeout: int, margin: int, shared_out: tuple[int, int, int]
) -> None:
    """Between the last check, an attempt that hangs, and the response: where they do not fit, a check that fails is given up
    before the deadline. It is tried again after a pause, and in time.
    """
    found = Times.of(BEGAN, timeout, margin)

    last_check_within = (found.checks_until - found.deadline).total_seconds()
    assert (last_check_within, found.attempt_seconds, found.pause_seconds) == shared_out
    assert found.deadline == BEGAN + timedelta(seconds=timeout)
    assert found.give_up_at == found.checks_until - timedelta(seconds=found.pause_seconds)


def test_a_signal_comes_before_a_wait_condition_of_twelve_hours_gives_up() -> None:
    found = of_stack(WaitConditionHandle=HANDLE).times(BEGAN, responds=False)

    last = found.checks_until + timedelta(seconds=found.attempt_seconds + RESPOND_SECONDS)
    assert last - BEGAN <= timedelta(seconds=43_200)


def test_a_whole_wait_for_a_lambda_that_does_not_work_fits_into_an_executions_history() -> None:
    """However long a gate may wait: an execution that runs into that limit sends no response."""
    for timeout in range(1, 86_401):
        found = Times.of(BEGAN, timeout, MARGIN)

        turns = (timeout + MARGIN) / (SHORTEST_PAUSE * found.pause_seconds)
        assert turns * TURN < EVENTS * 0.9, timeout


# The three ways to name a task


@pytest.mark.parametrize(
    ("way", "task_ids", "resource_arn", "task_id"),
    [
        ("LicenseConversionTaskId", (TASK_ID,), "", TASK_ID),
        ("LicenseConversionTaskIds", (TASK_ID, "lct-1"), "", fleet_id(["lct-1", TASK_ID])),
        ("ResourceArn", (), INSTANCE, ""),
    ],
)
def test_each_way_to_name_a_task_is_taken_alone_and_gives_the_physical_id_that_is_known(
    way: str, task_ids: tuple[str, ...], resource_arn: str, task_id: str
) -> None:
    named = {way: WAYS[way]}

    for request in (Request.from_properties({"ServiceToken": SERVICE_TOKEN, **named}), Request.from_input(named)):
        assert (request.task_ids, request.resource_arn, request.task_id) == (task_ids, resource_arn, task_id)
        assert (request.fleet, request.account) == (len(task_ids) > 1, Account())


@pytest.mark.parametrize("ways", [*combinations(WAYS, 2), tuple(WAYS)], ids=" and ".join)
def test_ways_at_once_are_refused_by_name(ways: tuple[str, ...]) -> None:
    refusal = refusal_of_input({way: WAYS[way] for way in ways})

    assert refusal == f"{' and '.join(ways)} are given at once: give exactly one of {', '.join(WAYS)}."


@pytest.mark.parametrize("given_", [{"OnFailure": "FAIL"}, *({way: None} for way in WAYS)], ids=str)
def test_no_way_at_all_is_refused_with_the_three_that_there_are(given_: dict[str, Any]) -> None:
    assert refusal_of_input(given_) == f"No task is named: give exactly one of {', '.join(WAYS)}."


@pytest.mark.parametrize(
    ("task_ids", "shown"),
    [
        pytest.param([], "[]", id="none"),
        pytest.param([TASK_ID, "lct-1", TASK_ID], f"value 3 is the same as value 1, '{TASK_ID}'", id="a repeat"),
        pytest.param([f"lct-{number}" for number in range(1001)], "a list of 1001 values", id="1,001"),
        pytest.param([*(f"lct-{number}" for number in range(199)), ""], "value 200 is ''", id="an empty one of 200"),
        pytest.param([TASK_ID, None], "value 2 is null", id="null among them"),
        pytest.param([[TASK_ID]], f"value 1 is ['{TASK_ID}']", id="a list of lists"),
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


# Anything at all

property_names = st.sampled_from([p.name for p in STACK_PROPERTIES + EXECUTION_INPUT])
plausible = st.sampled_from(
    [TASK_ID, [TASK_ID], [TASK_ID, "lct-1"], HANDLE, SERVICE_TOKEN, "FAIL", "60", 60, 3600, "43200"]
)
anything = st.dictionaries(property_names | any_text, plausible | any_json, max_size=5) | any_json


@pytest.mark.parametrize("parse", [Request.from_properties, Request.from_input])
@given(given_=anything)
def test_whatever_is_given_it_is_taken_or_refused_in_a_sentence(parse: Callable[[Any], Request], given_: Any) -> None:
    try:
        request = parse(given_)
    except InvalidRequest as refusal:
        said = str(refusal)
        assert 0 < len(said.encode()) < 2000
    else:
        task_ids = given_.get("LicenseConversionTaskIds") or [given_.get("LicenseConversionTaskId")]
        assert request.task_ids == tuple(filter(None, task_ids))
        assert request.resource_arn == (given_.get("ResourceArn") or "")
        assert 0 <= request.timeout <= 86_400
