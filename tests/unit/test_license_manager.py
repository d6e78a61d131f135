"""License Manager's answers, as botocore hands them over: a real client, and bytes in place of the network."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.request import Account
from tests.unit.network import Network, refusal
from tests.unit.one_gate import INSTANCE, TASK_ID

ROLE = "arn:aws:iam::123456789012:role/license-conversion-gate"
READER = Account("arn:aws:iam::210987654321:role/reader", region="eu-central-1")
URL = "https://license-manager.us-east-1.amazonaws.com/"
GET, LIST = "GetLicenseConversionTask", "ListLicenseConversionTasks"
OLD, NEW = 1_763_833_195, 1_763_833_999


def get_task() -> ConversionTask:
    return LicenseManager(ROLE).get_task(TASK_ID)


def newest_task() -> ConversionTask:
    return LicenseManager(ROLE).newest_task(INSTANCE)


def error_of(kind: type[Exception], call: Callable[[], object]) -> Any:
    with pytest.raises(kind) as raised:
        call()
    return raised.value


def of_instance(task_id: str, **more: Any) -> dict[str, Any]:
    return {"LicenseConversionTaskId": task_id, "ResourceArn": INSTANCE, "Status": "IN_PROGRESS", **more}


def listed(*found: Any, **more: Any) -> dict[str, Any]:
    return {"LicenseConversionTasks": list(found), **more}


# A task


def test_an_answer_is_a_task_in_the_services_own_shape(network: Network) -> None:
    said = of_instance(TASK_ID, Status="SUCCEEDED", SourceLicenseContext={"UsageOperation": "RunInstances:0800"})
    network.answers(GET, {**said, "StatusMessage": None, "StartTime": OLD + 0.5})

    task = get_task()

    assert network.call(GET).said == {"LicenseConversionTaskId": TASK_ID}
    assert task.status is Status.SUCCEEDED
    assert task.shape == {**said, "StartTime": "2025-11-22T17:39:55Z"}


@pytest.mark.parametrize(
    "body",
    [
        *("{}", "", "<html>", "\x00"),
        {"Status": ["SUCCEEDED"]},
        {"LicenseConversionTaskId": 5, "Status": "SUCCEEDED"},
        {"StartTime": "0001-01-01T00:00:00+14:00"},
        {"EndTime": "9999-12-31T23:59:59-14:00"},
    ],
    ids=repr,
)
def test_a_service_that_lies_gets_no_outcome_believed(network: Network, body: Any) -> None:
    network.answers(GET, body)

    task = get_task()

    assert not task.terminal
    assert all(type(value) is str for value in task.attributes().values())


# What ends a gate


@pytest.mark.parametrize(
    ("code", "ends_as", "grace", "says"),
    [
        ("InvalidParameterValueException", InvalidRequest, 10, f"License Manager refuses the task id {TASK_ID}"),
        ("ValidationException", InvalidRequest, 10, f"License Manager refuses the task id {TASK_ID}"),
        ("AccessDeniedException", AccessDenied, 30, f"license-manager:{GET} is denied to {ROLE}"),
        ("AuthorizationException", AccessDenied, 30, f"license-manager:{GET} is denied to {ROLE}"),
    ],
)
def test_a_refused_id_and_a_denial_end_the_gate_after_the_grace_of_a_new_task_and_of_a_new_role(
    network: Network, code: str, ends_as: type[GateError], grace: int, says: str
) -> None:
    network.refuses(GET, code)

    refused = error_of(ends_as, get_task)

    assert (str(refused), refused.grace) == (f"{says}: It said so. ({code}).", grace)
    assert network.operations() == [GET]


@pytest.mark.parametrize(
    ("code", "status", "ends_as", "says"),
    [
        ("UnrecognizedClientException", 400, AccessDenied, "does not take the credentials"),
        ("InvalidSignatureException", 403, AccessDenied, "does not take the credentials"),
        ("SubscriptionRequiredException", 400, AccessDenied, "is License Manager set up there?"),
        ("OptInRequired", 403, AccessDenied, "Is the region enabled for the account"),
        ("RegionDisabledException", 403, InvalidRequest, "Enable the region for the account."),
        ("RequestExpired", 400, InvalidRequest, "refuses GetLicenseConversionTask"),
        ("SomethingNew", 400, InvalidRequest, "refuses GetLicenseConversionTask"),
        ("", 401, AccessDenied, "does not take the credentials"),
        ("", 403, AccessDenied, "does not take the credentials"),
        ("", 404, InvalidRequest, "refuses GetLicenseConversionTask"),
    ],
)
def test_every_other_refusal_ends_the_gate_after_the_grace_with_the_error_the_region_and_what_to_do(
    network: Network, code: str, status: int, ends_as: type[GateError], says: str
) -> None:
    network.refuses(GET, code, status=status)

    refused = error_of(ends_as, lambda: LicenseManager(ROLE, Account(region="ap-south-1")).get_task(TASK_ID))

    assert refused.grace == 30
    for part in (says, code or str(status), "It said so.", "in region ap-south-1: "):
        assert part in str(refused)


def test_a_refusal_in_the_functions_own_region_says_so(network: Network) -> None:
    network.refuses(GET, "OptInRequired", status=403)

    with pytest.raises(AccessDenied, match=f"credentials of {ROLE} in the function's own region"):
        get_task()


STS = "<ErrorResponse><Error><Code>{}</Code><Message>It said so.</Message></Error></ErrorResponse>"


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (STS.format("AccessDenied"), 403, f"sts:AssumeRole on {READER.role_arn} is denied to {ROLE}: It said so. ("),
        (STS.format("ValidationError"), 400, f"AWS STS refuses the role {READER.role_arn}: It said so. ("),
        (STS.format("Throttling"), 400, "AWS STS answered Throttling: It said so."),
        (STS.format("InternalFailure"), 500, "AWS STS answered InternalFailure: It said so."),
        ("<ErrorResponse/>", 503, "AWS STS answered 503: "),
    ],
)
def test_what_sts_says_is_said_of_sts_and_of_the_functions_own_role(
    network: Network, body: str, status: int, says: str
) -> None:
    network.answers("AssumeRole", body, status=status)

    said = error_of(Exception, lambda: LicenseManager(ROLE, READER).get_task(TASK_ID))

    assert str(said).startswith(says)
    assert network.operations() == ["AssumeRole"]


def test_what_the_service_says_at_great_length_still_fits_into_a_cause(network: Network) -> None:
    network.refuses(GET, "ValidationException", "x" * 300_000)

    assert len(str(error_of(InvalidRequest, get_task))) <= 32_768


# The newest task of a resource


def test_the_newest_of_a_resource_is_the_task_that_started_last_on_whatever_page(network: Network) -> None:
    new, unknown = of_instance("lct-new", StartTime=NEW), of_instance("lct-unknown")
    del new["ResourceArn"]
    of_another = of_instance("lct-other", StartTime=NEW + 1, ResourceArn=INSTANCE + "1")
    network.answers(
        LIST,
        listed(new, unknown, NextToken="more"),
        listed(of_instance("lct-zold", StartTime=OLD), of_another),
    )

    assert newest_task().task_id == "lct-new"
    listing = {"Filters": [{"Name": "ResourceArns", "Values": [INSTANCE]}]}
    assert [call.said for call in network.calls] == [listing, {**listing, "NextToken": "more"}]


@pytest.mark.parametrize("start", [{}, {"StartTime": OLD}], ids=["not said", "long ago"])
@pytest.mark.parametrize("ended", ["SUCCEEDED", "FAILED"])
def test_a_task_that_runs_is_newer_than_one_that_has_ended_whenever_it_started(
    network: Network, ended: str, start: dict[str, Any]
) -> None:
    """A resource has one conversion at a time, and a task that was only just made may have no StartTime yet."""
    before, older = (of_instance(task_id, Status=ended, StartTime=NEW) for task_id in ("lct-before", "lct-older"))
    network.answers(LIST, listed(before, of_instance(TASK_ID, **start), older))

    assert newest_task().task_id == TASK_ID


@pytest.mark.parametrize("found", [{}, listed(of_instance("lct-theirs", ResourceArn=INSTANCE + "0"))])
def test_a_resource_without_a_task_is_refused_when_its_task_can_be_too_new_no_more(
    network: Network, found: dict[str, Any]
) -> None:
    network.answers(LIST, found)

    refused = error_of(InvalidRequest, newest_task)

    assert str(refused) == f"ResourceArn: License Manager has no conversion task of {INSTANCE}."
    assert refused.grace == 10


def test_a_list_that_is_refused_names_what_was_asked_for(network: Network) -> None:
    network.refuses(LIST, "InvalidParameterValueException", "No.")

    with pytest.raises(InvalidRequest, match=f"refuses the filter ResourceArns {INSTANCE}: No"):
        newest_task()
    network.refuses(LIST, "AccessDeniedException")
    assert f"license-manager:{LIST} is denied to {ROLE}" in str(error_of(AccessDenied, newest_task))


def test_a_list_without_an_end_is_no_outcome(network: Network) -> None:
    network.answers(LIST, listed(of_instance(TASK_ID), NextToken="the same again"))

    unknown = error_of(StillUnknown, newest_task)

    assert unknown.throttled is False
    assert str(unknown) == f"License Manager lists tasks of {INSTANCE} without an end"
    assert len(network.calls) == 100


# An endpoint whose name does not exist


def resolver_fails(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the error of this name: urllib3 and botocore wrap it as ever."""

    def resolve(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(getattr(socket, name), "what the resolver says")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


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
    monkeypatch: pytest.MonkeyPatch, name: str, region: str, says: str
) -> None:
    resolver_fails(monkeypatch, name)

    refused = error_of(InvalidRequest, lambda: LicenseManager(ROLE, Account(region=region)).get_task(TASK_ID))

    assert str(refused) == f"Region: no endpoint of License Manager has a name that {says}"
    assert refused.grace == 30


