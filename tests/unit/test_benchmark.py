"""The benchmark's aims for waits that are small enough for a test. `make benchmark` runs the others."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.aims import AIMS, Aim
from benchmarks.gates import AFTER, BEFORE, TURN
from benchmarks.peers import CdkProvider
from benchmarks.runs import Case, run

pytestmark = pytest.mark.no_cover  # millions of checks
FEW = 5
"""Every fifth of the seeds is enough here; `make benchmark` takes them all."""
FEW_ARE_OFF = 1.0
"""Seconds by which the median of a fifth may miss that of all."""


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """A log line for each of a million checks is half of their time, and nobody reads them."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: aim.what)
def test_the_gate_meets_its_aims(aim: Aim) -> None:
    alone = aim.cases[0].waits == 1

    result = replace(aim, cases=aim.cases[::FEW] if alone else aim.cases[:1]).reached()

    assert not result.failed
    assert result.lag(0.5) <= aim.p50 + FEW_ARE_OFF
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
