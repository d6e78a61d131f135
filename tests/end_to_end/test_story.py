"""The log lines of the local run alone show what became of a gate, by the query of docs/operations.md."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.application import EXAMPLES, Application
from tests.eventually import eventually

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
FILTER = '(stack_id like "stack/MY-STACK/" and logical_resource_id = "MY-GATE") or task_id = "lct-MY-TASK"'
NOT_ALWAYS = ("License Manager gave no outcome this time", "The gate starts a poller")
RESPONDED = "The STACK got its response"
Line = dict[str, Any]


def story(
    application: Application, stack: str = "MY-STACK", gate: str = "MY-GATE", task: str = "lct-MY-TASK"
) -> list[Line]:
    """What the query finds: CloudWatch Logs reads the keys of lines that are JSON."""
    lines = []
    for text in application.cloud.log_lines():
        line = json.loads(text) if text.startswith("{") else {}
        of_stack = f"stack/{stack}/" in line.get("stack_id", "") and line.get("logical_resource_id") == gate
        if "message" in line and (of_stack or line.get("task_id") == task):
            lines.append(line)
    return sorted(lines, key=lambda line: str(line["timestamp"]))


@pytest.fixture(scope="module")
def told(application: Application) -> dict[str, str]:
    """Two stacks wait at once: a conversion succeeds, another fails."""
    cloud = application.cloud
    tasks = {
        "story": cloud.license_manager.add_task(duration=6),
        "sad-story": cloud.license_manager.add_task(duration=6, end_status="FAILED", status_message="Not this one."),
    }
    for name, task in tasks.items():
        cloud.stacks.create(name, EXAMPLES / "stack-gate.yaml", {"LicenseConversionTaskId": task}, wait=False)
    for name, task in tasks.items():
        cloud.stacks.wait_for(name)
        # The last line is written after the stack has its response.
        eventually(lambda task=task: RESPONDED in [line["message"] for line in story(application, task=task)])  # type: ignore[misc]
    return tasks


def _without_repeats(lines: list[Line]) -> list[str]:
    """A check that comes to nothing on a busy machine says so, and the next one says what counts. One gate of all starts the
    poller.
    """
    messages = [str(line["message"]) for line in lines if not line["message"].startswith(NOT_ALWAYS)]
    return [message for before, message in zip(["", *messages], messages, strict=False) if message != before]


def test_the_query_here_is_the_one_that_a_person_is_given() -> None:
    query = re.search(r"\| filter (.+)\n\| filter ispresent\(message\)", OPERATIONS)

    assert query
    assert query[1] == FILTER


def test_a_stacks_gate_is_told_from_its_request_to_its_response(application: Application, told: dict[str, str]) -> None:
    lines = story(application, stack="story", gate="Gate")

    expected = ["The execution responds", "The gate waits", "The gate ends: SUCCEEDED", RESPONDED]
    assert _without_repeats(lines) == expected
    assert {line["task_id"] for line in lines if line["message"] in expected} == {told["story"]}
    assert all(line["request_id"] for line in lines if line["message"] != RESPONDED)
    assert [line["waited_seconds"] for line in lines if "waited_seconds" in line][-1] > 5
    assert all(line["seconds_until_next_check"] for line in lines if line["message"] == "The gate waits")
    assert len({line["execution"] for line in lines if "execution" in line}) == 1


def test_a_gate_that_fails_is_told_with_the_reason(application: Application, told: dict[str, str]) -> None:
    lines = story(application, task=told["sad-story"])

    (end,) = (line for line in lines if "outcome" in line)
    assert (end["outcome"], end["status"]) == ("FAILED", "FAILED")
    assert "Not this one." in end["reason"]
    assert "The resource is deleted" in [line["message"] for line in lines]
