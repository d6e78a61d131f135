"""The same definitions and inputs in our interpreter, in virtual time, and in LocalStack's, in real time. Neither is AWS's; where
they agree, the definitions leave little room. Both evaluate expressions with one package.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.end_to_end.application import end_of
from tests.eventually import eventually
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.simulation.clock import VirtualClock
from tests.simulation.interpreter import Done, Execution, Failed, Machine

Json = dict[str, Any]
TABLE = "our-interpreter"
LAMBDA = "arn:aws:states:::lambda:invoke"
SLEEP = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"
CODE = """
def handler(event, context):
    if event.get("Attempt", 0) < event.get("Fails", 0):
        raise type(event["Error"], (Exception,), {})(event.get("Message", ""))
    return event.get("Result")
"""
VOLATILE = {"requestId", "stackTrace"}


@dataclass(frozen=True)
class Journey:
    """A definition's states, and the input. `wakes`: what each task token is called back with; None: none is."""

    states: Mapping[str, Any]
    execution_input: Any = None
    wakes: Any = None

    @property
    def text(self) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(self.states)), "States": self.states}
        return json.dumps(definition)


def check(payload: Any, **fields: Any) -> Json:
    return {
        "Type": "Task",
        "Resource": LAMBDA,
        "Arguments": {"FunctionName": "Scripted", "Payload": payload},
        "Assign": {"result": "{% $states.result.Payload %}"},
        "Output": {},
        "Next": "Done",
        **fields,
    }


def sleep(**fields: Any) -> Json:
    return {
        "Type": "Task",
        "Resource": SLEEP,
        "Arguments": {
            "TableName": TABLE,
            "Key": {"Name": {"S": "{% $states.context.Execution.Name %}"}},
            "UpdateExpression": "SET #token = :token",
            "ExpressionAttributeNames": {"#token": "Token"},
            "ExpressionAttributeValues": {":token": {"S": "{% $states.context.Task.Token %}"}},
        },
        "Assign": {"result": "{% $states.result %}"},
        "Next": "Done",
        **fields,
    }


def raises(error: str, **more: Any) -> Json:
    return {"Attempt": "{% $states.context.State.RetryCount %}", "Fails": 9, "Error": error, "Message": "why", **more}


def route(*conditions: str, **first: Any) -> Json:
    rules: list[Json] = [
        {"Condition": f"{{% {condition} %}}", "Next": name}
        for name, condition in zip("ABCDEF", conditions, strict=False)
    ]
    rules[0].update(first)
    return {"Type": "Choice", "Choices": rules, "Default": "Done"}


