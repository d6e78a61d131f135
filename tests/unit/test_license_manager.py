"""License Manager's answers, as botocore hands them over: a real client, and bytes in place of the network."""

import io
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from socket import gaierror
from typing import Any, TypeVar

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NameResolutionError

from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.request import Account
from tests.unit.network import Network
from tests.unit.strategies import any_json

T = TypeVar("T")
TASK_ID = "lct-0123456789abcdef0"
ROLE = "arn:aws:iam::123456789012:role/license-conversion-gate"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
URL = "https://license-manager.us-east-1.amazonaws.com/"


class Wire:
    """Stands where botocore would send a request: keeps what was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.asked: list[AWSPreparedRequest] = []
        self._status = 200
        self._body = b"{}"
        self._fault: Exception | None = None

    def answers(self, body: Any, status: int = 200) -> None:
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._status = status

    def breaks(self, fault: Exception) -> None:
        self._fault = fault

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        self.asked.append(request)
        if self._fault:
            raise self._fault
        raw = HTTPResponse(body=io.BytesIO(self._body), preload_content=False)
        return AWSResponse(request.url, self._status, HTTPHeaders(), raw)


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session(region_name="us-east-1")


@pytest.fixture
def wire(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    wire = Wire()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    hook: Any = wire  # the stubs say that a hook returns nothing, but the first answer to before-send is the reply
    session.events.register("before-send.license-manager", hook)
    yield wire
    session.events.unregister("before-send.license-manager", hook)


def get_task() -> ConversionTask:
    return LicenseManager(ROLE).get_task(TASK_ID)


def error(code: str, message: str = "It said so.") -> dict[str, str]:
    return {"__type": code, "message": message}


# A task


def test_the_task_that_was_asked_for_is_asked_for_once(wire: Wire) -> None:
    wire.answers({"LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS"})

    get_task()

    assert len(wire.asked) == 1
    asked: Any = wire.asked[0].body
    assert json.loads(asked) == {"LicenseConversionTaskId": TASK_ID}
    assert wire.asked[0].headers["X-Amz-Target"] == b"AWSLicenseManager.GetLicenseConversionTask"


def test_an_answer_is_a_task_in_the_services_own_shape(wire: Wire) -> None:
    wire.answers(
        {
            "LicenseConversionTaskId": TASK_ID,
            "ResourceArn": INSTANCE,
            "SourceLicenseContext": {"UsageOperation": "RunInstances:0800", "ProductCodes": None},
            "DestinationLicenseContext": {"ProductCodes": [{"ProductCodeId": "a", "ProductCodeType": "marketplace"}]},
            "StatusMessage": None,
            "Status": "SUCCEEDED",
            "StartTime": 1_763_833_195.5,
        }
    )

    task = get_task()

    assert task.status is Status.SUCCEEDED
    assert task.start_time == datetime(2025, 11, 22, 17, 39, 55, tzinfo=UTC)
    assert task.shape == {
        "LicenseConversionTaskId": TASK_ID,
        "ResourceArn": INSTANCE,
        "SourceLicenseContext": {"UsageOperation": "RunInstances:0800"},
        "DestinationLicenseContext": {"ProductCodes": [{"ProductCodeId": "a", "ProductCodeType": "marketplace"}]},
        "Status": "SUCCEEDED",
        "StartTime": "2025-11-22T17:39:55Z",
    }


@pytest.mark.parametrize("status", ["IN_PROGRESS", "CANCELLED", "", None], ids=repr)
def test_an_answer_that_is_no_outcome_is_a_task_that_has_not_ended(wire: Wire, status: str | None) -> None:
    wire.answers({"LicenseConversionTaskId": TASK_ID, "Status": status})

    assert not get_task().terminal


@pytest.mark.parametrize("body", [b"{}", b"", b"<html>", b"\x00"], ids=["no members", "nothing", "HTML", "a NUL"])
def test_an_answer_without_a_task_is_no_outcome(wire: Wire, body: bytes) -> None:
    wire.answers(body)

    assert not get_task().terminal


# What ends a gate


@pytest.mark.parametrize("code", ["InvalidParameterValueException", "ValidationException"])
def test_an_id_that_license_manager_refuses_ends_the_gate(wire: Wire, code: str) -> None:
    wire.answers(error(code, "No such task."), 400)

    with pytest.raises(InvalidRequest) as refusal:
        get_task()

    assert str(refusal.value) == f"License Manager refuses the task id {TASK_ID}: No such task. ({code})."
    assert refusal.value.grace == 10, "seconds for which a task can be too new"
    assert len(wire.asked) == 1


@pytest.mark.parametrize("code", ["AccessDeniedException", "AuthorizationException"])
def test_a_denial_ends_the_gate_and_names_the_action_and_the_role(wire: Wire, code: str) -> None:
    wire.answers(error(code, "Not authorized."), 400)

    with pytest.raises(AccessDenied) as denial:
        get_task()

    action = "license-manager:GetLicenseConversionTask"
    assert str(denial.value) == f"{action} is denied to {ROLE}: Not authorized. ({code})."
    assert denial.value.grace == 30, "seconds for which a role can be too new"
    assert len(wire.asked) == 1


def test_a_code_with_a_namespace_before_it_is_the_same_code(wire: Wire) -> None:
    wire.answers(error("com.amazonaws.license#AccessDeniedException"), 400)

    with pytest.raises(AccessDenied):
        get_task()


@pytest.mark.parametrize(
    ("code", "status", "ends_as", "says"),
    [
        pytest.param(code, status, ends_as, says, id=code or f"no code, {status}")
        for code, status, ends_as, says in [
            ("UnrecognizedClientException", 400, AccessDenied, "does not take the credentials"),
            ("InvalidSignatureException", 403, AccessDenied, "does not take the credentials"),
            ("SubscriptionRequiredException", 400, AccessDenied, "is License Manager set up there?"),
            ("OptInRequired", 403, AccessDenied, "Is the region enabled for the account"),
            ("RegionDisabledException", 403, InvalidRequest, "Enable the region for the account."),
            ("ResourceNotFoundException", 400, InvalidRequest, "refuses GetLicenseConversionTask"),
            ("RequestExpired", 400, InvalidRequest, "refuses GetLicenseConversionTask"),
            ("SomethingNew", 400, InvalidRequest, "refuses GetLicenseConversionTask"),
            ("", 401, AccessDenied, "does not take the credentials"),
            ("", 403, AccessDenied, "does not take the credentials"),
            ("", 404, InvalidRequest, "refuses GetLicenseConversionTask"),
        ]
    ],
)
def test_every_other_refusal_ends_the_gate_after_the_grace_with_the_error_the_region_and_what_to_do(
    wire: Wire, code: str, status: int, ends_as: type[GateError], says: str
) -> None:
    wire.answers(error(code, "It said so."), status)

    with pytest.raises(ends_as) as refusal:
        LicenseManager(ROLE, Account(region="ap-south-1")).get_task(TASK_ID)

    assert refusal.value.grace == 30
    for part in (says, code or str(status), "It said so.", "region ap-south-1"):
        assert part in str(refusal.value)
    assert "function's own region" not in str(refusal.value)


def test_a_refusal_in_the_functions_own_region_says_so(wire: Wire) -> None:
    wire.answers(error("OptInRequired"), 403)

    with pytest.raises(AccessDenied, match=f"credentials of {ROLE} in the function's own region"):
        get_task()


# A role that cannot be assumed

READER = Account("arn:aws:iam::210987654321:role/reader", region="eu-central-1")
STS = "<ErrorResponse><Error><Code>{}</Code><Message>It said so.</Message></Error></ErrorResponse>"


@pytest.mark.parametrize(
    ("code", "status", "says"),
    [
        ("AccessDenied", 403, f"sts:AssumeRole on {READER.role_arn} is denied to {ROLE}: It said so. (AccessDenied)."),
        ("ValidationError", 400, f"AWS STS refuses the role {READER.role_arn}: It said so. (ValidationError)."),
        ("Throttling", 400, "AWS STS answered Throttling: It said so."),
        ("InternalFailure", 500, "AWS STS answered InternalFailure: It said so."),
    ],
)
def test_what_sts_says_is_said_of_sts_and_of_the_functions_own_role(
    network: Network, code: str, status: int, says: str
) -> None:
    network.answers("AssumeRole", STS.format(code), status=status)

    with pytest.raises((AccessDenied, InvalidRequest, StillUnknown)) as said:
        LicenseManager(ROLE, READER).get_task(TASK_ID)

    assert str(said.value) == says
    assert network.operations() == ["AssumeRole"]


def test_an_error_of_sts_that_says_nothing_is_no_outcome(network: Network) -> None:
    network.answers("AssumeRole", "<ErrorResponse/>", status=503)

    with pytest.raises(StillUnknown) as unknown:
        LicenseManager(ROLE, READER).get_task(TASK_ID)

    assert str(unknown.value) == "AWS STS answered 503: "


# The newest task of a resource


def test_the_newest_of_a_resource_is_the_task_that_started_last_on_whatever_page(network: Network) -> None:
    def of(task_id: str, start: float | None, arn: str | None = INSTANCE) -> dict[str, Any]:
        said = {"LicenseConversionTaskId": task_id, "StartTime": start, "ResourceArn": arn}
        return {name: value for name, value in said.items() if value}

    network.answers(
        "ListLicenseConversionTasks",
        {
            "LicenseConversionTasks": [of("lct-new", 1_763_833_195.0, None), of("lct-unknown", None)],
            "NextToken": "more",
        },
        {"LicenseConversionTasks": [of("lct-zold", 1_763_833_000.0), of("lct-other", 1_863_833_195.0, INSTANCE + "1")]},
    )

    assert LicenseManager(ROLE).newest_task(INSTANCE).task_id == "lct-new"
    listing = {"Filters": [{"Name": "ResourceArns", "Values": [INSTANCE]}]}
    assert [call.said for call in network.calls] == [listing, {**listing, "NextToken": "more"}]


@pytest.mark.parametrize("start", [{}, {"StartTime": 1_763_800_000}], ids=["not said", "long ago"])
@pytest.mark.parametrize("ended", ["SUCCEEDED", "FAILED"])
def test_a_task_that_runs_is_newer_than_one_that_has_ended_whenever_it_started(
    wire: Wire, ended: str, start: dict[str, Any]
) -> None:
    """A resource has one conversion at a time, and a task that was only just made may have no StartTime yet."""
    before = of_instance("lct-before", Status=ended, StartTime=NEW)
    wire.answers(listed(before, {**of_instance(TASK_ID), **start}, {**before, "LicenseConversionTaskId": "lct-older"}))

    assert LicenseManager(ROLE).newest_task(INSTANCE).task_id == TASK_ID


def test_a_resource_without_a_task_is_refused_when_its_task_can_be_too_new_no_more(network: Network) -> None:
    network.answers("ListLicenseConversionTasks", {})

    with pytest.raises(InvalidRequest) as refusal:
        LicenseManager(ROLE).newest_task(INSTANCE)

    assert str(refusal.value) == f"ResourceArn: License Manager has no conversion task of {INSTANCE}."
    assert refusal.value.grace == 10


def test_a_list_that_is_refused_names_what_was_asked_for(network: Network) -> None:
    network.refuses("ListLicenseConversionTasks", "InvalidParameterValueException", "No.")

    with pytest.raises(InvalidRequest, match=f"refuses the filter ResourceArns {INSTANCE}: No"):
        LicenseManager(ROLE).newest_task(INSTANCE)


# An endpoint whose name does not exist


def no_connection(errno: int) -> EndpointConnectionError:
    """As botocore has it: the resolver's error inside urllib3's inside its own."""
    reason = NameResolutionError("license-manager.us-est-1.amazonaws.com", HTTPConnection("host"), gaierror())
    reason.__cause__ = gaierror(errno, "what the resolver says")
    return EndpointConnectionError(endpoint_url=URL, error=reason)


@pytest.mark.parametrize("name", ["EAI_NONAME", "EAI_NODATA"])
@pytest.mark.parametrize(
    ("region", "says"),
    [
        pytest.param("us-est-1", "exists in us-est-1. Did you mean us-west-1 or us-east-1?", id="a letter lost"),
        pytest.param("eu-centrl-1", "exists in eu-centrl-1. Did you mean eu-central-1 or me-central-1?", id="another"),
        pytest.param("zz-zzzzzzz-9", "exists in zz-zzzzzzz-9.", id="like none"),
        pytest.param("us-east-1", "exists in us-east-1.", id="one that is known"),
    ],
)
def test_a_region_without_an_endpoint_ends_the_gate_after_the_grace_with_the_one_that_was_probably_meant(
    wire: Wire, name: str, region: str, says: str
) -> None:
    wire.breaks(no_connection(getattr(socket, name)))

    with pytest.raises(InvalidRequest) as refusal:
        LicenseManager(ROLE, Account(region=region)).get_task(TASK_ID)

    assert str(refusal.value).startswith("Region: no endpoint of License Manager has a name that ")
    assert str(refusal.value).endswith(says)
    assert refusal.value.grace == 30


@pytest.mark.parametrize("name", ["EAI_AGAIN", "EAI_FAIL", "EAI_SYSTEM", "EAI_MEMORY"])
def test_a_name_service_that_does_not_answer_now_is_no_outcome_about_the_region(wire: Wire, name: str) -> None:
    wire.breaks(no_connection(getattr(socket, name)))

    with pytest.raises(StillUnknown):
        get_task()


def test_a_name_that_does_not_exist_is_known_by_what_urllib3_and_botocore_make_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The real chain, from the resolver up. RFC 6761 keeps `.invalid` for names that never exist."""

    def resolve(host: str, *_: Any, **__: Any) -> Any:
        raise gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setenv("AWS_ENDPOINT_URL_LICENSE_MANAGER", "https://license-manager.invalid")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    with pytest.raises(InvalidRequest, match="no endpoint of License Manager"):
        LicenseManager(ROLE).get_task(TASK_ID)