@pytest.mark.parametrize("name", ["EAI_AGAIN", "EAI_FAIL", "EAI_SYSTEM", "EAI_MEMORY"])
def test_a_name_service_that_does_not_answer_now_is_no_outcome_about_the_region(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    resolver_fails(monkeypatch, name)

    with pytest.raises(StillUnknown):
        get_task()


# What does not

THROTTLES = """RateLimitExceededException ThrottlingException Throttling TooManyRequestsException RequestThrottled
RequestThrottledException ThrottledException EC2ThrottledException ProvisionedThroughputExceededException
BandwidthLimitExceeded LimitExceededException PriorRequestNotComplete"""


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((code, 400) for code in THROTTLES.split()),
        ("RequestLimitExceeded", 503),
        ("SlowDown", 503),
        ("SomethingElse", 429),
        ("", 429),
    ],
)
def test_a_throttle_is_no_outcome_and_is_not_repeated_at_once(network: Network, code: str, status: int) -> None:
    network.refuses(GET, code, "Rate exceeded", status=status)

    unknown = error_of(StillUnknown, get_task)

    assert unknown.throttled is True
    assert str(unknown) == f"License Manager answered {code or status}: Rate exceeded"
    assert network.operations() == [GET]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(refusal("ServerInternalException")[1], 500, id="the service's own fault"),
        pytest.param(refusal("ServerInternalException")[1], 400, id="the same, by its name alone"),
        pytest.param(refusal("ServiceUnavailable")[1], 503, id="unavailable"),
        pytest.param("", 500, id="no body"),
        pytest.param("<html>Bad Gateway</html>", 502, id="HTML"),
        pytest.param("{", 504, id="half a body"),
        pytest.param("{}", 302, id="a redirection"),
    ],
)
def test_a_fault_of_the_service_is_no_outcome_and_no_throttle(network: Network, body: Any, status: int) -> None:
    network.answers(GET, body, status=status)

    unknown = error_of(StillUnknown, get_task)

    assert unknown.throttled is False
    assert str(unknown).startswith("License Manager answered ")
    assert network.operations() == [GET]


