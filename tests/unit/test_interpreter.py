"""The interpreter of the state machine does what AWS's documents say of JSONata, variables and errors. Each definition is small,
and here.
"""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.simulation.clock import BEGINNING, VirtualClock
from tests.simulation.interpreter import Done, Execution, Failed, Machine

CHECK = "arn:aws:states:::lambda:invoke"
SLEEP = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"
UNDEFINED = "States.QueryEvaluationError"
TOO_LARGE = "States.DataLimitExceeded"
HUGE = "x" * 262_144
HANGS = object()


class Trial:
    """One execution of a small definition. `said`: what each function says to one call after the other, the last one for ever:
    a pair is an error and its cause; HANGS is nothing.
    """

    def __init__(
        self,
        states: Mapping[str, Any],
        execution_input: Any = None,
        said: Mapping[str, list[Any]] | None = None,
        random: Callable[[], float] = lambda: 0.5,
        **fields: Any,
    ) -> None:
        self.clock = VirtualClock()
        self.calls: list[tuple[float, str, Any]] = []
        self.done: list[Done] = []
        """What each call says when it is done."""
        self.lost: list[tuple[str, float, float]] = []
        self.ended = 0
        self._said = dict(said or {})
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states, **fields}
        self.execution = Execution(
            self.clock,
            self._invoke,
            machine=Machine(definition),
            name="one",
            arn="arn:one",
            text=json.dumps({} if execution_input is None else execution_input),
            lost=lambda *what: self.lost.append(what),
            random=random,
            ended=self._count,
        )
        self.execution.begin()

    def _count(self, _: Execution) -> None:
        self.ended += 1

    def _invoke(self, function: str, payload: str, done: Done, failed: Failed) -> None:
        self.calls.append((self.clock.now, function, json.loads(payload)))
        self.done.append(done)
        said = self._said.get(function, [{}])
        result = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(result, tuple):
            error, cause = result
            self.clock.after(0, lambda: failed(error, cause))
        elif result is not HANGS:
            self.clock.after(0, lambda: done(result))

    def run(self) -> Execution:
        self.clock.run_out()
        return self.execution

    @property
    def way(self) -> list[str]:
        return [name for name, _ in self.execution.entered]

    @property
    def failure(self) -> tuple[str, str]:
        execution = self.run()
        assert execution.status == "FAILED", execution.output
        return execution.error, execution.cause


def output_of(*arguments: Any, **named: Any) -> Any:
    execution = Trial(*arguments, **named).run()
    assert execution.status == "SUCCEEDED", (execution.error, execution.cause)
    return execution.output


def task(payload: Any = None, **fields: Any) -> dict[str, Any]:
    arguments = {"FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:CheckTask", "Payload": payload or {}}
    return {"Type": "Task", "Resource": CHECK, "Arguments": arguments, "Next": "Done", **fields}


def sleep(**fields: Any) -> dict[str, Any]:
    arguments = {"TableName": "Waiting", "Token": "{% $states.context.Task.Token %}"}
    return {"Type": "Task", "Resource": SLEEP, "Arguments": arguments, "Next": "Done", **fields}


def done(output: Any = "{% $states.input %}") -> dict[str, Any]:
    return {"Type": "Succeed", "Output": output}


def assign(variables: Mapping[str, Any], following: str = "Done") -> dict[str, Any]:
    return {"Type": "Pass", "Assign": variables, "Next": following}


