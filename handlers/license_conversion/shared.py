"""Gates that meet in the same warm function share what they learn: one listing for all, and one throttle.

A gate that is alone stays one GetLicenseConversionTask a check. There is no table, no lease and no service behind this: each
warm function (a sandbox of Lambda's) learns for itself, and what two of them do not share costs one more listing.

Gates carry one thing from one sandbox to the next, their patience. A gate that a listing answered, and that comes to a sandbox
without one, is sent back for the shortest pause, because it will probably meet the one with the listing again. Otherwise
each sandbox that a crowd touches would call for every gate that it has never seen.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import TypeVar

from license_conversion.errors import GateError, StillUnknown
from license_conversion.license_manager import LicenseManager
from license_conversion.listing import Asked, Listing
from license_conversion.pace import SHORTEST
from license_conversion.request import Account
from license_conversion.task import ConversionTask

T = TypeVar("T")
QUIET = 3.0
LONGEST_QUIET = 16.0
"""Seconds without a call after a throttle; doubled by each further one, up to this."""
BETWEEN_CALLS = 0.1
LONGEST_BETWEEN_CALLS = 1.0
"""Seconds between two calls of one look at many tasks; doubled by each throttle, and a little less after each answer."""
RECOVERY = 0.995
WORTH = 2
"""A listing is kept up to date where so many gates come for each call that it takes; others soon meet in fewer places."""
PATIENCE = 3
"""How many times in a row a gate is sent back, before it has a call of its own."""
COST_KNOWN = 60.0
"""Seconds for which what a listing cost, or that none was to be had, is taken for what the next one will cost."""


class SharedLicenseManager:
    """A LicenseManager whose callers share listings of the tasks IN_PROGRESS: one whole listing, at most `SHORTEST` seconds
    old, for those who wait for many tasks, and one that is read page by page for those who wait for one.

    A listing can only say that a task still runs. A task that is not in it is asked for by itself: that is the verdict.
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
        self._pages = Listing(license_manager)
        self._asked, self._asked_without_listing = Asked(), Asked()
        self._pages_refused_until = float("-inf")
        self._listed: Collection[str] = ()
        self._listed_at = float("-inf")
        self._listing_calls = 1.0
        self._cost_known_at = float("-inf")
        self._quiet = QUIET
        self._quiet_until = float("-inf")

    def running(self, task_id: str, patience: int = 0) -> ConversionTask | None:
        """The task, if the listing that gates share says that it still runs; None: ask for it by itself.

        A page is read when one is due and the listing is worth it. `patience` says how many more times the gate may be
        sent back. Raises StillUnknown: nothing can be said without a call, and this is no time for one.
        """
        now = self._monotonic()
        self._asked.add(task_id, now)
        if not patience:
            self._asked_without_listing.add(task_id, now)
        crowded = self._crowded(now)
        if crowded and self._pages.due(now) and now >= self._quiet_until:
            self._read_page(now)
        if task := self._pages.find(task_id, now):
            return task
        whole = self._pages.whole(now)
        if patience and not whole:
            raise StillUnknown("The listing of the tasks is not here, and was there at the last check", soon=True)
        if crowded and not whole:
            raise StillUnknown("The first listing of the tasks has not come to this one", throttled=True)
        return None

    def _crowded(self, now: float) -> bool:
        """Whether a listing costs fewer calls than the gates that come."""
        oldest, pages = now - self._pages.lifetime, self._pages.pages
        for_listing = self._asked.since(oldest) > WORTH * pages or self._asked_without_listing.since(oldest) > pages
        return for_listing and now >= self._pages_refused_until

    def _read_page(self, now: float) -> None:
        """No trouble of the listing's is a gate's: each may still be asked for by itself."""
        try:
            self._call(lambda: self._pages.read_page(now))
        except GateError:  # whoever may read each task need not be allowed to list them all
            self._pages_refused_until = now + COST_KNOWN
        except StillUnknown:  # a throttle is kept in mind already
            return

    def get_task(self, task_id: str, *, last: bool = False) -> ConversionTask:
        """One look at one task: the verdict. Raises as LicenseManager does. A throttle of another keeps no `last` look back."""
        return self._call(lambda: self._license_manager.get_task(task_id), anyway=last)

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self._call(lambda: self._license_manager.newest_task(resource_arn))

    def running_tasks(self, most_calls: int, seconds: float) -> Collection[str] | None:
        """The ids of all tasks IN_PROGRESS: the shared listing, a new one when it is too old.

        None when that takes more than `most_calls` or `seconds`, or when there is no listing to be had: whoever may read
        each task need not be allowed to list them all. Raises StillUnknown for a throttle alone.
        """
        now = self._monotonic()
        if now - self._listed_at <= SHORTEST:
            return self._listed
        cost = self._listing_calls if now - self._cost_known_at <= COST_KNOWN else 1
        if most_calls < cost or seconds <= 0:
            return None
        self._cost_known_at = now
        try:
            listed = self._list(most_calls, give_up=now + seconds)
        except (GateError, StillUnknown) as error:
            if isinstance(error, StillUnknown) and error.throttled:
                raise
            self._listing_calls = float("inf")
            return None
        if listed is not None:
            self._listed, self._listed_at = listed, now
        return listed

    def _list(self, most_calls: int, give_up: float) -> Collection[str] | None:
        """Page after page, with a pause between two: made at once it is throttled before its end each time, and then nothing
        is known.
        """
        listed: set[str] = set()
        token = ""
        for calls in range(1, most_calls + 1):
            page = self._call(partial(self._license_manager.page_in_progress, token))
            listed.update(page.answers)
            token = page.token
            if not token:
                self._listing_calls = calls
                return listed
            if self._monotonic() + self.between_calls >= give_up:
                break
            self._sleep(self.between_calls)
        self._listing_calls = calls + 1  # at least
        return None

    def _call(self, call: Callable[[], T], *, anyway: bool = False) -> T:
        """No call while the service has just throttled one: whoever shares this function is throttled with it."""
        if self._monotonic() < self._quiet_until and not anyway:
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