@pytest.mark.parametrize(
    "fault",
    [
        ConnectTimeoutError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
        EndpointConnectionError(endpoint_url=URL),
        NoCredentialsError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_of_the_network_is_no_outcome(network: Network, fault: Exception) -> None:
    network.answers(GET, fault)

    unknown = error_of(StillUnknown, get_task)

    assert unknown.throttled is False
    assert type(fault).__name__ in str(unknown)
    assert network.operations() == [GET]


# What no service should say

NO_TIMES: list[Any] = ["soon", [1], {}, float("nan"), 1_763_833_195_500, -1e12, float("inf")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"\xff\xfe", 200, id="bytes that are no UTF-8"),
        pytest.param("[]", 200, id="a list"),
        pytest.param('"SUCCEEDED"', 200, id="a text"),
        pytest.param("null", 200, id="null"),
        pytest.param("[" * 100_000, 200, id="lists without end"),
        *(pytest.param({"StartTime": time}, 200, id=f"{time} for a time") for time in NO_TIMES),
        pytest.param({"SourceLicenseContext": [1]}, 200, id="a list for a context"),
        pytest.param({"SourceLicenseContext": {"ProductCodes": 5}}, 200, id="a number for codes"),
        pytest.param("[]", 400, id="a list for an error"),
        pytest.param("null", 503, id="null for an error"),
        pytest.param({"__type": [1]}, 400, id="a list for a code"),
    ],
)
def test_an_answer_that_makes_no_sense_is_no_outcome(network: Network, body: Any, status: int) -> None:
    network.answers(GET, body, status=status)

    assert error_of(StillUnknown, get_task).throttled is False


