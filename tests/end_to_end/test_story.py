"""The log lines of the local run alone tell what became of a gate, by the query that docs/operations.md gives to a person."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.application import EXAMPLES, Application
from tests.eventually import eventually

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
FILTER = '(stack_id like "stack/MY-STACK/" and logical_resource_id = "MY-GATE") or task_id = "lct-MY-TASK"'
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
    """Three that wait at once: a stack whose conversion succeeds, one whose conversion fails, and a state machine."""
    cloud = application.cloud
    tasks = {
        "story": cloud.license_manager.add_task(duration=14),
        "sad-story": cloud.license_manager.add_task(duration=14, end_status="FAILED", status_message="Not this one."),
        "caller": cloud.license_manager.add_task(duration=14),
    }
    execution = application.start({"LicenseConversionTaskId": tasks["caller"]})
    for name in ("story", "sad-story"):
        cloud.stacks.create(
            name, EXAMPLES / "stack-gate.yaml", {"LicenseConversionTaskId": tasks[name]}, wait=False
        )  # fmt: skip
    for name in ("story", "sad-story"):
        cloud.stacks.wait_for(name)
    application.finish(execution)
    eventually(lambda: all(_announced(story(application, task=task)) for task in tasks.values()), pause=0.2)
    return tasks


def _announced(lines: list[Line]) -> bool:
    return any(line["message"] == "The event is on the bus" for line in lines)


def _without_repeats(lines: list[Line]) -> list[str]:
    """A check that comes to nothing on a busy machine says so, and the next one says what counts."""
    messages = [str(line["message"]) for line in lines if not line["message"].startswith("No verdict this time")]
    return [message for before, message in zip(["", *messages], messages, strict=False) if message != before]


def test_the_query_here_is_the_one_that_a_person_is_given() -> None:
    query = re.search(r"\| filter (.+)\n\| filter ispresent\(message\)", OPERATIONS)

    assert query
    assert query[1] == FILTER


def test_a_stacks_gate_is_told_from_its_request_to_the_event(application: Application, told: dict[str, str]) -> None:
    lines = story(application, stack="story", gate="Gate")

    assert _without_repeats(lines)[:3] == ["The wait answers", "The gate waits", "The gate ends: SUCCEEDED"]
    assert set(_without_repeats(lines)[3:]) == {"The stack is answered", "The event is on the bus"}
    assert {line["task_id"] for line in lines} == {told["story"]}
    assert all(line["request_id"] for line in lines)
    assert [line["waited_seconds"] for line in lines if "waited_seconds" in line][-1] > 5
    assert all(line["seconds_until_next_check"] for line in lines if line["message"] == "The gate waits")
    assert len({line["execution"] for line in lines if "execution" in line}) == 1


def test_a_gate_that_fails_is_told_with_the_reason(application: Application, told: dict[str, str]) -> None:
    lines = story(application, task=told["sad-story"])

    (end,) = (line for line in lines if "outcome" in line)
    assert (end["outcome"], end["status"]) == ("FAILED", "FAILED")
    assert "Not this one." in end["reason"]
    assert "The resource is deleted" in [line["message"] for line in lines]


def test_a_state_machines_gate_is_told_by_its_task(application: Application, told: dict[str, str]) -> None:
    lines = story(application, task=told["caller"])

    assert _without_repeats(lines) == ["The gate waits", "The gate ends: SUCCEEDED", "The event is on the bus"]
    assert all("stack_id" not in line for line in lines)


def test_no_line_of_a_function_has_a_credential(application: Application, told: dict[str, str]) -> None:
    assert "Signature=" not in json.dumps([story(application, task=task) for task in told.values()])


# What X-Ray is told


def steps(application: Application, task: str) -> list[Line]:
    """The parts of traces that the task's id finds, as X-Ray's console does: ``annotation.task_id = "lct-…"``."""
    found = application.cloud.subsegments()
    return [one for one in found if one.get("annotations", {}).get("task_id") == task]


def calls(application: Application, step: Line) -> list[str]:
    return [
        f"{one['name']} {one['aws']['operation']}"
        for one in application.cloud.subsegments()
        if one.get("parent_id") == step["id"]
    ]


def test_a_trace_is_found_by_its_task_and_shows_each_step_and_its_calls(
    application: Application, told: dict[str, str]
) -> None:
    found = steps(application, told["story"])

    assert [step["name"] for step in found][:2] == ["## begin wait", "## check"]
    assert {step["annotations"]["logical_resource_id"] for step in found} == {"Gate"}
    looks = [step for step in found if step["name"] == "## check"]
    assert calls(application, looks[0]) == ["license-manager GetLicenseConversionTask"]
    assert calls(application, looks[-1])[-1] == "license-manager GetLicenseConversionTask"
    (begun,) = (step for step in found if step["name"] == "## begin wait")
    assert calls(application, begun) == ["states StartExecution"]
    assert found[-1]["name"] == "## put event"


def test_no_trace_has_a_credential(application: Application, told: dict[str, str]) -> None:
    traced = json.dumps(application.cloud.subsegments())

    assert told["story"] in traced
    assert "X-Amz-" not in traced
    assert "Signature=" not in traced
    assert "https://" not in traced
