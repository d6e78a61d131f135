"""The benchmark's aims for waits that are few and short enough for a test, and its parts. `make benchmark` has all the waits."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.aims import HOUR_LONG, Aim, alone
from benchmarks.bounds import SHARE, Bound
from benchmarks.cold_start import Took, products
from benchmarks.functions import Reuse
from benchmarks.gates import STATE_SECONDS, Transitions, Trouble, walk
from benchmarks.peers import CdkProvider, Crhelper
from benchmarks.quota import limited, share
from benchmarks.runs import Case, run, together
from tests.simulation.clock import VirtualClock

pytestmark = pytest.mark.no_cover  # a hundred thousand checks
SHORT = "2 to 10 min"
FEW_ARE_OFF = 1.0
"""Seconds by which the lag of a tenth of the gates may miss that of all."""
AWAY = (120.0, 420.0)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """A log line for each of so many checks is half of their time, and nobody reads them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def crowd(*, reuse: Reuse = "last freed", trouble: Trouble | None = None, **more: Any) -> list[Case]:
    return [Case(SHORT, 150, reuse=reuse, trouble=trouble or Trouble(), **more)]


@pytest.mark.parametrize(
    "aim",
    [
        Aim("one gate", alone(SHORT, 200), p50=11 + FEW_ARE_OFF, p99=28 + FEW_ARE_OFF, calls=30),
        Aim("a crowd", crowd(), p50=8, p99=15, calls=5),
        Aim("a crowd, any free sandbox is used", crowd(reuse="any"), p50=8, p99=15, calls=5),
        Aim("a crowd, the sandbox that was freed first", crowd(reuse="first freed"), p50=8, p99=15, calls=5),
        Aim("a fleet", [Case(SHORT, 150, fleet=True)], p50=8, p99=15, calls=3),
        Aim("a fleet that has ended", [Case("ended", 150, fleet=True, timeout=120)], p99=30, calls=0.1),
        Aim("a watch that is killed every minute", [Case(HOUR_LONG, 150, trouble=Trouble(killed_every=60))], p99=90),
        Aim("a table that is away", crowd(trouble=Trouble(table_away=AWAY)), p99=180, during=AWAY),
        Aim("a watch that cannot start", crowd(trouble=Trouble(no_watch=AWAY)), p99=180, during=AWAY),
        Aim("one deadline, 40 s after all ends", [Case("10 min", 150, timeout=640)], p99=40),
        Aim("few transitions", crowd(trouble=Trouble(transitions=20, burst=40)), p99=60),
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


def test_several_runs_are_one_with_all_their_ends() -> None:
    first, second = (run(case) for case in alone(SHORT, 2))

    both = together([first, second])

    assert both.ends == (*first.ends, *second.ends)
    assert both.calls == (first.calls + second.calls) / 2
    assert both.waits == 2


@pytest.mark.parametrize(
    ("after", "states", "next_state"),
    [
        ({"Waiter": "CALLER", "Ended": False}, 2, "Wait for Next Check"),
        ({"Waiter": "CALLER", "Ended": False, "AwaitsWord": True}, 2, "Wait for Word"),
        ({"Ended": True, "Passed": True, "Announcement": {}}, 3, "Announce End"),
    ],
    ids=["alone", "in a crowd", "at the end"],
)
def test_an_execution_walks_through_the_states_of_the_real_definition(
    after: dict[str, Any], states: int, next_state: str
) -> None:
    assert walk("Gate Ended?", after) == (states, next_state)


def test_states_are_entered_at_once_until_the_burst_is_used_up_then_at_the_rate() -> None:
    clock = VirtualClock()
    transitions = Transitions(clock, rate=10, burst=20)

    assert transitions.seconds(20) == pytest.approx(20 * STATE_SECONDS)
    assert transitions.seconds(30) == pytest.approx(3)
    clock.run_for(4)
    assert transitions.seconds(10) == pytest.approx(10 * STATE_SECONDS)
    assert transitions.seconds(10) == pytest.approx(1)


def test_a_throttle_fails_the_cdk_providers_waits_and_crhelpers_and_none_of_ours() -> None:
    case = Case(SHORT, 100, rate=5)

    assert run(case, CdkProvider).failed > 0
    assert run(Case(SHORT, 1000, rate=5), Crhelper).failed > 0
    assert run(case).failed == 0


def test_crhelper_polls_every_two_minutes() -> None:
    assert Crhelper.interval == 120


def test_the_cdk_providers_two_functions_are_on_the_bill() -> None:
    result = run(Case("10 min", 1), CdkProvider)

    assert result.checks == pytest.approx(600 / 5.06, rel=0.02)
    assert result.dollars > result.checks * (0.025 / 1000 + 2 * 0.20 / 1e6)


def test_with_a_get_for_each_end_the_last_of_many_waits_until_all_before_it_are_told() -> None:
    assert Bound(10_000, begin=120, seconds=480).asked == pytest.approx(0.99 * (1000 - 480), abs=0.1)
    assert Bound(1000, begin=120, seconds=480).asked == pytest.approx(0.06)


def test_a_listing_takes_the_time_of_its_pages() -> None:
    assert Bound(10_000, begin=0, seconds=480).listed == pytest.approx(100 * 0.11 * SHARE + 0.11)
    assert Bound(10_000, begin=0, seconds=480, rate=5).listed == pytest.approx(100 * 0.2 * SHARE + 0.2)


def test_with_twice_the_calls_an_end_is_seen_in_less_than_half_of_the_time() -> None:
    bound = Bound(1000, begin=1200, seconds=2400)

    assert bound.within(5) == pytest.approx(0.99 * 6 + 0.06)
    assert bound.within(10) < bound.within(5) / 2


@pytest.mark.parametrize(("memory", "processors"), [(1769, 1), (128, 0.0724), (3538, 1)])
def test_the_share_of_the_processor_is_that_of_the_memory(memory: int, processors: float) -> None:
    assert share(memory) == pytest.approx(processors, abs=0.0001)


def test_a_group_has_the_quota_in_the_files_of_the_first_version(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()

    said = written(tmp_path, 256)

    assert said["cpu.cfs_quota_us"] == "2894"
    assert said["cpu.cfs_period_us"] == "20000"


def test_a_group_has_the_quota_in_the_file_of_the_second_version(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io")

    assert written(tmp_path, 1769)["cpu.max"] == "20000 20000"


def test_without_groups_there_is_no_quota(tmp_path: Path) -> None:
    with limited(256, tmp_path / "nothing") as procs:
        assert not procs


def written(groups: Path, memory: int) -> dict[str, str]:
    """What is in the group's files while it is there."""
    with limited(memory, groups) as procs:
        folder = Path(procs).parent
        said = {file.name: file.read_text() for file in folder.iterdir()}
        for file in folder.iterdir():  # the kernel's go with their folder
            file.unlink()
    assert not folder.exists()
    return said


def test_the_memory_with_the_least_product_of_time_and_price_stands_out() -> None:
    took = Took(start=1.0, peak=50, call={128: 4.0, 256: 2.0, 1769: 0.3}, warm={})

    assert products(took, boosted=True) == "5.00 (41.7) | **3.00 (30.0)** | 1.30 (38.9)"
    assert products(took, boosted=False) == "17.82 (529.3) | 8.91 (264.6) | **1.30 (38.9)**"