# What does not


@pytest.mark.parametrize(
    ("code", "status"),
    [
        pytest.param("RateLimitExceededException", 400, id="License Manager's own"),
        pytest.param("ThrottlingException", 400, id="the front end's"),
        pytest.param("Throttling", 400, id="its older name"),
        pytest.param("TooManyRequestsException", 400, id="too many requests"),
        pytest.param("RequestThrottled", 400, id="a request throttled"),
        pytest.param("RequestThrottledException", 400, id="its exception"),
        pytest.param("RequestLimitExceeded", 503, id="request limit"),
        pytest.param("SlowDown", 503, id="slow down"),
        pytest.param("SomethingElse", 429, id="another name under the status of a throttle"),
        pytest.param("", 429, id="no name under the status of a throttle"),
        *(
            pytest.param(code, 400, id=code)
            for code in (
                "ThrottledException",
                "EC2ThrottledException",
                "ProvisionedThroughputExceededException",
                "BandwidthLimitExceeded",
                "LimitExceededException",
                "PriorRequestNotComplete",
            )
        ),
    ],
)
def test_a_throttle_is_no_outcome_and_is_not_repeated_at_once(wire: Wire, code: str, status: int) -> None:
    wire.answers(error(code, "Rate exceeded"), status)

    with pytest.raises(StillUnknown) as unknown:
        get_task()

    assert unknown.value.throttled is True
    assert str(unknown.value) == f"License Manager answered {code or status}: Rate exceeded"
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(error("ServerInternalException"), 500, id="the service's own fault"),
        pytest.param(error("ServerInternalException"), 400, id="the same, by its name alone"),
        pytest.param(error("InternalFailure"), 500, id="the front end's fault"),
        pytest.param(error("ServiceUnavailable"), 503, id="unavailable"),
        pytest.param(b"", 500, id="no body"),
        pytest.param(b"<html>Bad Gateway</html>", 502, id="HTML"),
        pytest.param(b"{", 504, id="half a body"),
        pytest.param(b"{}", 302, id="a redirection"),
    ],
)
def test_a_fault_of_the_service_is_no_outcome_and_no_throttle(wire: Wire, body: Any, status: int) -> None:
    wire.answers(body, status)

    with pytest.raises(StillUnknown) as unknown:
        get_task()

    assert unknown.value.throttled is False
    assert str(unknown.value).startswith("License Manager answered ")
    assert len(wire.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(ConnectTimeoutError(endpoint_url=URL), id="no connection in time"),
        pytest.param(ReadTimeoutError(endpoint_url=URL), id="no reply in time"),
        pytest.param(EndpointConnectionError(endpoint_url=URL), id="no connection"),
        pytest.param(ConnectionClosedError(endpoint_url=URL), id="a connection cut"),
        pytest.param(SSLError(endpoint_url=URL, error=OSError("self-signed")), id="no trust"),
        pytest.param(NoCredentialsError(), id="no credentials yet"),
    ],
)
def test_a_fault_of_the_network_is_no_outcome(wire: Wire, fault: Exception) -> None:
    wire.breaks(fault)

    with pytest.raises(StillUnknown) as unknown:
        get_task()

    assert unknown.value.throttled is False
    assert type(fault).__name__ in str(unknown.value)
    assert len(wire.asked) == 1


