"""What is counted of a gate, through the real handlers and the real state machine."""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from license_conversion.errors import AnswerNotDelivered
from tests.context import Context
from tests.integration.conftest import Cloud

TASK = "lct-0123456789abcdef0"
ENDS = ("GatesSucceeded", "GatesFailed", "GatesTimedOut", "GatesRefused")


@pytest.fixture
def counted(log: Callable[[], str]) -> Callable[[], Counter[str]]:
    """The sum of each metric so far, from the lines that CloudWatch makes metrics of."""
    total: Counter[str] = Counter()

    def count() -> Counter[str]:
        for line in log().splitlines():
            metrics = json.loads(line) if line.startswith('{"_aws"') else {}
            for directive in metrics.get("_aws", {}).get("CloudWatchMetrics", []):
                assert directive["Namespace"] == "LicenseConversionGate"
                assert directive["Dimensions"] == [["service"]]
                for metric in directive["Metrics"]:
                    values = metrics[metric["Name"]]
                    total[metric["Name"]] += sum(values) if isinstance(values, list) else values
        return total

    return count


def test_a_wait_is_started_once_and_ended_once(cloud: Cloud, counted: Callable[[], Counter[str]]) -> None:
    cloud.license_manager.add_task(TASK, duration=300)

    cloud.gate(cloud.event("create"))

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS]) == (1, [1, 0, 0, 0])
    assert found["Checks"] > 5
    assert 300 <= found["SecondsWaited"] <= 330
    assert 0 <= found["DetectionLag"] <= 30


def test_a_gate_that_its_first_check_ends_is_started_and_ended(
    cloud: Cloud, counted: Callable[[], Counter[str]]
) -> None:
    cloud.license_manager.add_task(TASK, duration=0)

    cloud.gate(cloud.event("create"))

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS], found["Checks"]) == (1, [1, 0, 0, 0], 1)


def test_an_event_that_is_delivered_twice_counts_once(cloud: Cloud, counted: Callable[[], Counter[str]]) -> None:
    cloud.license_manager.add_task(TASK, duration=300)
    event = cloud.event("create")

    cloud.gate(event)
    cloud.gate(event)  # the request has had its wait

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS]) == (1, [1, 0, 0, 0])


@pytest.mark.parametrize("name", ["create-misspelt-property", "create"], ids=["by us", "by License Manager"])
def test_a_refused_gate_is_started_and_refused(cloud: Cloud, counted: Callable[[], Counter[str]], name: str) -> None:
    cloud.gate(cloud.event(name))

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS]) == (1, [0, 0, 0, 1])


def test_a_gate_that_times_out_is_no_failure(cloud: Cloud, counted: Callable[[], Counter[str]]) -> None:
    cloud.license_manager.add_task(TASK, duration=float("inf"))

    cloud.gate(cloud.event("create-with-time-outs"))

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS]) == (1, [0, 0, 1, 0])
    assert found["DetectionLag"] == 0


def test_a_state_machines_gate_is_counted_too(cloud: Cloud, counted: Callable[[], Counter[str]]) -> None:
    cloud.license_manager.add_task(TASK, duration=30, end_status="FAILED")

    started = cloud.step_functions.start_execution(
        stateMachineArn=cloud.state_machine_arn, input=json.dumps({"LicenseConversionTaskId": TASK})
    )
    cloud.finish(started["executionArn"])

    found = counted()
    assert (found["GatesStarted"], [found[end] for end in ENDS]) == (1, [0, 1, 0, 0])


def test_an_answer_that_nobody_takes_is_counted(
    cloud: Cloud, counted: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.integration.conftest.Context.get_remaining_time_in_millis", lambda _: 2500)
    cloud.answers.misbehave(503, 503, 503)

    with pytest.raises(AnswerNotDelivered):
        cloud.invoke("CustomResource", cloud.event("delete"))

    assert counted()["AnswersNotDelivered"] == 1


def test_a_gate_whose_answer_the_last_resort_sends_is_counted_once(
    cloud: Cloud, counted: Callable[[], Counter[str]]
) -> None:
    answer_stack = cloud.functions["AnswerStack"]
    cloud.functions["AnswerStack"] = lambda event, _: answer_stack(event, Context("AnswerStack", seconds=1))
    cloud.license_manager.add_task(TASK, duration=0)
    cloud.answers.misbehave(503)

    cloud.gate(cloud.event("create"))

    found = counted()
    assert (found["AnswersNotDelivered"], found["GatesStarted"], found["GatesSucceeded"]) == (1, 1, 1)
    assert found["LastResortAnswers"] == 1


def test_a_deleted_gates_wait_is_stopped_and_counted(
    cloud: Cloud, counted: Callable[[], Counter[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("license_conversion.waits.Waits.stop", lambda *_: 2)

    cloud.invoke("CustomResource", cloud.event("delete"))

    assert counted()["WaitsStopped"] == 2


def test_a_caller_that_is_refused_is_counted_apart_from_errors(
    cloud: Cloud, counted: Callable[[], Counter[str]]
) -> None:
    with pytest.raises(Exception, match="not"):
        cloud.invoke("CheckTask", {"LicenseConversionTaskIdd": TASK})

    assert counted()["CallsRefused"] == 1


def test_a_check_that_breaks_is_counted_for_the_alarm(cloud: Cloud, counted: Callable[[], Counter[str]]) -> None:
    """A state machine's event without what every one of them has."""
    event = {"Input": {}, "Gate": {"Waiter": "CALLER"}, "StartedAt": "2026-11-25T12:00:00Z", "Execution": "wait"}

    with pytest.raises(Exception, match="Checks"):
        cloud.invoke("CheckTask", event)

    found = counted()
    assert (found["ChecksBroken"], found["CallsRefused"]) == (1, 0)
