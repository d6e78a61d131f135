"""Our gates: the real state machine's states, the real check and the real watch, in virtual time."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from benchmarks.functions import Function, Reuse
from benchmarks.rate_limit import LimitedClient
from benchmarks.table import BenchmarkTable
from benchmarks.tally import Tally
from check_task import TaskCheck
from license_conversion import telemetry
from license_conversion.crowd import Crowd
from license_conversion.errors import TableUnavailable
from license_conversion.gate import Gate
from license_conversion.license_manager import LicenseManager
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import iso
from tests.simulation.clock import VirtualClock
from tests.simulation.definition import choose, definition, follow, pause
from watch_crowd import LAST_SECONDS, Watch

ASL = definition()["States"]
STATE_SECONDS = 0.025
"""What Step Functions takes for a state."""
WAKE_SECONDS, WAKES_AT_ONCE = 0.025, 10
"""SendTaskSuccess, and how many of them license_conversion.wake makes at once."""
START_SECONDS = 0.12
"""An asynchronous invocation, and Lambda's queue."""
WATCH_SECONDS = 900.0
UNLIMITED = 1e9

State = dict[str, Any]


class Crash(BaseException):
    """A function is killed: nothing of ours may catch it."""


@dataclass(frozen=True)
class Trouble:
    """Times are in seconds since the beginning. A watch is `killed_every` so many seconds; it cannot start, and does not live,
    during `no_watch`; the table does not answer during `table_away`. `transitions` are how many states a second all executions
    together may enter, and `burst` how many at once.
    """

    killed_every: float = math.inf
    no_watch: tuple[float, float] = (math.inf, math.inf)
    table_away: tuple[float, float] = (math.inf, math.inf)
    transitions: float = UNLIMITED
    burst: float = UNLIMITED


NO_TROUBLE = Trouble()


def walk(name: str, state: Mapping[str, Any]) -> tuple[int, str]:
    """How many states an execution enters from `name` on until one that takes time, or the end, this one included; and which
    that is. Each is a transition on the bill.
    """
    entered = 1
    while (entry := ASL[name])["Type"] in ("Choice", "Pass"):
        name = choose(entry, partial(follow, data=state, context={})) if "Choices" in entry else entry["Next"]
        entered += 1
    return entered, name


@dataclass
class Transitions:
    """How many states were entered: `burst` of them at once and `rate` a second, those that come too soon in their order."""

    clock: VirtualClock
    rate: float
    burst: float
    entered: int = 0
    _since_full: float = 0.0
    """How many were entered since the bucket was full, less those for which it has filled again."""
    _at: float = 0.0

    def seconds(self, states: int) -> float:
        """Until so many more are entered."""
        self.entered += states
        self._since_full = max(0.0, self._since_full - (self.clock.now - self._at) * self.rate) + states
        self._at = self.clock.now
        return max(states * STATE_SECONDS, (self._since_full - self.burst) / self.rate)


@dataclass
class GateRun:
    """A wait. `input` and what a check left; while it sleeps in the crowd, the token that wakes it."""

    event: State
    state: State
    tally: Tally
    token: str = ""

    @property
    def tasks(self) -> list[str]:
        given = self.event["Input"]
        return given.get("LicenseConversionTaskIds") or [given["LicenseConversionTaskId"]]