def test_the_next_call_after_a_fault_is_an_ordinary_one(wire: Wire) -> None:
    license_manager = LicenseManager(ROLE)
    wire.answers(error("RateLimitExceededException"), 400)
    with pytest.raises(StillUnknown):
        license_manager.get_task(TASK_ID)

    wire.answers({"Status": "SUCCEEDED"})

    assert license_manager.get_task(TASK_ID).terminal


# What no service should say


def test_a_list_without_an_end_is_no_outcome(wire: Wire) -> None:
    wire.answers({"LicenseConversionTasks": [{"LicenseConversionTaskId": TASK_ID}], "NextToken": "the same again"})

    with pytest.raises(StillUnknown) as unknown:
        LicenseManager(ROLE).newest_task(INSTANCE)

    assert unknown.value.throttled is False
    assert str(unknown.value) == f"License Manager lists tasks of {INSTANCE} without an end"
    assert len(wire.asked) == 100


def answer(**members: Any) -> bytes:
    return json.dumps({"LicenseConversionTaskId": TASK_ID, "Status": "IN_PROGRESS", **members}).encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"\xff\xfe", 200, id="bytes that are no UTF-8"),
        pytest.param(answer(StartTime="soon"), 200, id="a word for a time"),
        pytest.param(answer(StartTime=""), 200, id="an empty text for a time"),
        pytest.param(answer(StartTime=[1]), 200, id="a list for a time"),
        pytest.param(answer(StartTime={}), 200, id="an object for a time"),
        pytest.param(answer(StartTime=float("nan")), 200, id="a time that is not a number"),
        pytest.param(answer(StartTime=1_763_833_195_500), 200, id="a time in milliseconds"),
        pytest.param(answer(StartTime=-1e12), 200, id="a time before year 1"),
        pytest.param(answer(StartTime=float("inf")), 200, id="an infinite time"),
        pytest.param(answer(StartTime=1e300), 200, id="a time beyond all time"),
        pytest.param(b"[]", 200, id="a list"),
        pytest.param(b'"SUCCEEDED"', 200, id="a text"),
        pytest.param(b"5", 200, id="a number"),
        pytest.param(b"null", 200, id="null"),
        pytest.param(b"[" * 100_000, 200, id="lists without end"),
        pytest.param(answer(SourceLicenseContext=[1]), 200, id="a list for a context"),
        pytest.param(answer(SourceLicenseContext="a"), 200, id="a text for a context"),
        pytest.param(answer(SourceLicenseContext={"ProductCodes": 5}), 200, id="a number for codes"),
        pytest.param(answer(SourceLicenseContext={"ProductCodes": ["a"]}), 200, id="texts for codes"),
        pytest.param(b"[]", 400, id="a list for an error"),
        pytest.param(b"null", 400, id="null for an error"),
        pytest.param(b'{"__type": [1]}', 400, id="a list for a code"),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_outcome(wire: Wire, body: bytes, status: int) -> None:
    wire.answers(body, status)

    with pytest.raises(StillUnknown) as unknown:
        get_task()

    assert unknown.value.throttled is False


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"Bad Gateway"', id="a text"),
    ],
)
def test_a_fault_of_the_service_needs_no_sensible_body(wire: Wire, body: bytes) -> None:
    wire.answers(body, 503)

    with pytest.raises(StillUnknown):
        get_task()


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"Status": ["SUCCEEDED"]}, id="a list for a status"),
        pytest.param({"Status": {"Value": "SUCCEEDED"}}, id="an object for a status"),
        pytest.param({"Status": True}, id="true for a status"),
        pytest.param({"StatusMessage": {"a": [1]}}, id="an object for a message"),
        pytest.param({"ResourceArn": 5}, id="a number for an ARN"),
        pytest.param({"LicenseConversionTaskId": "lct-other", "Status": "SUCCEEDED"}, id="another task"),
        pytest.param({"LicenseConversionTaskId": 5, "Status": "SUCCEEDED"}, id="a number for an id"),
        pytest.param({"SourceLicenseContext": {"UsageOperation": {"a": 1}}}, id="an object for a usage operation"),
        pytest.param({"SourceLicenseContext": {"ProductCodes": [None]}}, id="null for a code"),
        pytest.param({"StartTime": "0001-01-01T00:00:00+14:00"}, id="just before year 1"),
        pytest.param({"EndTime": "9999-12-31T23:59:59-14:00"}, id="just after year 9999"),
    ],
)
def test_a_service_that_lies_gets_no_outcome_believed(wire: Wire, members: dict[str, Any]) -> None:
    wire.answers(answer(**members))

    task = get_task()

    assert not task.terminal
    assert all(type(value) is str for value in task.attributes().values())


