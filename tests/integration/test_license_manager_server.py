"""The License Manager of the local cloud, seen through boto3, its HTTP commands, the AWS CLI and moto."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from moto import mock_aws

from tests.local_cloud.license_manager import ConversionService, LicenseManagerServer, in_process

if TYPE_CHECKING:
    from mypy_boto3_license_manager.client import LicenseManagerClient

START = 1_763_833_195.5
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
OTHER_INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0fedcba9876543210"
MARKETPLACE_CODE = {"ProductCodeId": "8hjj2k3l4m5n6p7q", "ProductCodeType": "marketplace"}


class Epoch:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Epoch:
    return Epoch()


@pytest.fixture
def server(clock: Epoch) -> Iterator[LicenseManagerServer]:
    with LicenseManagerServer(clock=clock) as server:
        yield server


def client_of(url: str | None, *, region: str = "us-east-1", **settings: Any) -> "LicenseManagerClient":
    config = Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 5, **settings})
    return boto3.client(
        "license-manager",
        endpoint_url=url,
        region_name=region,
        aws_access_key_id="AKIATESTTESTTESTTEST",
        aws_secret_access_key="testing",
        config=config,
    )


@pytest.fixture
def client(server: LicenseManagerServer) -> "LicenseManagerClient":
    return client_of(server.url)


def error_of(client: "LicenseManagerClient", task_id: str = "lct-1") -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        client.get_license_conversion_task(LicenseConversionTaskId=task_id)
    return refused.value.response["Error"]["Code"], refused.value.response["ResponseMetadata"]["HTTPStatusCode"]


def members_of(client: "LicenseManagerClient", task_id: str) -> dict[str, Any]:
    answer = dict(client.get_license_conversion_task(LicenseConversionTaskId=task_id))
    answer.pop("ResponseMetadata")
    return answer


def ids_of(client: "LicenseManagerClient", **parameters: Any) -> list[str]:
    found = client.list_license_conversion_tasks(**parameters)["LicenseConversionTasks"]
    return [task["LicenseConversionTaskId"] for task in found]


def command(server: LicenseManagerServer, command: str, /, **arguments: Any) -> Any:
    body = json.dumps(arguments).encode() if arguments else None
    with urllib.request.urlopen(f"{server.url}/_control/{command}", data=body, timeout=5) as answer:  # noqa: S310
        return json.load(answer)


# Tasks


def test_a_task_in_progress_leaves_out_what_is_not_known_yet(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    task_id = server.add_task(duration=60)

    assert members_of(client, task_id) == {
        "LicenseConversionTaskId": task_id,
        "ResourceArn": INSTANCE,
        "SourceLicenseContext": {"UsageOperation": "RunInstances:0800"},
        "DestinationLicenseContext": {"UsageOperation": "RunInstances:0002"},
        "Status": "IN_PROGRESS",
        "StartTime": datetime.fromtimestamp(START, UTC),
    }


def test_a_task_succeeds_when_its_duration_is_over(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    task_id = server.add_task(duration=60, status_message="Converted.")
    clock.now += 59.9
    assert members_of(client, task_id)["Status"] == "IN_PROGRESS"

    clock.now += 100
    ended = members_of(client, task_id)

    assert (ended["Status"], ended["StatusMessage"]) == ("SUCCEEDED", "Converted.")
    assert ended["EndTime"] == ended["LicenseConversionTime"] == datetime.fromtimestamp(START + 60, UTC)


def test_a_failed_task_says_why(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    failed = members_of(client, server.add_task(duration=0, end_status="FAILED"))

    assert failed["Status"] == "FAILED"
    assert failed["StatusMessage"].startswith("Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI.")
    assert "LicenseConversionTime" not in failed


def test_contexts_start_time_and_absent_members_can_be_chosen(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    task_id = server.add_task(
        "lct-chosen",
        source={"UsageOperation": "RunInstances:0010", "ProductCodes": [MARKETPLACE_CODE]},
        destination="RunInstances:0g00",
        start_time=START - 10,
        duration=60,
        status_message="Working on it.",
        absent_in_progress=["EndTime"],
    )

    members = members_of(client, task_id)

    assert members["SourceLicenseContext"]["ProductCodes"] == [MARKETPLACE_CODE]
    assert members["DestinationLicenseContext"] == {"UsageOperation": "RunInstances:0g00"}
    assert members["StartTime"] == datetime.fromtimestamp(START - 10, UTC)
    assert members["StatusMessage"] == "Working on it."
    assert "LicenseConversionTime" in members
    assert "EndTime" not in members


def test_a_task_is_created_as_on_aws_and_takes_the_configured_end(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=3, end_status="FAILED", status_message="Out of luck.")
    task_id = client.create_license_conversion_task_for_resource(
        ResourceArn=OTHER_INSTANCE,
        SourceLicenseContext={"UsageOperation": "RunInstances:0800"},
        DestinationLicenseContext={"UsageOperation": "RunInstances:0002"},
    )["LicenseConversionTaskId"]
    assert members_of(client, task_id)["Status"] == "IN_PROGRESS"

    clock.now += 3
    ended = members_of(client, task_id)

    assert len(task_id) == len("lct-") + 17
    assert ended["ResourceArn"] == OTHER_INSTANCE
    assert (ended["Status"], ended["StatusMessage"]) == ("FAILED", "Out of luck.")


def test_a_task_can_be_finished_changed_and_forgotten(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    task_id = server.add_task(duration=float("inf"))
    clock.now += 1_000_000.123
    assert members_of(client, task_id)["Status"] == "IN_PROGRESS"

    server.finish_task(task_id, "FAILED", "Enough.")
    assert members_of(client, task_id)["StatusMessage"] == "Enough."

    server.change_task(task_id, end_status="SUCCEEDED", resource_arn=OTHER_INSTANCE)
    assert members_of(client, task_id)["ResourceArn"] == OTHER_INSTANCE

    server.delete_task(task_id)
    assert error_of(client, task_id) == ("InvalidParameterValueException", 400)


@pytest.mark.parametrize("task_id", ["lct-unknown", "", "no id at all"])
def test_an_id_that_is_not_known_is_an_invalid_parameter_value(client: "LicenseManagerClient", task_id: str) -> None:
    assert error_of(client, task_id) == ("InvalidParameterValueException", 400)


def test_a_task_of_a_region_is_known_there_alone(server: LicenseManagerServer) -> None:
    task_id = server.add_task(region="eu-west-1")

    assert ids_of(client_of(server.url, region="eu-west-1")) == [task_id]
    assert ids_of(client_of(server.url)) == []
    assert error_of(client_of(server.url), task_id) == ("InvalidParameterValueException", 400)


def test_a_task_can_lie(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    task_id = server.add_task(
        duration=0,
        lies={"Status": "PENDING_APPROVAL", "StatusMessage": None, "LicenseConversionTaskId": "lct-another"},
        without=["StartTime", "EndTime", "LicenseConversionTime"],
    )

    members = members_of(client, task_id)

    assert server.tasks[0]["StatusMessage"] is None, "a null on the wire, which botocore drops"
    assert members.keys() == {
        "LicenseConversionTaskId", "ResourceArn", "SourceLicenseContext", "DestinationLicenseContext", "Status"
    }  # fmt: skip
    assert (members["LicenseConversionTaskId"], members["Status"]) == ("lct-another", "PENDING_APPROVAL")


def test_a_task_can_have_no_status(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    assert "Status" not in members_of(client, server.add_task(without=["Status"]))


@pytest.mark.parametrize(
    ("arn", "context", "error"),
    [
        ("not an ARN", {"UsageOperation": "RunInstances:0002"}, "InvalidParameterValueException"),
        (INSTANCE, {}, "ValidationException"),
    ],
)
def test_a_conversion_that_makes_no_sense_is_refused(
    client: "LicenseManagerClient", arn: str, context: Any, error: str
) -> None:
    with pytest.raises(ClientError) as refused:
        client.create_license_conversion_task_for_resource(
            ResourceArn=arn, SourceLicenseContext=context, DestinationLicenseContext=context
        )
    assert refused.value.response["Error"]["Code"] == error


def begin(client: "LicenseManagerClient", to: str = "RunInstances:0002", billed_as: str = "RunInstances:0800") -> str:
    return client.create_license_conversion_task_for_resource(
        ResourceArn=INSTANCE,
        SourceLicenseContext={"UsageOperation": billed_as},
        DestinationLicenseContext={"UsageOperation": to},
    )["LicenseConversionTaskId"]


def refusal(client: "LicenseManagerClient") -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        begin(client)
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_a_conversion_is_begun_of_a_stopped_instance_alone(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    states = {"i-0123456789abcdef0": "running"}
    server.instance_state = states.get
    error, said = refusal(client)
    assert error == "InvalidParameterValueException"
    assert said == "Instance [i-0123456789abcdef0] is running: it must be in the stopped state."

    states["i-0123456789abcdef0"] = "stopped"
    assert begin(client).startswith("lct-")

    states.clear()
    assert refusal(client) == ("InvalidParameterValueException", "Instance [i-0123456789abcdef0] was not found.")


def test_an_instance_is_converted_once_at_a_time(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=3)
    begin(client)
    assert refusal(client)[1] == "A license conversion of instance [i-0123456789abcdef0] is in progress."

    clock.now += 3
    assert begin(client, "RunInstances:0800", billed_as="RunInstances:0002").startswith("lct-")


def test_a_conversion_is_begun_from_what_the_instance_is_billed_as(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    server.configure(duration=0)
    begin(client)

    billed = "{'UsageOperation': 'RunInstances:0002'}, and not as {'UsageOperation': 'RunInstances:0800'}"
    assert refusal(client)[1] == f"Instance [i-0123456789abcdef0] is billed as {billed}."


def test_so_many_conversions_are_begun_in_a_day(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=0, tasks_a_day=2)
    begin(client)
    clock.now += 3600
    begin(client, billed_as="RunInstances:0002")
    error, said = refusal(client)
    assert (error, said) == (
        "RateLimitExceededException",
        "No more than 2 license conversions can be begun in 24 hours.",
    )

    clock.now += 23 * 3600
    begin(client, billed_as="RunInstances:0002")


def test_what_an_instance_is_billed_as_is_what_the_last_conversion_has_changed_though_it_failed_then(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=3)
    instance = INSTANCE.rpartition("/")[2]
    begin(client)
    assert server.license_context(instance) == {"UsageOperation": "RunInstances:0800"}

    clock.now += 3
    server.add_task(resource_arn=INSTANCE, destination="RunInstances:0102", end_status="FAILED", duration=0)
    assert command(server, "license_context", instance_id=instance) == {"UsageOperation": "RunInstances:0002"}

    begin(client, "RunInstances:0202", billed_as="RunInstances:0002")
    clock.now += 3
    assert server.license_context(instance) == {"UsageOperation": "RunInstances:0202"}
    assert server.license_context("i-0fedcba9876543210") == {"UsageOperation": "RunInstances:0800"}

    clock.now += 1
    codes = {
        "UsageOperation": "RunInstances:0010",
        "ProductCodes": [{"ProductCodeId": "c", "ProductCodeType": "marketplace"}],
    }
    changed = {"LicenseConversionTime": clock.now}
    server.add_task(resource_arn=INSTANCE, destination=codes, end_status="FAILED", duration=0, lies=changed)
    assert server.license_context(instance) == codes


# The list


def test_the_list_comes_in_pages_in_no_order_and_is_complete(server: LicenseManagerServer) -> None:
    client = client_of(server.url)
    added = [server.add_task(f"lct-{number:04}") for number in range(25)]
    server.configure(page_size=10)
    pages, parameters = [], dict[str, Any]()
    while True:
        answer = client.list_license_conversion_tasks(**parameters)
        pages.append([task["LicenseConversionTaskId"] for task in answer["LicenseConversionTasks"]])
        if "NextToken" not in answer:
            break
        parameters = {"NextToken": answer["NextToken"]}
    listed = [task_id for page in pages for task_id in page]

    assert [len(page) for page in pages] == [10, 10, 5]
    assert sorted(listed) == added
    assert listed != added

    server.configure(seed=1, page_size=50)
    assert ids_of(client) != listed
    assert sorted(ids_of(client)) == added


def test_max_results_makes_a_page_smaller_but_never_larger(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    server.configure(page_size=3)
    for _ in range(5):
        server.add_task()

    assert len(ids_of(client, MaxResults=2)) == 2
    assert len(ids_of(client, MaxResults=100)) == 3


def test_a_page_goes_on_where_the_last_one_ended_when_tasks_come_and_go(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    added = {server.add_task(f"lct-{number}") for number in range(10)}
    first = client.list_license_conversion_tasks(MaxResults=5)
    seen = [task["LicenseConversionTaskId"] for task in first["LicenseConversionTasks"]]
    server.delete_task(seen[4])
    server.add_task("lct-late")

    rest = ids_of(client, NextToken=first["NextToken"])

    assert set(seen) | set(rest) >= added
    assert not set(seen) & set(rest)


def test_the_list_filters_by_resource_and_by_status(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    running = server.add_task(duration=60)
    ended = server.add_task(duration=0)
    elsewhere = server.add_task(duration=0, resource_arn=OTHER_INSTANCE)
    status = {"Name": "Status", "Values": ["SUCCEEDED"]}
    resource = {"Name": "ResourceArns", "Values": [INSTANCE]}

    assert set(ids_of(client, Filters=[status])) == {ended, elsewhere}
    assert set(ids_of(client, Filters=[resource])) == {running, ended}
    assert ids_of(client, Filters=[status, resource]) == [ended]
    assert ids_of(client, Filters=[{"Name": "Status", "Values": ["succeeded"]}]) == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"Filters": [{"Name": "status", "Values": ["SUCCEEDED"]}]},
        {"Filters": [{"Name": "ResourceArns", "Values": [INSTANCE, OTHER_INSTANCE]}]},
        {"Filters": [{"Name": "Status"}]},
        {"NextToken": "made up"},
        {"MaxResults": 0},
    ],
)
def test_a_list_that_asks_for_too_much_is_refused(client: "LicenseManagerClient", parameters: Any) -> None:
    with pytest.raises(ClientError) as refused:
        client.list_license_conversion_tasks(**parameters)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


# Faults


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("InvalidParameterValueException", 400),
        ("ValidationException", 400),
        ("AuthorizationException", 400),
        ("AccessDeniedException", 400),
        ("RateLimitExceededException", 400),
        ("ThrottlingException", 400),
        ("ServerInternalException", 500),
    ],
)
def test_a_queued_fault_spoils_one_call(
    server: LicenseManagerServer, client: "LicenseManagerClient", fault: str, status: int
) -> None:
    task_id = server.add_task()
    server.faults.queue(fault)

    assert error_of(client, task_id) == (fault, status)
    assert members_of(client, task_id)["Status"] == "IN_PROGRESS"


def test_faults_wait_in_line_each_for_its_own_operation(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    server.faults.queue("ServerInternalException", operation="ListLicenseConversionTasks")
    server.faults.queue("RateLimitExceededException", times=2)
    server.faults.queue("AccessDeniedException", times=None)

    codes = [error_of(client)[0] for _ in range(5)]
    with pytest.raises(ClientError, match="ServerInternalException"):
        client.list_license_conversion_tasks()

    assert codes == ["RateLimitExceededException"] * 2 + ["AccessDeniedException"] * 3
    server.faults.clear()
    assert ids_of(client) == []


def test_access_is_denied_until_told_otherwise(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    task_id = server.add_task()
    server.faults.queue("AccessDeniedException", times=None)
    assert {error_of(client, task_id) for _ in range(3)} == {("AccessDeniedException", 400)}

    server.faults.clear()
    assert members_of(client, task_id)


def test_faults_by_chance_come_as_often_as_said_and_the_same_each_time() -> None:
    def answers(seed: int) -> list[str]:
        service = ConversionService()
        service.faults.rates({"RateLimitExceededException": 0.5, "ServerInternalException": 0.1}, seed=seed)
        for _ in range(2000):
            service.reply("ListLicenseConversionTasks", b"", region="us-east-1", access_key="")
        return [call.answer for call in service.calls]

    counted = Counter(answers(seed=7))

    assert counted["RateLimitExceededException"] == pytest.approx(1000, rel=0.1)
    assert counted["ServerInternalException"] == pytest.approx(200, rel=0.2)
    assert counted["OK"] == pytest.approx(800, rel=0.1)
    assert answers(seed=7) == answers(seed=7) != answers(seed=8)


def test_a_503_of_a_proxy_is_html(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    server.faults.queue("html-503")

    assert error_of(client) == ("503", 503)


def test_a_connection_can_be_reset(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    server.faults.queue("connection-reset", times=2)

    with pytest.raises(ConnectionClosedError):
        client.list_license_conversion_tasks()
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nX-Amz-Target: AWSLicenseManager.ListLicenseConversionTasks"
            b"\r\nAuthorization: AWS4-HMAC-SHA256 Credential=A/20261123/us-east-1/license-manager/aws4_request\r\n\r\n"
        )
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    assert ids_of(client) == []


def test_a_reply_can_be_slow_or_never_come(server: LicenseManagerServer) -> None:
    impatient = client_of(server.url, read_timeout=0.5)
    server.faults.queue("slow-reply", seconds=0.1)
    server.faults.queue("slow-reply")
    server.faults.queue("no-reply")
    began = time.monotonic()

    assert ids_of(impatient) == []
    assert time.monotonic() - began >= 0.1
    with pytest.raises(ReadTimeoutError):
        impatient.list_license_conversion_tasks()
    with pytest.raises(ReadTimeoutError):
        impatient.list_license_conversion_tasks()
    assert [call.answer for call in server.calls] == ["slow-reply", "slow-reply", "no-reply"]


def test_a_fault_can_be_for_one_task(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    mine, other = server.add_task(), server.add_task()
    server.faults.queue("AccessDeniedException", task_id=mine)

    assert len(ids_of(client)) == 2
    assert members_of(client, other)
    assert error_of(client, mine) == ("AccessDeniedException", 400)
    assert members_of(client, mine)

    server.faults.rates({"AccessDeniedException": 1}, task_id=mine)

    assert members_of(client, other)
    assert error_of(client, mine) == ("AccessDeniedException", 400)


def test_a_conversion_can_begin_when_somebody_looks(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(begins_when_seen=True)
    one, listed, none = server.add_task(duration=5), server.add_task(duration=5), server.add_task(duration=0)
    clock.now += 60

    assert members_of(client, one)["Status"] == "IN_PROGRESS"
    assert members_of(client, none)["Status"] == "SUCCEEDED"
    clock.now += 4
    assert set(ids_of(client)) == {one, listed, none}
    clock.now += 1
    assert members_of(client, one)["Status"] == "SUCCEEDED"
    assert members_of(client, listed)["Status"] == "IN_PROGRESS"
    clock.now += 4
    assert members_of(client, listed)["Status"] == "SUCCEEDED"


def test_no_reply_ends_in_a_reset_connection(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    server.faults.queue("no-reply", seconds=0.1)

    with pytest.raises(ConnectionClosedError):
        client.list_license_conversion_tasks()


def test_the_rate_limit_lets_a_burst_through_and_then_so_many_a_second(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.faults.limit(requests_per_second=2, burst=3)
    task_id = server.add_task()
    for _ in range(3):
        members_of(client, task_id)
    assert error_of(client, task_id) == ("RateLimitExceededException", 400)

    clock.now += 0.5
    members_of(client, task_id)
    assert error_of(client, task_id) == ("RateLimitExceededException", 400)


def test_botocore_does_not_retry_a_rate_limit_but_does_retry_a_server_error(server: LicenseManagerServer) -> None:
    client = client_of(server.url, retries={"total_max_attempts": 2, "mode": "standard"})
    server.faults.queue("RateLimitExceededException")
    assert error_of(client) == ("RateLimitExceededException", 400)
    assert len(server.calls) == 1

    server.faults.queue("ServerInternalException")
    assert ids_of(client) == []
    assert len(server.calls) == 3


@pytest.mark.parametrize("mistake", ["RateLimitExceeded", "reset", ""])
def test_a_misspelt_fault_is_refused(server: LicenseManagerServer, mistake: str) -> None:
    with pytest.raises(ValueError, match="is no fault"):
        server.faults.queue(mistake)


def test_rates_share_no_more_than_all_calls(server: LicenseManagerServer) -> None:
    with pytest.raises(ValueError, match="only 1 to share"):
        server.faults.rates({"ThrottlingException": 0.6, "html-503": 0.5})


# What is remembered, and forgotten


def test_each_call_is_remembered(server: LicenseManagerServer, clock: Epoch) -> None:
    client = client_of(server.url, region="eu-west-1")
    server.faults.queue("html-503")
    error_of(client, "lct-1")
    clock.now += 5
    error_of(client, "lct-2")
    client.list_license_conversion_tasks(MaxResults=1)

    first, second, third = server.calls

    assert (first.operation, first.parameters) == ("GetLicenseConversionTask", {"LicenseConversionTaskId": "lct-1"})
    assert (third.operation, third.parameters) == ("ListLicenseConversionTasks", {"MaxResults": 1})
    assert [call.answer for call in (first, second, third)] == ["html-503", "InvalidParameterValueException", "OK"]
    assert (first.time, second.time) == (START, START + 5)
    assert (first.region, first.access_key) == ("eu-west-1", "AKIATESTTESTTESTTEST")


def test_reset_forgets_everything(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    server.add_task()
    server.configure(page_size=1)
    server.faults.limit(requests_per_second=0, burst=0)
    error_of(client)

    server.reset()

    assert (server.calls, server.tasks) == ([], [])
    assert ids_of(client) == []
    with pytest.raises(ValueError, match="cannot be configured"):
        server.configure(pagesize=1)


def test_two_servers_have_nothing_in_common(server: LicenseManagerServer) -> None:
    with LicenseManagerServer() as other:
        other.add_task()
        assert ids_of(client_of(server.url)) == []
        assert len(ids_of(client_of(other.url))) == 1


def test_a_server_listens_on_loopback_alone_and_says_when_the_port_is_taken(server: LicenseManagerServer) -> None:
    port = int(server.url.rpartition(":")[2])

    assert server.url.startswith("http://127.0.0.1:")
    with socket.socket() as elsewhere:
        elsewhere.bind(("127.0.0.2", port))
    with pytest.raises(OSError, match="in use"):
        LicenseManagerServer(port).start()


# From another process


def test_everything_can_be_chosen_over_http(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    command(server, "configure", duration=30, page_size=1)
    task_id = command(server, "add_task", lies={"StatusMessage": None}, region="us-east-1")
    other = command(server, "add_task", task_id="lct-other", without=["Status"])
    assert len(ids_of(client)) == 1

    command(server, "finish_task", task_id=task_id, status="FAILED")
    assert members_of(client, task_id)["Status"] == "FAILED"
    command(server, "change_task", task_id=other, without=[])
    assert command(server, "tasks")[1]["Status"] == "IN_PROGRESS"
    command(server, "delete_task", task_id=other)
    assert error_of(client, other)[0] == "InvalidParameterValueException"

    command(server, "faults/queue", name="ThrottlingException", times=None)
    assert error_of(client, task_id)[0] == "ThrottlingException"
    command(server, "faults/clear")
    command(server, "faults/rates", rates={"html-503": 1})
    assert error_of(client, task_id)[0] == "503"
    command(server, "faults/limit", requests_per_second=0, burst=0)
    assert error_of(client, task_id)[0] == "RateLimitExceededException"

    assert [call["answer"] for call in command(server, "calls")][-2:] == ["html-503", "RateLimitExceededException"]
    command(server, "reset")
    assert command(server, "calls") == command(server, "tasks") == []


@pytest.mark.parametrize(
    ("name", "arguments", "status", "sentence"),
    [
        ("stop", {}, 404, "'stop' is no command"),
        ("finish_task", {"task_id": "lct-unknown"}, 400, "There is no task 'lct-unknown'"),
        ("add_task", {"durration": 3}, 400, "unexpected keyword argument 'durration'"),
        ("add_task", {"duration": "an hour"}, 400, "unsupported operand"),
        ("faults/queue", {"name": "rest"}, 400, "'rest' is no fault"),
    ],
)
def test_a_command_that_is_wrong_says_what_is(
    server: LicenseManagerServer, name: str, arguments: Any, status: int, sentence: str
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        command(server, name, **arguments)

    assert refused.value.code == status
    assert sentence in json.load(refused.value)["error"]


@pytest.mark.skipif(shutil.which("aws") is None, reason="the AWS CLI is not installed")
def test_the_aws_cli_reads_it(server: LicenseManagerServer) -> None:
    task_id = server.add_task(
        duration=0, source={"UsageOperation": "RunInstances:0010", "ProductCodes": [MARKETPLACE_CODE]}
    )
    ours = {"AWS_ENDPOINT_URL_LICENSE_MANAGER": server.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_PAGER": ""}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    arguments = ["get-license-conversion-task", "--license-conversion-task-id", task_id, "--output", "json"]

    found = subprocess.run(  # noqa: S603
        ["aws", "license-manager", *arguments],  # noqa: S607
        env={**os.environ, **ours, **keys},
        capture_output=True,
        check=True,
        timeout=30,
    )

    members = json.loads(found.stdout)
    assert (members["LicenseConversionTaskId"], members["Status"]) == (task_id, "SUCCEEDED")
    assert members["SourceLicenseContext"]["ProductCodes"] == [MARKETPLACE_CODE]


# Through moto itself


def test_mock_aws_reaches_the_same_service_in_process() -> None:
    with mock_aws():
        client = client_of(None, region="eu-central-1")
        task_id = in_process().add_task(duration=0, lies={"StatusMessage": None})
        in_process().faults.queue("ServerInternalException")
        in_process().faults.queue("html-503")
        in_process().faults.queue("connection-reset")
        in_process().faults.queue("no-reply")

        assert error_of(client, task_id) == ("ServerInternalException", 500)
        assert error_of(client, task_id) == ("503", 503)
        with pytest.raises(ConnectionClosedError):
            client.list_license_conversion_tasks()
        with pytest.raises(ReadTimeoutError):
            client.list_license_conversion_tasks()
        assert members_of(client, task_id)["Status"] == "SUCCEEDED"
        assert [call.region for call in in_process().calls] == ["eu-central-1"] * 5


def test_mock_aws_begins_with_an_empty_service_and_leaves_servers_alone(server: LicenseManagerServer) -> None:
    in_process().add_task()
    server.add_task()
    with mock_aws():
        assert in_process().tasks == []
        assert ids_of(client_of(None)) == []
        in_process().add_task()
    assert in_process().tasks == []
    assert len(server.tasks) == 1


def test_motos_own_server_serves_it_too() -> None:
    pytest.importorskip("flask_cors", reason="moto's own server wants it")
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only importable with it

    moto_server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto_server.start()
    try:
        host, port = moto_server.get_host_and_port()
        task_id = in_process().add_task(duration=0)
        assert members_of(client_of(f"http://{host}:{port}"), task_id)["Status"] == "SUCCEEDED"
    finally:
        moto_server.stop()
        in_process().reset()