@pytest.mark.parametrize("token", [True, 5, ["x"], {"x": "y"}], ids=repr)
def test_a_token_that_is_no_text_is_not_the_end_of_a_list(network: Network, token: Any) -> None:
    """The newest task may stand on the next page."""
    network.answers(LIST, listed(of_instance(TASK_ID), NextToken=token))

    with pytest.raises(StillUnknown):
        newest_task()


@pytest.mark.parametrize(
    "wrong", [None, {}, *({"LicenseConversionTaskId": no_id} for no_id in (None, 5, "x"))], ids=repr
)
def test_what_is_no_task_in_a_listing_hides_none_that_is(network: Network, wrong: Any) -> None:
    network.answers(LIST, listed(wrong, of_instance(TASK_ID), wrong))

    assert newest_task().task_id == TASK_ID
    assert LicenseManager(ROLE).page_of(Status.IN_PROGRESS).answers.keys() == {TASK_ID}


def test_a_task_in_a_listing_has_the_status_that_it_says_whatever_was_asked_for(network: Network) -> None:
    ended = [of_instance(f"lct-{status}", Status=status) for status in ("SUCCEEDED", "FAILED", "CANCELLED")]
    network.answers(LIST, listed(*ended, {"LicenseConversionTaskId": "lct-1"}, of_instance(TASK_ID), NextToken="last"))

    page = LicenseManager(ROLE).page_of(Status.IN_PROGRESS, "more")

    assert network.call(LIST).said == {"Filters": [{"Name": "Status", "Values": ["IN_PROGRESS"]}], "NextToken": "more"}
    assert (set(page.answers), page.token) == ({TASK_ID}, "last")


@pytest.mark.parametrize("body", [{"LicenseConversionTasks": None}, {}, listed(NextToken=None)], ids=repr)
def test_a_listing_without_tasks_is_an_empty_one(network: Network, body: Any) -> None:
    network.answers(LIST, body)

    page = LicenseManager(ROLE).page_of(Status.IN_PROGRESS)

    assert "NextToken" not in network.call(LIST).said
    assert (page.answers, page.token) == ({}, "")
