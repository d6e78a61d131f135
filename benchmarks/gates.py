"""Our gates: executions of the real state machine, the real check and the real poller, in virtual time."""

import json
import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from benchmarks.functions import Function
from benchmarks.rate_limit import LimitedClient
from benchmarks.table import BenchmarkRegistrations
from check_task import TaskCheck
from license_conversion import telemetry
from license_conversion.errors import GateError, TableUnavailable
from license_conversion.license_manager import LicenseManager
from license_conversion.poll import Poll
from license_conversion.settings import Settings
from poll_tasks import AT_ONCE, LAST_SECONDS, Poller
from tests.simulation.clock import VirtualClock
from tests.simulation.interpreter import OWN_CALLS, Done, Execution, Failed, gate

MACHINE = gate()
ROLE = "arn:aws:iam::123456789012:role/gate"
STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate"
STATE_SECONDS = 0.025
"""What Step Functions takes for a state."""
SERVICE_SECONDS = 0.02
"""What EventBridge and CloudWatch take for a call."""
CALL_BACK_SECONDS = 0.025
"""What a SendTaskSuccess takes."""
START_SECONDS = 0.12
"""An asynchronous invocation, and Lambda's queue."""
CHECK_SECONDS, POLLER_SECONDS = 30.0, 900.0
"""The time-outs of the functions."""
JOIN_SECONDS = 0.005
UNLIMITED = 1e9


@dataclass(frozen=True)
class Trouble:
    """Times are in seconds since the beginning. A poller is `killed_every` so many seconds; it cannot start, and does not live,
    during `no_poller`; the table refuses every call during `table_away`, or, if it `hangs`, replies to none. `transitions` are
    how many states a second all executions together may enter, and `burst` how many at once.
    """

    killed_every: float = math.inf
    no_poller: tuple[float, float] = (math.inf, math.inf)
    table_away: tuple[float, float] = (math.inf, math.inf)
    hangs: bool = False
    transitions: float = UNLIMITED
    burst: float = UNLIMITED


NO_TROUBLE = Trouble()


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

    def seconds(self) -> float:
        """Until one more is entered."""
        self.entered += 1
        self._since_full = max(0.0, self._since_full - (self.clock.now - self._at) * self.rate) + 1
        self._at = self.clock.now
        return max(STATE_SECONDS, (self._since_full - self.burst) / self.rate)