class TestVariables:
    def test_are_there_in_every_later_state(self) -> None:
        states = {"First": assign({"a": 1, "b": "{% $states.input.x & '!' %}"}, "Second"), "Second": assign({})}
        assert output_of({**states, "Done": done("{% {'a': $a, 'b': $b} %}")}, {"x": "y"}) == {"a": 1, "b": "y!"}

    def test_are_assigned_all_at_once(self) -> None:
        states = {
            "First": assign({"a": 1, "b": 2}, "Swap"),
            "Swap": assign({"a": "{% $b %}", "b": "{% $a %}"}),
            "Done": done("{% [$a, $b] %}"),
        }
        assert output_of(states) == [2, 1]

    def test_that_a_state_assigns_are_not_there_for_its_own_output(self) -> None:
        first = {**assign({"a": 1}, "Second"), "Output": "{% 1 %}"}
        second = {**assign({"a": 2}), "Output": "{% $a %}"}
        assert output_of({"First": first, "Second": second, "Done": done()}) == 1

    def test_are_in_the_history_as_json_with_the_newest_last(self) -> None:
        trial = Trial(
            {"First": assign({"a": 'x"y'}, "Second"), "Second": assign({"a": None, "b": [1]}), "Done": done()}
        )
        assert trial.run().assigned == [("First", {"a": '"x\\"y"'}), ("Second", {"a": "null", "b": "[1]"})]

    def test_are_not_in_the_history_of_a_state_that_assigns_none(self) -> None:
        assert Trial({"First": {"Type": "Pass", "Next": "Done"}, "Done": done()}).run().assigned == []

    def test_that_are_too_large_end_the_execution(self) -> None:
        trial = Trial({"First": assign({"a": "{% $states.input %}"}), "Done": done()}, HUGE)
        assert trial.failure[0] == TOO_LARGE


class TestExpressions:
    def test_read_the_context(self) -> None:
        names = [
            "Execution.Id",
            "Execution.Name",
            "Execution.StartTime",
            "Execution.Input.x",
            "State.Name",
            "State.EnteredTime",
        ]
        wait = {"Type": "Wait", "Seconds": 5, "Next": "Done"}
        members = [f"{{% $states.context.{name} %}}" for name in names]
        begun, entered = (f"{(BEGINNING + timedelta(seconds=s)).isoformat()[:19]}.000Z" for s in (0, 5))
        assert output_of({"Wait": wait, "Done": done(members)}, {"x": 1}) == [
            "arn:one",
            "one",
            begun,
            1,
            "Done",
            entered,
        ]

    def test_know_the_virtual_clock_and_the_given_chance(self) -> None:
        wait = {"Type": "Wait", "Seconds": 90, "Next": "Done"}
        begun = round(BEGINNING.timestamp())
        output = output_of({"Wait": wait, "Done": done(["{% $millis() %}", "{% $now() %}", "{% $random() %}"])})
        assert output == [1000 * (begun + 90), f"{(BEGINNING + timedelta(seconds=90)).isoformat()[:19]}.000Z", 0.5]

    def test_parse_json(self) -> None:
        assert output_of({"Done": done("{% $parse($states.input).a %}")}, '{"a": [null]}') == [None]

    def test_tell_null_from_what_is_missing(self) -> None:
        assert output_of({"Done": done(["{% $states.input.a %}", "{% $exists($states.input.b) %}"])}, {"a": None}) == [
            None,
            False,
        ]

    def test_leave_a_member_out_that_is_missing_inside_an_object_of_their_own(self) -> None:
        assert output_of({"Done": done("{% {'a': $states.input.a, 'b': 1} %}")}) == {"b": 1}

    @pytest.mark.parametrize(
        "text", ["$states.input.a", "$nowhere", "$states.result", "1 + 'a'", "$eval('1')", "$exists"]
    )
    @pytest.mark.parametrize(
        "states",
        [
            pytest.param({"It": done("EXPRESSION")}, id="Succeed"),
            pytest.param({"It": assign({"a": "EXPRESSION"}), "Done": done()}, id="Pass"),
            pytest.param({"It": {"Type": "Wait", "Seconds": "EXPRESSION", "Next": "Done"}, "Done": done()}, id="Wait"),
            pytest.param({"It": {"Type": "Fail", "Error": "Of.Ours", "Cause": "EXPRESSION"}}, id="Fail"),
            pytest.param(
                {
                    "It": {
                        "Type": "Choice",
                        "Choices": [{"Condition": "EXPRESSION", "Next": "Done"}],
                        "Default": "Done",
                    },
                    "Done": done(),
                },
                id="Choice",
            ),
            pytest.param({"It": task("EXPRESSION"), "Done": done()}, id="Task"),
        ],
    )
    def test_that_give_nothing_or_fail_end_the_execution(self, states: Mapping[str, Any], text: str) -> None:
        states = json.loads(json.dumps(states).replace("EXPRESSION", f"{{% {text} %}}"))
        error, cause = Trial(states).failure
        assert error == UNDEFINED
        assert cause.startswith(f"An error occurred while executing the state 'It'. The JSONata expression '{text}' ")

    @pytest.mark.parametrize("seconds", [-1, 1.5, "5", None, True, 10**9])
    def test_for_seconds_give_a_whole_number(self, seconds: Any) -> None:
        wait = {"Type": "Wait", "Seconds": "{% $states.input.s %}", "Next": "Done"}
        assert Trial({"Wait": wait, "Done": done()}, {"s": seconds}).failure[0] == UNDEFINED

    def test_find_in_lists_what_they_name(self) -> None:
        paths = ("a", "b", "b.c", "b.c[0]", "d[0]", "d[]")
        execution_input = {"a": [], "b": [{"c": 1}, {"c": 2}, {}], "d": [7]}
        output = output_of({"Done": done([f"{{% $states.input.{path} %}}" for path in paths])}, execution_input)
        assert output == [[], execution_input["b"], [1, 2], [1, 2], 7, [7]]

    def test_do_not_see_what_another_one_has_assigned_for_itself(self) -> None:
        members = ["{% $own := 5 %}", "{% $exists($own) %}"]
        assert output_of({"Done": done(members)}) == [5, False]


