"""Virtual time, in which code that blocks (the real check code) runs concurrently without waiting."""

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Lock, Thread

BEGINNING = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
Call = Callable[[], None]


class Turn:
    """A thread's leave to run, which another one gives it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._lock.acquire()
        self.wait = self._lock.acquire
        self.give = self._lock.release


class VirtualClock:
    """Seconds since the beginning, and what happens when. Deterministic: events of one moment keep their order.

    One thread runs at a time. Whoever sleeps hands the events to another thread, and gets the turn back when it wakes.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Call | Turn]] = []
        self._order = count()
        self._idle: list[Turn] = []
        self._done = Turn()
        self._finished = False
        self._error: BaseException | None = None

    def utc(self) -> datetime:
        return BEGINNING + timedelta(seconds=self.now)

    def monotonic(self) -> float:
        return self.now

    def after(self, seconds: float, call: Call | Turn) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), call))

    def sleep(self, seconds: float) -> None:
        wake = self.now + seconds
        if not self._events or self._events[0][0] > wake:  # nothing happens meanwhile
            self.now = wake
            return
        mine = Turn()
        self.after(seconds, mine)
        self._hand_over()
        mine.wait()

    def run(self) -> None:
        """Until nothing is left to happen."""
        self._hand_over()
        self._done.wait()
        for idle in self._idle:
            idle.give()
        if self._error:
            raise self._error

    def _hand_over(self) -> None:
        if self._idle:
            self._idle.pop().give()
        else:
            Thread(target=self._turns, daemon=True).start()

    def _turns(self) -> None:
        mine = Turn()
        try:
            while self._events:
                self.now, _, call = heapq.heappop(self._events)
                if isinstance(call, Turn):  # the sleeper's own thread goes on with the events
                    self._idle.append(mine)
                    call.give()
                    mine.wait()
                    if self._finished:
                        return
                else:
                    call()
        except BaseException as error:  # for `run` to raise
            self._error = error
        self._finished = True
        self._done.give()
