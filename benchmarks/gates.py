"""Our gates: the real state machine's states, the real check, in virtual time."""

import json
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.clock import Clock
from benchmarks.functions import Function
from benchmarks.license_manager import LicenseManagerService
from benchmarks.waits import Waits
from check_task import TaskCheck
from license_conversion import telemetry
from license_conversion.gate import Gate
from license_conversion.license_manager import LicenseManager
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import iso

ASL = json.loads((Path(__file__).parent.parent / "statemachine" / "gate.asl.json").read_text())["States"]
STATE_SECONDS = 0.025
"""What Step Functions takes for a state."""


def states(first: str, until: str = "") -> int:
    """How many states an execution enters from `first` to before `until`, or to its end, each Choice by its default.

    Each is a transition on the bill.
    """
    entered, name = 0, first
    while True:
        entered += 1
        state = ASL[name]
        if state["Type"] in ("Succeed", "Fail"):
            return entered
        name = state.get("Next") or state["Default"]
        if name == until:
            return entered


TURN = states("Check Task", until="Check Task")
BEFORE = states("Who Comes?", until="First Check")
AFTER = 1 + states("Announce End") + states("Who Waits?", until="Gate Passed?")
"""`Task Terminal?`, then a success that is announced; `Conversion Done` instead of `Conversion Not Done`."""


class Gates:
    """Executions of the state machine, and the function that checks for them."""

    def __init__(self, clock: Clock, service: LicenseManagerService, random: Random, *, any_sandbox: bool) -> None:
        self._clock = clock
        self._service = service
        self._random = random
        self.function = Function(clock, self._start, Random(1) if any_sandbox else None)  # noqa: S311 - a simulation
        self.transitions = 0

    def _start(self) -> TaskCheck:
        """What a cold start makes: the real adapter, with a client of ours at the seam."""
        manager = LicenseManager("arn:aws:iam::123456789012:role/check")
        vars(manager)["_client"] = self._service
        shared = SharedLicenseManager(manager, self._clock.monotonic, self._clock.sleep)
        gate = Gate(lambda _: shared, self._clock.utc, self._random.random, self._clock.sleep)
        return TaskCheck(gate, self._clock.utc)

    def wait(self, waits: Waits, execution_input: dict[str, Any]) -> None:
        """One execution from now on. `waits` hears which tasks a check saw ended, and how the execution ends."""
        self.transitions += BEFORE
        event = {
            "Input": execution_input,
            "Gate": ASL["Open Gate to Caller"]["Parameters"],
            "StartedAt": iso(self._clock.utc()),
            "Execution": "arn:aws:states:us-east-1:123456789012:execution:LicenseConversionGate:one",
        }
        self._clock.after(BEFORE * STATE_SECONDS, lambda: self._check(waits, event, busy=0))

    def _check(self, waits: Waits, event: dict[str, Any], busy: int) -> None:
        after: dict[str, Any] = {}

        def check(task_check: TaskCheck) -> None:
            after.update(task_check.for_state_machine(event))
            telemetry.metrics.clear_metrics()  # nobody reads them here

        self.transitions += 1
        if not self.function.invoke(check):
            first = not event["Gate"]["Checks"]
            retry = ASL["First Check" if first else "Check Task"]["Retry"][0]
            if busy < retry["MaxAttempts"]:
                pause = retry["IntervalSeconds"] * retry["BackoffRate"] ** busy
                pause = min(pause, retry.get("MaxDelaySeconds", pause))
                pause *= self._random.random() if "JitterStrategy" in retry else 1
                self._clock.after(pause, lambda: self._check(waits, event, busy + 1))
            elif first:
                waits.end(passed=False, tasks=_tasks(event))
            else:
                self.transitions += 2
                pause = event["Gate"]["AttemptSeconds"]
                self._clock.after(pause, lambda: self._check(waits, event, busy=0))
            return
        if after["Ended"]:
            self.transitions += AFTER
            waits.end(passed=after["Passed"], tasks=_tasks(event))
            return
        if "Pending" in after:
            waits.seen(set(_tasks(event)) - set(after["Pending"]))
        self.transitions += TURN - 1
        pause = (TURN - 1) * STATE_SECONDS + after["SecondsUntilNextCheck"]
        self._clock.after(pause, lambda: self._check(waits, {**event, "Gate": after}, busy=0))


def _tasks(event: dict[str, Any]) -> list[str]:
    given = event["Input"]
    return given.get("LicenseConversionTaskIds") or [given["LicenseConversionTaskId"]]