class TestChoices:
    def choice(self, *conditions: str, **first: Any) -> dict[str, Any]:
        names = [chr(ord("A") + number) for number in range(len(conditions))]
        rules: list[dict[str, Any]] = [
            {"Condition": f"{{% {condition} %}}", "Next": name}
            for name, condition in zip(names, conditions, strict=True)
        ]
        rules[0].update(first)
        ends = {name: done(name) for name in [*names, "Else"]}
        return {"Choice": {"Type": "Choice", "Choices": rules, "Default": "Else"}, **ends}

    def test_take_the_first_rule_that_holds(self) -> None:
        states = self.choice("$states.input > 5", "$states.input > 3", "$states.input > 1")
        assert [output_of(states, number) for number in (6, 4, 2, 1)] == ["A", "B", "C", "Else"]

    def test_assign_what_the_rule_says_that_is_taken(self) -> None:
        states = {**self.choice("$states.input = 1", Assign={"a": "{% $states.input + 1 %}"}), "A": done("{% $a %}")}
        assert output_of(states, 1) == 2
        assert Trial(states, 1).run().assigned == [("Choice", {"a": "2"})]
        assert Trial(states, 2).run().assigned == []

    def test_pass_their_input_on(self) -> None:
        assert output_of({**self.choice("true"), "A": done()}, {"x": 1}) == {"x": 1}

    def test_fail_when_a_condition_is_no_boolean(self) -> None:
        assert Trial(self.choice("$states.input"), "yes").failure[0] == UNDEFINED

    def test_do_not_take_1_for_true(self) -> None:
        states = self.choice("$type($states.input) = 'boolean'")
        assert [output_of(states, value) for value in (True, 1, True, 1.0)] == ["A", "Else", "A", "Else"]

    def test_look_at_the_clock_anew_each_time(self) -> None:
        late = f"$millis() >= {round(1000 * BEGINNING.timestamp()) + 2500}"
        wait = {"Type": "Wait", "Seconds": 1, "Next": "Choice"}
        trial = Trial({**self.choice(late), "Else": wait})
        trial.run()
        assert trial.way == ["Choice", "Else"] * 3 + ["Choice", "A"]

    def test_see_a_member_that_appears(self) -> None:
        states = {
            **self.choice("$exists($gate.Response.Data)"),
            "First": assign({"gate": "{% $states.input %}"}, "Choice"),
        }
        states = {name: states[name] for name in ("First", "Choice", "A", "Else")}
        responses: list[Any] = [None, {}, {"Data": None}, [{"Data": 1}]]
        seen = [{}, *({"Response": response} for response in responses), []]
        assert [output_of(states, gate) for gate in seen] == ["Else", "Else", "Else", "A", "A", "Else"]


