"""The License Manager of the local cloud, as boto3 and another process see it: what the tests of the product lean on."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local_cloud.license_manager import LicenseManagerServer

if TYPE_CHECKING:
    from mypy_boto3_license_manager.client import LicenseManagerClient

START = 1_763_833_195.5
INSTANCE_ID = "i-0123456789abcdef0"
INSTANCE = f"arn:aws:ec2:us-east-1:123456789012:instance/{INSTANCE_ID}"
OTHER_INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0fedcba9876543210"


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


def client_of(server: LicenseManagerServer, region: str = "us-east-1") -> "LicenseManagerClient":
    config = Config(retries={"total_max_attempts": 1})
    return boto3.client("license-manager", endpoint_url=server.url, region_name=region, config=config)


@pytest.fixture
def client(server: LicenseManagerServer) -> "LicenseManagerClient":
    return client_of(server)


def error_of(client: "LicenseManagerClient", task_id: str = "lct-1") -> tuple[str, int]:
    with pytest.raises(ClientError) as refused:
        client.get_license_conversion_task(LicenseConversionTaskId=task_id)
    return refused.value.response["Error"]["Code"], refused.value.response["ResponseMetadata"]["HTTPStatusCode"]


def members_of(client: "LicenseManagerClient", task_id: str) -> dict[str, Any]:
    return dict(client.get_license_conversion_task(LicenseConversionTaskId=task_id))


def ids_of(client: "LicenseManagerClient", **parameters: Any) -> list[str]:
    found = client.list_license_conversion_tasks(**parameters)["LicenseConversionTasks"]
    return [task["LicenseConversionTaskId"] for task in found]


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


# Tasks


def test_a_task_tells_of_its_end_when_its_duration_is_over(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    task_id = server.add_task(duration=60, status_message="Converted.")
    clock.now += 59.9
    running = members_of(client, task_id)
    clock.now += 100
    ended = members_of(client, task_id)

    assert (running["Status"], running["StartTime"]) == ("IN_PROGRESS", datetime.fromtimestamp(START, UTC))
    assert not running.keys() & {"StatusMessage", "LicenseConversionTime", "EndTime"}
    assert (ended["Status"], ended["StatusMessage"]) == ("SUCCEEDED", "Converted.")
    assert ended["EndTime"] == ended["LicenseConversionTime"] == datetime.fromtimestamp(START + 60, UTC)


def test_a_failed_task_says_why_and_has_converted_nothing(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    failed = members_of(client, server.add_task(duration=0, end_status="FAILED"))

    assert failed["Status"] == "FAILED"
    assert failed["StatusMessage"].startswith(f"Instance [{INSTANCE_ID}] is launched from an Amazon owned AMI.")
    assert "LicenseConversionTime" not in failed


def test_a_task_is_finished_when_a_test_says_so(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    task_id = server.add_task(duration=float("inf"))
    clock.now += 1_000_000.123
    assert members_of(client, task_id)["Status"] == "IN_PROGRESS"

    server.finish_task(task_id, "FAILED", "Enough.")
    assert members_of(client, task_id)["StatusMessage"] == "Enough."


def test_a_task_is_known_in_its_region_alone(server: LicenseManagerServer) -> None:
    task_id = server.add_task(region="eu-west-1")

    assert ids_of(client_of(server, "eu-west-1")) == [task_id]
    assert ids_of(client_of(server)) == []
    assert error_of(client_of(server), task_id) == ("InvalidParameterValueException", 400)


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


# A conversion that a caller begins


def test_a_conversion_that_is_begun_takes_the_configured_end(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=3, end_status="FAILED", status_message="Out of luck.")
    task_id = begin(client)
    clock.now += 3
    ended = members_of(client, task_id)

    assert (ended["ResourceArn"], len(task_id)) == (INSTANCE, len("lct-") + 17)
    assert (ended["Status"], ended["StatusMessage"]) == ("FAILED", "Out of luck.")


def test_a_conversion_is_begun_of_a_stopped_instance_alone(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    server.instance_state = {INSTANCE_ID: "running"}.get
    said = f"Instance [{INSTANCE_ID}] is running: it must be in the stopped state."
    assert refusal(client) == ("InvalidParameterValueException", said)

    server.instance_state = {INSTANCE_ID: "stopped"}.get
    assert begin(client).startswith("lct-")


def test_an_instance_is_converted_once_at_a_time(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=3)
    begin(client)
    assert refusal(client)[1] == f"A license conversion of instance [{INSTANCE_ID}] is in progress."

    clock.now += 3
    assert begin(client, "RunInstances:0800", billed_as="RunInstances:0002").startswith("lct-")


def test_a_conversion_is_begun_from_what_the_instance_is_billed_as(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
    server.configure(duration=0)
    begin(client)

    billed = "{'UsageOperation': 'RunInstances:0002'}, and not as {'UsageOperation': 'RunInstances:0800'}"
    assert refusal(client)[1] == f"Instance [{INSTANCE_ID}] is billed as {billed}."


def test_so_many_conversions_are_begun_in_a_day(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    server.configure(duration=0, tasks_a_day=2)
    begin(client)
    clock.now += 3600
    begin(client, billed_as="RunInstances:0002")
    said = "No more than 2 license conversions can be begun in 24 hours."
    assert refusal(client) == ("RateLimitExceededException", said)

    clock.now += 23 * 3600
    begin(client, billed_as="RunInstances:0002")


def test_an_instance_is_billed_as_the_last_conversion_that_succeeded_says(
    server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch
) -> None:
    """Another process asks for it: the EC2 of the local cloud."""

    def billed(instance_id: str = INSTANCE_ID) -> Any:
        asked = json.dumps({"instance_id": instance_id}).encode()
        with urllib.request.urlopen(f"{server.url}/_control/license_context", asked, timeout=5) as answer:  # noqa: S310
            return json.load(answer)["UsageOperation"]

    server.configure(duration=3)
    begin(client)
    assert billed() == "RunInstances:0800"

    clock.now += 3
    server.add_task(resource_arn=INSTANCE, destination="RunInstances:0102", end_status="FAILED", duration=0)
    assert billed() == "RunInstances:0002"

    begin(client, "RunInstances:0202", billed_as="RunInstances:0002")
    clock.now += 3
    assert billed() == "RunInstances:0202"
    assert billed("i-0fedcba9876543210") == "RunInstances:0800"


# The list


def test_the_list_comes_in_pages_in_no_order_and_is_complete(
    server: LicenseManagerServer, client: "LicenseManagerClient"
) -> None:
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
    assert sorted(listed) == added != listed
    assert len(ids_of(client, MaxResults=2)) == 2


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
    with pytest.raises(ClientError, match="is not a filter"):
        ids_of(client, Filters=[{"Name": "status", "Values": ["SUCCEEDED"]}])


# Faults, and what is remembered


@pytest.mark.parametrize(("fault", "status"), [("AccessDeniedException", 400), ("ServerInternalException", 500)])
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
    server.faults.queue("AccessDeniedException", times=5)

    codes = [error_of(client)[0] for _ in range(5)]
    with pytest.raises(ClientError, match="ServerInternalException"):
        client.list_license_conversion_tasks()

    assert codes == ["RateLimitExceededException"] * 2 + ["AccessDeniedException"] * 3
    server.faults.clear()
    assert ids_of(client) == []


def test_a_fault_can_be_for_one_task(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    mine, other = server.add_task(), server.add_task()
    server.faults.queue("AccessDeniedException", task_id=mine)

    assert len(ids_of(client)) == 2
    assert members_of(client, other)
    assert error_of(client, mine) == ("AccessDeniedException", 400)
    assert members_of(client, mine)


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


def test_iam_may_deny_a_call(server: LicenseManagerServer, client: "LicenseManagerClient") -> None:
    server.denial = lambda operation, _parameters, region, key: f"{key} may not {operation} in {region}"

    with pytest.raises(
        ClientError, match="AKIATESTTESTTESTTEST may not GetLicenseConversionTask in us-east-1"
    ) as denied:
        members_of(client, server.add_task())

    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


def test_each_call_is_remembered(server: LicenseManagerServer, client: "LicenseManagerClient", clock: Epoch) -> None:
    server.faults.queue("ServerInternalException")
    error_of(client, "lct-1")
    clock.now += 5
    error_of(client, "lct-1")
    client.list_license_conversion_tasks(MaxResults=1)

    first, second, third = server.calls

    assert (first.operation, first.parameters) == ("GetLicenseConversionTask", {"LicenseConversionTaskId": "lct-1"})
    assert (third.operation, third.parameters) == ("ListLicenseConversionTasks", {"MaxResults": 1})
    assert [call.answer for call in server.calls] == ["ServerInternalException", "InvalidParameterValueException", "OK"]
    assert (first.time, second.time) == (START, START + 5)
    assert server.calls_for("lct-1") == [first, second]