DONE = {"Type": "Succeed", "Output": "{% {'result': $result, 'input': $states.input} %}"}
CAUGHT = {"Type": "Succeed", "Output": "{% $states.input %}"}
ALL = {"Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]}
GATE = {"Ended": True, "Passed": True, "Output": {"x": 1}, "Error": "Of.Ours", "Cause": "why"}
GATE_STATES: Json = {
    "Check Task": check("{% $states.input %}", Next="Route", Assign={"gate": "{% $states.result.Payload.Gate %}"}),
    "Route": route("$gate.Ended and $gate.Passed", "$gate.Ended", "$exists($gate.Output)"),
    "A": {"Type": "Succeed", "Output": "{% $gate.Output %}"},
    "B": {"Type": "Fail", "Error": "{% $gate.Error %}", "Cause": "{% $gate.Cause %}"},
    "C": {"Type": "Pass", "Output": "{% $gate.Error %}", "Next": "Done"},
    "Done": CAUGHT,
}


def gate(without: str = "", **more: Any) -> Journey:
    members = {name: value for name, value in {**GATE, **more}.items() if name != without}
    return Journey(GATE_STATES, {"Result": {"Gate": members}})


QUOTED = 'a "quotation", a \\ and a line\nand \N{GRINNING FACE}'
JOURNEYS = {
    "pass, variables": Journey(
        {
            "First": {"Type": "Pass", "Assign": {"a": 1, "b": "{% $states.input.b %}", "result": 0}, "Next": "Swap"},
            "Swap": {"Type": "Pass", "Assign": {"a": "{% $b %}", "b": "{% $a %}"}, "Output": {"o": 1}, "Next": "Last"},
            "Last": {"Type": "Pass", "Assign": {"result": "{% [$a, $b] %}"}, "Next": "Done"},
            "Done": DONE,
        },
        {"b": QUOTED},
    ),
    "null, not missing": Journey({"Done": CAUGHT}, {"x": None}),
    "null, chosen": Journey({"Done": {"Type": "Succeed", "Output": "{% $states.input.x %}"}}, {"x": None}),
    "missing, succeed": Journey({"Done": {"Type": "Succeed", "Output": "{% $states.input.x %}"}}, {}),
    "missing, pass": Journey({"It": {"Type": "Pass", "Assign": {"a": "{% $b %}"}, "Next": "Done"}, "Done": CAUGHT}, {}),
    "missing, choice": Journey({"It": route("$states.input.x"), "A": CAUGHT, "Done": CAUGHT}, {}),
    "missing, wait": Journey(
        {"It": {"Type": "Wait", "Seconds": "{% $states.input.x %}", "Next": "Done"}, "Done": CAUGHT}, {}
    ),
    "missing, fail": Journey({"It": {"Type": "Fail", "Error": "E", "Cause": "{% $states.input.x %}"}}, {}),
    "missing, task": Journey({"It": check("{% $states.input.x %}"), "Done": DONE}, {}),
    "missing, task, caught": Journey({"It": check("{% $states.input.x %}", **ALL), "Done": DONE, "Caught": CAUGHT}, {}),
    "missing, result, caught": Journey(
        {"It": check({}, Assign={"a": "{% $states.result.Payload.x %}"}, **ALL), "Done": CAUGHT, "Caught": CAUGHT}, {}
    ),
    "missing, catch": Journey(
        {
            "It": check(
                raises("Of.Ours"),
                Catch=[{"ErrorEquals": ["Of.Ours"], "Assign": {"a": "{% $states.errorOutput.x %}"}, "Next": "Done"}],
            ),
            "Done": CAUGHT,
        },
        {},
    ),
    "no error, no result": Journey(
        {
            "It": check({}, Assign={"a": "{% $exists($states.errorOutput) %}"}),
            "Done": {
                "Type": "Succeed",
                "Output": "{% [$a, $exists($states.result) or $exists($states.errorOutput)] %}",
            },
        }
    ),
    "an expression that fails": Journey({"Done": {"Type": "Succeed", "Output": "{% 1 + 'a' %}"}}),
    "no boolean": Journey({"It": route("'yes'"), "A": CAUGHT, "Done": CAUGHT}),
    "choice, assigns": Journey(
        {"It": route("$states.input.x > 1", Assign={"result": "{% $states.input.x + 1 %}"}), "A": DONE, "Done": CAUGHT},
        {"x": 2},
    ),
    "choice, default": Journey(
        {"It": route("false", "$states.input.x > 5"), "A": CAUGHT, "B": CAUGHT, "Done": CAUGHT}, {"x": 2}
    ),
    "wait": Journey(
        {"It": {"Type": "Wait", "Seconds": "{% $states.input.s %}", "Next": "Done"}, "Done": CAUGHT}, {"s": 1}
    ),
    "fail": Journey({"It": {"Type": "Fail", "Error": "{% $states.input.e %}", "Cause": "why"}}, {"e": "Of.Ours"}),
    "task": Journey({"It": check({"Result": "{% $states.input %}"}), "Done": DONE}, {"x": [1, {"y": None}]}),
    "task, output": Journey(
        {
            "It": check({"Result": [1]}, Output="{% {'result': $states.result.Payload, 'input': $states.input} %}"),
            "Done": DONE,
        },
        {"x": 1},
    ),
    "task, error": Journey({"It": check(raises("Of.Ours")), "Done": DONE}),
    "task, retried": Journey(
        {
            "It": check(
                raises("Of.Ours", Fails=2, Result="{% $states.context.State.RetryCount %}"),
                Retry=[{"ErrorEquals": ["Of.Ours"], "IntervalSeconds": 1, "BackoffRate": 1}],
            ),
            "Done": DONE,
        }
    ),
    "task, retried in vain": Journey(
        {
            "It": check(
                raises("Of.Ours"),
                Retry=[
                    {"ErrorEquals": ["Another"]},
                    {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1},
                ],
                Catch=[
                    {"ErrorEquals": ["Another"], "Next": "Done"},
                    {
                        "ErrorEquals": ["States.ALL"],
                        "Assign": {"result": "{% $parse($states.errorOutput.Cause).errorMessage %}"},
                        "Next": "Done",
                    },
                ],
            ),
            "Done": {"Type": "Succeed", "Output": "{% $result %}"},
        }
    ),
    "task, not retried": Journey(
        {"It": check(raises("Of.Ours"), Retry=[{"ErrorEquals": ["Of.Ours"], "MaxAttempts": 0}]), "Done": DONE}
    ),
    "task, a result that is too large": Journey(
        {"It": check({"Result": "{% $pad('', 262144, 'x') %}"}, **ALL), "Done": DONE, "Caught": CAUGHT}
    ),
    "task, arguments that are too large, caught by name": Journey(
        {
            "It": check(
                "{% $pad('', 262144, 'x') %}", Catch=[{"ErrorEquals": ["States.DataLimitExceeded"], "Next": "Caught"}]
            ),
            "Done": DONE,
            "Caught": {"Type": "Succeed", "Output": "{% $states.input.Error %}"},
        }
    ),
    "token": Journey({"It": sleep(), "Done": DONE}, wakes=[{"x": QUOTED}]),
    "token, times out": Journey(
        {
            "It": sleep(
                TimeoutSeconds="{% 1 + 1 %}",
                Catch=[{"ErrorEquals": ["States.Timeout"], "Assign": {"result": []}, "Next": "Done"}],
            ),
            "Done": DONE,
        }
    ),
    "token, refused by its condition": Journey(
        {
            "It": sleep(
                Arguments={
                    "TableName": TABLE,
                    "Key": {"Name": {"S": "refused"}},
                    "ConditionExpression": "attribute_exists(Words)",
                    "UpdateExpression": "SET X = :x",
                    "ExpressionAttributeValues": {":x": {"S": "{% $states.context.Task.Token %}"}},
                },
                Catch=[{"ErrorEquals": ["DynamoDb.ConditionalCheckFailedException"], "Next": "Caught"}],
            ),
            "Done": DONE,
            "Caught": CAUGHT,
        }
    ),
    "events and metrics": Journey(
        {
            "Put": {
                "Type": "Task",
                "Resource": "arn:aws:states:::events:putEvents",
                "Arguments": {"Entries": [{"Source": "ours", "DetailType": "{% $states.input %}", "Detail": {"x": 1}}]},
                "TimeoutSeconds": 30,
                "Assign": {"result": "{% $states.result.FailedEntryCount %}"},
                "Next": "Count",
            },
            "Count": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:cloudwatch:putMetricData",
                "Arguments": {
                    "Namespace": "Ours",
                    "MetricData": [{"MetricName": "Counted", "Value": 1, "Unit": "Count"}],
                },
                "Output": "counted",
                "Next": "Done",
            },
            "Done": DONE,
        },
        "A Type",
    ),
    "gate": gate(),
    "gate, failed": gate(Passed=False),
    "gate, not ended": gate(Ended=False),
    **{f"gate without {name}": gate(name) for name in GATE},
    **{f"failed gate without {name}": gate(name, Passed=False) for name in ("Error", "Cause")},
    "gate that is none": Journey(GATE_STATES, {"Result": {}}),
}