class TestTasks:
    STATES: Mapping[str, Any] = {"Check": task({"x": "{% $states.input.x %}", "n": [1]}), "Done": done()}

    def test_give_the_function_their_payload_and_the_state_its_result(self) -> None:
        trial = Trial(self.STATES, {"x": 5}, {"CheckTask": [{"y": 1}]})
        assert trial.run().output == {"Payload": {"y": 1}, "StatusCode": 200}
        assert trial.calls == [(0, "CheckTask", {"x": 5, "n": [1]})]

    def test_assign_from_the_result(self) -> None:
        states = {
            "Check": task(Assign={"y": "{% $states.result.Payload.y %}"}, Output="{% $states.result.StatusCode %}"),
            "Done": done("{% [$states.input, $y] %}"),
        }
        assert output_of(states, said={"CheckTask": [{"y": 1}]}) == [200, 1]

    @pytest.mark.parametrize(
        ("resource", "function"),
        [("events:putEvents", "PutEvents"), ("aws-sdk:cloudwatch:putMetricData", "PutMetricData")],
    )
    def test_of_another_service_give_it_all_their_arguments(self, resource: str, function: str) -> None:
        put = {
            "Type": "Task",
            "Resource": f"arn:aws:states:::{resource}",
            "Arguments": {"Entries": ["{% $states.input %}"]},
            "End": True,
        }
        trial = Trial({"Put": put}, 7, {function: [{"FailedEntryCount": 0}]})
        assert trial.run().output == {"FailedEntryCount": 0}
        assert trial.calls == [(0, function, {"Entries": [7]})]

    @pytest.mark.parametrize("seconds", [5, "{% $states.input.s %}"])
    def test_time_out(self, seconds: Any) -> None:
        trial = Trial({"Check": task(TimeoutSeconds=seconds), "Done": done()}, {"s": 5}, {"CheckTask": [HANGS]})
        assert trial.failure == ("States.Timeout", "")
        assert trial.execution.stopped == 5

    def test_fail_with_the_error_of_the_function_when_nothing_catches_it(self) -> None:
        assert Trial(self.STATES, {"x": 1}, {"CheckTask": [("Some.Error", "why")]}).failure == ("Some.Error", "why")

    def test_do_not_take_what_a_call_says_too_late(self) -> None:
        """The first attempt's result comes while the second one runs."""
        states = {
            "Check": task(TimeoutSeconds=5, Retry=[{"ErrorEquals": ["States.Timeout"], "IntervalSeconds": 1}]),
            "Done": done(),
        }
        trial = Trial(states, said={"CheckTask": [HANGS]})
        trial.clock.run_for(7)
        first, second = trial.done
        first("first")
        assert trial.execution.status == "RUNNING"
        second("second")
        assert trial.run().output["Payload"] == "second"


def retried(*said: Any, random: Callable[[], float] = lambda: 0.5, **retrier: Any) -> list[float]:
    """When the function is called."""
    states = {
        "Check": task(Retry=[{"ErrorEquals": ["States.ALL"], **retrier}]),
        "Done": done(),
    }
    trial = Trial(states, said={"CheckTask": list(said)}, random=random)
    trial.run()
    return [when for when, *_ in trial.calls]


