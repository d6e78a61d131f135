"""An interpreter of the part of the Amazon States Language that our state machine uses (JSONata, with variables), in virtual
time.

What is not known here is refused, so that a new construct in the file is a failure and not a blind spot.
https://states-language.net/spec.html
https://docs.aws.amazon.com/step-functions/latest/dg/workflow-variables.html
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.simulation.expressions import Expression, QueryEvaluationError, Surroundings, compiled, filled

if TYPE_CHECKING:  # LocalStack's process, which reads a table below, has no greenlets
    from tests.simulation.clock import VirtualClock

FILE = Path(__file__).parents[2] / "statemachine" / "gate.asl.json"
LAMBDA = "arn:aws:states:::lambda:invoke"
RESOURCE = re.compile(r"arn:[^:]+:states:::(?:aws-sdk:)?\w+:(\w+)(\.waitForTaskToken)?")


def function_of(resource: str) -> str:
    """What `invoke` is given as the function: `PutEvents`, or `UpdateItem:Token`; a Lambda function has a name of its own."""
    known = RESOURCE.fullmatch(resource)
    assert known, f"{resource} is not modelled"
    return known[1][0].upper() + known[1][1:] + (":Token" if known[2] else "")


OWN_CALLS = tuple(
    function_of(one["Resource"])
    for one in json.loads(FILE.read_text())["States"].values()
    if one["Type"] == "Task" and not one["Resource"].endswith((":lambda:invoke", ".waitForTaskToken"))
)
"""What the state machine asks of AWS itself, and goes on with when the call has returned."""
MACHINE = {"Comment", "QueryLanguage", "StartAt", "TimeoutSeconds", "States"}
FIELDS = {
    "Choice": {"Choices", "Default"},
    "Pass": {"Assign", "Output", "Next"},
    "Wait": {"Seconds", "Assign", "Output", "Next"},
    "Task": {"Resource", "Arguments", "TimeoutSeconds", "Retry", "Catch", "Assign", "Output", "Next"},
    "Succeed": {"Output"},
    "Fail": {"Error", "Cause"},
}
RULE = {"Comment", "Condition", "Assign", "Next"}
RETRIER = {
    "Comment",
    "ErrorEquals",
    "IntervalSeconds",
    "BackoffRate",
    "MaxAttempts",
    "MaxDelaySeconds",
    "JitterStrategy",
}
CATCHER = {"Comment", "ErrorEquals", "Assign", "Next"}
LITERAL = {"Type", "Comment", "Resource", "Retry", "Next", "Default"}
"""Fields of a state in which there are no expressions."""
MOST_BYTES = 262_144
"""Of a state's arguments, result or output, and of what one state assigns.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""
LONGEST_SECONDS = 99_999_999
NOT_ALL = {"States.DataLimitExceeded", "States.Runtime"}
"""The errors that States.ALL does not match.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

Data = dict[str, Any]
Done = Callable[[Any], None]
Failed = Callable[[str, str], None]


class Invoke(Protocol):
    """Step Functions' call of a service: the result or the error comes later. The payload is JSON: a Lambda function's Payload,
    all of the Arguments otherwise. Where the state waits for its token, `done` says only that the call has come back.
    """

    def __call__(self, function: str, payload: str, done: Done, failed: Failed) -> None: ...


class StateError(Exception):
    """What a state fails with."""

    def __init__(self, error: str, cause: str) -> None:
        super().__init__(error, cause)
        self.error, self.cause = error, cause


class Machine:
    """A definition in which everything is known, with its expressions parsed."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        _refuse_unknown("the definition", definition, MACHINE)
        assert definition["QueryLanguage"] == "JSONata"
        self.start_at: str = definition["StartAt"]
        self.timeout_seconds: float | None = definition.get("TimeoutSeconds")
        self.states = {name: _prepared(name, state) for name, state in definition["States"].items()}


@cache
def gate(text: str = FILE.read_text()) -> Machine:
    """Our state machine, with names for what a deployment fills in: CheckTask and Respond for the functions."""
    return Machine(
        json.loads(re.sub(r"\$\{(?:Partition|(\w+?)(?:FunctionArn)?)\}", lambda found: found[1] or "aws", text))
    )