@pytest.mark.parametrize(
    ("code", "ends_as"),
    [
        pytest.param("ValidationException", InvalidRequest, id="a refusal"),
        pytest.param("AccessDeniedException", AccessDenied, id="a denial"),
        pytest.param("ServerInternalException", StillUnknown, id="a fault"),
    ],
)
def test_what_the_service_says_at_great_length_still_fits_into_a_cause(
    wire: Wire, code: str, ends_as: type[Exception]
) -> None:
    wire.answers(error(code, "x" * 300_000), 400)

    with pytest.raises(ends_as) as raised:
        get_task()

    assert len(str(raised.value)) <= 32_768


# Anything that JSON can say

MEMBERS = [
    "LicenseConversionTaskId",
    "ResourceArn",
    "SourceLicenseContext",
    "DestinationLicenseContext",
    "Status",
    "StatusMessage",
    "StartTime",
    "EndTime",
    "LicenseConversionTime",
]
members = st.dictionaries(
    st.sampled_from(MEMBERS), any_json | st.sampled_from([TASK_ID, "lct-other", INSTANCE, "SUCCEEDED", 1e9]), max_size=9
)
tasks = members | any_json
listings = (
    st.fixed_dictionaries(
        {}, optional={"LicenseConversionTasks": st.lists(tasks, max_size=4) | any_json, "NextToken": any_json}
    )
    | any_json
)
on_the_wire = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def wired(body: Any) -> bytes:
    """As a service has it: NaN, infinity and lone surrogates too, which Python writes and reads."""
    return json.dumps(body).encode()


