"""The benchmark's aims for waits that are small enough for a test. `make benchmark` runs the others."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.aims import AIMS, Aim
from benchmarks.gates import walk
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


@pytest.mark.parametrize(
    ("after", "states", "next_state"),
    [
        ({"Ended": False}, 2, "Wait for Next Check"),
        ({"Ended": False, "AwaitsWord": True}, 2, "Wait for Word"),
        ({"Ended": True, "Passed": True, "Announcement": {}}, 3, "Announce End"),
    ],
    ids=["alone", "in a crowd", "at the end"],
)
def test_an_execution_walks_through_the_states_of_the_real_definition(
    after: dict[str, Any], states: int, next_state: str
) -> None:
    assert walk("Gate Ended?", after) == (states, next_state)


def test_a_throttle_fails_the_cdk_providers_waits_and_none_of_ours() -> None:
    case = Case("2 to 10 min", 100, rate=5)

    assert run(case, CdkProvider).failed > 0
    assert run(case).failed == 0
