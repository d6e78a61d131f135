"""The same definitions and inputs in our interpreter, in virtual time, and in LocalStack's, in real time. Neither is AWS's; where
they agree, the definitions leave little room. Both evaluate expressions with one package.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import scripted
from tests.end_to_end.application import end_of, history_of, states_in, until_it_runs
from tests.eventually import eventually
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.simulation.clock import VirtualClock
from tests.simulation.interpreter import Done, Execution, Failed, Machine, stamp

Json = dict[str, Any]
TABLE = "our-interpreter"
LAMBDA = "arn:aws:states:::lambda:invoke"
SLEEP = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"
VOLATILE = {"requestId", "stackTrace", "GiveUpAt", "NextCheckAt"}
SOON = "SOON"
"""A moment half a minute after an execution began."""
MOMENTS = {"registeredAt", "countAgainAt"}
"""Variables."""


@dataclass(frozen=True)
class Journey:
    """A definition's states, and the input. `wakes`: what the task token is called back with, None: it is not; the item with the
    token is at `place`, or where the execution's name is.
    """

    states: Mapping[str, Any]
    execution_input: Any = None
    wakes: Any = None
    place: str = ""

    @property
    def text(self) -> str:
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(self.states)), "States": self.states}
        return json.dumps(definition)

    def begun(self, now: datetime) -> str:
        """The input of an execution that begins now."""
        return json.dumps(self.execution_input).replace(SOON, stamp(now + timedelta(seconds=30)))


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
    "task, output": Journey(
        {"It": check({"Result": [1]}, Output="{% [$states.result.Payload, $states.input] %}"), "Done": DONE}, {"x": 1}
    ),
    "task, retried without success": Journey(
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
    "task, times out": Journey({"It": check({"Seconds": 2.5}, TimeoutSeconds=1), "Done": DONE}),
    "task, times out, caught": Journey(
        {"It": check({"Seconds": 2.5}, TimeoutSeconds="{% $states.input %}", **ALL), "Done": DONE, "Caught": CAUGHT}, 1
    ),
    "task, no time-out, caught": Journey(
        {"It": check({}, TimeoutSeconds="{% $nowhere %}", **ALL), "Done": DONE, "Caught": CAUGHT}
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
}


FILE = Path(__file__).parents[2] / "statemachine" / "gate.asl.json"
FILLED_IN = {"Partition": "aws", "EventBusName": "default", "RegistrationTable": TABLE, "Service": "ours"}


def real_states() -> Json:
    """The real definition, with one function for all of its functions."""
    text = FILE.read_text()
    for name, value in FILLED_IN.items():
        text = text.replace(f"${{{name}}}", value)
    definition = json.loads(re.sub(r"\$\{\w+FunctionArn\}", "Scripted", text))
    return dict(definition["States"])


REAL = real_states()
PASSED: Json = {
    "Ended": True, "Waiter": "CALLER", "Passed": True, "Output": {"Status": "SUCCEEDED"}, "Error": "", "Cause": "",
    "GiveUpAt": "2100-01-01T00:00:00.000Z", "AttemptSeconds": 25, "PauseSeconds": 1,
}  # fmt: skip
FAILED = {**PASSED, "Passed": False, "Output": {}, "Error": "LicenseConversion.Failed", "Cause": "why"}
EVENT = {"DetailType": "Ended", "Detail": {"x": 1}, "Resources": ["arn:aws:s3:::one"]}
PAUSES = {**PASSED, "Ended": False, "NextCheckAt": "2026-01-01T00:00:00.000Z"}
WAITS = {**PAUSES, "NextCheckAt": SOON, "Pending": "lct-1"}
OURS = {"RequestType": "Create", "ResponseURL": "https://response.example/", "ResourceProperties": {}}
HANDLE = {**OURS, "ResourceProperties": {"WaitConditionHandle": "https://handle.example/"}}
EXAMPLES = {"ended": PASSED, "failed": FAILED, "published": {**PASSED, "Event": EVENT}}


def real(*gates: Json, **given: Any) -> Journey:
    """The real definition: what each check returns, and more of the input."""
    return Journey(REAL, {"Checks": [{"Result": gate} for gate in gates], **given})


def without(gate: Json, name: str) -> Json:
    return {member: value for member, value in gate.items() if member != name}


def placed(place: str, **more: Any) -> Json:
    return {**WAITS, "Registration": {"Name": {"S": place}}, **more}


def stack(event: Json) -> Json:
    return {"Event": event, "Gate": without(PAUSES, "NextCheckAt") | {"Waiter": "STACK"}}


broken = {"Fails": 99, "Error": "Of.Ours", "Message": "why"}
to_stack = {"Waiter": "STACK", "Response": {"Status": "SUCCESS"}}
JOURNEYS |= {
    "real, ended": real(PASSED),
    "real, failed": real(FAILED),
    "real, with an event": real({**PASSED, "Event": EVENT}),
    "real, with a token": real({**PASSED, "Waiter": "TASK_TOKEN", "Event": EVENT}, TaskToken="token"),
    "real, with a token whose caller no longer waits": real(
        {**FAILED, "Waiter": "TASK_TOKEN"}, TaskToken="token", Response={"Fails": 9, "Error": "RecipientGone"}
    ),
    "real, a stack": real({**PASSED, **to_stack}, Stack=stack(OURS)),
    "real, a stack with a handle": real({**PAUSES, **to_stack}, {**PASSED, "Waiter": "HANDLE"}, Stack=stack(HANDLE)),
    "real, a stack with a handle, failed": real({**FAILED, **to_stack}, Stack=stack(HANDLE)),
    "real, pauses": real(PAUSES, PASSED),
    "real, sleeps": real(placed("sleeps", NextCheckAt=SOON), PASSED),
    "real, woken": replace(real(placed("woken"), PASSED), wakes=[{"Status": "SUCCEEDED"}], place="woken"),
    "real, too large": Journey(REAL, {"Checks": [], "Padding": "x" * 262_000}),
    "real, a refusal": Journey(
        REAL, {"Checks": [{"Fails": 1, "Error": "LicenseConversion.AccessDenied", "Result": FAILED}]}
    ),
    "real, a broken check": Journey(REAL, {"Checks": [broken], "TimeoutSeconds": "1"}),
    **{
        f"real, {name} without {member}": real(without(gate, member))
        for name, gate in EXAMPLES.items()
        for member in gate
    },
    **{
        f"real, waiting without {member}": real(without(placed("nowhere"), member), PASSED)
        for member in ("Ended", "Waiter", "Pending", "NextCheckAt")
    },
}


def lasting(value: Any) -> Any:
    """Without what has to differ: the number of an event, moments, and what belongs to one request."""
    if isinstance(value, dict):
        return {name: lasting(member) for name, member in value.items() if name not in VOLATILE}
    if isinstance(value, list):
        return [lasting(member) for member in value]
    if not isinstance(value, str):
        return value
    try:
        return lasting(json.loads(value)) if value[:1] in ("{", "[") else as_said(value)
    except ValueError:
        return as_said(value)


def as_said(text: str) -> str:
    text = re.sub(r" \(entered at the event id #\d+\)", "", text)
    text = re.sub(r", Request ID: [\w-]+", "", text)
    return re.sub(r',"requestId":.*', "}", text)  # of a function's error, in a longer sentence


def assigned_in(variables: Mapping[str, str]) -> Json:
    return {
        name: bool(text) if name in MOMENTS else lasting(json.loads(text)) for name, text in sorted(variables.items())
    }


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
        self._machines: dict[str, str] = {}
        self._arns = {name: self._start(number, function, one) for number, (name, one) in enumerate(JOURNEYS.items())}
        for name, journey in JOURNEYS.items():
            if journey.wakes is not None:
                self._wake(journey, self._arns[name].rpartition(":")[2])

    def _function(self) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as writing:
            writing.writestr("index.py", Path(scripted.__file__).read_text())
        functions = self._cloud.client("lambda")
        function = functions.create_function(
            FunctionName="Scripted",
            Runtime="python3.13",
            Handler="index.handler",
            Role=f"arn:aws:iam::{ACCOUNT}:role/any",
            Code={"ZipFile": archive.getvalue()},
        )["FunctionArn"]
        until_it_runs(self._cloud, "Scripted")
        return str(function)

    def _start(self, number: int, function: str, journey: Journey) -> str:
        definition = journey.text.replace('"Scripted"', f'"{function}"')
        if definition not in self._machines:
            self._machines[definition] = self._step_functions.create_state_machine(
                name=f"journey-{number}", definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/caller"
            )["stateMachineArn"]
        started = self._step_functions.start_execution(
            stateMachineArn=self._machines[definition], name=f"one-{number}", input=journey.begun(datetime.now(UTC))
        )
        return str(started["executionArn"])

    def _wake(self, journey: Journey, execution: str) -> None:
        read = partial(
            self._cloud.client("dynamodb").get_item, TableName=TABLE, Key={"Name": {"S": journey.place or execution}}
        )
        token = eventually(read, until=lambda found: "Item" in found)["Item"]["Token"]["S"]
        self._step_functions.send_task_success(taskToken=token, output=json.dumps(journey.wakes))

    def end(self, name: str) -> Json:
        arn = self._arns[name]
        found = end_of(self._cloud, arn)
        events = history_of(self._cloud, arn)
        left = [event["stateExitedEventDetails"] for event in events if "stateExitedEventDetails" in event]
        return {
            "status": found["status"],
            "error": found.get("error", ""),
            "cause": lasting(found.get("cause", "")),
            "output": lasting(json.loads(found.get("output", "null"))),
            "way": states_in(events),
            "assigned": [
                (one["name"], assigned_in(one["assignedVariables"])) for one in left if "assignedVariables" in one
            ],
        }


@pytest.fixture(scope="module")
def abroad(cloud: LocalCloud) -> Abroad:
    return Abroad(cloud)


# Ours


def at_home(journey: Journey) -> Json:
    clock = VirtualClock()

    def invoke(function: str, payload: str, done: Done, failed: Failed) -> None:
        told = json.loads(payload)

        def run() -> None:
            if function == "Scripted":
                try:
                    done(scripted.handler({**told, "Seconds": 0}, None))
                except Exception as error:
                    name = type(error).__name__
                    failed(name, json.dumps({"errorMessage": str(error), "errorType": name}, separators=(",", ":")))
            else:
                done({"FailedEntryCount": 0})

        clock.after(told.get("Seconds", 0), run)

    execution = Execution(
        clock,
        invoke,
        machine=Machine(json.loads(journey.text)),
        name="one",
        arn="arn:one",
        text=journey.begun(clock.utc()),
        lost=lambda *_: None,
    )
    execution.begin()
    if journey.wakes is not None:
        clock.run_for(0.5)
        execution.call_back(execution.token, journey.wakes)
    clock.run_out()
    return {
        "status": execution.status,
        "error": execution.error,
        "cause": lasting(execution.cause),
        "output": lasting(execution.output),
        "way": [name for name, _ in execution.entered],
        "assigned": [(name, assigned_in(variables)) for name, variables in execution.assigned],
    }


@pytest.mark.parametrize("name", JOURNEYS)
def test_both_go_the_same_way_and_end_alike(name: str, abroad: Abroad) -> None:
    assert at_home(JOURNEYS[name]) == abroad.end(name)
