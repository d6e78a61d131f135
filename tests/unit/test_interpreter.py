"""The interpreter of the state machine where no comparison with LocalStack's looks (tests/end_to_end/test_our_interpreter.py):
moments and pauses, what is lost to failures, tokens that are used up, what is not modelled.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.simulation.clock import BEGINNING
from tests.simulation.interpreter import Machine
from tests.unit.walk import Walk

CHECK = "arn:aws:states:::lambda:invoke"
SLEEP = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"
UNDEFINED = "States.QueryEvaluationError"


def trial(
    states: Mapping[str, Any],
    *said: Any,
    given: Any = None,
    random: Callable[[], float] = lambda: 0.5,
    timeout: int = 90_000,
) -> Walk:
    """`said` by whatever is called."""
    first = next(iter(states))
    definition = {"QueryLanguage": "JSONata", "StartAt": first, "States": states, "TimeoutSeconds": timeout}
    results: Any = said or [{}]
    return Walk(Machine(definition), given, {"CheckTask": results, "UpdateItem:Token": results}, random)


def output_of(states: Mapping[str, Any], given: Any = None) -> Any:
    execution = trial(states, given=given).out().execution
    assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
    return execution.output


def task(payload: Any = None, **fields: Any) -> dict[str, Any]:
    arguments = {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:CheckTask", "Payload": payload or {}}
    return {"Check": {"Type": "Task", "Resource": CHECK, "Arguments": arguments, "Next": "Done", **fields}, **DONE}


def sleep(**fields: Any) -> dict[str, Any]:
    arguments = {"TableName": "Waiting", "Token": "{% $states.context.Task.Token %}"}
    return {"Sleep": {"Type": "Task", "Resource": SLEEP, "Arguments": arguments, "Next": "Done", **fields}, **DONE}


def wait(seconds: Any, output: Any = "{% $states.input %}") -> dict[str, Any]:
    return {"Wait": {"Type": "Wait", "Seconds": seconds, "Next": "Done"}, "Done": {"Type": "Succeed", "Output": output}}


DONE: Mapping[str, Any] = {"Done": {"Type": "Succeed", "Output": "{% $states.input %}"}}
ALL = [{"ErrorEquals": ["States.ALL"], "Next": "Done"}]


# Expressions


def test_variables_that_a_state_assigns_are_not_there_for_its_own_output() -> None:
    first = {"Type": "Pass", "Assign": {"a": 1}, "Next": "Second"}
    second = {"Type": "Pass", "Assign": {"a": 2}, "Output": "{% $a %}", "Next": "Done"}

    assert output_of({"First": first, "Second": second, **DONE}) == 1


def test_the_context_and_the_clock_are_those_of_virtual_time_and_chance_is_given() -> None:
    names = ("Execution.Id", "Execution.Name", "Execution.StartTime", "Execution.Input.x", "State.EnteredTime")
    members = [f"{{% $states.context.{name} %}}" for name in names]
    begun, later = (f"{(BEGINNING + timedelta(seconds=s)).isoformat()[:19]}.000Z" for s in (0, 90))

    found = output_of(wait(90, [*members, "{% $now() %}", "{% $millis() %}", "{% $random() %}"]), {"x": 1})

    millis = 1000 * (round(BEGINNING.timestamp()) + 90)
    assert found == ["arn:one", "one", begun, 1, later, later, millis, 0.5]


def test_an_expression_does_not_see_what_another_one_has_assigned_for_itself() -> None:
    assert output_of(wait(0, ["{% $own := 5 %}", "{% $exists($own) %}"])) == [5, False]


@pytest.mark.parametrize("text", ["$eval('1')", "$exists"])
def test_what_step_functions_does_not_evaluate_ends_the_execution(text: str) -> None:
    execution = trial(wait(0, f"{{% {text} %}}")).out().execution

    assert execution.error == UNDEFINED
    assert f"executing the state 'Done'. The JSONata expression '{text}' " in execution.cause


@pytest.mark.parametrize("seconds", [-1, 1.5, "5", None, True, 10**9])
def test_seconds_are_a_whole_number(seconds: Any) -> None:
    assert trial(wait("{% $states.input %}"), given=seconds).out().execution.error == UNDEFINED
    assert trial(task(TimeoutSeconds="{% $states.input %}"), given=seconds).out().execution.error == UNDEFINED


# Attempts


def test_a_task_times_out_and_what_its_call_says_then_is_too_late() -> None:
    walk = trial(task(TimeoutSeconds=5, Retry=[{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1}]), None)
    walk.clock.run_for(7)
    first, second = walk.done
    assert walk.times("CheckTask") == [0, 6]
    first("first")
    assert walk.execution.status == "RUNNING"
    second("second")

    assert walk.out().execution.output["Payload"] == "second"


@pytest.mark.parametrize(
    ("retrier", "attempts"),
    [
        ({}, [0, 1, 3, 7]),
        ({"IntervalSeconds": 5, "BackoffRate": 1, "MaxAttempts": 2}, [0, 5, 10]),
        ({"BackoffRate": 3, "MaxDelaySeconds": 4, "MaxAttempts": 4}, [0, 1, 4, 8, 12]),
        ({"JitterStrategy": "FULL"}, [0, 0.25, 0.75, 1.75]),
    ],
)
def test_retries_come_as_often_and_as_late_as_is_said(retrier: Mapping[str, Any], attempts: list[float]) -> None:
    walk = trial(task(Retry=[{"ErrorEquals": ["States.ALL"], **retrier}]), "An.Error", random=lambda: 0.25)
    walk.out()

    assert walk.times("CheckTask") == attempts


def test_retries_are_counted_for_each_retrier_and_reported_together() -> None:
    retry = [
        {"ErrorEquals": ["A"], "MaxAttempts": 1, "IntervalSeconds": 1},
        {"ErrorEquals": ["B"], "MaxAttempts": 1, "IntervalSeconds": 2},
    ]
    walk = trial(task("{% $states.context.State.RetryCount %}", Retry=retry), "A", "B", "A")

    assert walk.out().execution.error == "A"
    assert list(zip(walk.times("CheckTask"), walk.payloads, strict=True)) == [(0, 0), (1, 1), (3, 2)]


def test_a_retry_evaluates_the_arguments_anew_and_is_time_that_is_lost() -> None:
    payload = {"now": "{% $millis() %}", "entered": "{% $toMillis($states.context.State.EnteredTime) %}"}
    walk = trial(task(payload, Retry=[{"ErrorEquals": ["A"]}]), "A", {})
    walk.out()

    assert [told["now"] - told["entered"] for told in walk.payloads] == [0, 1000]
    assert walk.lost == [("Check", 0, 1), ("Check", 0, 1)]


@pytest.mark.parametrize(("error", "caught"), [("States.Timeout", True), ("States.Runtime", False)])
def test_a_catch_of_all_errors_leaves_what_states_all_does_not_match(error: str, *, caught: bool) -> None:
    walk = trial(task(Catch=ALL), error)

    assert (walk.out().execution.error, walk.way[1:]) == (("", ["Done"]) if caught else (error, []))


# Task tokens


def test_a_token_is_good_for_one_call() -> None:
    walk = trial(sleep(TimeoutSeconds=60))
    walk.clock.run_for(10)
    token = walk.execution.token
    assert walk.execution.status == "RUNNING"  # the call of the service has come back, and is none of the token's
    assert walk.payloads == [{"TableName": "Waiting", "Token": token}]
    assert walk.execution.call_back(token, 1)
    assert not walk.execution.call_back(token, 2)
    assert not walk.execution.call_back("", 2)

    assert (walk.out().execution.output, walk.execution.stopped) == (1, 10)


@pytest.mark.parametrize("fields", [{"Catch": ALL}, {"Retry": [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]}])
def test_a_token_is_used_up_by_a_time_out_which_is_no_lost_time(fields: Mapping[str, Any]) -> None:
    walk = trial(sleep(TimeoutSeconds=60, **fields))
    token = walk.execution.token
    walk.out()

    assert not walk.execution.call_back(token, 1)
    assert walk.lost == []


def test_a_token_that_was_called_back_outlives_a_failure_of_the_call_of_the_service() -> None:
    walk = trial(sleep(), "Lost.Reply")
    assert walk.execution.call_back(walk.execution.token, "woken")

    assert walk.out().execution.output == "woken"


def test_a_token_is_new_for_each_attempt() -> None:
    walk = trial(sleep(Retry=[{"ErrorEquals": ["A"]}]), "A", {})
    walk.clock.run_for(5)
    first, second = (told["Token"] for told in walk.payloads)
    assert first != second
    assert not walk.execution.call_back(first)
    assert walk.execution.call_back(second)

    assert walk.out().execution.status == "SUCCEEDED"
    assert walk.lost == [("Sleep", 0, 1)]


# Ends


@pytest.mark.parametrize("end", [("TIMED_OUT", "States.Timeout", 30), ("ABORTED", "stopped", 10)])
def test_an_execution_ends_whatever_runs_and_goes_nowhere_then(end: tuple[str, str, int]) -> None:
    walk = trial(wait(60), timeout=30)
    if end[0] == "ABORTED":
        walk.clock.run_for(10)
        walk.execution.end("ABORTED", error="stopped")
    execution = walk.out().execution

    assert (execution.status, execution.error, execution.stopped) == end
    assert (walk.way, walk.ended) == (["Wait"], [execution])


# What is not modelled


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Parallel", "Branches": []},
        {"Type": "Succeed", "InputPath": "$.x"},
        {"Type": "Pass", "Result": 1, "Next": "Done"},
        {"Type": "Pass", "Assign": {"states": 1}, "Next": "Done"},
        {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "A"}], "Default": "A"},
        task(HeartbeatSeconds=5)["Check"],
        task(Resource="arn:aws:states:::states:startExecution.sync:2")["Check"],
        task(Arguments={"FunctionName": "CheckTask", "InvocationType": "Event"})["Check"],
        task(Retry=[{"ErrorEquals": ["A"], "Forever": True}])["Check"],
        task(Retry=[{"ErrorEquals": ["States.TaskFailed"]}])["Check"],
        task(Catch=[{"ErrorEquals": ["A"], "ResultPath": None, "Next": "A"}])["Check"],
    ],
)
def test_a_state_that_is_not_modelled_is_refused(state: Mapping[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        Machine({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": state}})
