"""What the gate is held to, and what was reached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.functions import Reuse
from benchmarks.gates import NO_TROUBLE, Trouble
from benchmarks.runs import SEED, Case, Result, together

ANY = float("inf")


@dataclass(frozen=True)
class Aim:
    """`p50`, `p99` in seconds, of the tasks that ended `during` these seconds; mean `calls` of License Manager for a wait, or for
    a task of a fleet. No wait may fail.
    """

    what: str
    cases: Sequence[Case]
    p99: float
    calls: float = ANY
    p50: float = ANY
    during: tuple[float, float] = (0.0, ANY)

    def reached(self, run: Callable[[Case], Result]) -> Result:
        """All the cases as one."""
        return together([run(case) for case in self.cases]).during(*self.during)

    def met_by(self, result: Result) -> bool:
        in_time = result.lag(0.5) <= self.p50 and result.lag(0.99) <= self.p99
        return in_time and result.calls <= self.calls and not result.failed


ALONE = 2000
"""So many gates that are alone: the p99 of fewer depends on which they are."""
SEEDS = (SEED, SEED + 10, SEED + 20)
AWAY = (1800.0, 2400.0)


def alone(conversions: str, gates: int = ALONE) -> list[Case]:
    return [Case(conversions, 1, seed=1000 * SEED + 2 * gate) for gate in range(gates)]


def _seeds(
    conversions: str,
    waits: int,
    *,
    fleet: bool = False,
    reuse: Reuse = "last freed",
    trouble: Trouble = NO_TROUBLE,
    timeout: int = 86400,
) -> list[Case]:
    return [
        Case(conversions, waits, fleet=fleet, reuse=reuse, trouble=trouble, timeout=timeout, seed=seed)
        for seed in SEEDS
    ]


HOUR_LONG = "20 to 60 min"
AIMS = (
    Aim("one gate, 2 to 10 min", alone("2 to 10 min"), p50=11, p99=28, calls=30),
    Aim("one gate, 20 to 60 min", alone(HOUR_LONG), p50=16, p99=31, calls=100),
    Aim("100 gates at once, 20 to 60 min", _seeds(HOUR_LONG, 100), p50=8, p99=15, calls=8),
    Aim("1,000 gates at once, 20 to 60 min", _seeds(HOUR_LONG, 1000), p50=8, p99=15, calls=5),
    Aim("the same, any free sandbox is used", _seeds(HOUR_LONG, 1000, reuse="any"), p50=8, p99=15, calls=5),
    Aim("the same, the one that was freed first", _seeds(HOUR_LONG, 1000, reuse="first freed"), p50=8, p99=15, calls=5),
    Aim("a fleet of 1,000, 20 to 60 min", _seeds(HOUR_LONG, 1000, fleet=True), p50=8, p99=15, calls=3),
    Aim("a fleet of 1,000 that have all ended", _seeds("ended", 1000, fleet=True, timeout=120), p99=30, calls=0.1),
    Aim(
        "1,000 gates, 20 to 60 min, the watch is killed every 60 s",
        _seeds(HOUR_LONG, 1000, trouble=Trouble(killed_every=60)),
        p99=90,
    ),
    Aim(
        "1,000 gates, 20 to 60 min, the table is away for 10 min: what ended then",
        _seeds(HOUR_LONG, 1000, trouble=Trouble(table_away=AWAY)),
        p99=180,
        during=AWAY,
    ),
    Aim(
        "1,000 gates, 20 to 60 min, no watch can start for 10 min: what ended then",
        _seeds(HOUR_LONG, 1000, trouble=Trouble(no_watch=AWAY))[:1],
        p99=ANY,
        during=AWAY,
    ),
    Aim("1,000 gates with one deadline, all end 40 s before it", _seeds("10 min", 1000, timeout=640), p99=ANY),
    Aim("10,000 gates at once, 20 to 60 min", [Case(HOUR_LONG, 10_000)], p50=20, p99=45, calls=4),
    Aim("10,000 gates at once, 2 to 10 min", [Case("2 to 10 min", 10_000)], p50=60, p99=120, calls=2),
)