class Execution:
    """One execution. `lost(state, from, to)` gets the time that failed attempts and the pauses after them took, and the
    time in a Wait, which is where the machine recovers; `ended` of the end. `random` is from 0 to 1. `seconds_to_enter` is asked
    once for each state.
    """

    def __init__(
        self,
        clock: "VirtualClock",
        invoke: Invoke,
        *,
        machine: Machine,
        name: str,
        arn: str,
        text: str,
        lost: Callable[[str, float, float], None],
        random: Callable[[], float] = lambda: 0.5,
        ended: Callable[["Execution"], None] = lambda _: None,
        seconds_to_enter: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.random, self._seconds_to_enter = random, seconds_to_enter
        self._machine = machine
        self._clock, self._invoke, self._lost, self._ended = clock, invoke, lost, ended
        self.name, self.arn, self.input = name, arn, text
        self.started = clock.now
        self.stopped = 0.0
        self.start_date = clock.utc()
        self.entered: list[tuple[str, str]] = []
        """The states that it has entered, and what with."""
        self.assigned: list[tuple[str, dict[str, str]]] = []
        """The states that it has left and that assigned variables: each variable's value as JSON. The newest comes last."""
        self.status = "RUNNING"
        self.output: Any = None
        self.token = ""
        """Of the Task state that it is in."""
        self.error = self.cause = ""
        self._called_back: Done = lambda _: None
        self._surroundings = Surroundings(clock.timestamp, random)
        self._execution = {"Input": json.loads(text), "Id": arn, "Name": name, "StartTime": stamp(self.start_date)}
        self._states: Data = {}
        """`$states`. Never changed, only replaced."""
        self._step = 0

    def begin(self) -> None:
        if self.status != "RUNNING":
            return  # another call was faster
        if self._machine.timeout_seconds is not None:
            seconds = self._machine.timeout_seconds
            self._after(seconds, lambda: self.end("TIMED_OUT", error="States.Timeout"), any_step=True)
        self._enter(self._machine.start_at, self._execution["Input"])

    def variable(self, name: str) -> Any:
        """Its value now; None before one is assigned."""
        return self._surroundings.values.get(name)

    def call_back(self, token: str, output: Any = None) -> bool:
        """SendTaskSuccess, its output parsed. False: the token is used up."""
        if self.status != "RUNNING" or not token or token != self.token:
            return False
        self.token = ""
        called_back = self._called_back
        self._clock.after(0, lambda: called_back(output))
        return True

    def end(self, status: str, output: Any = None, error: str = "", cause: str = "") -> None:
        """By its last state, or from outside."""
        if self.status == "RUNNING":
            self.status, self.output, self.error, self.cause = status, output, error, cause
            self.stopped = self._clock.now
            self._ended(self)

    def _after(self, seconds: float, what: Callable[[], None], *, any_step: bool = False) -> None:
        step = self._step

        def go_on() -> None:
            if self.status == "RUNNING" and (any_step or step == self._step):
                what()

        self._clock.after(seconds, go_on)

    def _enter(self, following: str | None, data: Any) -> None:
        """A state, and each that follows it in no time. None: the state before was the last."""
        if following is None:
            return self.end("SUCCEEDED", data)
        self._step += 1  # from here on, no timeout of the state before counts
        if seconds := self._seconds_to_enter():
            return self._after(seconds, lambda: self._work(following, data))
        return self._work(following, data)

    def _work(self, name: str, data: Any) -> None:
        state = self._machine.states[name]
        self.entered.append((name, json.dumps(data)))
        self._tell(
            input=data,
            context={
                "Execution": self._execution,
                "State": {"Name": name, "EnteredTime": stamp(self._clock.utc()), "RetryCount": 0},
            },
        )
        try:
            match state["Type"]:
                case "Task":
                    return Attempt(self, name, state).go_on()
                case "Wait":
                    return self._wait(name, state, data)
                case "Fail":
                    return self.end("FAILED", error=self._text(state["Error"]), cause=self._text(state["Cause"]))
                case "Choice":
                    following: str | None = self._choose(name, state)
                case _:  # Pass, Succeed
                    data, following = self._leave(name, state, data), state.get("Next")
        except StateError as failure:
            return self._break(name, failure)
        return self._enter(following, data)

    def _wait(self, name: str, state: Data, data: Any) -> None:
        seconds = self._whole(state["Seconds"], least=0)
        self._lost(name, self._clock.now, self._clock.now + seconds)

        def go_on() -> None:
            try:
                output = self._leave(name, state, data)
            except StateError as failure:
                return self._break(name, failure)
            return self._enter(state.get("Next"), output)

        self._after(seconds, go_on)

    def _choose(self, name: str, state: Data) -> str:
        for rule in state["Choices"]:
            condition: Expression = rule["Condition"]
            if self._evaluated(partial(condition.holds, self._surroundings)):
                self._leave(name, rule, None)
                return str(rule["Next"])
        return str(state["Default"])

    def _leave(self, name: str, fields: Data, output: Any) -> Any:
        """The output of a state that is left this way. Nothing that is evaluated here sees what is assigned here."""
        assigned = self._filled(fields.get("Assign", {}))
        if "Output" in fields:
            output = self._filled(fields["Output"])
        texts = {variable: _json(value) for variable, value in assigned.items()}
        _measure(name, "".join(texts.values()), _json(output))
        for variable, value in assigned.items():
            self._surroundings.bind(variable, value)
        if texts:
            self.assigned.append((name, texts))
        return output

    def _break(self, name: str, failure: StateError) -> None:
        """The end by an error that no Catch names."""
        cause = failure.cause
        if failure.error in ("States.QueryEvaluationError", "States.Runtime"):
            cause = f"An error occurred while executing the state '{name}'. {cause}"
        self.end("FAILED", error=failure.error, cause=cause)

    def _tell(self, **members: Any) -> None:
        """What the expressions know by `$states`."""
        self._states = members
        self._surroundings.bind("states", members)

    def _filled(self, template: Any) -> Any:
        return self._evaluated(partial(filled, template, self._surroundings))

    def _text(self, template: Any) -> str:
        text = self._filled(template)
        if not isinstance(text, str):
            raise _query_error(f"no string: {_json(text)}")
        return text

    def _whole(self, template: Any, *, least: int) -> int:
        """Seconds."""
        seconds = self._filled(template)
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not least <= seconds <= LONGEST_SECONDS:
            raise _query_error(f"no whole number of seconds from {least} to {LONGEST_SECONDS}: {_json(seconds)}")
        return seconds

    @staticmethod
    def _evaluated(evaluate: Callable[[], Any]) -> Any:
        try:
            return evaluate()
        except QueryEvaluationError as error:
            raise _query_error(str(error)) from error


class Attempt:
    """The attempts of one visit to a Task state, with its retriers and catchers."""

    def __init__(self, execution: Execution, name: str, state: Data) -> None:
        self._execution, self._name, self._state = execution, name, state
        self._waits = state["Resource"].endswith(".waitForTaskToken")
        self._retries = [0] * len(state.get("Retry", ()))
        self._entered = execution._clock.now
        self._attempt = 0
        self._failed = False

    def go_on(self) -> None:
        """The next attempt: everything is evaluated anew."""
        execution, attempt, step = self._execution, self._attempt, self._execution._step
        token = f"token|{execution.name}|{step}|{attempt}" if self._waits else ""
        execution.token = token
        known = execution._states
        context = {**known["context"], "State": {**known["context"]["State"], "RetryCount": attempt}}
        execution._tell(input=known["input"], context={**context, "Task": {"Token": token}} if self._waits else context)
        try:
            seconds = execution._whole(self._state.get("TimeoutSeconds", LONGEST_SECONDS), least=1)
            arguments = execution._filled(self._state["Arguments"])
            self._measure(arguments)
        except StateError as failure:
            return self._fail(failure)
        function = function_of(self._state["Resource"])
        if self._state["Resource"] == LAMBDA:
            function = arguments["FunctionName"].rsplit(":", 1)[-1]

        def is_current() -> bool:
            return execution.status == "RUNNING" and execution._step == step and self._attempt == attempt

        def failed(error: str, cause: str) -> None:
            if is_current() and execution.token == token:  # else it has been called back
                self._fail(StateError(error, cause))

        def done(result: Any) -> None:
            if is_current():
                self._done(result)

        def returned(result: Any) -> None:
            if not self._waits:
                done({"Payload": result, "StatusCode": 200} if self._state["Resource"] == LAMBDA else result)

        execution._called_back = done
        if "TimeoutSeconds" in self._state:
            execution._after(seconds, lambda: failed("States.Timeout", ""))
        payload = arguments.get("Payload", {}) if self._state["Resource"] == LAMBDA else arguments
        return execution._invoke(function, json.dumps(payload), returned, failed)

    def _done(self, result: Any) -> None:
        execution = self._execution
        try:
            self._measure(result)
            execution._tell(**execution._states, result=result)
            output = execution._leave(self._name, self._state, result)
        except StateError as failure:
            return self._fail(failure)
        if self._failed and not self._waits:  # a wait for the token is none of what the failures before it have cost
            self._report_lost()
        execution.token = ""
        return execution._enter(self._state.get("Next"), output)

    def _fail(self, failure: StateError) -> None:
        execution = self._execution
        self._attempt += 1
        self._failed = True
        execution.token = ""
        is_turn = self._waits and failure.error == "States.Timeout"  # a turn like any other
        for number, retrier in enumerate(self._state.get("Retry", ())):
            if not _names(retrier, failure.error):
                continue
            if self._retries[number] < retrier.get("MaxAttempts", 3):
                seconds = _pause(retrier, self._retries[number], execution.random)
                self._retries[number] += 1
                if not is_turn:
                    self._report_lost(seconds)
                return execution._after(seconds, self.go_on)
            break
        if not is_turn:
            self._report_lost()
        for catcher in self._state.get("Catch", ()):
            if _names(catcher, failure.error):
                return self._catch(catcher, {"Error": failure.error, "Cause": failure.cause})
        return execution._break(self._name, failure)

    def _catch(self, catcher: Data, error_output: Data) -> None:
        execution = self._execution
        known = execution._states
        execution._tell(input=known["input"], context=known["context"], errorOutput=error_output)
        try:
            output = execution._leave(self._name, catcher, error_output)
        except StateError as failure:
            return execution._break(self._name, failure)
        return execution._enter(catcher["Next"], output)

    def _measure(self, value: Any) -> None:
        """Arguments, or a result."""
        _measure(self._state["Resource"].removeprefix("arn:aws:states:::").rpartition(":")[0], _json(value))

    def _report_lost(self, pause: float = 0) -> None:
        self._execution._lost(self._name, self._entered, self._execution._clock.now + pause)


def _prepared(name: str, state: Mapping[str, Any]) -> Data:
    """A state with its expressions parsed."""
    _refuse_unknown(name, state, FIELDS[state["Type"]] | {"Type", "Comment"})
    prepared = {field: value if field in LITERAL else compiled(value) for field, value in state.items()}
    for rule in state.get("Choices", ()):
        _refuse_unknown(name, rule, RULE)
    assert all(isinstance(rule["Condition"], Expression) for rule in prepared.get("Choices", ())), name
    for retrier in state.get("Retry", ()):
        _refuse_unknown(name, retrier, RETRIER)
        assert retrier.get("JitterStrategy", "NONE") in ("NONE", "FULL"), name
    for catcher in state.get("Catch", ()):
        _refuse_unknown(name, catcher, CATCHER)
    for rule in (*state.get("Retry", ()), *state.get("Catch", ())):
        assert "States.TaskFailed" not in rule["ErrorEquals"], f"{name}: States.TaskFailed is not modelled"
        assert "States.ALL" not in rule["ErrorEquals"] or len(rule["ErrorEquals"]) == 1, f"{name}: it goes alone"
    for fields in (state, *state.get("Choices", ()), *state.get("Catch", ())):
        assert "states" not in fields.get("Assign", {}), name
    if state["Type"] == "Task":
        function_of(state["Resource"])
        if state["Resource"] == LAMBDA:
            _refuse_unknown(name, state["Arguments"], {"FunctionName", "Payload"})
    return prepared


def _refuse_unknown(where: str, fields: Iterable[str], known: set[str]) -> None:
    unknown = set(fields) - known
    assert not unknown, f"{where}: {sorted(unknown)} is not modelled"


def _names(rule: Data, error: str) -> bool:
    """Whether a retrier, or a catcher, is for this error."""
    return error in rule["ErrorEquals"] or (error not in NOT_ALL and "States.ALL" in rule["ErrorEquals"])


def _pause(retrier: Data, retries: int, random: Callable[[], float]) -> float:
    """Seconds before the next attempt, after so many retries."""
    seconds: float = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retries
    seconds = min(seconds, retrier.get("MaxDelaySeconds", seconds))
    return seconds * random() if retrier.get("JitterStrategy") == "FULL" else seconds


def _measure(whose: str, *texts: str) -> None:
    if any(len(text) > MOST_BYTES / 4 and len(text.encode()) > MOST_BYTES for text in texts):
        raise StateError(
            "States.DataLimitExceeded",
            f"The state/task '{whose}' returned a result with a size exceeding the maximum number of bytes service limit.",
        )


def _query_error(cause: str) -> StateError:
    return StateError("States.QueryEvaluationError", cause)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