def said(call: Callable[[], T]) -> T | None:
    """What the call gives; None for what is not known yet."""
    try:
        return call()
    except StillUnknown:
        return None


@given(body=tasks)
@on_the_wire
def test_whatever_a_task_parses_as_is_its_own_or_not_known_yet(wire: Wire, body: Any) -> None:
    wire.answers(wired(body))

    task = said(get_task)

    if task:
        assert task.task_id == TASK_ID
        assert all(type(value) is str for value in task.attributes().values())
        wired(task.shape)
        about = body.get("LicenseConversionTaskId")
        if task.terminal:
            assert about in (TASK_ID, None)
            assert task.status == body["Status"]


@given(body=listings)
@on_the_wire
def test_whatever_a_listing_parses_as_its_newest_task_is_the_resources_or_there_is_none(wire: Wire, body: Any) -> None:
    wire.answers(wired(body))

    try:
        task = said(lambda: LicenseManager(ROLE).newest_task(INSTANCE))
    except InvalidRequest:  # it has none
        return
    assert task is None or task.shape.get("ResourceArn", INSTANCE) == INSTANCE
    assert task is None or task.task_id.startswith("lct-")


@given(body=listings)
@on_the_wire
def test_whatever_a_listing_parses_as_its_running_tasks_are_ids_and_run(wire: Wire, body: Any) -> None:
    wire.answers(wired(body))

    page = said(lambda: LicenseManager(ROLE).page_of(Status.IN_PROGRESS))

    if page:
        for task in page.tasks:
            assert task.task_id.startswith("lct-")
            assert not task.terminal


