"""Virtual time, in which what blocks, the real handlers too, runs side by side without waiting."""

import heapq
import itertools
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from greenlet import GreenletExit, getcurrent, greenlet

BEGINNING = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)


class Killed(GreenletExit):
    """The process is no more, as with SIGKILL: no `except Exception` sees it."""


class Process(greenlet):
    """What runs until it ends, or sleeps. `expires` is the time at which it is killed."""

    def __init__(self, main: Callable[[], object], expires: float) -> None:
        super().__init__(main)
        self.expires = expires


class VirtualClock:
    """Seconds since the beginning, and what happens when. Deterministic: what is due in one moment keeps its order, and one runs
    at a time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._until = 0.0
        self._due: list[tuple[float, int, Process]] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.now)

    def timestamp(self) -> float:
        return BEGINNING.timestamp() + self.now

    def after(self, seconds: float, main: Callable[[], object], *, lives: float = math.inf) -> Process:
        """A process of its own from then on. It is killed when it still `lives` so many seconds from now."""
        process = Process(main, self.now + lives)
        self._wake(max(0.0, seconds), process)
        return process

    def _wake(self, seconds: float, process: Process) -> None:
        heapq.heappush(self._due, (self.now + seconds, next(self._order), process))

    @property
    def process(self) -> Process | None:
        """The one that runs."""
        current = getcurrent()
        return current if isinstance(current, Process) else None

    def sleep(self, seconds: float) -> None:
        """Called by a process: the others' turn."""
        process = self.process
        assert process
        wake = min(self.now + seconds, process.expires)
        if wake <= self._until and (not self._due or self._due[0][0] > wake):  # nothing happens meanwhile
            self.now = wake
        else:
            self._wake(wake - self.now, process)
            assert process.parent
            process.parent.switch()
        if max(wake, self.now) >= process.expires:  # rounding: it may have slept a little less
            raise Killed

    def run_for(self, seconds: float) -> None:
        """Everything that is due in this time."""
        end = self.now + seconds
        self.run_out(seconds)
        self.now = end

    def run_out(self, longest: float = math.inf) -> None:
        """Until nothing is left to happen. What a process raises comes out here."""
        self._until = self.now + longest
        while self._due and self._due[0][0] <= self._until:
            self.now, _, process = heapq.heappop(self._due)
            process.parent = getcurrent()
            process.switch()

    @property
    def idle(self) -> bool:
        return not self._due

    def close(self) -> None:
        """Kill what is left."""
        while self._due:
            heapq.heappop(self._due)[2].throw(Killed)