class Gates:
    """Executions of the state machine, the function that checks for them, the watch, and its table."""

    def __init__(
        self,
        clock: VirtualClock,
        service: LimitedClient,
        random: Random,
        *,
        reuse: Reuse,
        trouble: Trouble = NO_TROUBLE,
    ) -> None:
        self._clock = clock
        self._service = service
        self._random = random
        self._trouble = trouble
        self.table = BenchmarkTable(clock, trouble.table_away)
        self.check = Function(clock, self._start, reuse)
        self.watch: Function[None] = Function(clock, lambda: None)
        self.transitions = Transitions(clock, trouble.transitions, trouble.burst)
        self._number = 0
        self._asleep: dict[str, GateRun] = {}

    def _license_manager(self) -> LicenseManager:
        """The real adapter, with a client of ours at the seam."""
        manager = LicenseManager("arn:aws:iam::123456789012:role/check")
        vars(manager)["_client"] = self._service
        return manager

    def _start(self) -> TaskCheck:
        """What a cold start makes."""
        shared = SharedLicenseManager(self._license_manager(), self._clock.monotonic)
        crowd = Crowd(self.table, self._start_watch, self._wake, self._clock.timestamp)
        gate = Gate(
            lambda _: shared, self._clock.utc, self._random.random, crowds=lambda _: crowd, sleep=self._clock.sleep
        )
        return TaskCheck(gate, self._clock.utc)

    def wait(self, tally: Tally, execution_input: State) -> None:
        """One execution from now on. `tally` hears which tasks a check saw ended, and how the execution ends."""
        self._number += 1
        event = {
            "Input": execution_input,
            "StartedAt": iso(self._clock.utc()),
            "Execution": f"arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate:{self._number}",
        }
        execution = GateRun(event, ASL["Open Gate to Caller"]["Parameters"], tally)
        states, name = walk(definition()["StartAt"], {})
        self._after(states, 0, lambda: self._check(name, execution))

    def _after(self, states: int, pause: float, what: Callable[[], None]) -> None:
        self._clock.after(self.transitions.seconds(states) + pause, what)

    def _check(self, name: str, execution: GateRun, busy: int = 0) -> None:
        after: State = {}

        def check(task_check: TaskCheck) -> None:
            after.update(task_check.for_state_machine({**execution.event, "Gate": execution.state}))
            telemetry.metrics.clear_metrics()  # nobody reads them here

        if not self.check.invoke(check):
            return self._throttled(name, execution, busy)
        execution.state = after
        if "Pending" in after:
            execution.tally.seen(set(execution.tasks) - set(after["Pending"]))
        elif after["Ended"] and after["Passed"]:
            execution.tally.seen(execution.tasks)
        return self._go_on(ASL[name]["Next"], execution)

    def _throttled(self, name: str, execution: GateRun, busy: int) -> None:
        """By Lambda."""
        retry = ASL[name]["Retry"][-1]
        if name == "First Check" and busy < retry["MaxAttempts"]:
            seconds = pause(retry, busy, self._random.random)
            return self._after(1, seconds, lambda: self._check(name, execution, busy + 1))
        if name == "First Check":
            return execution.tally.end(passed=False)
        return self._go_on("Wait for Lambda", execution)

    def _go_on(self, name: str, execution: GateRun) -> None:
        state = execution.state
        states, name = walk(name, state)
        match name:
            case "Wait for Next Check":
                self._after(states, state["SecondsUntilNextCheck"], lambda: self._go_on(ASL[name]["Next"], execution))
            case "Wait for Lambda":
                self._after(states, state["PauseSeconds"], lambda: self._go_on(ASL[name]["Next"], execution))
            case "Check Task":
                self._after(states, 0, lambda: self._check(name, execution))
            case "Wait for Word":
                self._after(states, 0, lambda: self._wait_for_word(execution))
            case "Announce End":
                self._after(states, 0, lambda: self._go_on(ASL[name]["Next"], execution))
            case _:
                self.transitions.seconds(states)
                execution.tally.end(passed=state["Passed"])

    def _wait_for_word(self, execution: GateRun) -> None:
        self._number += 1
        token = execution.token = f"token-{self._number}"
        self._asleep[token] = execution
        self._clock.after(execution.state["SecondsUntilNextCheck"], lambda: self._wakes(token, "Check Task"))

        def take_place(task_check: TaskCheck) -> None:
            try:
                task_check.take_place({**execution.event, "Gate": execution.state, "Token": token})
            except TableUnavailable:
                self._wakes(token, "Wait for Lambda")

        if not self.check.invoke(take_place):
            self._wakes(token, "Wait for Lambda")

    def _wakes(self, token: str, name: str) -> None:
        """A token that is used up wakes nobody."""
        execution = self._asleep.pop(token, None)
        if execution:
            self._go_on(name, execution)

    def _wake(self, tokens: Collection[str]) -> None:
        tokens = list(tokens)
        for first in range(0, len(tokens), WAKES_AT_ONCE):
            self._clock.sleep(WAKE_SECONDS)
            for token in tokens[first : first + WAKES_AT_ONCE]:
                self._wakes(token, "Check Task")

    def _start_watch(self) -> None:
        self._clock.after(START_SECONDS, self._watch)

    def _watch(self) -> None:
        if self._lives_until(math.inf) > self._clock.now:
            self.watch.invoke(self._look_for_all)

    def _lives_until(self, killed: float) -> float:
        begin, end = self._trouble.no_watch
        return min(killed, begin) if self._clock.now < end else killed

    def _look_for_all(self, _: None) -> None:
        every = self._trouble.killed_every
        killed = self._clock.now + (self._random.expovariate(1 / every) if every < math.inf else math.inf)

        def sleep(seconds: float) -> None:
            self._clock.sleep(seconds)
            if self._clock.now >= self._lives_until(killed):
                raise Crash

        watch = Watch(self.table, self._license_manager(), self._wake, self._clock.timestamp, sleep)
        try:
            watch.run(self._clock.timestamp() + WATCH_SECONDS - LAST_SECONDS, report=lambda *_: None)
        except (Crash, TableUnavailable):
            return
