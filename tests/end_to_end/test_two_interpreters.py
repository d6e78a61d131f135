"""The same state machine file, the same inputs, two interpreters: LocalStack's, on the deployed gate and in real time, and the
model's, on which the walks through the definition and the model's orders rest, in virtual time. Neither is AWS's; where they
agree, the file leaves little room.
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.end_to_end.application import ROOT, Application
from tests.local_cloud.clients import ACCOUNT
from tests.model.interpreter import Done, Execution, Failed
from tests.model.who_waits import Caller
from tests.model.world import World

Json = dict[str, Any]
LASTING = ("StateEntered", "ExecutionSucceeded", "ExecutionFailed")
TURN = ["Gate Ended?", "Wait for Next Check", "Check Task"]
VOLATILE = {"StartTime", "LicenseConversionTime", "EndTime", "requestId", "stackTrace"}
SAID = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
CALLER_ROLE = f"arn:aws:iam::{ACCOUNT}:role/caller"
NO_MODULE = "Runtime.ImportModuleError"
BROKEN = "Unable to import module 'check': No module named 'nowhere'"


def task_id(number: int) -> str:
    return f"lct-{number:017x}"


@dataclass(frozen=True)
class Scenario:
    """What both are given. `tasks` are added beforehand; `token` is called back; `broken`: the check cannot be imported."""

    execution_input: Any
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    token: bool = False
    broken: bool = False


def one(
    number: int, task: Mapping[str, Any] | None = None, *, token: bool = False, broken: bool = False, **given: Any
) -> Scenario:
    """A gate on one task, which License Manager does not know when there is no `task`; `given` is more of the input."""
    execution_input = {"LicenseConversionTaskId": task_id(number), **given}
    return Scenario(execution_input, {} if task is None else {task_id(number): task}, token, broken)


DONE, WORKS, NEVER = {"duration": 0}, {"duration": 7}, {"duration": 1e6}
PATIENT = 20
"""Seconds for a first look on a busy machine; the looks at tasks that end come in time whenever they come."""
FAILS = {"duration": 7, "end_status": "FAILED", "status_message": SAID}
SCENARIOS = {
    "already terminal": one(1, DONE),
    "succeeds after waits": one(2, {"duration": 20}),
    "fails": one(3, FAILS),
    "fails and may": one(4, FAILS, OnFailure="CONTINUE"),
    "times out": one(5, NEVER, TimeoutSeconds=PATIENT),
    "refused by the gate": one(6, TimoutSeconds=6),
    "refused by License Manager": one(7),
    "no object": Scenario([1]),
    "looks like ours": Scenario({"Stack": {"Event": 1}, "Gate": 2}),
    "looks like ours, empty": Scenario({"Stack": None, "Gate": {}}),
    "a token that is none": one(18, DONE, TaskToken=5),
    "a token that is empty": one(19, DONE, TaskToken=""),
    "broken check": one(8, DONE, broken=True),
    "token, succeeds": one(9, WORKS, token=True),
    "token, fails": one(10, FAILS, token=True),
    "token, times out": one(11, NEVER, token=True, TimeoutSeconds=PATIENT),
    "token, refused": one(12, token=True, OnFailure="continue"),
    "token, broken check": one(13, DONE, token=True, broken=True),
    "token that nobody gave": one(14, DONE, TaskToken="nobody's"),
    "token that nobody gave, fails": one(15, FAILS, TaskToken="nobody's"),
    "fleet": Scenario(
        {"LicenseConversionTaskIds": [task_id(16), task_id(17)]},
        {task_id(16): DONE, task_id(17): FAILS},
    ),
}


@dataclass(frozen=True)
class Walked:
    """What is compared: how it ended, and its history besides the turns of the wait."""

    status: str
    error: str
    cause: Any
    output: Any
    history: tuple[str, ...]
    """The name of each state that was entered, and the end. Not the attempts of a task: a busy machine repeats one, and
    what LocalStack has given up as too late still writes its end into the history, wherever that is by then.
    """
    waited: bool = field(compare=False)

    @classmethod
    def of(cls, step_functions: Any, execution_arn: str) -> "Walked":
        found = step_functions.describe_execution(executionArn=execution_arn)
        pages = step_functions.get_paginator("get_execution_history").paginate(executionArn=execution_arn)
        events = [event for page in pages for event in page["events"]]
        told = [event.get("stateEnteredEventDetails", {}).get("name", event["type"]) for event in events]
        told = [one for one, event in zip(told, events, strict=True) if event["type"].endswith(LASTING)]
        return cls(
            status=found["status"],
            error=found.get("error", ""),
            cause=_lasting(found.get("cause", "")),
            output=_lasting(found.get("output", "")),
            history=tuple(_without_turns(told)),
            waited=TURN[1] in told,
        )


def _without_turns(told: list[str]) -> list[str]:
    """Real time and a fake clock turn as often as they need to, and not at all where the first check came late."""
    kept: list[str] = []
    for one_event in told:
        kept.append(one_event)
        if kept[-len(TURN) :] == TURN:
            del kept[-len(TURN) :]
    return kept


def _lasting(text: str) -> Any:
    """Without what has to differ: points in time, and where the code lies. What Lambda said stands at the end of a sentence."""
    sentence, brace, said = text.partition("{")
    try:
        value = json.loads(brace + said)
    except ValueError:
        return text
    return sentence, {name: one for name, one in value.items() if name not in VOLATILE}


# LocalStack


class InLocalStack:
    """Runs every scenario at once, and gives each one's run when it has ended."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._step_functions = application.cloud.client("stepfunctions")
        broken = self._broken_gate()
        self._arns: dict[str, str] = {}
        for name, scenario in SCENARIOS.items():
            for task, members in scenario.tasks.items():
                application.cloud.license_manager.add_task(task, **members)
            gate = broken if scenario.broken else application.state_machine_arn
            if scenario.token:
                self._arns[name] = self._caller(f"caller-{len(self._arns)}", gate, scenario.execution_input)
            else:
                self._arns[name] = application.start(scenario.execution_input, gate)

    def run(self, name: str) -> tuple[Walked, str]:
        """The gate's run, and the error of whoever waited for it by token."""
        execution, caller = self._arns[name], ""
        if SCENARIOS[name].token:
            caller = self._application.finish(execution).get("error", "")
            history = self._step_functions.get_execution_history(executionArn=execution)["events"]
            (submitted,) = (event for event in history if event["type"] == "TaskSubmitted")
            execution = json.loads(submitted["taskSubmittedEventDetails"]["output"])["ExecutionArn"]
        self._application.finish(execution)
        return Walked.of(self._step_functions, execution), caller

    def _broken_gate(self) -> str:
        """A gate of the same file whose check function cannot be imported."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("check.py", "import nowhere\n")
        functions = self._application.cloud.client("lambda")
        function = functions.create_function(
            FunctionName="broken-check",
            Runtime="python3.13",
            Handler="check.handler",
            Role=CALLER_ROLE,
            Code={"ZipFile": code.getvalue()},
        )["FunctionArn"]
        functions.get_waiter("function_active_v2").wait(FunctionName="broken-check")
        definition = (ROOT / "statemachine" / "gate.asl.json").read_text()
        definition = definition.replace("${CheckTaskFunctionArn}", function)
        for other in ("AnswerStack", "LastResort", "AnnounceEnd"):
            arn = self._application.function_arn(f"{other}Function")
            definition = definition.replace(f"${{{other}FunctionArn}}", arn)
        definition = definition.replace("${Partition}", "aws")
        return self._create("broken-gate", definition)

    def _caller(self, name: str, gate: str, execution_input: Json) -> str:
        waits = {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution.waitForTaskToken",
            "Parameters": {"StateMachineArn": gate, "Input": {**execution_input, "TaskToken.$": "$$.Task.Token"}},
            "End": True,
        }
        arn = self._create(name, json.dumps({"StartAt": "Wait at Gate", "States": {"Wait at Gate": waits}}))
        return self._application.start({}, arn)

    def _create(self, name: str, definition: str) -> str:
        created = self._step_functions.create_state_machine(name=name, definition=definition, roleArn=CALLER_ROLE)
        return str(created["stateMachineArn"])


@pytest.fixture(scope="module")
def in_localstack(application: Application) -> InLocalStack:
    return InLocalStack(application)


# The model


def in_model(scenario: Scenario) -> tuple[Walked, str]:
    """The gate's run in a world in which nothing goes wrong, and the error of whoever waited for it by token."""
    world, given = World(seed=0), scenario.execution_input
    for task, members in scenario.tasks.items():
        world.license_manager.service.add_task(task, **members)
    caller = Caller(number=1, properties={}, requested=0)
    if isinstance(given, Mapping):
        given = {**given, **({"TaskToken": "token"} if scenario.token else {})}
        caller.properties, caller.token = dict(given), str(given.get("TaskToken", ""))
    caller.gone = not scenario.token
    world.callers.append(caller)

    def invoke(function: str, payload: str, done: Done, failed: Failed) -> None:
        if scenario.broken and function == "CheckTask":
            failed(NO_MODULE, json.dumps({"errorMessage": BROKEN, "errorType": NO_MODULE}))
        else:
            world._invoke(caller, function, payload, done, failed)

    execution = Execution(world.clock, invoke, name="one", arn="arn:one", text=json.dumps(given), lost=lambda *_: None)
    caller.execution = execution
    with world.at_the_seams():
        execution.begin()
        world.clock.run_out(86400)
    world.close()
    names = [name for name, _ in execution.entered]
    walked = Walked(
        status=execution.status,
        error=execution.error,
        cause=_lasting(execution.cause),
        output=_lasting(json.dumps(execution.output)) if execution.status == "SUCCEEDED" else "",
        history=tuple(_without_turns([*names, f"Execution{execution.status.capitalize()}"])),
        waited=TURN[1] in names,
    )
    return walked, caller.calls[0].get("Error", "") if caller.calls else ""


@pytest.mark.parametrize("name", SCENARIOS)
def test_both_go_the_same_way_and_end_alike(name: str, in_localstack: InLocalStack) -> None:
    (model, model_caller), (localstack, localstack_caller) = in_model(SCENARIOS[name]), in_localstack.run(name)

    assert model.history == localstack.history
    assert (model, model_caller) == (localstack, localstack_caller)


def test_both_take_turns(in_localstack: InLocalStack) -> None:
    name = "succeeds after waits"
    assert in_model(SCENARIOS[name])[0].waited
    assert in_localstack.run(name)[0].waited
