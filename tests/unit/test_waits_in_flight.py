"""Waits that began before an update, or before it was taken back: the newest check understands what every definition sends it.

`in_flight/<release>.json` has what the definition of that release sends to its check, as it was then. A file is written once,
when its release is made, and never changed: docs/decisions.md says why.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from license_conversion.task import ConversionTask

from check_task import TaskCheck, handle
from license_conversion.gate import Gate
from scripts import release
from tests.simulation.memory_table import nobody
from tests.unit.fake_license_manager import FakeLicenseManager
from tests.unit.test_check_task import CONTEXT, STARTED_AT, task

RELEASES = sorted((Path(__file__).parent / "in_flight").glob("*.json"))
READ = {
    "waits": {"Waiter", "Ended", "SecondsUntilNextCheck", "GiveUpAt", "AttemptSeconds", "PauseSeconds", "Checks"},
    "ends": {"Waiter", "Ended", "Passed", "Outcome", "Output", "Error", "Cause", "Answer", "AttemptSeconds"},
}
"""The members of a check's result that the definition of 0.1.0 cannot do without."""
Event = dict[str, Any]


class SaysAStatus(FakeLicenseManager):
    def __init__(self, status: str) -> None:
        super().__init__()
        self._status = status

    def get_task(self, task_id: str) -> ConversionTask:
        return task(self._status, task_id)


def _events() -> Iterator[Any]:
    for path in RELEASES:
        for name, event in json.loads(path.read_text()).items():
            yield pytest.param(event, id=f"{path.stem}: {name}")


EVENTS = list(_events())


def checked(event: Event, status: str) -> Event:
    """The state after one check, two minutes after the wait began."""
    license_manager, now = SaysAStatus(status), STARTED_AT + timedelta(minutes=2)
    gate = Gate(lambda _: license_manager, lambda: now, lambda: 0.0, crowds=nobody)
    after = handle(TaskCheck(gate, lambda: now), json.loads(json.dumps(event)), CONTEXT)
    return json.loads(json.dumps(after))  # type: ignore[no-any-return]


@pytest.mark.parametrize("event", EVENTS)
def test_a_wait_of_an_older_release_waits_on(event: Event) -> None:
    after = checked(event, "IN_PROGRESS")

    assert READ["waits"] <= after.keys()
    assert (after["Ended"], after["Checks"]) == (False, event["Gate"]["Checks"] + 1)
    assert datetime.fromisoformat(after["GiveUpAt"]) > STARTED_AT + timedelta(minutes=2)


@pytest.mark.parametrize("event", EVENTS)
def test_a_wait_of_an_older_release_ends_with_its_conversion(event: Event) -> None:
    after = checked(event, "SUCCEEDED")

    assert READ["ends"] <= after.keys()
    assert (after["Ended"], after["Passed"], after["Outcome"]) == (True, True, "SUCCEEDED")
    assert after["Waiter"] == event["Gate"]["Waiter"]


@pytest.mark.parametrize("event", EVENTS)
def test_a_wait_of_a_newer_release_goes_on_after_a_downgrade(event: Event) -> None:
    """A newer definition may say more, and a newer check may have kept more. Nobody may need it."""
    newer = {**event, "Novelty": 1, "Gate": {**event["Gate"], "Novelty": {"of": "the next release"}}}

    assert checked(newer, "SUCCEEDED") == checked(event, "SUCCEEDED")


@pytest.mark.parametrize("event", EVENTS)
def test_a_wait_that_one_check_has_taken_on_is_understood_by_the_next(event: Event) -> None:
    after = checked(event, "IN_PROGRESS")

    assert checked({**event, "Gate": after}, "SUCCEEDED")["Passed"] is True


def test_what_the_definition_sends_today_is_kept_under_the_release_that_is_made_of_it() -> None:
    states = json.loads((release.ROOT / "statemachine" / "gate.asl.json").read_text())["States"]
    kept = json.loads((Path(__file__).parent / "in_flight" / f"{release.version()}.json").read_text())

    for state, name in (("First Check", "the first check for a caller"), ("Check Task", "a task that runs")):
        sends = {member.removesuffix(".$") for member in states[state]["Parameters"]["Payload"]}
        assert sends == kept[name].keys()
