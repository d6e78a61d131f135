"""The benchmark's aims for waits that are few and short enough for a test, and its parts. `make benchmark` has all the waits."""

import logging
from collections.abc import Iterator

import pytest

from benchmarks.aims import SHORT, Aim, repeated
from benchmarks.bounds import Bound
from benchmarks.gates import NO_TROUBLE, Trouble
from benchmarks.peers import CdkProvider, Crhelper
from benchmarks.runs import Case, run

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # a hundred thousand checks
AWAY = (120.0, 420.0)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """A log line for each of so many checks is half of their time, and they are not read."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def together_150(trouble: Trouble = NO_TROUBLE) -> list[Case]:
    return [Case(SHORT, 150, trouble=trouble)]


@pytest.mark.parametrize(
    "aim",
    [
        Aim("one gate", repeated(SHORT, 30), p50=3, p99=6, calls=80, dollars=0.0019),
        Aim("ten gates", repeated(SHORT, 6, 10), p50=3, p99=6, calls=14),
        Aim("many gates", together_150(), p50=4, p99=8, calls=5),
        Aim("a fleet", [Case(SHORT, 150, fleet=True)], p50=8, p99=15, calls=3),
        Aim("a fleet that has ended", [Case("ended", 150, fleet=True, timeout=120)], p99=10, calls=0.1),
        Aim("a poller that is killed every minute", together_150(Trouble(killed_every=60)), p99=60),
        Aim("a table that is away", together_150(Trouble(table_away=AWAY)), p99=150, during=AWAY),
        Aim("a table that hangs", together_150(Trouble(table_away=AWAY, hangs=True)), p99=150, during=AWAY),
        Aim("a poller that cannot start", together_150(Trouble(no_poller=AWAY)), p99=150, during=AWAY),
        Aim("a lone gate's poller is killed", repeated(SHORT, 20, trouble=Trouble(killed_every=60)), p99=150),
        Aim("a lone gate's poller cannot start", repeated(SHORT, 20, trouble=Trouble(no_poller=AWAY)), p99=150),
        Aim("a lone gate's table is away", repeated(SHORT, 20, trouble=Trouble(table_away=AWAY)), p99=150),
        Aim("a lone gate's table hangs", repeated(SHORT, 20, trouble=Trouble(table_away=AWAY, hangs=True)), p99=150),
        Aim("one deadline, 40 s after all ends", [Case("10 min", 150, timeout=640)], p50=7, p99=10),
        Aim("few transitions", together_150(Trouble(transitions=20, burst=40)), p99=60),
    ],
    ids=lambda aim: aim.what,
)
def test_the_gate_meets_its_aims(aim: Aim) -> None:
    result = aim.reached(run)

    met = aim.met_by(result)
    assert result.lags
    assert met, f"p50 {result.lag(0.5)}, p99 {result.lag(0.99)}, {result.calls} calls, {result.failed} failed"


def test_an_aim_is_not_met_where_a_wait_fails() -> None:
    aim = Aim("one deadline before all ends", [Case("10 min", 3, timeout=60)], p99=40)

    assert not aim.met_by(aim.reached(run))


def test_the_same_case_has_the_same_result() -> None:
    case = Case(SHORT, 30)

    assert run(case) == run(case)


def test_a_throttle_fails_the_cdk_providers_waits_and_crhelpers_and_none_of_ours() -> None:
    case = Case(SHORT, 100, rate=5)

    assert run(case, CdkProvider).failed > 0
    assert run(Case(SHORT, 1000, rate=5), Crhelper).failed > 0
    assert run(case).failed == 0


def test_the_cdk_providers_two_functions_are_on_the_bill() -> None:
    result = run(Case("10 min", 1), CdkProvider)

    assert result.calls == pytest.approx(600 / 5.06, rel=0.02)
    assert result.dollars > result.calls * (0.025 / 1000 + 2 * 0.20 / 1e6)


def test_with_twice_the_calls_an_end_is_seen_in_less_than_half_of_the_time() -> None:
    bound = Bound(1000, begin=1200, seconds=2400)

    assert bound.within(5) == pytest.approx(0.99 * 6 + 0.06)
    assert bound.within(10) < bound.within(5) / 2
