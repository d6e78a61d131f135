"""One poll of some tasks: how each of them stands now, in as few calls as License Manager needs for it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from license_conversion import telemetry
from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import GateError, StillUnknown
from license_conversion.license_manager import LicenseManager

T = TypeVar("T")
BETWEEN_CALLS = 0.1
LEAST_BETWEEN_CALLS, MOST_BETWEEN_CALLS = 0.02, 1.0
RECOVERY = 0.98
"""Seconds between two calls of one poll: doubled by a throttle, and a little less after each answer."""
AFTER_THROTTLE = 1.0
"""Seconds without a call after a throttle."""
SAVES = 3
"""A listing of what has ended is read where it takes this many times fewer calls than asking for each task: of how much it shows
is not known before."""
MOST_SINGLES = 500
"""Tasks that one poll asks for singly, at least. The next poll asks for the others, so that no poll takes long."""
FEW_PAGES = FEW_SINGLES = 5
"""Up to so many pages of what runs, and tasks asked for singly, a poll is a small one."""


class PollEnds(Exception):  # noqa: N818 - no error
    """The next poll asks for what this one has not come to."""


class Poll:
    """Polls one account, again and again. `clock` gives seconds since 1970.

    `patience` is for how many seconds a poll waits throttles out: 0 for a gate, whose next check is its retry. `answered` is
    called after each answer, so that the poller can renew its lease meanwhile.
    """

    def __init__(
        self,
        license_manager: LicenseManager,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        *,
        patience: float = 0.0,
        answered: Callable[[], object] = lambda: None,
    ) -> None:
        self._license_manager, self._clock, self._sleep = license_manager, clock, sleep
        self._patience, self._answered = patience, answered
        self._between_calls = BETWEEN_CALLS
        self._pages = dict.fromkeys(Status, 1)
        """Of a whole listing: counted, or as many as there must be at least."""
        self._answered_at = clock()
        self._turn = 0
        """Of the tasks that are asked for singly: those that do not end must not keep a poll from the others."""
        self._begin((), 0.0)

    def _begin(self, task_ids: Collection[str], until: float) -> None:
        self._until, self._calls, self._pages_read = until, 0, 0
        self.unseen = dict.fromkeys(task_ids)
        """The tasks that may have ended, for all that this poll has learned."""
        self.trouble, self.throttled = "", False
        """Why that is so, in a sentence for a person, and whether it was a throttle."""
        self.silent = False
        """License Manager has not answered for as long as the patience, however many polls that is."""
        self.singles = 0

    @property
    def large(self) -> bool:
        """Whether the last poll took many calls."""
        return self._pages_read > FEW_PAGES or self.singles > FEW_SINGLES

    def newest_task(self, resource_arn: str) -> ConversionTask:
        """Raises what LicenseManager raises."""
        return self._license_manager.newest_task(resource_arn)

    def run(self, task_ids: Collection[str], until: float) -> Iterator[tuple[str, ConversionTask | GateError]]:
        """Each task that has ended, that was asked for singly, or that License Manager refuses, as soon as that is known.

        No call begins after `until`. The attributes above are about the poll that has run.
        """
        self._begin(task_ids, until)
        try:
            running = self._listed(Status.IN_PROGRESS, len(self.unseen) - 1)
            self.unseen = dict.fromkeys(task_id for task_id in self.unseen if task_id not in running)
            for status in (Status.SUCCEEDED, Status.FAILED):
                for task_id, task in self._listed(status, len(self.unseen) // SAVES).items():
                    del self.unseen[task_id]
                    yield task_id, ConversionTask.from_answer(task_id, task)
            left = list(self.unseen)
            first = self._turn % max(1, len(left))
            for task_id in [*left[first:], *left[:first]][: max(MOST_SINGLES, 2 * self._pages[Status.IN_PROGRESS])]:
                found: ConversionTask | GateError | None
                try:
                    found = self._call(self._license_manager.get_task, task_id)
                except GateError as refused:
                    found = refused
                except StillUnknown:
                    found = None
                self.singles += 1
                self._turn += 1
                if found:
                    del self.unseen[task_id]
                    yield task_id, found
        except PollEnds:
            return

    def _listed(self, status: Status, most_calls: int) -> Mapping[str, Mapping[str, Any]]:
        """The wanted tasks of this status; nothing where that takes more calls, but of those that have ended what was read until
        then. A role that may read each task need not be allowed to list them all.
        """
        listed: dict[str, Mapping[str, Any]] = {}
        if most_calls < self._pages[status]:
            return listed
        ended = status is not Status.IN_PROGRESS
        token = ""
        for calls in range(1, most_calls + 1):
            try:
                page = self._call(self._license_manager.page_of, status, token)
            except (GateError, StillUnknown) as error:
                telemetry.logger.warning(f"The tasks {status} could not be listed: {error}")
                return listed if ended else {}
            self._pages_read += not ended
            listed.update({task_id: task for task_id, task in page.answers.items() if task_id in self.unseen})
            token = page.token
            if not token:
                self._pages[status] = calls
                return listed
        self._pages[status] = most_calls + 1
        return listed if ended else {}

    def _call(self, call: Callable[..., T], *what: Any) -> T:
        """At the pace that License Manager allows. Raises PollEnds too."""
        while True:
            pause = self._between_calls if self._calls else 0.0
            if self._clock() + pause > self._until:
                raise PollEnds
            self._sleep(pause)
            self._calls += 1
            try:
                result = call(*what)
            except GateError:
                self._has_answered()
                raise
            except StillUnknown as unknown:
                self.trouble, self.throttled = str(unknown), unknown.throttled
                if unknown.throttled:
                    self._between_calls = min(MOST_BETWEEN_CALLS, self._between_calls * 2)
                self.silent = bool(self._patience) and self._clock() >= self._answered_at + self._patience
                if self.silent or (unknown.throttled and not self._patience):
                    raise PollEnds from unknown
                if not unknown.throttled:
                    raise
                self._sleep(AFTER_THROTTLE)
            else:
                self._between_calls = max(LEAST_BETWEEN_CALLS, self._between_calls * RECOVERY)
                self._has_answered()
                return result

    def _has_answered(self) -> None:
        self._answered_at = self._clock()
        self._answered()