@dataclass(frozen=True)
class Ended:
    """What is compared."""

    status: str
    error: str
    cause: Any
    output: Any
    way: tuple[str, ...]
    assigned: tuple[tuple[str, Json], ...]


def lasting(text: str) -> str:
    """Without what has to differ: the number of an event, and what belongs to one request."""
    text = re.sub(r" \(entered at the event id #\d+\)", "", text)
    text = re.sub(r", Request ID: [\w-]+", "", text)
    try:
        said = json.loads(text)
    except ValueError:
        return text
    if isinstance(said, dict):
        said = {
            name: lasting(value) if isinstance(value, str) else value
            for name, value in said.items()
            if name not in VOLATILE
        }
    return json.dumps(said, sort_keys=True)


# LocalStack


class Abroad:
    """Starts every journey at once on the local cloud, and gives each one's end."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._step_functions = cloud.client("stepfunctions")
        function = self._function()
        cloud.client("dynamodb").create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": "Name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._arns = {name: self._start(number, function, one) for number, (name, one) in enumerate(JOURNEYS.items())}

    def _function(self) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writing:
            writing.writestr("index.py", CODE)
        functions = self._cloud.client("lambda")
        function = functions.create_function(
            FunctionName="Scripted",
            Runtime="python3.13",
            Handler="index.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
        functions.get_waiter("function_active_v2").wait(FunctionName="Scripted", WaiterConfig={"Delay": 1})
        return str(function)

    def _start(self, number: int, function: str, journey: Journey) -> str:
        machine = self._step_functions.create_state_machine(
            name=f"journey-{number}",
            definition=journey.text.replace('"Scripted"', f'"{function}"'),
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/caller",
        )["stateMachineArn"]
        started = self._step_functions.start_execution(
            stateMachineArn=machine, name=f"one-{number}", input=json.dumps(journey.execution_input)
        )
        return str(started["executionArn"])

    def end(self, name: str) -> Ended:
        arn, journey = self._arns[name], JOURNEYS[name]
        if journey.wakes is not None:
            key = {"Name": {"S": arn.rpartition(":")[2]}}
            table = self._cloud.client("dynamodb")
            item = eventually(lambda: table.get_item(TableName=TABLE, Key=key).get("Item"))
            self._step_functions.send_task_success(taskToken=item["Token"]["S"], output=json.dumps(journey.wakes))
        found = end_of(self._cloud, arn)
        pages = self._step_functions.get_paginator("get_execution_history").paginate(executionArn=arn)
        events = [event for page in pages for event in page["events"]]
        left = [event["stateExitedEventDetails"] for event in events if "stateExitedEventDetails" in event]
        return Ended(
            found["status"],
            found.get("error", ""),
            lasting(found.get("cause", "")),
            lasting(found.get("output", "null")),
            tuple(event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event),
            tuple(
                (one["name"], {variable: lasting(value) for variable, value in one["assignedVariables"].items()})
                for one in left
                if "assignedVariables" in one
            ),
        )


@pytest.fixture(scope="module")
def abroad(cloud: LocalCloud) -> Abroad:
    return Abroad(cloud)


# Ours


def at_home(journey: Journey) -> Ended:
    clock = VirtualClock()

    def invoke(function: str, payload: str, done: Done, failed: Failed) -> None:
        told = json.loads(payload)
        if told.get("Attempt", 0) < told.get("Fails", 0):
            said = {"errorMessage": told["Message"], "errorType": told["Error"]}
            clock.after(0, lambda: failed(told["Error"], json.dumps(said)))
        elif "ConditionExpression" in told:
            cause = "The conditional request failed (Service: DynamoDb, Status Code: 400)"
            clock.after(0, lambda: failed("DynamoDb.ConditionalCheckFailedException", cause))
        else:
            clock.after(0, lambda: done({"PutEvents": {"FailedEntryCount": 0}}.get(function, told.get("Result"))))

    execution = Execution(
        clock,
        invoke,
        machine=Machine(json.loads(journey.text)),
        name="one",
        arn="arn:one",
        text=json.dumps(journey.execution_input),
        lost=lambda *_: None,
    )
    execution.begin()
    if journey.wakes is not None:
        clock.run_for(0.5)
        execution.call_back(execution.token, journey.wakes)
    clock.run_out()
    return Ended(
        execution.status,
        execution.error,
        lasting(execution.cause),
        lasting(json.dumps(execution.output)),
        tuple(name for name, _ in execution.entered),
        tuple(
            (name, {variable: lasting(value) for variable, value in variables.items()})
            for name, variables in execution.assigned
        ),
    )


@pytest.mark.parametrize("name", JOURNEYS)
def test_both_go_the_same_way_and_end_alike(name: str, abroad: Abroad) -> None:
    assert at_home(JOURNEYS[name]) == abroad.end(name)