class TestRetries:
    ERROR = ("Some.Error", "")

    def test_are_three_that_come_later_and_later_when_nothing_is_said(self) -> None:
        assert retried(self.ERROR) == [0, 1, 3, 7]

    def test_come_as_often_and_as_late_as_is_said(self) -> None:
        assert retried(self.ERROR, IntervalSeconds=5, BackoffRate=1, MaxAttempts=2) == [0, 5, 10]
        assert retried(self.ERROR, IntervalSeconds=1, BackoffRate=3, MaxDelaySeconds=4, MaxAttempts=4) == [
            0,
            1,
            4,
            8,
            12,
        ]
        assert retried(self.ERROR, JitterStrategy="FULL", random=lambda: 0.25) == [0, 0.25, 0.75, 1.75]

    def test_end_with_success(self) -> None:
        assert retried(self.ERROR, {}) == [0, 1]

    def test_are_none_for_an_error_whose_own_retrier_says_so(self) -> None:
        retry = [{"ErrorEquals": ["Final"], "MaxAttempts": 0}, {"ErrorEquals": ["States.ALL"]}]
        trial = Trial({"Check": task(Retry=retry), "Done": done()}, said={"CheckTask": [("Final", "")]})
        assert trial.failure == ("Final", "")
        assert len(trial.calls) == 1

    def test_are_counted_for_each_retrier_and_told_together(self) -> None:
        retry = [
            {"ErrorEquals": ["A"], "MaxAttempts": 1, "IntervalSeconds": 1},
            {"ErrorEquals": ["B"], "MaxAttempts": 1, "IntervalSeconds": 2},
        ]
        states = {"Check": task("{% $states.context.State.RetryCount %}", Retry=retry), "Done": done()}
        trial = Trial(states, said={"CheckTask": [("A", ""), ("B", ""), ("A", "")]})
        assert trial.failure == ("A", "")
        assert trial.calls == [(0, "CheckTask", 0), (1, "CheckTask", 1), (3, "CheckTask", 2)]

    def test_evaluate_the_arguments_anew(self) -> None:
        payload = {"now": "{% $millis() %}", "entered": "{% $toMillis($states.context.State.EnteredTime) %}"}
        states = {"Check": task(payload, Retry=[{"ErrorEquals": ["A"]}]), "Done": done()}
        trial = Trial(states, said={"CheckTask": [("A", ""), {}]})
        trial.run()
        assert [told["now"] - told["entered"] for _, _, told in trial.calls] == [0, 1000]

    def test_are_time_that_is_lost(self) -> None:
        states = {"Check": task(Retry=[{"ErrorEquals": ["A"]}]), "Done": done()}
        trial = Trial(states, said={"CheckTask": [("A", ""), {}]})
        trial.run()
        assert trial.lost == [("Check", 0, 1), ("Check", 0, 1)]


