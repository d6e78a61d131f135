"""What the gate is held to, and what was reached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.gates import NO_TROUBLE, Trouble
from benchmarks.runs import SEED, Case, Result, together

ANY = float("inf")


@dataclass(frozen=True)
class Aim:
    """`p50`, `p99` in seconds, of the tasks that ended `during` these seconds; mean `calls` of License Manager and `dollars`, for
    a wait, or for a task of a fleet. No wait may fail.
    """

    what: str
    cases: Sequence[Case]
    p99: float
    p50: float = ANY
    calls: float = ANY
    dollars: float = ANY
    during: tuple[float, float] = (0.0, ANY)

    def reached(self, run: Callable[[Case], Result]) -> Result:
        """All the cases as one."""
        return together([run(case) for case in self.cases]).during(*self.during)

    def met_by(self, result: Result) -> bool:
        in_time = result.lag(0.5) <= self.p50 and result.lag(0.99) <= self.p99
        return in_time and result.calls <= self.calls and result.dollars <= self.dollars and not result.failed


LONE, FEW = 200, 30
"""So many gates that are alone, and so many times ten at once: the p99 of fewer depends on which they are."""
SEEDS = (SEED, SEED + 10, SEED + 20)
AWAY = (1800.0, 2400.0)
SHORT, HOUR_LONG = "2 to 10 min", "20 to 60 min"


def repeated(conversions: str, times: int, gates: int = 1, trouble: Trouble = NO_TROUBLE) -> list[Case]:
    return [Case(conversions, gates, seed=1000 * SEED + 2 * time, trouble=trouble) for time in range(times)]


def _at_once(
    waits: int = 1000,
    conversions: str = HOUR_LONG,
    *,
    seeds: int = len(SEEDS),
    fleet: bool = False,
    trouble: Trouble = NO_TROUBLE,
    timeout: int = 86400,
) -> list[Case]:
    return [
        Case(conversions, waits, fleet=fleet, trouble=trouble, timeout=timeout, seed=seed) for seed in SEEDS[:seeds]
    ]


TROUBLES = (
    ("the poller is killed every 60 s", Trouble(killed_every=60), (0.0, ANY), 60),
    ("no poller can start for 10 min: what ended then", Trouble(no_poller=AWAY), AWAY, 150),
    ("the table is away for 10 min: what ended then", Trouble(table_away=AWAY), AWAY, 150),
    ("the table hangs for 10 min: what ended then", Trouble(table_away=AWAY, hangs=True), AWAY, 150),
)
AIMS = (
    Aim("one gate, 2 to 10 min", repeated(SHORT, LONE), p50=3, p99=6, calls=80, dollars=0.0023),
    Aim("one gate, 20 to 60 min", repeated(HOUR_LONG, LONE), p50=3, p99=6, calls=520, dollars=0.0115),
    Aim("10 gates at once, 20 to 60 min", repeated(HOUR_LONG, FEW, 10), p50=3, p99=6, calls=75, dollars=0.0035),
    Aim("100 gates at once, 20 to 60 min", _at_once(100), p50=4, p99=8, calls=12, dollars=0.0023),
    Aim("1,000 gates at once, 20 to 60 min", _at_once(), p50=8, p99=15, calls=5, dollars=0.0021),
    Aim(
        "1,000 gates with one deadline, all end 40 s before it",
        _at_once(1000, "10 min", seeds=1, timeout=640),
        p50=7,
        p99=10,
    ),
    Aim("10,000 gates at once, 20 to 60 min", _at_once(10_000, seeds=1), p50=20, p99=35),
    Aim("10,000 gates at once, 2 to 10 min", _at_once(10_000, SHORT, seeds=1), p50=20, p99=35),
    Aim("a fleet of 1,000, 20 to 60 min", _at_once(fleet=True), p50=8, p99=15),
    Aim("a fleet of 1,000 that have all ended", _at_once(1000, "ended", fleet=True, timeout=120), p99=10),
    *(
        Aim(f"1,000 gates, 20 to 60 min, {what}", _at_once(seeds=1, trouble=trouble), p99=p99, during=during)
        for what, trouble, during, p99 in TROUBLES
    ),
    *(
        Aim(f"one gate, 20 to 60 min, {what}", repeated(HOUR_LONG, LONE, trouble=trouble), p99=150, during=during)
        for what, trouble, during, _ in TROUBLES
    ),
)