NOTHING: dict[str, Any] = {"LicenseConversionTasks": []}
OLD, NEW = 1_763_833_195, 1_763_833_999


def listed(*found: Any) -> dict[str, Any]:
    return {"LicenseConversionTasks": list(found)}


def of_instance(task_id: str, **more: Any) -> dict[str, Any]:
    return {"LicenseConversionTaskId": task_id, "ResourceArn": INSTANCE, "Status": "IN_PROGRESS", **more}


def test_a_listing_that_contains_what_its_filter_excludes_is_not_somebody_elses_task(wire: Wire) -> None:
    somebody_elses = of_instance("lct-theirs", ResourceArn=INSTANCE + "0", StartTime=NEW)
    wire.answers(listed(somebody_elses, of_instance(TASK_ID, StartTime=OLD)))

    assert LicenseManager(ROLE).newest_task(INSTANCE).task_id == TASK_ID

    wire.answers(listed(somebody_elses))
    with pytest.raises(InvalidRequest, match="no conversion task"):
        LicenseManager(ROLE).newest_task(INSTANCE)


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_a_listing_of_what_runs_that_contains_what_has_ended_does_not_keep_a_gate_waiting(
    wire: Wire, status: str
) -> None:
    wire.answers(listed(of_instance(TASK_ID, Status=status), of_instance("lct-1")))

    assert LicenseManager(ROLE).page_of(Status.IN_PROGRESS).answers.keys() == {"lct-1"}


