"""The License Manager of the local cloud and of the model, where a mistake would let a test of the product pass."""

from typing import Any

import pytest

from tests.simulation.license_manager.conversion_task import RESOURCE_ARN, WINDOWS_BYOL, WINDOWS_LICENSE_INCLUDED
from tests.simulation.license_manager.service import ConversionService, Json, ServiceError

LIST = "ListLicenseConversionTasks"


class LicenseManagerOfATest(ConversionService):
    """`now` is its time, `state` that of each instance."""

    def __init__(self) -> None:
        self.now, self.state = 0.0, "stopped"
        super().__init__(clock=lambda: self.now, instance_state=lambda _: self.state)

    def page(self, region: str = "us-east-1", **parameters: Any) -> tuple[list[str], str]:
        """The tasks, and where the next page begins."""
        answer = self.reply(LIST, parameters, region)
        tasks = [task["LicenseConversionTaskId"] for task in answer["LicenseConversionTasks"]]
        return tasks, answer.get("NextToken", "")

    def begin(self, source: str = WINDOWS_BYOL, destination: str = WINDOWS_LICENSE_INCLUDED) -> Json:
        parameters = {
            "ResourceArn": RESOURCE_ARN,
            "SourceLicenseContext": {"UsageOperation": source},
            "DestinationLicenseContext": {"UsageOperation": destination},
        }
        return self.reply("CreateLicenseConversionTaskForResource", parameters, "us-east-1")


@pytest.fixture
def license_manager() -> LicenseManagerOfATest:
    return LicenseManagerOfATest()


def test_a_task_is_known_in_its_region_alone(license_manager: LicenseManagerOfATest) -> None:
    task_id = license_manager.add_task(region="eu-west-1")

    assert license_manager.page("eu-west-1")[0] == [task_id]
    assert license_manager.page()[0] == []
    with pytest.raises(ServiceError, match="was not found"):
        license_manager.reply("GetLicenseConversionTask", {"LicenseConversionTaskId": task_id}, "us-east-1")


def test_a_conversion_is_begun_of_a_stopped_instance_that_is_billed_so_and_once_at_a_time(
    license_manager: LicenseManagerOfATest,
) -> None:
    license_manager.state = "running"
    with pytest.raises(ServiceError, match="is running"):
        license_manager.begin()
    license_manager.state = "stopped"
    license_manager.begin()
    with pytest.raises(ServiceError, match="is in progress"):
        license_manager.begin()
    license_manager.now += 5
    with pytest.raises(ServiceError, match="is billed as"):
        license_manager.begin()
    license_manager.begin(WINDOWS_LICENSE_INCLUDED, WINDOWS_BYOL)


def test_the_list_comes_in_pages_in_no_order_and_is_complete(license_manager: LicenseManagerOfATest) -> None:
    added = [license_manager.add_task(f"lct-{number:04}") for number in range(25)]
    license_manager.configure(page_size=10)
    first, token = license_manager.page()
    second, token = license_manager.page(NextToken=token)
    third, end = license_manager.page(NextToken=token)

    assert (len(first), len(second), len(third), end) == (10, 10, 5, "")
    assert sorted(first + second + third) == added != first + second + third


def test_the_list_filters_by_resource_and_by_status(license_manager: LicenseManagerOfATest) -> None:
    running, ended = license_manager.add_task(duration=60), license_manager.add_task(duration=0)
    elsewhere = license_manager.add_task(duration=0, resource_arn=f"{RESOURCE_ARN}1")
    status = {"Name": "Status", "Values": ["SUCCEEDED"]}
    resource = {"Name": "ResourceArns", "Values": [RESOURCE_ARN]}

    assert set(license_manager.page(Filters=[status])[0]) == {ended, elsewhere}
    assert set(license_manager.page(Filters=[resource])[0]) == {running, ended}
    assert license_manager.page(Filters=[status, resource])[0] == [ended]
    with pytest.raises(ServiceError, match="is not a filter"):
        license_manager.page(Filters=[{"Name": "status", "Values": ["SUCCEEDED"]}])


def test_the_rate_limit_lets_a_burst_through_and_then_so_many_a_second(license_manager: LicenseManagerOfATest) -> None:
    license_manager.faults.limit(requests_per_second=2, burst=3)
    for calls in (3, 1):
        for _ in range(calls):
            license_manager.page()
        with pytest.raises(ServiceError):
            license_manager.page()
        license_manager.now += 0.5
