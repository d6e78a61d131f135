"""The benchmark's aims for waits that are small enough for a test. `make benchmark` runs the others."""

from dataclasses import replace

import pytest

from benchmarks.aims import AIMS, Aim
from benchmarks.gates import AFTER, BEFORE, TURN
from benchmarks.peers import CdkProvider
from benchmarks.runs import Case, run

pytestmark = pytest.mark.no_cover  # millions of checks


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: aim.what)
def test_the_gate_meets_its_aims(aim: Aim) -> None:
    few = 200 if aim.cases[0].waits == 1 else 1  # `make benchmark` runs them all

    result = replace(aim, cases=aim.cases[:few]).reached()

    assert not result.failed
    assert result.lag(0.5) <= aim.p50
    assert result.lag(0.99) <= aim.p99
    assert result.calls <= aim.calls


def test_the_same_case_has_the_same_result() -> None:
    case = Case("2 to 10 min", 30)

    assert run(case) == run(case)


def test_a_turn_of_the_state_machine_has_three_states() -> None:
    assert (BEFORE, TURN, AFTER) == (2, 3, 6)


def test_a_throttle_fails_the_cdk_providers_waits_and_none_of_ours() -> None:
    case = Case("2 to 10 min", 100, rate=5)

    assert run(case, CdkProvider).failed > 0
    assert run(case).failed == 0


def test_the_last_gates_of_a_crowd_are_not_sent_back_for_a_listing_that_nobody_reads_any_more() -> None:
    assert run(Case("20 to 60 min", 100)).lag(0.99) <= 75
