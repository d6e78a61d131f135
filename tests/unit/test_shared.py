"""Gates that meet in one warm function."""

import pytest
from license_conversion.shared import QUIET, LicenseManagers, SharedLicenseManager
from license_conversion.task import ConversionTask

from license_conversion.errors import AccessDenied, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.request import Account
from tests.unit.network import Network

THROTTLE = StillUnknown("slow down", throttled=True)
FAULT = StillUnknown("sorry")


class OneInTrouble(LicenseManager):
    """Answers every call, or raises `trouble`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.trouble: Exception | None = None
        self.now = 0.0

    def get_task(self, task_id: str) -> ConversionTask:
        self.calls.append(task_id)
        if self.trouble:
            raise self.trouble
        return ConversionTask({"LicenseConversionTaskId": task_id, "Status": "IN_PROGRESS"})

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self.get_task(resource_arn)

    def shared(self) -> SharedLicenseManager:
        return SharedLicenseManager(self, lambda: self.now)


def test_a_throttle_keeps_all_who_meet_from_calling_for_a_while() -> None:
    license_manager = OneInTrouble()
    license_manager.trouble = THROTTLE
    shared = license_manager.shared()
    with pytest.raises(StillUnknown):
        shared.get_task("lct-1")
    license_manager.trouble, license_manager.now = None, QUIET / 2

    with pytest.raises(StillUnknown) as unknown:
        shared.newest_task("lct-2")

    assert unknown.value.throttled
    assert str(unknown.value) == "License Manager has just throttled another gate's check"
    assert license_manager.calls == ["lct-1"]
    license_manager.now = QUIET
    assert shared.get_task("lct-3").task_id == "lct-3"
    assert shared.newest_task("arn:resource").task_id == "arn:resource"


def test_calls_come_more_slowly_after_throttles_and_then_faster_again() -> None:
    license_manager = OneInTrouble()
    license_manager.trouble = THROTTLE
    shared = license_manager.shared()
    between = []
    for _ in range(5):
        with pytest.raises(StillUnknown):
            shared.get_task("lct-1")
        between.append(shared.between_calls)
        license_manager.now += QUIET
    license_manager.trouble = None
    shared.get_task("lct-1")
    recovered = shared.between_calls
    for _ in range(1000):
        shared.get_task("lct-1")

    assert between == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert recovered == 0.995
    assert shared.between_calls == 0.1


def test_a_fault_is_no_throttle() -> None:
    license_manager = OneInTrouble()
    license_manager.trouble = FAULT
    shared = license_manager.shared()
    for _ in range(3):
        with pytest.raises(StillUnknown):
            shared.get_task("lct-1")

    assert len(license_manager.calls) == 3


def test_each_account_has_a_license_manager_of_its_own_that_is_kept() -> None:
    managers = LicenseManagers("arn:role")
    one, other = Account(region="us-east-1"), Account(region="us-west-2")

    assert managers(one) is managers(one)
    assert managers(one) is not managers(other)


def test_each_license_manager_is_asked_as_its_account_and_left_alone_after_a_throttle(network: Network) -> None:
    now = 0.0
    managers = LicenseManagers("arn:aws:iam::123456789012:role/gate", lambda: now)
    network.refuses("GetLicenseConversionTask", "RateLimitExceededException")
    for _ in range(2):
        with pytest.raises(StillUnknown):
            managers(Account(region="us-west-2")).get_task("lct-1")

    assert ".us-west-2." in network.call("GetLicenseConversionTask").url
    now = QUIET
    network.refuses("GetLicenseConversionTask", "AccessDeniedException")
    with pytest.raises(AccessDenied, match="role/gate"):
        managers(Account(region="us-west-2")).get_task("lct-1")
