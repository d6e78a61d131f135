"""One fake clock for several threads: executions of moto's Step Functions, and watches. It moves when a test moves it, and,
to the next moment that somebody waits for, when all of them sleep.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

REAL_PAUSE = 0.002
"""Seconds of a real clock between two looks at who sleeps: an execution that ends tells nobody."""


class Closed(Exception):  # noqa: N818 - says what happened
    """The test is over: whoever still sleeps ends."""


@dataclass(eq=False)
class Sleeper:
    until: datetime
    woken: Callable[[], bool]


@dataclass
class Clock:
    """`awake_or_asleep` is the number of threads that the clock waits for."""

    now: datetime = field(
        default_factory=lambda: datetime.now(UTC)
    )  # response URLs carry the time at which they were really signed
    awake_or_asleep: Callable[[], int] = lambda: 0
    held: bool = False
    """Whether it stands still though all sleep: somebody else is about to come."""
    closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _sleepers: list[Sleeper] = field(default_factory=list)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def move(self, seconds: float) -> None:
        with self._changed:
            self.now += timedelta(seconds=seconds)

    def sleep(self, seconds: float, woken: Callable[[], bool] = lambda: False) -> None:
        """Until the seconds have passed, or it is `woken`. Raises Closed."""
        with self._changed:
            sleeper = Sleeper(self.now + timedelta(seconds=seconds), woken)
            self._sleepers.append(sleeper)
            try:
                while self.now < sleeper.until and not woken():
                    if self.closed:
                        raise Closed
                    asleep = [one.until for one in self._sleepers if one.until > self.now and not one.woken()]
                    if not self.held and len(asleep) >= self.awake_or_asleep():
                        self.now = min(asleep)
                        self._changed.notify_all()
                    else:
                        self._changed.wait(REAL_PAUSE)
            finally:
                self._sleepers.remove(sleeper)
