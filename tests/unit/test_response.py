"""A response that always fits. Its delivery is tested over TLS, with a receiver."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion.conversion import ATTRIBUTES
from license_conversion.errors import RecipientGone, ResponseNotTaken
from license_conversion.response import is_signed, requested_at, response, send, service_timeout, signal
from license_conversion.text import MARK
from tests.unit.one_gate import STACK_EVENT, TASK_ID
from tests.unit.strategies import any_text

LIMIT = 4096
NO_ID = "license-conversion-gate-refused"
HANDLE = "https://handles.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=facade"
EVENT: dict[str, Any] = {**STACK_EVENT, "ResourceProperties": {}}
RESPONSE_URL = EVENT["ResponseURL"]
UPDATE = {**EVENT, "RequestType": "Update", "PhysicalResourceId": "lct-before"}
NOW = datetime(2026, 11, 22, 17, 40, 0, tzinfo=UTC)


def url_signed(date: str) -> str:
    return f"https://bucket.s3.amazonaws.com/key?X-Amz-Expires=7199&X-Amz-Date={date}&X-Amz-Signature=f"


def attributes(**known: str) -> dict[str, str]:
    return {**dict.fromkeys(ATTRIBUTES, ""), **known}


def sent(event: dict[str, Any] = EVENT, *, data: dict[str, str] | None = None, **said: Any) -> dict[str, Any]:
    handed_in = dict(data or {})
    body = response(event, data=handed_in, **{"status": "SUCCESS", "reason": "", "physical_id": TASK_ID, **said})
    assert len(body) <= LIMIT
    assert handed_in == (data or {}), "it stays as it was"
    parsed: dict[str, Any] = json.loads(body)
    return parsed


# What is in a response


def test_a_success_says_what_cloudformation_asks_for_and_a_failure_its_reason_without_attributes() -> None:
    data = attributes(Status="SUCCEEDED")

    success = sent(data=data)

    assert success == {
        "Status": "SUCCESS",
        "Reason": "",
        "PhysicalResourceId": TASK_ID,
        "StackId": EVENT["StackId"],
        "RequestId": EVENT["RequestId"],
        "LogicalResourceId": "Gate",
        "NoEcho": False,
        "Data": data,
    }
    failure = {**success, "Status": "FAILED", "Reason": "It failed.", "Data": {}}
    assert sent(status="FAILED", reason="It failed.", data=data) == failure


@pytest.mark.parametrize(
    ("event", "status", "physical_id", "expected"),
    [
        pytest.param(EVENT, "SUCCESS", TASK_ID, TASK_ID, id="a Create that succeeds makes an id"),
        pytest.param(EVENT, "FAILED", TASK_ID, TASK_ID, id="a Create that fails makes one too"),
        pytest.param(EVENT, "FAILED", "", NO_ID, id="a refused Create has one all the same"),
        pytest.param(EVENT, "FAILED", None, NO_ID, id="a Create that nothing is known of has one too"),
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


# A response always fits


@pytest.mark.parametrize("character", ["x", "€", "😀", "\x00", '"', "\\"], ids=ascii)
def test_a_message_of_ten_thousand_characters_is_cut_between_two_of_them(character: str) -> None:
    reason = sent(status="FAILED", reason=character * 10_000)["Reason"]
    data = sent(data=attributes(Status="FAILED", StatusMessage=character * 10_000))["Data"]
    signalled = signal(
        status="SUCCESS", reason="", unique_id=TASK_ID, data=attributes(StatusMessage=character * 10_000)
    )

    assert len(signalled) <= LIMIT
    messages = [reason, data["StatusMessage"], json.loads(json.loads(signalled)["Data"])["StatusMessage"]]
    assert messages == [character * (len(one) - len(MARK)) + MARK for one in messages]
    assert data == attributes(Status="FAILED", StatusMessage=data["StatusMessage"])


def test_nothing_is_shortened_that_fits_or_further_than_it_has_to_be() -> None:
    frame = response(EVENT, status="FAILED", reason="", physical_id=TASK_ID, data={})
    fits, longer = "x" * (LIMIT - len(frame)), "x" * (LIMIT - len(frame) + 1)

    assert sent(status="FAILED", reason=fits)["Reason"] == fits
    assert sent(status="FAILED", reason=longer)["Reason"].endswith(MARK)
    assert len(response(EVENT, status="FAILED", reason=longer, physical_id=TASK_ID, data={})) == LIMIT


@pytest.mark.parametrize(
    ("lengths", "shortened"),
    [
        pytest.param({"Reason": 2000, "StatusMessage": 3000}, {"StatusMessage"}, id="before the reason"),
        pytest.param(
            {"Reason": 1000, "StatusMessage": 1600, "ResourceArn": 1500},
            {"ResourceArn"},
            id="after an attribute that is overlong",
        ),
        pytest.param(
            {"Reason": 5000, "StatusMessage": 5000, "ResourceArn": 200},
            {"StatusMessage", "Reason"},
            id="and the reason before an attribute of ordinary length",
        ),
        pytest.param(dict.fromkeys([*ATTRIBUTES, "Reason"], 9000), {*ATTRIBUTES, "Reason"}, id="all are too long"),
    ],
)
def test_the_status_message_gives_way_before_the_reason(lengths: dict[str, int], shortened: set[str]) -> None:
    said = {name: "m" * length for name, length in lengths.items()}
    reason = said.pop("Reason")

    got = sent(reason=reason, data=attributes(**said))

    cut = {name for name, text in {**got["Data"], "Reason": got["Reason"]}.items() if len(text) < lengths.get(name, 0)}
    assert cut == shortened
    assert got["Data"].keys() == set(ATTRIBUTES)


ids = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=128)
long_text = st.builds(
    lambda beginning, repeated, times: beginning + repeated * times, any_text, any_text, st.integers(0, 2000)
)
physical_ids = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=1024)


@given(
    addressed=st.fixed_dictionaries({"StackId": ids, "RequestId": ids, "LogicalResourceId": ids}),
    known=st.fixed_dictionaries({}, optional={"PhysicalResourceId": physical_ids}),
    physical_id=physical_ids,
    status=st.sampled_from(["SUCCESS", "FAILED"]),
    reason=long_text,
    data=st.fixed_dictionaries({}, optional=dict.fromkeys(ATTRIBUTES, long_text)),
)
def test_whatever_is_said_the_response_fits_and_is_json(
    addressed: dict[str, Any], known: dict[str, Any], physical_id: str, data: dict[str, str], **said: Any
) -> None:
    got = sent({**addressed, **known}, physical_id=physical_id, data=data, **said)
    signalled = signal(unique_id=physical_id, data=data, **said)

    assert {name: got[name] for name in addressed} == addressed
    assert got["Status"] == said["status"]
    assert 1 <= len(got["PhysicalResourceId"]) <= 1024
    assert got["Data"].keys() == (data.keys() if said["status"] == "SUCCESS" else set())
    assert len(signalled) <= LIMIT
    assert json.loads(json.loads(signalled)["Data"]).keys() == data.keys()


# A signal to a wait condition


def test_a_signal_has_the_attributes_as_one_json_string_and_calls_a_failure_failure() -> None:
    data = attributes(Status="SUCCEEDED")

    success = json.loads(signal(status="SUCCESS", reason="", unique_id=TASK_ID, data=data))
    failure = json.loads(signal(status="FAILED", reason="It failed.", unique_id=TASK_ID, data={}))

    assert json.loads(success.pop("Data")) == data
    assert success == {"Status": "SUCCESS", "Reason": "", "UniqueId": TASK_ID}
    assert failure == {"Status": "FAILURE", "Reason": "It failed.", "UniqueId": TASK_ID, "Data": "{}"}


# To whom it is sent, and for how long

SAID = {"Status": "FAILED", "Reason": "It failed.", "PhysicalResourceId": TASK_ID, "Data": {}}
OF_HANDLE = {**EVENT, "ResourceProperties": {"WaitConditionHandle": HANDLE, "ServiceTimeout": "90"}}
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
    s3: KeepsHowLong, event: dict[str, Any], said: dict[str, Any] = SAID, *, to_handle: bool = False, after: float = 10
) -> None:
    now = REQUESTED + timedelta(seconds=after)
    send(event, said, to_handle=to_handle, seconds=28, requested=REQUESTED, now=now, deliver_=s3)


def test_a_stack_gets_the_response_and_its_handle_the_signal() -> None:
    s3 = KeepsHowLong()

    sent_by(s3, OF_HANDLE)
    sent_by(s3, OF_HANDLE, to_handle=True)
    sent_by(s3, OF_HANDLE, {**SAID, "PhysicalResourceId": None}, to_handle=True)

    (stacks_url, stacks), signalled, (_, without_id) = s3.got
    assert (stacks_url, stacks["RequestId"]) == (RESPONSE_URL, EVENT["RequestId"])
    assert signalled == (HANDLE, {"Status": "FAILURE", "Reason": "It failed.", "UniqueId": TASK_ID, "Data": "{}"})
    assert without_id["UniqueId"] == NO_ID, "CloudFormation counts no signal that has none"


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        pytest.param(url_signed("20261122T173955Z"), True, id="a response URL"),
        pytest.param("https://bucket/k?AWSAccessKeyId=A&Expires=1&Signature=a%2Bb%3D", True, id="the older signature"),
        pytest.param("https://bucket/stack%3Aarn%7CGate%7C1?X-Amz-Signature=c0ffee", True, id="the signature alone"),
        pytest.param(RESPONSE_URL.replace("https", "http"), False, id="in the clear"),
        pytest.param("https://bucket/key", False, id="no query"),
        pytest.param("https://bucket/key?X-Amz-Date=20261122T173955Z", False, id="no signature"),
        pytest.param("https://bucket/key?NotSignature=c0ffee", False, id="a name that ends like it"),
        pytest.param("https://bucket/key?X-Amz-SignatureX=c0ffee", False, id="a name that begins like it"),
        pytest.param("https://bucket/X-Amz-Signature=c0ffee", False, id="in the path"),
        pytest.param("https://bucket/key?a=1#&Signature=c0ffee", False, id="in the fragment"),
        pytest.param("https://me:secret@bucket/key?Signature=c0ffee", False, id="with a password"),
        pytest.param("https:///key?Signature=c0ffee", False, id="no host"),
        pytest.param(RESPONSE_URL + "\n", False, id="a newline at the end"),
        pytest.param(RESPONSE_URL + " ", False, id="a space at the end"),
        pytest.param("...", False, id="what a framework puts there"),
        *(pytest.param(other, False, id=repr(other)) for other in ("", None, 5, [RESPONSE_URL])),
    ],
)
@pytest.mark.parametrize("to_handle", [False, True], ids=["response", "signal"])
def test_only_a_url_that_cloudformation_has_signed_gets_anything(url: Any, *, signed: bool, to_handle: bool) -> None:
    s3 = KeepsHowLong()
    event = {**OF_HANDLE, "ResponseURL": url}
    if to_handle:
        event = {**EVENT, "ResourceProperties": {"WaitConditionHandle": url}}

    with suppress(RecipientGone):
        sent_by(s3, event, to_handle=to_handle)

    assert (is_signed(url), [to for to, _ in s3.got]) == (signed, [url] if signed else [])


@pytest.mark.parametrize("to_handle", [False, True], ids=["response", "signal"])
def test_what_is_no_request_has_no_recipient(*, to_handle: bool) -> None:
    """A principal that may start the state machine can give it anything: this error ends the responder without another try."""
    with pytest.raises(RecipientGone):
        sent_by(KeepsHowLong(), {}, to_handle=to_handle)


@pytest.mark.parametrize(
    ("after", "to_handle", "tried", "error"),
    [
        pytest.param(10, False, 28, ResponseNotTaken, id="as long as the invocation has, then another may try"),
        pytest.param(62, False, 28, RecipientGone, id="as long as that, when CloudFormation has given up by then"),
        pytest.param(80, False, 10, RecipientGone, id="no longer than CloudFormation waits"),
        pytest.param(90, False, 0, RecipientGone, id="once, when it has just given up"),
        pytest.param(900, False, 0, RecipientGone, id="once, long after that"),
        pytest.param(
            3600, True, 28, ResponseNotTaken, id="a signal whenever: a wait condition's own time is not known"
        ),
    ],
)
def test_sending_ends_when_cloudformation_has_given_up_and_says_whether_it_still_waits(
    *, after: float, to_handle: bool, tried: float, error: type[Exception]
) -> None:
    s3 = KeepsHowLong(takes=False)

    with pytest.raises(ResponseNotTaken) as raised:
        sent_by(s3, OF_HANDLE, to_handle=to_handle, after=after)

    assert s3.seconds == [tried]
    assert type(raised.value) is error
    assert str(raised.value).startswith("3 attempts, the last one: HTTP status 403")
    assert "c0ffee" not in str(raised.value)


NO_PROPERTIES: list[Any] = [None, [], "text", 5, {}]


@pytest.mark.parametrize(
    ("properties", "seconds"),
    [
        *(({"ServiceTimeout": said}, int(said)) for said in ("90", 90, "1", "3600")),
        *(({"ServiceTimeout": bad}, 3600) for bad in ("0", "3601", "soon", "-5", "", [90], None)),
        *((none, 3600) for none in NO_PROPERTIES),
    ],
    ids=repr,
)
def test_when_cloudformation_gives_up_is_known_of_properties_that_were_not_checked(
    properties: Any, seconds: int
) -> None:
    assert service_timeout({"ResourceProperties": properties}) == seconds


# When it was requested


@pytest.mark.parametrize(
    ("url", "ago"),
    [
        pytest.param(url_signed("20261122T173955Z"), timedelta(seconds=5), id="seconds ago"),
        pytest.param(url_signed("20261122T154000Z"), timedelta(hours=2), id="as long ago as the URL is good for"),
        pytest.param(
            f"https://bucket/key?AWSAccessKeyId=A&Expires={NOW.timestamp() + 7140:.0f}&Signature=c0ffee",
            timedelta(minutes=1),
            id="two hours before the end that the older signature says",
        ),
    ],
)
def test_a_request_was_made_when_its_url_was_signed(url: str, ago: timedelta) -> None:
    assert requested_at({"ResponseURL": url}, NOW) == NOW - ago


@pytest.mark.parametrize(
    "url",
    [
        pytest.param(url_signed("20261122T153959Z"), id="longer ago than it is good for"),
        pytest.param(url_signed("20261122T174500Z"), id="in the future, by a clock that is off"),
        pytest.param(url_signed("99991231T235959Z"), id="year 9999"),
        pytest.param(url_signed("20261399T173955Z"), id="a date that does not exist"),
        pytest.param(url_signed("20261122T173955Z%0A"), id="a newline at the end"),
        pytest.param("https://bucket/key?Expires=1&Signature=b", id="an end long ago"),
        pytest.param("https://bucket/key?Expires=soon&Signature=b", id="an end that is none"),
        pytest.param(f"https://bucket/key?Expires={10**400}&Signature=b", id="an end beyond all"),
        pytest.param("\ud800?X-Amz-Date=\ud800", id="half a character"),
        pytest.param("https://[bucket/?X-Amz-Date=20261122T173955Z", id="no URL at all"),
        *(pytest.param(other, id=repr(other)) for other in (url_signed(""), "https://bucket/key", "", None, 5)),
    ],
)
def test_a_url_that_says_no_time_that_can_be_true_leaves_the_present(url: Any) -> None:
    assert requested_at({"ResponseURL": url}, NOW) == NOW
