"""What the gate is held to, and what was reached."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.runs import Case, Result, run


@dataclass(frozen=True)
class Aim:
    """`p50`, `p99` in seconds; mean `calls` of License Manager for a wait, or for a task of a fleet. No wait may fail."""

    what: str
    cases: Sequence[Case]
    p99: float
    calls: float
    p50: float = float("inf")

    def reached(self) -> Result:
        """All the cases as one."""
        results = [run(case) for case in self.cases]
        one = results[0]
        lags = tuple(sorted(lag for result in results for lag in result.lags))
        calls = sum(result.calls for result in results) / len(results)
        throttles = sum(result.throttles for result in results) / len(results)
        failed = sum(result.failed for result in results)
        mean = sum(result.dollars for result in results) / len(results)
        return Result(one.case, one.way, lags, calls, throttles, failed, mean, one.checks)

    def met_by(self, result: Result) -> bool:
        in_time = result.lag(0.5) <= self.p50 and result.lag(0.99) <= self.p99
        return in_time and result.calls <= self.calls and not result.failed


def _alone(conversions: str) -> list[Case]:
    return [Case(conversions, 1, seed=seed) for seed in range(0, 4000, 2)]


def _seeds(waits: int) -> list[Case]:
    """The gate's constants were chosen with seed 1, so that one is not among them."""
    return [Case("20 to 60 min", waits, seed=seed) for seed in (11, 21, 31, 41, 51)]


AIMS = (
    Aim("one gate, conversions of 2 to 10 min", _alone("2 to 10 min"), p50=15, p99=60, calls=30),
    Aim("one gate, 20 to 60 min", _alone("20 to 60 min"), p50=30, p99=66, calls=75),
    Aim("1,000 gates at once, 20 to 60 min", _seeds(1000), p99=80, calls=12),
    Aim("a fleet of 1,000, 20 to 60 min", [Case("20 to 60 min", 1000, fleet=True)], p99=30, calls=3),
)
LARGEST = Aim("10,000 gates at once, 20 to 60 min", [Case("20 to 60 min", 10_000)], p99=120, calls=10)