@pytest.mark.parametrize("token", [True, 5, ["x"], {"x": "y"}], ids=repr)
def test_a_token_that_is_no_text_is_not_the_end_of_a_list(wire: Wire, token: Any) -> None:
    """The newest task may stand on the next page."""
    wire.answers({**listed(of_instance(TASK_ID)), "NextToken": token})

    assert said(lambda: LicenseManager(ROLE).newest_task(INSTANCE)) is None


@pytest.mark.parametrize("wrong", [None, 5, "text", [], {}, [None], {"LicenseConversionTaskId": None}], ids=repr)
def test_what_is_no_task_in_a_listing_hides_none_that_is(wire: Wire, wrong: Any) -> None:
    wire.answers(listed(wrong, of_instance(TASK_ID), wrong))

    assert said(lambda: LicenseManager(ROLE).newest_task(INSTANCE).task_id) in (TASK_ID, None)
    page = said(lambda: LicenseManager(ROLE).page_of(Status.IN_PROGRESS))
    assert page is None or page.answers.keys() == {TASK_ID}


@pytest.mark.parametrize(
    "body", [{"LicenseConversionTasks": None}, {}, NOTHING, {**NOTHING, "NextToken": None}], ids=repr
)
def test_a_listing_without_tasks_is_an_empty_one(wire: Wire, body: Any) -> None:
    wire.answers(body)

    page = LicenseManager(ROLE).page_of(Status.IN_PROGRESS)

    assert (page.answers, page.token) == ({}, "")
