"""What the gates in one warm function share: a throttle. Each of them is throttled together with the others."""

import time
from collections.abc import Callable
from typing import TypeVar

from license_conversion.errors import StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.request import Account
from license_conversion.task import ConversionTask

T = TypeVar("T")
QUIET = 3.0
"""Seconds without a call after a throttle: short enough that a last look comes again after it."""
BETWEEN_CALLS = 0.1
LONGEST_BETWEEN_CALLS = 1.0
"""Seconds between two calls of one look at many tasks; doubled by each throttle, and a little less after each answer."""
RECOVERY = 0.995


class SharedLicenseManager:
    """A LicenseManager that is left alone after a throttle. `monotonic` is a clock in seconds. `between_calls` is how many of
    them whoever makes many calls leaves between two.
    """

    def __init__(self, license_manager: LicenseManager, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._license_manager = license_manager
        self._monotonic = monotonic
        self.between_calls = BETWEEN_CALLS
        self._quiet_until = float("-inf")

    def get_task(self, task_id: str) -> ConversionTask:
        """One look at one task: the verdict. Raises as LicenseManager does."""
        return self._call(lambda: self._license_manager.get_task(task_id))

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self._call(lambda: self._license_manager.newest_task(resource_arn))

    def _call(self, call: Callable[[], T]) -> T:
        """No call while the service has just throttled one: whoever shares this function is throttled with it."""
        if self._monotonic() < self._quiet_until:
            raise StillUnknown("License Manager has just throttled another gate's check", throttled=True)
        try:
            result = call()
        except StillUnknown as unknown:
            if unknown.throttled:
                self._quiet_until = self._monotonic() + QUIET
                self.between_calls = min(LONGEST_BETWEEN_CALLS, self.between_calls * 2)
            raise
        self.between_calls = max(BETWEEN_CALLS, self.between_calls * RECOVERY)
        return result


class LicenseManagers:
    """A License Manager for each account and region, kept for as long as the function is warm.

    `role` is the ARN of the function's own role.
    """

    def __init__(self, role: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._role = role
        self._monotonic = monotonic
        self._known: dict[Account, SharedLicenseManager] = {}

    def __call__(self, account: Account) -> SharedLicenseManager:
        if account not in self._known:
            self._known[account] = SharedLicenseManager(LicenseManager(self._role, account), self._monotonic)
        return self._known[account]