class TestCatches:
    def caught(self, error: str, names: list[str], **more: Any) -> Any:
        catch = [{"ErrorEquals": names, "Next": "Caught", **more}]
        states = {
            "Check": task(Catch=catch),
            "Done": done(),
            "Caught": done(["{% $states.input %}", "{% $exists($a) %}"]),
        }
        trial = Trial(states, said={"CheckTask": [(error, "why")]})
        return trial.run().output or trial.execution.error

    def test_lead_on_with_the_error_and_its_cause(self) -> None:
        assert self.caught("A", ["A"]) == [{"Error": "A", "Cause": "why"}, False]

    def test_assign(self) -> None:
        states = {
            "Check": task(
                Assign={"a": "not this"},
                Catch=[
                    {
                        "ErrorEquals": ["States.ALL"],
                        "Assign": {"a": "{% $states.errorOutput.Error & $states.errorOutput.Cause %}"},
                        "Next": "Done",
                    }
                ],
            ),
            "Done": done("{% $a %}"),
        }
        trial = Trial(states, said={"CheckTask": [("A", "b")]})
        assert trial.run().output == "Ab"
        assert trial.execution.assigned == [("Check", {"a": '"Ab"'})]

    def test_leave_other_errors_alone(self) -> None:
        assert self.caught("A", ["B"]) == "A"

    def test_of_all_errors_leave_two_alone(self) -> None:
        assert self.caught("A", ["States.ALL"]) == [{"Error": "A", "Cause": "why"}, False]
        assert self.caught("States.Timeout", ["States.ALL"]) == [{"Error": "States.Timeout", "Cause": "why"}, False]
        for error in (TOO_LARGE, "States.Runtime"):
            assert self.caught(error, ["States.ALL"]) == error
            assert self.caught(error, [error]) == [{"Error": error, "Cause": "why"}, False]

    @pytest.mark.parametrize("names", [[UNDEFINED], ["States.ALL"]])
    @pytest.mark.parametrize(
        "broken",
        [
            {"Arguments": {"FunctionName": "CheckTask", "Payload": "{% $nowhere %}"}},
            {"TimeoutSeconds": "{% $nowhere %}"},
            {"TimeoutSeconds": "{% 0 %}"},
            {"Assign": {"a": "{% $states.result.Payload.nowhere %}"}},
            {"Output": "{% $nowhere %}"},
        ],
    )
    def test_take_an_expression_of_their_state_that_gives_nothing(self, names: list[str], broken: Any) -> None:
        check = task(Catch=[{"ErrorEquals": names, "Next": "Done"}], **broken)
        assert output_of({"Check": check, "Done": done()})["Error"] == UNDEFINED

    def test_that_give_nothing_themselves_end_the_execution(self) -> None:
        catch = [{"ErrorEquals": ["A"], "Assign": {"a": "{% $nowhere %}"}, "Next": "Done"}]
        states = {"Check": task(Catch=[*catch, {"ErrorEquals": ["States.ALL"], "Next": "Done"}]), "Done": done()}
        assert Trial(states, said={"CheckTask": [("A", "")]}).failure[0] == UNDEFINED

    @pytest.mark.parametrize(("payload", "result"), [("{% $states.input %}", {}), ({}, HUGE)])
    def test_by_its_own_name_take_what_is_too_large(self, payload: Any, result: Any) -> None:
        """The arguments, or the result."""
        check = task(payload, Output={}, Catch=[{"ErrorEquals": [TOO_LARGE], "Next": "Done"}])
        states = {"Check": check, "Done": done("{% $states.input.Error %}")}
        assert output_of(states, HUGE, {"CheckTask": [result]}) == TOO_LARGE
        check["Catch"] = [{"ErrorEquals": ["States.ALL"], "Next": "Done"}]
        assert Trial(states, HUGE, {"CheckTask": [result]}).failure[0] == TOO_LARGE


class TestTokens:
    STATES: Mapping[str, Any] = {
        "Sleep": sleep(TimeoutSeconds=60, Catch=[{"ErrorEquals": ["States.ALL"], "Next": "Done"}]),
        "Done": done(),
    }

    def test_wake_their_state_with_the_output_of_the_call(self) -> None:
        trial = Trial(self.STATES)
        trial.clock.run_for(10)
        assert trial.execution.status == "RUNNING"  # the call of the service has come back, and is none of the token's
        ((_, function, told),) = trial.calls
        assert function == "UpdateItem:Token"
        assert trial.execution.call_back(told["Token"], {"x": 1})
        assert trial.run().output == {"x": 1}
        assert trial.execution.stopped == 10

    def test_are_good_for_one_call(self) -> None:
        trial = Trial(self.STATES)
        token = trial.execution.token
        assert token
        assert trial.execution.call_back(token, 1)
        assert not trial.execution.call_back(token, 2)
        assert not trial.execution.call_back("", 2)
        assert trial.run().output == 1

    def test_are_used_up_by_a_time_out_which_is_no_lost_time(self) -> None:
        trial = Trial(self.STATES)
        token = trial.execution.token
        assert trial.run().output == {"Error": "States.Timeout", "Cause": ""}
        assert not trial.execution.call_back(token, 1)
        assert trial.lost == []

    def test_that_time_out_and_are_retried_lose_no_time_either(self) -> None:
        retry = [{"ErrorEquals": ["States.Timeout"], "MaxAttempts": 1}]
        trial = Trial({**self.STATES, "Sleep": sleep(TimeoutSeconds=60, Retry=retry)})
        assert trial.failure == ("States.Timeout", "")
        assert trial.lost == []

    def test_fail_with_the_call_of_the_service(self) -> None:
        trial = Trial(self.STATES, said={"UpdateItem:Token": [("DynamoDb.ThrottlingException", "slow")]})
        assert trial.run().output == {"Error": "DynamoDb.ThrottlingException", "Cause": "slow"}
        assert trial.lost == [("Sleep", 0, 0)]

    def test_that_were_called_back_outlive_a_failure_of_the_call_of_the_service(self) -> None:
        trial = Trial(self.STATES, said={"UpdateItem:Token": [("Lost.Reply", "")]})
        assert trial.execution.call_back(trial.execution.token, "woken")
        assert trial.run().output == "woken"

    def test_are_new_for_each_attempt(self) -> None:
        states = {**self.STATES, "Sleep": sleep(Retry=[{"ErrorEquals": ["A"]}])}
        trial = Trial(states, said={"UpdateItem:Token": [("A", ""), {}]})
        trial.clock.run_for(5)
        first, second = (told["Token"] for _, _, told in trial.calls)
        assert first != second
        assert not trial.execution.call_back(first)
        assert trial.execution.call_back(second)
        assert trial.run().status == "SUCCEEDED"
        assert trial.lost == [("Sleep", 0, 1)]

    def test_are_there_where_a_state_waits_for_one_alone(self) -> None:
        trial = Trial({"Check": task({"token": "{% $exists($states.context.Task) %}"}), "Done": done()})
        assert [told for _, _, told in trial.calls] == [{"token": False}]
        assert trial.execution.token == ""


