"""Gates that meet in one warm function."""

import pytest

from license_conversion.errors import AccessDenied, StillUnknown
from license_conversion.license_manager import LicenseManager, Page
from license_conversion.listing import PAGE_SECONDS
from license_conversion.pace import SHORTEST
from license_conversion.shared import COST_KNOWN, PATIENCE, QUIET, SharedLicenseManager
from license_conversion.task import ConversionTask


class FakeLicenseManager(LicenseManager):
    """Lists `running` in pages of `page`; `trouble` is raised instead."""

    def __init__(self, running: list[str], page: int = 100) -> None:
        self.running = running
        self.page = page
        self.calls: list[str] = []
        self.trouble: Exception | None = None
        self.now = 0.0

    def get_task(self, task_id: str) -> ConversionTask:
        self.calls.append(task_id)
        return self._task(task_id)

    def page_in_progress(self, token: str = "") -> Page:
        self.calls.append(f"page {token or 0}")
        if self.trouble:
            raise self.trouble
        first = int(token or 0)
        more = str(first + self.page) if first + self.page < len(self.running) else ""
        return Page({one: {"Status": "IN_PROGRESS"} for one in self.running[first : first + self.page]}, more)

    def _task(self, task_id: str) -> ConversionTask:
        status = "IN_PROGRESS" if task_id in self.running else "SUCCEEDED"
        return ConversionTask({"LicenseConversionTaskId": task_id, "Status": status})

    def shared(self) -> SharedLicenseManager:
        return SharedLicenseManager(self, lambda: self.now)


def ids(count: int) -> list[str]:
    return [f"lct-{number}" for number in range(count)]


def crowd(shared: SharedLicenseManager, task_ids: list[str], patience: int = 0) -> list[ConversionTask | None]:
    """Each of them looks once. Those that hear nothing count as None."""
    found: list[ConversionTask | None] = []
    for task_id in task_ids:
        try:
            found.append(shared.running(task_id, patience))
        except StillUnknown:
            found.append(None)
    return found


def test_a_gate_that_is_alone_is_asked_for_by_itself() -> None:
    license_manager = FakeLicenseManager(ids(1))
    shared = license_manager.shared()

    for _ in range(10):
        assert shared.running("lct-0") is None
        license_manager.now += SHORTEST

    assert license_manager.calls == []


def test_gates_that_meet_share_one_page() -> None:
    license_manager = FakeLicenseManager(ids(20))
    found = crowd(license_manager.shared(), ids(20))

    assert all(found[2:])
    assert license_manager.calls == ["page 0"]


def test_a_task_that_has_left_the_listing_is_asked_for_by_itself() -> None:
    license_manager = FakeLicenseManager(ids(20))
    shared = license_manager.shared()
    crowd(shared, ids(20))
    license_manager.running.remove("lct-7")
    license_manager.now += SHORTEST + 1

    found = crowd(shared, ids(20))

    assert [number for number, task in enumerate(found) if task is None] == [7]


def test_a_listing_is_no_older_than_the_shortest_pause_or_a_second_a_page() -> None:
    license_manager = FakeLicenseManager(ids(50), page=10)
    shared = license_manager.shared()
    for _ in range(200):
        crowd(shared, ids(50))
        license_manager.now += PAGE_SECONDS / 4
    began, so_far = license_manager.now, len(license_manager.calls)

    while license_manager.now < began + 50:
        crowd(shared, ids(50))
        license_manager.now += PAGE_SECONDS / 4

    assert len(license_manager.calls) - so_far == pytest.approx(50 / PAGE_SECONDS, abs=2)


def test_a_gate_of_a_crowd_is_sent_back_to_where_the_listing_is() -> None:
    license_manager = FakeLicenseManager(ids(1000))
    shared = license_manager.shared()

    with pytest.raises(StillUnknown) as unknown:
        shared.running("lct-0", PATIENCE)

    assert unknown.value.soon
    assert not unknown.value.throttled
    assert license_manager.calls == []


def test_whoever_may_not_list_asks_for_each_task() -> None:
    license_manager = FakeLicenseManager(ids(20))
    license_manager.trouble = AccessDenied("no")
    shared = license_manager.shared()

    assert crowd(shared, ids(20)) == [None] * 20
    license_manager.now = COST_KNOWN / 2
    crowd(shared, ids(20))

    assert license_manager.calls == ["page 0"]
    assert shared.get_task("lct-0").task_id == "lct-0"


def test_a_throttled_page_keeps_all_who_meet_from_calling() -> None:
    license_manager = FakeLicenseManager(ids(20))
    license_manager.trouble = StillUnknown("slow down", throttled=True)
    shared = license_manager.shared()
    crowd(shared, ids(20))
    license_manager.now = QUIET / 2

    with pytest.raises(StillUnknown) as unknown:
        shared.get_task("lct-0")

    assert unknown.value.throttled
    assert license_manager.calls == ["page 0"]
