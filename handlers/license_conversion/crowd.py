"""Gates that wait together, seen from one of them: each has a place in a table, and one function looks for all.

A gate that License Manager throttles takes a place. Whoever takes one and finds nobody at watch starts `watch_crowd.py`, which
looks at all tasks again and again, writes what has become of them into the places, and wakes the gates there.

The table only ever spares a gate a call. Where it cannot be read, or has said nothing new for too long, the gate asks by
itself, like one that is alone. A gate that is alone, and is not throttled, never comes here.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from license_conversion.errors import TableUnavailable
from license_conversion.task import ConversionTask

WATCH = 30.0
"""Seconds for which a watch counts as one that goes on after License Manager answered it, and as one that begins after it was
started."""
PATIENCE = 60.0
"""Seconds without a whole look after which a gate asks by itself, where nobody watches; somebody has twice as long."""
LOOKS = 4
"""And at least so many times what the last look took."""
LIVELY = 300.0
"""Seconds for which a gate that is not throttled takes a place too, where another one has seen a watch."""


@dataclass(frozen=True)
class Place:
    """`since` is when it was taken. `words` are tasks' shapes: one that is terminal is a verdict, one that is not leaves the task
    to the gate from now on, and one without a Status says that License Manager refuses it to the watch.
    """

    since: float
    words: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Watched:
    """What is known of the watch. Times are seconds since 1970: what its last whole look did not see end still ran when that
    `began`. Nobody else watches, or starts a watch, until `until`.
    """

    began: float = 0.0
    took: float = 0.0
    until: float = 0.0
    starts_until: float = 0.0

    def patience(self, now: float) -> float:
        return max(2 * PATIENCE, LOOKS * self.took) if now < self.until else PATIENCE


class Places(Protocol):
    """The places of one account's gates, as a gate sees them. Every method raises TableUnavailable."""

    def take_place(self, gate: str, task_ids: Collection[str], token: str, now: float) -> bool:
        """False: there are words at it already."""

    def place(self, gate: str) -> Place | None: ...

    def leave(self, gate: str) -> Place | None:
        """As it was in that moment: a word that comes later has no place any more."""

    def watched(self) -> Watched: ...

    def may_start(self, now: float, until: float) -> bool:
        """Whether it is this caller who starts the watch: nobody else will until then."""


@dataclass(frozen=True)
class Heard:
    """What a place said. `at` is when its tasks were last known to run, 0 where there is no place. `silent`: nobody has said
    anything for too long. `away`: the table is.
    """

    at: float = 0.0
    words: Sequence[Mapping[str, Any]] = ()
    silent: bool = False
    away: bool = False

    @property
    def tasks_left_to_gate(self) -> list[str]:
        tasks = (ConversionTask(word) for word in self.words)
        return [task.task_id for task in tasks if not task.terminal]


class Crowd:
    """The gates of one account that wait together. `clock` gives seconds since 1970; `wake` takes task tokens."""

    def __init__(
        self,
        table: Places,
        start_watch: Callable[[], None],
        wake: Callable[[Collection[str]], None],
        clock: Callable[[], float],
    ) -> None:
        self._table = table
        self._start_watch = start_watch
        self._wake = wake
        self._clock = clock
        self._lively_until = 0.0

    @property
    def lively(self) -> bool:
        return self._clock() < self._lively_until

    def take_place(self, gate: str, task_ids: Collection[str], token: str) -> None:
        """`token` is called when there is a word. Raises TableUnavailable."""
        now = self._clock()
        if not self._table.take_place(gate, task_ids, token, now):
            self._wake([token])
            return
        watched = self._table.watched()
        if now >= max(watched.until, watched.starts_until) and self._table.may_start(now, now + WATCH):
            self._start_watch()

    def listen(self, gate: str, heard_at: float) -> Heard:
        """What is at the gate's place. `heard_at` is what it heard last. Never raises."""
        now = self._clock()
        try:
            place = self._table.place(gate)
            if place and place.words:
                told = self._table.leave(gate)
                # Whoever has said that has looked at all of the gate's tasks since it took the place.
                return Heard(max(heard_at, place.since), told.words if told else ())
            if not place:
                return Heard()
            watched = self._table.watched()
        except TableUnavailable:
            return Heard(heard_at, silent=now - heard_at > PATIENCE, away=True)
        if now < watched.until:
            self._lively_until = now + LIVELY
        if watched.began >= place.since:
            heard_at = max(heard_at, watched.began)
        return Heard(heard_at, silent=now - heard_at > watched.patience(now))

    def leave(self, gate: str) -> None:
        """A place that is not left is a few calls too many, until it expires."""
        try:
            self._table.leave(gate)
        except TableUnavailable:
            return