class TestEnds:
    def test_with_the_error_and_cause_of_a_fail_state(self) -> None:
        fail = {"Type": "Fail", "Error": "{% $states.input.e %}", "Cause": "why"}
        trial = Trial({"Fail": fail}, {"e": "Of.Ours"})
        assert trial.failure == ("Of.Ours", "why")
        assert trial.ended == 1

    def test_by_time_whatever_runs(self) -> None:
        trial = Trial({"Wait": {"Type": "Wait", "Seconds": 60, "Next": "Done"}, "Done": done()}, TimeoutSeconds=30)
        execution = trial.run()
        assert (execution.status, execution.error, execution.stopped) == ("TIMED_OUT", "States.Timeout", 30)
        assert trial.way == ["Wait"]

    def test_from_outside_and_then_goes_nowhere(self) -> None:
        trial = Trial({"Wait": {"Type": "Wait", "Seconds": 60, "Next": "Done"}, "Done": done()})
        trial.execution.end("ABORTED", error="stopped")
        assert (trial.run().status, trial.way, trial.ended) == ("ABORTED", ["Wait"], 1)

    def test_of_a_wait_are_time_that_is_lost(self) -> None:
        trial = Trial({"Wait": {"Type": "Wait", "Seconds": 60, "Next": "Done"}, "Done": done()})
        trial.run()
        assert trial.lost == [("Wait", 0, 60)]


@pytest.mark.parametrize(
    "states",
    [
        {"A": {"Type": "Parallel", "Branches": []}},
        {"A": {**done(), "InputPath": "$.x"}},
        {"A": {**assign({}), "Result": 1}},
        {"A": task(HeartbeatSeconds=5)},
        {"A": task(Resource="arn:aws:states:::sns:publish")},
        {"A": task(Arguments={"FunctionName": "CheckTask", "InvocationType": "Event"})},
        {"A": task(Retry=[{"ErrorEquals": ["A"], "Forever": True}])},
        {"A": task(Retry=[{"ErrorEquals": ["States.TaskFailed"]}])},
        {"A": task(Catch=[{"ErrorEquals": ["A"], "ResultPath": None, "Next": "A"}])},
        {"A": {"Type": "Choice", "Choices": [{"Variable": "$.x", "IsPresent": True, "Next": "A"}], "Default": "A"}},
        {"A": assign({"states": 1})},
    ],
)
def test_what_is_not_modelled_is_refused(states: Mapping[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        Machine({"QueryLanguage": "JSONata", "StartAt": "A", "States": states})


@pytest.mark.parametrize("more", [{"QueryLanguage": "JSONPath"}, {"Version": "1.0"}])
def test_a_definition_of_another_kind_is_refused(more: Mapping[str, Any]) -> None:
    with pytest.raises(AssertionError):
        Machine({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": done()}, **more})
