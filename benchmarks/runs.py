"""One run: so many waits, these conversions, this limit; and what it came to."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from random import Random

from benchmarks.gates import NO_TROUBLE, Gates, Trouble
from benchmarks.peers import Peer
from benchmarks.rate_limit import LimitedClient
from tests.simulation.clock import VirtualClock

TRANSITION = 0.025 / 1000
INVOCATION = 0.20 / 1_000_000
GB_SECOND = 0.0000133334
"""Dollars, us-east-1, list, Lambda on arm64."""
DAY = 86400
SEED = 101
"""Nothing was chosen with it, nor with those above it: the gate's constants were with 11 to 51."""

# How long conversions take: AWS publishes no figure, so these are assumptions.

Draw = Callable[[Random], float]
"""Seconds from a task's start to its end."""

MINUTE = 60.0
NINETEEN_OF_TWENTY = 0.95


def _tail(random: Random) -> float:
    """Nineteen of twenty take 2 to 20 minutes; the others up to 12 hours, as many in each doubling."""
    if random.random() < NINETEEN_OF_TWENTY:
        return random.uniform(2 * MINUTE, 20 * MINUTE)
    return 20 * MINUTE * math.pow(36, random.random())


CONVERSIONS: Mapping[str, Draw] = {
    "10 s to 10 min": lambda random: random.uniform(10, 10 * MINUTE),
    "10 min": lambda random: 10 * MINUTE,  # noqa: ARG005
    "ended": lambda random: 0.0,  # noqa: ARG005
    "2 to 10 min": lambda random: random.uniform(2 * MINUTE, 10 * MINUTE),
    "20 to 60 min": lambda random: random.uniform(20 * MINUTE, 60 * MINUTE),
    "a tail of 12 h": _tail,
}


@dataclass(frozen=True)
class Case:
    """What is run. `spread` is over how many seconds the waits begin; a fleet is one wait for all the tasks."""

    conversions: str
    waits: int
    rate: float = 10
    page: int = 100
    spread: float = 0
    fleet: bool = False
    seed: int = SEED
    trouble: Trouble = NO_TROUBLE
    timeout: int = DAY


@dataclass(frozen=True)
class Result:
    """`calls`, `throttles` and `dollars` are for a wait, or for a task of a fleet; `ends` are pairs of when a task ended,
    in seconds since the beginning, and how much later that was seen. `failed` of `waits` failed.
    """

    case: Case
    way: str
    ends: tuple[tuple[float, float], ...]
    calls: float
    throttles: float
    failed: int
    dollars: float
    waits: int

    @property
    def lags(self) -> list[float]:
        return sorted(lag for _, lag in self.ends)

    def lag(self, share: float) -> float:
        """The lag that this share of the tasks has at most. NaN when no end was seen."""
        lags = self.lags
        return lags[min(len(lags) - 1, int(len(lags) * share))] if lags else float("nan")

    def during(self, begin: float, end: float) -> "Result":
        """With the tasks alone that ended in this time, in seconds since the beginning."""
        return replace(self, ends=tuple(one for one in self.ends if begin <= one[0] < end))


OURS = "License Conversion Gate"


def run(case: Case, peer: type[Peer] | None = None) -> Result:
    """Deterministic: the same case has the same result."""
    clock = VirtualClock()
    service = LimitedClient(clock, case.rate, case.page)
    conversions, jitter = Random(case.seed), Random(case.seed + 1)  # noqa: S311 - a simulation
    ours = Gates(clock, service, jitter, trouble=case.trouble)
    theirs = peer(clock, service, jitter) if peer else None

    def begin(number: int) -> str:
        task_id = f"lct-{number:017d}"
        service.add(task_id, CONVERSIONS[case.conversions](conversions))
        return task_id

    def wait(number: int) -> None:
        task_id = begin(number)
        if theirs:
            theirs.wait(task_id)
        else:
            ours.wait([task_id], {"LicenseConversionTaskId": task_id, "TimeoutSeconds": case.timeout})

    if case.fleet:
        tasks = [begin(number) for number in range(case.waits)]
        ours.wait(tasks, {"LicenseConversionTaskIds": tasks, "TimeoutSeconds": case.timeout})
    for number in range(0 if case.fleet else case.waits):
        clock.after(case.spread * number / case.waits, lambda number=number: wait(number))  # type: ignore[misc]
    with redirect_stdout(StringIO()):  # metrics, which are not read here
        clock.run_out()
    bills = theirs.bills if theirs else [ours.check.bill, ours.poller.bill]
    transitions = theirs.transitions if theirs else ours.transitions.entered
    dollars = transitions * TRANSITION + ours.table.dollars
    dollars += sum(bill.invocations * INVOCATION + bill.gb_seconds * GB_SECOND for bill in bills)
    ends = tuple((service.end_of(task_id), lag) for task_id, lag in service.lags.items())
    calls, throttles = service.calls / case.waits, service.throttles / case.waits
    way = peer.name if peer else OURS
    return Result(case, way, ends, calls, throttles, service.failed, dollars / case.waits, case.waits)


def together(results: Sequence[Result]) -> Result:
    """Several runs of as many waits as one."""

    def mean(of: Callable[[Result], float]) -> float:
        return sum(of(one) for one in results) / len(results)

    return replace(
        results[0],
        ends=tuple(end for one in results for end in one.ends),
        calls=mean(lambda one: one.calls),
        throttles=mean(lambda one: one.throttles),
        failed=sum(one.failed for one in results),
        dollars=mean(lambda one: one.dollars),
        waits=sum(one.waits for one in results),
    )
