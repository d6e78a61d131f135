"""The tasks IN_PROGRESS, read a page at a time and over and over, for gates that meet in a warm function."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from license_conversion.errors import GateError
from license_conversion.license_manager import LicenseManager
from license_conversion.pace import SHORTEST
from license_conversion.task import ConversionTask

PAGE_SECONDS = 1.25
"""Between two pages: a listing of all tasks takes a twelfth of a limit of ten requests a second, and leaves the rest to the
verdicts. It is as old as it has pages, in seconds, and at least `SHORTEST`."""
FIRST_ROUND = 4
"""The first round is read so much faster: until its end nothing is known of a task that has not been listed."""
LATE = 1.5
"""Pages are read when somebody asks, and so a little later than they should be."""


class Listing:
    """What the pages read so far say. Times are in seconds of a monotonic clock.

    It can only say that a task still runs, or that it has left: that one has to be asked for by itself.
    """

    def __init__(self, license_manager: LicenseManager) -> None:
        self.pages = 1
        """Of a whole round: counted, or as many as there must be at least."""
        self._license_manager = license_manager
        self._seen: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._token = ""
        self._round_began = 0.0
        self._round_read = 0
        self._whole_since = float("-inf")
        self._next_page_at = float("-inf")

    @property
    def lifetime(self) -> float:
        """Seconds from one reading of a page to the next."""
        return max(SHORTEST, self.pages * PAGE_SECONDS)

    def whole(self, now: float) -> bool:
        """Whether a task that is not in it has left, or is new."""
        return now - self._whole_since <= (1 + LATE) * self.lifetime

    def due(self, now: float) -> bool:
        return now >= self._next_page_at

    def read_page(self, now: float) -> None:
        """Raises as LicenseManager does, and is not due again at once then either."""
        self._next_page_at = now + self.lifetime / self.pages / (1 if self.whole(now) else FIRST_ROUND)
        if not self._token:
            self._round_began, self._round_read = now, 0
        try:
            page = self._license_manager.page_in_progress(self._token)
        except GateError:  # perhaps the token has grown too old
            self._token = ""
            raise
        self._token = page.token
        self._round_read += 1
        self._seen.update((task_id, (now, answer)) for task_id, answer in page.answers.items())
        if page.token:
            self.pages = max(self.pages, self._round_read + 1)
        else:
            self.pages, self._whole_since = self._round_read, self._round_began
            self._seen = {task_id: seen for task_id, seen in self._seen.items() if seen[0] >= self._round_began}

    def find(self, task_id: str, now: float) -> ConversionTask | None:
        read_at, answer = self._seen.get(task_id, (float("-inf"), {}))
        return ConversionTask.from_answer(task_id, answer) if now - read_at <= LATE * self.lifetime else None


class Asked:
    """How many different tasks were asked for lately."""

    def __init__(self) -> None:
        self._at: OrderedDict[str, float] = OrderedDict()

    def add(self, task_id: str, now: float) -> None:
        self._at[task_id] = now
        self._at.move_to_end(task_id)

    def since(self, oldest: float) -> int:
        while self._at and next(iter(self._at.values())) < oldest:
            self._at.popitem(last=False)
        return len(self._at)
