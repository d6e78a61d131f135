"""A response that always fits. Its delivery is tested over TLS, where there is somebody to take it."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.conversion import ATTRIBUTES
from license_conversion.errors import NobodyListens, ResponseNotTaken
from license_conversion.response import (
    deliver,
    fit,
    is_signed,
    requested_at,
    response,
    seconds_left,
    send,
    service_timeout,
    signal,
)
from license_conversion.text import MARK, size
from tests.context import Context
from tests.unit.strategies import any_text

LIMIT = 4096
TASK_ID = "lct-0123456789abcdef0"
STACK_ID = "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
RESPONSE_URL = "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee"
HANDLE = "https://handles.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=facade"
EVENT: dict[str, Any] = {
    "RequestType": "Create",
    "StackId": STACK_ID,
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "LogicalResourceId": "Gate",
    "ResponseURL": RESPONSE_URL,
    "ResourceProperties": {},
}
UPDATE = {**EVENT, "RequestType": "Update", "PhysicalResourceId": "lct-before"}
NOW = datetime(2026, 11, 22, 17, 40, 0, tzinfo=UTC)


def attributes(**known: str) -> dict[str, str]:
    return {**dict.fromkeys(ATTRIBUTES, ""), **known}


def sent(
    event: dict[str, Any] = EVENT,
    *,
    status: str = "SUCCESS",
    reason: str = "",
    physical_id: str | None = TASK_ID,
    data: dict[str, str] | None = None,
) -> dict[str, Any]:
    body = response(event, status=status, reason=reason, physical_id=physical_id, data=data or {})
    assert len(body) <= LIMIT
    parsed: dict[str, Any] = json.loads(body)
    return parsed


# What is in a response


def test_a_success_says_what_cloudformation_asks_for() -> None:
    data = attributes(Status="SUCCEEDED")

    assert sent(data=data) == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "StackId": STACK_ID,
        "RequestId": EVENT["RequestId"],
        "LogicalResourceId": "Gate",
        "NoEcho": False,
        "Data": data,
    }


def test_a_failure_gives_its_reason_and_no_attributes() -> None:
    got = sent(status="FAILED", reason="It failed.", data=attributes(Status="FAILED"))

    assert got["Status"] == "FAILED"
    assert got["Reason"] == "It failed."
    assert got["Data"] == {}


@pytest.mark.parametrize(
    ("event", "status", "physical_id", "expected"),
    [
        pytest.param(EVENT, "SUCCESS", TASK_ID, TASK_ID, id="a Create that succeeds makes an id"),
        pytest.param(EVENT, "FAILED", TASK_ID, TASK_ID, id="a Create that fails makes one too"),
        pytest.param(UPDATE, "SUCCESS", TASK_ID, TASK_ID, id="an Update to another task is a new id"),
        pytest.param(UPDATE, "FAILED", TASK_ID, "lct-before", id="a failed Update keeps the id that the resource has"),
        pytest.param(UPDATE, "FAILED", "", "lct-before", id="a refused Update keeps it too"),
        pytest.param(UPDATE, "SUCCESS", None, "lct-before", id="a Delete names the id that it was asked for"),
    ],
)
def test_a_physical_id_changes_only_when_the_response_is_a_success(
    event: dict[str, Any], status: str, physical_id: str | None, expected: str
) -> None:
    assert sent(event, status=status, physical_id=physical_id)["PhysicalResourceId"] == expected


@pytest.mark.parametrize("physical_id", ["", None], ids=["empty", "none"])
def test_a_refused_create_has_a_physical_id_all_the_same(physical_id: str | None) -> None:
    chosen = sent(status="FAILED", physical_id=physical_id)["PhysicalResourceId"]

    assert 1 <= len(chosen) <= 1024
    assert not chosen.startswith("lct-")


def test_a_response_carries_no_credential() -> None:
    assert b"c0ffee" not in response(EVENT, status="FAILED", reason="No.", physical_id=None, data={})


def test_the_attributes_that_were_handed_in_stay_as_they_were() -> None:
    data = attributes(StatusMessage="x" * 10_000)

    sent(data=data)

    assert data == attributes(StatusMessage="x" * 10_000)


# A response always fits


@pytest.mark.parametrize("character", ["x", "€", "😀", '"', "\x00"], ids=["1", "3", "4", "escaped", "control"])
def test_a_status_message_of_ten_thousand_characters_still_fits(character: str) -> None:
    got = sent(data=attributes(Status="FAILED", StatusMessage=character * 10_000))

    shortened = got["Data"]["StatusMessage"]
    assert shortened == character * (len(shortened) - len(MARK)) + MARK
    assert got["Data"] == attributes(Status="FAILED", StatusMessage=shortened)


@pytest.mark.parametrize("character", ["x", "€", "😀", '"', "\x00"], ids=["1", "3", "4", "escaped", "control"])
def test_a_reason_of_ten_thousand_characters_still_fits(character: str) -> None:
    shortened = sent(status="FAILED", reason=character * 10_000)["Reason"]

    assert shortened == character * (len(shortened) - len(MARK)) + MARK


def test_nothing_is_shortened_further_than_it_has_to_be() -> None:
    body = response(EVENT, status="SUCCESS", reason="", physical_id=TASK_ID, data=attributes(StatusMessage="x" * 9000))

    assert len(body) == LIMIT


def test_what_just_fits_is_not_shortened() -> None:
    room = LIMIT - len(response(EVENT, status="FAILED", reason="", physical_id=TASK_ID, data={}))

    assert sent(status="FAILED", reason="x" * room)["Reason"] == "x" * room
    assert sent(status="FAILED", reason="x" * (room + 1))["Reason"].endswith(MARK)


def test_overlong_attributes_give_way_before_the_messages_do() -> None:
    data = attributes(ResourceArn="a" * 1500, Status="SUCCEEDED", StatusMessage="m" * 1600)

    got = sent(reason="r" * 1000, data=data)

    assert got["Data"]["ResourceArn"].endswith(MARK)
    assert got["Data"]["StatusMessage"] == "m" * 1600
    assert got["Reason"] == "r" * 1000


def test_an_attribute_of_ordinary_length_gives_way_last() -> None:
    data = attributes(ResourceArn="a" * 200, StatusMessage="m" * 5000)

    got = sent(reason="r" * 5000, data=data)

    assert got["Data"]["ResourceArn"] == "a" * 200
    assert got["Reason"].endswith(MARK)


def test_the_status_message_gives_way_before_the_reason() -> None:
    got = sent(reason="r" * 2000, data=attributes(StatusMessage="m" * 3000))

    assert got["Reason"] == "r" * 2000
    assert got["Data"]["StatusMessage"].endswith(MARK)


def test_attributes_that_are_all_too_long_all_give_way() -> None:
    got = sent(reason="r" * 9000, data=dict.fromkeys(ATTRIBUTES, "😀" * 9000))

    assert got["Data"].keys() == set(ATTRIBUTES)


ids = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=128)
long_text = st.builds(
    lambda beginning, repeated, times: beginning + repeated * times, any_text, any_text, st.integers(0, 2000)
)
physical_ids = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=1024) | st.none()


@given(
    stack_id=ids,
    request_id=ids,
    logical_id=ids,
    known=physical_ids,
    physical_id=physical_ids,
    status=st.sampled_from(["SUCCESS", "FAILED"]),
    reason=long_text,
    data=st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, long_text)),
)
def test_whatever_is_said_the_response_fits_and_is_json(
    *,
    stack_id: str,
    request_id: str,
    logical_id: str,
    known: str | None,
    physical_id: str | None,
    status: str,
    reason: str,
    data: dict[str, str],
) -> None:
    event = {"StackId": stack_id, "RequestId": request_id, "LogicalResourceId": logical_id}
    if known:
        event["PhysicalResourceId"] = known

    got = sent(event, status=status, reason=reason, physical_id=physical_id, data=data)

    assert (got["StackId"], got["RequestId"], got["LogicalResourceId"]) == (stack_id, request_id, logical_id)
    assert got["Status"] == status
    assert 1 <= len(got["PhysicalResourceId"]) <= 1024
    assert got["Data"].keys() == (data.keys() if status == "SUCCESS" else set())


@given(reason=long_text, limit=st.integers(60, LIMIT))
def test_a_message_is_fitted_to_any_limit_that_holds_its_frame(reason: str, limit: int) -> None:
    body = fit({"Reason": reason}, {}, limit)

    assert len(body) <= limit
    assert json.loads(body).keys() == {"Reason"}


# A signal to a wait condition


def test_a_success_signals_the_attributes_as_one_json_string() -> None:
    data = attributes(Status="SUCCEEDED")

    body = signal(status="SUCCESS", reason="", unique_id=TASK_ID, data=data)

    said = json.loads(body)
    assert said.keys() == {"Status", "Reason", "UniqueId", "Data"}
    assert (said["Status"], said["UniqueId"]) == ("SUCCESS", TASK_ID)
    assert json.loads(said["Data"]) == data


def test_a_failure_is_called_failure_in_a_signal() -> None:
    said = json.loads(signal(status="FAILED", reason="It failed.", unique_id=TASK_ID, data={}))

    assert (said["Status"], said["Reason"]) == ("FAILURE", "It failed.")


@pytest.mark.parametrize(
    "character",
    [
        pytest.param("x", id="one byte"),
        pytest.param("€", id="three bytes"),
        pytest.param("😀", id="four bytes"),
        pytest.param("\x00", id="a control character"),
        pytest.param(
            '"',
            id="a quote, escaped twice",
        ),
        pytest.param(
            "\\",
            id="a backslash, escaped twice",
        ),
    ],
)
def test_a_signal_with_a_status_message_of_ten_thousand_characters_still_fits(character: str) -> None:
    data = attributes(Status="FAILED", StatusMessage=character * 10_000)

    body = signal(status="SUCCESS", reason="", unique_id=TASK_ID, data=data)

    shortened = json.loads(json.loads(body)["Data"])["StatusMessage"]
    assert len(body) <= LIMIT
    assert shortened == character * (len(shortened) - len(MARK)) + MARK


@given(status=st.sampled_from(["SUCCESS", "FAILED"]), reason=long_text)
def test_whatever_the_reason_a_signal_fits_and_is_json(status: str, reason: str) -> None:
    body = signal(status=status, reason=reason, unique_id=TASK_ID, data=attributes())

    assert len(body) <= LIMIT
    assert json.loads(json.loads(body)["Data"]) == attributes()


# To whom it is sent, and for how long

SAID = {"Status": "FAILED", "Reason": "It failed.", "PhysicalResourceId": TASK_ID, "Data": {}}
OF_HANDLE = {**EVENT, "ResourceProperties": {"WaitConditionHandle": HANDLE}}
REQUESTED = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)


class KeepsHowLong:
    """Stands for S3: keeps what was sent and for how long it was to be tried, and takes it or not."""

    def __init__(self, *, takes: bool = True) -> None:
        self.got: list[tuple[str, Any]] = []
        self.seconds: list[float] = []
        self._takes = takes

    def __call__(self, url: str, body: bytes, seconds: float) -> int:
        self.got.append((url, json.loads(body)))
        self.seconds.append(seconds)
        if not self._takes:
            raise ResponseNotTaken("3 attempts, the last one: HTTP status 403")
        return 1


def sent_by(
    s3: KeepsHowLong, event: dict[str, Any], said: dict[str, Any] = SAID, *, to_handle: bool = False,
    after: float = 10, seconds: float = 28,
) -> None:  # fmt: skip
    now = REQUESTED + timedelta(seconds=after)
    send(event, said, to_handle=to_handle, seconds=seconds, requested=REQUESTED, now=now, deliver_=s3)


def test_a_stack_gets_the_response_and_its_handle_the_signal() -> None:
    s3 = KeepsHowLong()

    sent_by(s3, OF_HANDLE)
    sent_by(s3, OF_HANDLE, to_handle=True)

    (stacks_url, stacks), signalled = s3.got
    assert (stacks_url, stacks["RequestId"]) == (RESPONSE_URL, EVENT["RequestId"])
    assert signalled == (HANDLE, {"Status": "FAILURE", "Reason": "It failed.", "UniqueId": TASK_ID, "Data": "{}"})


@pytest.mark.parametrize("physical_id", ["", None], ids=["empty", "none"])
def test_a_signal_always_has_a_unique_id_because_cloudformation_counts_none_without(physical_id: str | None) -> None:
    s3 = KeepsHowLong()

    sent_by(s3, OF_HANDLE, {**SAID, "PhysicalResourceId": physical_id}, to_handle=True)

    assert s3.got[0][1]["UniqueId"]


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        pytest.param(RESPONSE_URL, True, id="a response URL"),
        pytest.param("https://bucket/k?AWSAccessKeyId=A&Expires=1&Signature=a%2Bb%3D", True, id="the older signature"),
        pytest.param("https://bucket/stack%3Aarn%7CGate%7C1?X-Amz-Signature=c0ffee", True, id="the signature alone"),
        pytest.param(RESPONSE_URL.replace("https", "http"), False, id="in the clear"),
        pytest.param("https://bucket/key", False, id="no query"),
        pytest.param("https://bucket/key?X-Amz-Date=20261122T173955Z", False, id="no signature"),
        pytest.param("https://bucket/key?NotSignature=c0ffee", False, id="a name that ends like it"),
        pytest.param("https://bucket/X-Amz-Signature=c0ffee", False, id="in the path"),
        pytest.param("https://bucket/key?a=1#&Signature=c0ffee", False, id="in the fragment"),
        pytest.param("https://me:secret@bucket/key?Signature=c0ffee", False, id="with a password"),
        pytest.param("https:///key?Signature=c0ffee", False, id="no host"),
        pytest.param(RESPONSE_URL + "\n", False, id="a newline at the end"),
        pytest.param("...", False, id="what a framework puts there"),
        pytest.param("", False, id="empty"),
        *(pytest.param(other, False, id=repr(other)) for other in (None, 5, [RESPONSE_URL])),
    ],
)
@pytest.mark.parametrize("to_handle", [False, True], ids=["response", "signal"])
def test_only_a_url_that_cloudformation_has_signed_gets_anything(url: Any, *, signed: bool, to_handle: bool) -> None:
    s3 = KeepsHowLong()
    event = {**OF_HANDLE, "ResponseURL": url}
    if to_handle:
        event = {**EVENT, "ResourceProperties": {"WaitConditionHandle": url}}

    with suppress(NobodyListens):
        sent_by(s3, event, to_handle=to_handle)

    assert (is_signed(url), [to for to, _ in s3.got]) == (signed, [url] if signed else [])


@pytest.mark.parametrize("to_handle", [False, True], ids=["response", "signal"])
def test_nobody_listens_to_what_is_no_request(*, to_handle: bool) -> None:
    """Whoever may start the state machine can say anything: the responder ends by this error, and tries nothing else again."""
    with pytest.raises(NobodyListens):
        sent_by(KeepsHowLong(), {}, to_handle=to_handle)


def of_request(service_timeout_: Any = None, **members: Any) -> dict[str, Any]:
    properties = {} if service_timeout_ is None else {"ServiceTimeout": service_timeout_}
    return {**EVENT, "ResourceProperties": properties, **members}


@pytest.mark.parametrize(
    ("after", "seconds", "tried"),
    [
        pytest.param(10, 28, 28, id="as long as the invocation has"),
        pytest.param(80, 28, 10, id="no longer than CloudFormation listens"),
        pytest.param(90, 28, 0, id="once, when it has just given up"),
        pytest.param(900, 28, 0, id="once, long after that"),
    ],
)
def test_sending_ends_when_cloudformation_has_given_up(after: float, seconds: float, tried: float) -> None:
    s3 = KeepsHowLong()

    sent_by(s3, of_request("90"), after=after, seconds=seconds)

    assert s3.seconds == [tried]


@pytest.mark.parametrize(
    ("after", "error"),
    [
        pytest.param(30, ResponseNotTaken, id="somebody listens: it is worth another try"),
        pytest.param(62, NobodyListens, id="nobody will, by then"),
        pytest.param(1000, NobodyListens, id="nobody has for long"),
    ],
)
def test_a_response_that_is_not_taken_says_whether_anybody_still_listens(after: float, error: type[Exception]) -> None:
    with pytest.raises(ResponseNotTaken) as raised:
        sent_by(KeepsHowLong(takes=False), of_request("90"), after=after)

    assert type(raised.value) is error
    assert str(raised.value).startswith("3 attempts, the last one: HTTP status 403")
    assert "c0ffee" not in str(raised.value)


def test_a_signal_is_sent_whenever_it_comes_because_the_wait_conditions_own_time_is_not_known() -> None:
    event = of_request("90")
    event["ResourceProperties"]["WaitConditionHandle"] = HANDLE
    s3 = KeepsHowLong(takes=False)

    with pytest.raises(ResponseNotTaken) as raised:
        sent_by(s3, event, to_handle=True, after=3600)

    assert s3.seconds == [28]
    assert type(raised.value) is ResponseNotTaken


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("90", 90),
        (90, 90),
        ("1", 1),
        ("3600", 3600),
        *((bad, 3600) for bad in ("0", "3601", "soon", "-5", "", [90], None)),
    ],
    ids=repr,
)
def test_when_cloudformation_gives_up_is_known_of_properties_that_nobody_has_checked(said: Any, seconds: int) -> None:
    assert service_timeout(of_request(said)) == seconds


@pytest.mark.parametrize("properties", [None, [], "text", 5])
def test_properties_that_are_none_say_nothing_of_a_time_out(properties: Any) -> None:
    assert service_timeout({"ResourceProperties": properties}) == 3600


def test_an_invocation_keeps_a_moment_to_say_that_a_response_was_not_taken() -> None:
    assert seconds_left(Context(seconds=10)) == 8.5


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://[bucket/?X-Amz-Signature=c0ffee", id="half an address"),
        pytest.param("https://bucket:port/?X-Amz-Signature=c0ffee", id="a word for a port"),
        pytest.param("https://a..b/?X-Amz-Signature=c0ffee", id="an empty label"),
        pytest.param("https://\ud800/?X-Amz-Signature=c0ffee", id="half a character"),
        pytest.param("https://bucket/ \n?X-Amz-Signature=c0ffee", id="a newline"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_url_that_is_none_is_a_response_that_is_not_taken(url: str) -> None:
    now = [0.0]

    with pytest.raises(ResponseNotTaken) as raised:
        deliver(url, b"{}", 3, sleep=lambda seconds: now.append(now[-1] + seconds), monotonic=lambda: now[-1])

    assert "c0ffee" not in str(raised.value)
    assert len(now) == 3, "tries and pauses of 0.5 and 1 s: another would come too late"


# When it was requested


def url_signed(date: str) -> dict[str, str]:
    return {
        "ResponseURL": f"https://bucket.s3.amazonaws.com/key?X-Amz-Expires=7199&X-Amz-Date={date}&X-Amz-Signature=f"
    }


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("20261122T173955Z", NOW - timedelta(seconds=5), id="seconds ago"),
        pytest.param("20261122T154000Z", NOW - timedelta(hours=2), id="as long ago as the URL is good for"),
        pytest.param("20261122T153959Z", NOW, id="longer ago than that"),
        pytest.param("20261122T174500Z", NOW, id="in the future, by a clock that is off"),
        pytest.param("20261123T173955Z", NOW, id="in the far future"),
        pytest.param("00010101T000000Z", NOW, id="year 1"),
        pytest.param("99991231T235959Z", NOW, id="year 9999"),
        pytest.param("20261399T173955Z", NOW, id="a date that does not exist"),
        pytest.param("2026-11-22", NOW, id="another form"),
        pytest.param("20261122T173955Z%0A", NOW, id="a newline at the end"),
        pytest.param("", NOW, id="empty"),
    ],
)
def test_a_request_was_made_when_its_url_was_signed_if_that_can_be_true(date: str, expected: datetime) -> None:
    assert requested_at(url_signed(date), NOW) == expected


def test_the_older_signature_says_by_its_end_when_it_began() -> None:
    ends = NOW + timedelta(hours=1, minutes=59)

    url = f"https://bucket/key?AWSAccessKeyId=A&Expires={ends.timestamp():.0f}&Signature=c0ffee"

    assert requested_at({"ResponseURL": url}, NOW) == NOW - timedelta(minutes=1)


def test_a_delivery_that_is_repeated_a_minute_later_keeps_the_first_ones_time() -> None:
    event = url_signed("20261122T173955Z")

    assert requested_at(event, NOW) == requested_at(event, NOW + timedelta(minutes=1))


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="no URL"),
        pytest.param({"ResponseURL": None}, id="null"),
        pytest.param({"ResponseURL": 5}, id="a number"),
        pytest.param({"ResponseURL": ""}, id="empty"),
        pytest.param({"ResponseURL": "https://bucket/key"}, id="no query"),
        pytest.param({"ResponseURL": "https://bucket/key?Expires=1&Signature=b"}, id="a date that cannot be true"),
        pytest.param({"ResponseURL": "https://bucket/key?Expires=soon&Signature=b"}, id="a date that is none"),
        pytest.param({"ResponseURL": f"https://bucket/key?Expires={10**400}&Signature=b"}, id="a date beyond all"),
        pytest.param({"ResponseURL": "\ud800?X-Amz-Date=\ud800"}, id="half a character"),
        pytest.param(
            {"ResponseURL": "https://[bucket/?X-Amz-Date=20261122T173955Z"},
            id="no URL at all",
        ),
    ],
)
def test_a_url_that_says_no_time_leaves_the_present(event: dict[str, Any]) -> None:
    assert requested_at(event, NOW) == NOW


@given(date=any_text, now=st.datetimes(timezones=st.just(UTC)))
def test_whatever_the_url_says_the_request_lies_in_the_last_two_hours(date: str, now: datetime) -> None:
    requested = requested_at(url_signed(date), now)

    assert requested <= now
    assert now - requested <= timedelta(hours=2)


def test_a_short_text_is_measured_as_the_response_measures_it() -> None:
    assert len(fit({"Reason": "é\ud800"}, {})) == len(b'{"Reason": ""}') + size("é\ud800")