class Gates:
    """Executions of the state machine, the function that checks for them, the poller, and the table of registrations."""

    def __init__(
        self,
        clock: VirtualClock,
        service: LimitedClient,
        random: Random,
        *,
        trouble: Trouble = NO_TROUBLE,
    ) -> None:
        self._clock = clock
        self._service = service
        self._random = random
        self._trouble = trouble
        self.table = BenchmarkRegistrations(clock, self._start_poller, away=trouble.table_away, hangs=trouble.hangs)
        self.check = Function(clock, self._start_check)
        self.poller: Function[None] = Function(clock, lambda: None)
        self.transitions = Transitions(clock, trouble.transitions, trouble.burst)
        self._executions: dict[str, Execution] = {}

    def _license_manager(self) -> LicenseManager:
        """The real adapter, with a client of ours at the seam."""
        manager = LicenseManager(ROLE)
        vars(manager)["_client"] = self._service
        return manager

    def _start_check(self) -> TaskCheck:
        """What a cold start makes."""
        poll = Poll(self._license_manager(), self._clock.timestamp, self._clock.sleep)
        settings = Settings(ROLE, "us-east-1", "", "", "")
        table: Any = self.table
        return TaskCheck(settings, lambda _: poll, lambda _: table, self._clock.utc, self._random.random)

    def wait(self, task_ids: list[str], execution_input: dict[str, Any]) -> None:
        """One execution from now on."""
        name = f"{len(self._executions)}"

        def invoke(function: str, payload: str, done: Done, failed: Failed) -> None:
            execution.entered.clear()  # of ten thousand executions, that is gigabytes
            execution.assigned.clear()
            match function:
                case "CheckTask":
                    check = partial(self._check, task_ids, payload, done, failed)
                    self._clock.after(0, check, lives=CHECK_SECONDS)
                case "UpdateItem:Token":
                    self._clock.after(0, lambda: self._register(json.loads(payload), failed))
                case call if call in OWN_CALLS:
                    self._clock.after(SERVICE_SECONDS, lambda: done({}))
                case _:
                    raise NotImplementedError(function)

        execution = self._executions[name] = Execution(
            self._clock, invoke, machine=MACHINE, name=name, arn=f"{STATE_MACHINE}:{name}",
            text=json.dumps(execution_input), lost=lambda *_: None, random=self._random.random, ended=self._ended,
            seconds_to_enter=self.transitions.seconds,
        )  # fmt: skip
        execution.begin()

    def _ended(self, execution: Execution) -> None:
        self._service.failed += execution.status != "SUCCEEDED"

    def _check(self, task_ids: Iterable[str], payload: str, done: Done, failed: Failed) -> None:
        def check(task_check: TaskCheck) -> None:
            try:
                state = task_check.for_state_machine(json.loads(payload))
            except GateError as error:
                return failed(error.name, str(error))
            finally:
                telemetry.metrics.clear_metrics()  # no operator reads them here
            self._service.seen(set(task_ids).difference(state["Pending"].split()))
            return done(state)

        if not self.check.invoke(check):
            failed("Lambda.TooManyRequestsException", "Rate Exceeded.")

    def _register(self, arguments: dict[str, Any], failed: Failed) -> None:
        try:
            self.table.register(arguments, self._clock.timestamp())
        except TableUnavailable:
            if not self._trouble.hangs:
                failed("DynamoDb.InternalServerErrorException", "The table does not answer.")

    def _start_poller(self, owner: str) -> None:
        """It lives until Lambda's time-out, or its trouble."""
        begins = self._clock.now + START_SECONDS
        lives, (away, back), killed = POLLER_SECONDS, self._trouble.no_poller, self._trouble.killed_every
        if killed < math.inf:
            lives = min(lives, self._random.expovariate(1 / killed))
        if begins < away:
            lives = min(lives, away - begins)
        if not away <= begins < back:
            self._clock.after(START_SECONDS, lambda: self._poll(owner), lives=START_SECONDS + lives)

    def _poll(self, owner: str) -> None:
        def poll(_: None) -> None:
            if not self.table.take_slot(self._clock.timestamp()):
                return
            until = self._clock.timestamp() + POLLER_SECONDS - LAST_SECONDS
            now, sleep, map_ = self._clock.timestamp, self._clock.sleep, self._at_once
            table: Any = self.table
            poller = Poller(table, self._license_manager(), self._call_back, owner, clock=now, sleep=sleep, map_=map_)
            poller.run(until)

        try:
            self.poller.invoke(poll)
        except TableUnavailable:  # the invocation fails, and Lambda does not repeat it
            return

    def _at_once(self, work: Callable[..., bool], *arguments: Iterable[Any]) -> list[bool]:
        """As the threads of the poller do, which end with it."""
        todo = deque(zip(*arguments, strict=True))
        results: list[bool] = []
        failures: list[TableUnavailable] = []

        def work_on() -> None:
            try:
                while todo:
                    results.append(work(*todo.popleft()))
            except TableUnavailable as failure:
                failures.append(failure)

        poller = self._clock.process
        lives = poller.expires - self._clock.now if poller else 0.0
        threads = [self._clock.after(0, work_on, lives=lives) for _ in range(min(AT_ONCE, len(todo)))]
        while not all(thread.dead for thread in threads):
            self._clock.sleep(JOIN_SECONDS)
        if failures:
            raise failures[0]
        return results

    def _call_back(self, token: str, output: str) -> bool:
        self._clock.sleep(CALL_BACK_SECONDS)
        return self._executions[token.split("|")[1]].call_back(token, json.loads(output))
