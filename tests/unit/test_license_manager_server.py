"""The License Manager of the local cloud, as boto3 sees it: what would make a test of the product pass that should fail."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.local_cloud.license_manager_server import LicenseManagerServer
from tests.simulation.license_manager.conversion_task import RESOURCE_ARN

if TYPE_CHECKING:
    from mypy_boto3_license_manager.client import LicenseManagerClient

INSTANCE_ID = RESOURCE_ARN.rpartition("/")[2]
BYOL, INCLUDED = "RunInstances:0800", "RunInstances:0002"


class LicenseManagerOnTheWire(LicenseManagerServer):
    """`now` is its time, `state` that of each instance."""

    def __init__(self) -> None:
        self.now, self.state = 1_763_833_195.5, "stopped"
        super().__init__(clock=lambda: self.now, instance_state=lambda _: self.state)

    def client(self, region: str = "us-east-1") -> "LicenseManagerClient":
        config = Config(retries={"total_max_attempts": 1})
        return boto3.client("license-manager", endpoint_url=self.url, region_name=region, config=config)

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.client().get_license_conversion_task(LicenseConversionTaskId=task_id))

    def listed(self, region: str = "us-east-1", **parameters: Any) -> list[str]:
        pages = self.client(region).list_license_conversion_tasks(**parameters)
        return [task["LicenseConversionTaskId"] for task in pages["LicenseConversionTasks"]]

    def begin(self, source: str = BYOL, destination: str = INCLUDED) -> None:
        self.client().create_license_conversion_task_for_resource(
            ResourceArn=RESOURCE_ARN,
            SourceLicenseContext={"UsageOperation": source},
            DestinationLicenseContext={"UsageOperation": destination},
        )


@pytest.fixture
def license_manager() -> Iterator[LicenseManagerOnTheWire]:
    with LicenseManagerOnTheWire() as running:
        yield running


def error_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response["Error"]["Code"], refused.value.response["Error"]["Message"]


def test_a_task_tells_of_its_end_when_its_duration_is_over(license_manager: LicenseManagerOnTheWire) -> None:
    task_id = license_manager.add_task(duration=60, status_message="Converted.")
    license_manager.now += 59.9
    running = license_manager.task(task_id)
    license_manager.now += 100
    ended = license_manager.task(task_id)

    assert running["Status"] == "IN_PROGRESS"
    assert not running.keys() & {"StatusMessage", "LicenseConversionTime", "EndTime"}
    assert (ended["Status"], ended["StatusMessage"]) == ("SUCCEEDED", "Converted.")
    assert (ended["EndTime"] - ended["StartTime"]).total_seconds() == 60


def test_a_conversion_can_begin_when_somebody_looks(license_manager: LicenseManagerOnTheWire) -> None:
    license_manager.configure(begins_when_seen=True)
    task_id = license_manager.add_task(duration=5)
    for seconds, status in ((60, "IN_PROGRESS"), (4, "IN_PROGRESS"), (1, "SUCCEEDED")):
        license_manager.now += seconds
        assert license_manager.task(task_id)["Status"] == status


def test_a_task_is_known_in_its_region_alone(license_manager: LicenseManagerOnTheWire) -> None:
    task_id = license_manager.add_task(region="eu-west-1")

    assert license_manager.listed("eu-west-1") == [task_id]
    assert license_manager.listed() == []
    assert error_of(lambda: license_manager.task(task_id))[0] == "InvalidParameterValueException"


def test_a_conversion_is_begun_of_a_stopped_instance_that_is_billed_so_and_once_at_a_time(
    license_manager: LicenseManagerOnTheWire,
) -> None:
    license_manager.state = "running"
    assert f"Instance [{INSTANCE_ID}] is running" in error_of(license_manager.begin)[1]

    license_manager.state = "stopped"
    license_manager.begin()
    assert f"A license conversion of instance [{INSTANCE_ID}] is in progress." in error_of(license_manager.begin)[1]

    license_manager.now += 5
    assert f"Instance [{INSTANCE_ID}] is billed as" in error_of(license_manager.begin)[1]
    license_manager.begin(INCLUDED, BYOL)


def test_the_list_comes_in_pages_in_no_order_and_is_complete(license_manager: LicenseManagerOnTheWire) -> None:
    added = [license_manager.add_task(f"lct-{number:04}") for number in range(25)]
    license_manager.configure(page_size=10)
    pages, more = list[list[str]](), dict[str, Any]()
    while not pages or more:
        answer = license_manager.client().list_license_conversion_tasks(**more)
        pages.append([task["LicenseConversionTaskId"] for task in answer["LicenseConversionTasks"]])
        more = {"NextToken": answer["NextToken"]} if "NextToken" in answer else {}
    listed = [task_id for page in pages for task_id in page]

    assert [len(page) for page in pages] == [10, 10, 5]
    assert sorted(listed) == added != listed
    assert len(license_manager.listed(MaxResults=2)) == 2


def test_the_list_filters_by_resource_and_by_status(license_manager: LicenseManagerOnTheWire) -> None:
    running, ended = license_manager.add_task(duration=60), license_manager.add_task(duration=0)
    elsewhere = license_manager.add_task(duration=0, resource_arn=f"{RESOURCE_ARN}1")
    status = {"Name": "Status", "Values": ["SUCCEEDED"]}
    resource = {"Name": "ResourceArns", "Values": [RESOURCE_ARN]}

    assert set(license_manager.listed(Filters=[status])) == {ended, elsewhere}
    assert set(license_manager.listed(Filters=[resource])) == {running, ended}
    assert license_manager.listed(Filters=[status, resource]) == [ended]
    assert error_of(lambda: license_manager.listed(Filters=[{"Name": "status", "Values": ["SUCCEEDED"]}]))


def test_faults_wait_in_line_each_for_its_own_call(license_manager: LicenseManagerOnTheWire) -> None:
    mine, other = license_manager.add_task(), license_manager.add_task()
    license_manager.faults.queue("AccessDeniedException", task_id=mine)
    license_manager.faults.queue("ServerInternalException", operation="ListLicenseConversionTasks")

    assert license_manager.task(other)
    assert error_of(license_manager.listed)[0] == "ServerInternalException"
    assert error_of(lambda: license_manager.task(mine))[0] == "AccessDeniedException"
    assert (len(license_manager.listed()), len(license_manager.calls)) == (2, 4)
    assert license_manager.task(mine)


def test_the_rate_limit_lets_a_burst_through_and_then_so_many_a_second(
    license_manager: LicenseManagerOnTheWire,
) -> None:
    license_manager.faults.limit(requests_per_second=2, burst=3)
    for calls in (3, 1):
        for _ in range(calls):
            license_manager.listed()
        assert error_of(license_manager.listed)[0] == "RateLimitExceededException"
        license_manager.now += 0.5
