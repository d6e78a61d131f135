"""Gates that meet in the same warm function share what they learn: one listing for all, and one throttle.

A gate that is alone stays one GetLicenseConversionTask a check. There is no table, no lease and no service behind this:
what two sandboxes do not share costs one more listing.
"""

import time
from collections.abc import Callable
from typing import TypeVar

from license_conversion.errors import GateError, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.pace import SHORTEST
from license_conversion.request import Account
from license_conversion.task import ConversionTask

T = TypeVar("T")
QUIET = 1.0
LONGEST_QUIET = 16.0
"""Seconds without a call after a throttle; doubled by each further one, up to this."""
BETWEEN_CALLS = 0.1
LONGEST_BETWEEN_CALLS = 1.0
"""Seconds between two calls of one look at many tasks; doubled by each throttle, and a little less after each answer."""
RECOVERY = 0.995
COST_KNOWN = 60.0
"""Seconds for which what a listing cost, or that none was to be had, is taken for what the next one will cost."""


class SharedLicenseManager:
    """A LicenseManager whose callers share a listing of the tasks IN_PROGRESS, at most `SHORTEST` seconds old.

    The listing can only say that a task still runs. A task that is not in it is asked for by itself: that is the verdict.
    `monotonic` is a clock in seconds. `between_calls` is how many of them whoever makes many calls leaves between two.
    """

    def __init__(
        self,
        license_manager: LicenseManager,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._license_manager = license_manager
        self._monotonic = monotonic
        self._sleep = sleep
        self.between_calls = BETWEEN_CALLS
        self._asked: dict[str, float] = {}
        self._listed: dict[str, ConversionTask] = {}
        self._listed_at = float("-inf")
        self._listing_calls = 1.0
        self._cost_known_at = float("-inf")
        self._quiet = QUIET
        self._quiet_until = float("-inf")

    def get_task(self, task_id: str) -> ConversionTask:
        """One look at one task, perhaps through the listing. Raises as LicenseManager does."""
        now = self._monotonic()
        self._asked = {one: at for one, at in self._asked.items() if now - at <= SHORTEST} | {task_id: now}
        if not self._fresh() and len(self._asked) > self._listing_cost():
            self.tasks_in_progress(len(self._asked))
        if self._fresh() and task_id in self._listed:
            return self._listed[task_id]
        return self._call(lambda: self._license_manager.get_task(task_id))

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self._call(lambda: self._license_manager.newest_task(resource_arn))

    def tasks_in_progress(self, most_calls: int) -> dict[str, ConversionTask] | None:
        """The shared listing; a new one when it is too old.

        None when that takes more than `most_calls`, or when there is no listing to be had: whoever may read each task need
        not be allowed to list them all. Raises StillUnknown for a throttle alone.
        """
        if self._fresh():
            return self._listed
        if most_calls < self._listing_cost():
            return None
        begun = self._cost_known_at = self._monotonic()
        try:
            listing = self._call(
                lambda: self._license_manager.tasks_in_progress(most_calls, self._pause, self._monotonic)
            )
        except (GateError, StillUnknown) as error:
            if isinstance(error, StillUnknown) and error.throttled:
                raise
            self._listing_calls = float("inf")
            return None
        if listing is None:
            self._listing_calls = most_calls + 1
            return None
        self._listed, self._listing_calls = listing
        self._listed_at = begun
        return self._listed

    def _listing_cost(self) -> float:
        return self._listing_calls if self._monotonic() - self._cost_known_at <= COST_KNOWN else 1

    def _pause(self) -> None:
        self._sleep(self.between_calls)

    def _fresh(self) -> bool:
        return self._monotonic() - self._listed_at <= SHORTEST

    def _call(self, call: Callable[[], T]) -> T:
        """No call while the service has just throttled one: whoever shares this function is throttled with it."""
        if self._monotonic() < self._quiet_until:
            raise StillUnknown("License Manager has just throttled another gate's check", throttled=True)
        try:
            result = call()
        except StillUnknown as unknown:
            if unknown.throttled:
                self._quiet_until = self._monotonic() + self._quiet
                self._quiet = min(LONGEST_QUIET, self._quiet * 2)
                self.between_calls = min(LONGEST_BETWEEN_CALLS, self.between_calls * 2)
            raise
        self._quiet = QUIET
        self.between_calls = max(BETWEEN_CALLS, self.between_calls * RECOVERY)
        return result


class LicenseManagers:
    """A License Manager for each account and region, kept for as long as the function is warm.

    `role` is the ARN of the function's own role.
    """

    def __init__(
        self,
        role: str,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._role = role
        self._monotonic = monotonic
        self._sleep = sleep
        self._known: dict[Account, SharedLicenseManager] = {}

    def __call__(self, account: Account) -> SharedLicenseManager:
        if account not in self._known:
            license_manager = LicenseManager(self._role, account)
            self._known[account] = SharedLicenseManager(license_manager, self._monotonic, self._sleep)
        return self._known[account]
