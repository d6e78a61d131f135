"""A virtual clock, and processes that share it. One runs at a time, each in a thread of its own, so that what it calls may
sleep anywhere, and others run meanwhile.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

BEGINNING = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)


class Killed(BaseException):
    """The process is no more, as with SIGKILL: no `except Exception` sees it."""


class Worker(threading.Thread):
    """A thread that runs one process after the other, each while the scheduler waits."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.turn, self.back = threading.Lock(), threading.Lock()
        self.turn.acquire()
        self.back.acquire()
        self.job: Callable[[], None] = _nothing
        self.start()

    def run(self) -> None:
        while True:
            self.turn.acquire()
            self.job()
            IDLE.append(self)
            self.back.release()


IDLE: list[Worker] = []


def _nothing() -> None:
    pass


class Process:
    """One process. `expires` is the time at which it is killed."""

    def __init__(self, scheduler: "Scheduler", main: Callable[[], None], expires: float) -> None:
        self._scheduler = scheduler
        self._main = main
        self.expires = expires
        self.killed = False
        self.ended = False
        self.error: BaseException | None = None
        self._worker = IDLE.pop() if IDLE else Worker()
        self._worker.job = self._run

    def _run(self) -> None:
        try:
            if not self.killed:
                self._main()
        except Killed:
            pass
        except BaseException as error:  # the scheduler's thread raises it
            self.error = error
        finally:
            self.ended = True

    def resume(self) -> None:
        """Runs until it sleeps or ends."""
        if self.ended:
            return
        before, self._scheduler.process = self._scheduler.process, self
        self._worker.turn.release()
        self._worker.back.acquire()
        self._scheduler.process = before
        if self.error:
            raise self.error

    def pause(self) -> None:
        """Called by the process itself: the others' turn."""
        worker = self._worker
        worker.back.release()
        worker.turn.acquire()
        if self.killed:
            raise Killed


class Scheduler:
    """Time, in seconds since the beginning, and what is due when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.process: Process | None = None
        self._until = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._processes: set[Process] = set()

    def clock(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.now)

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now + max(0.0, seconds), next(self._count), what))

    def spawn(self, main: Callable[[], None], seconds: float) -> Process:
        """Start a process that has this much time to live."""
        process = Process(self, main, self.now + seconds)
        self._processes.add(process)
        self._resume(process)
        return process

    def _resume(self, process: Process) -> None:
        process.resume()
        if process.ended:
            self._processes.discard(process)

    def sleep(self, seconds: float) -> None:
        """Called by a process: the world goes on meanwhile."""
        process = self.process
        assert process
        wake = min(self.now + seconds, process.expires)
        if wake <= self._until and (not self._due or self._due[0][0] > wake):
            self.now = wake
        else:
            self.after(wake - self.now, lambda: self._resume(process))
            process.pause()
        if self.now >= process.expires:
            raise Killed

    def run_for(self, seconds: float) -> None:
        """Everything that is due in this time."""
        self._until = self.now + seconds
        while self._due and self._due[0][0] <= self._until:
            when, _, what = heapq.heappop(self._due)
            self.now = max(self.now, when)
            what()
        self.now = max(self.now, self._until)

    def run_out(self, longest: float) -> None:
        """Until nothing is due any more."""
        end = self.now + longest
        while self._due and self.now < end:
            self.run_for(max(0.0, self._due[0][0] - self.now) + 60)

    @property
    def idle(self) -> bool:
        return not self._due and not self._processes

    def close(self) -> None:
        """Kill what still runs."""
        for process in list(self._processes):
            process.killed = True
            process.resume()
        self._processes.clear()
        self._due.clear()
