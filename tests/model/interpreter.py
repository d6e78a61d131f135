"""An interpreter of the part of the Amazon States Language (JSONPath) that our state machine uses. It reads the real file."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from tests.simulation.clock import VirtualClock
from tests.simulation.definition import Data, choose, definition, follow, pause

Done = Callable[[Any], None]
Failed = Callable[[str, str], None]


class Invoke(Protocol):
    """Step Functions' call of a Lambda function: the result or the error comes later."""

    def __call__(self, function: str, payload: str, done: Done, failed: Failed) -> None: ...


class Execution:
    """One execution. `lost(state, from, to)` hears of the time that failed attempts and the pauses after them took, `ended` of
    the end.
    """

    def __init__(
        self,
        clock: VirtualClock,
        invoke: Invoke,
        *,
        name: str,
        arn: str,
        text: str,
        lost: Callable[[str, float, float], None],
        random: Callable[[], float] = lambda: 0.5,
        ended: Callable[["Execution"], None] = lambda _: None,
    ) -> None:
        self.random = random
        self._clock, self._invoke, self._lost, self._ended = clock, invoke, lost, ended
        self.name, self.arn, self.input = name, arn, text
        self.started = clock.now
        self.stopped = 0.0
        self.start_date = clock.utc()
        self.entered: list[tuple[str, str]] = []
        """The states that it has entered, and what with."""
        self.status = "RUNNING"
        self.output: Any = None
        self.token = ""
        """Of the Task state that it is in."""
        self.called_back: Done = lambda _: None
        self.error = self.cause = ""
        self._context: Data = {
            "Execution": {"Input": json.loads(text), "Id": arn, "StartTime": _iso(self.start_date)},
            "State": {},
            "Task": {},
        }
        self._step = 0

    def begin(self) -> None:
        if self.status != "RUNNING":
            return  # somebody was faster
        machine = definition()
        self._after(machine["TimeoutSeconds"], lambda: self.end("TIMED_OUT", error="States.Timeout"), any_step=True)
        self._enter(machine["StartAt"], json.loads(self.input))

    def call_back(self, token: str) -> bool:
        """SendTaskSuccess. False: the token is used up."""
        if self.status != "RUNNING" or token != self.token:
            return False
        self.token = ""
        self._clock.after(0, lambda: self.called_back({}))
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

    def _enter(self, name: str, data: Any) -> None:
        while True:
            state = definition()["States"][name]
            self._step += 1
            self.entered.append((name, json.dumps(data)))
            self._context["State"] = {"Name": name, "EnteredTime": _iso(self._clock.utc())}
            match state["Type"]:
                case "Choice":
                    name = choose(state, partial(follow, data=data, context=self._context))
                case "Pass":
                    name, data = state["Next"], self._pass(state, data)
                case "Wait":
                    seconds = state["Seconds"] if "Seconds" in state else self._at(state["SecondsPath"], data)
                    assert isinstance(seconds, int), f"{name}: no whole number of seconds: {seconds}"
                    assert seconds >= 0, f"{name}: {seconds}"
                    if name == "Wait for Lambda":  # which does not work
                        self._lost(name, self._clock.now, self._clock.now + seconds)
                    self._after(seconds, lambda state=state, data=data: self._enter(state["Next"], data))  # type: ignore[misc]
                    return None
                case "Task":
                    Attempts(self, name, state, data).go_on()
                    return None
                case "Succeed":
                    return self.end("SUCCEEDED", self._at(state.get("OutputPath", "$"), data))
                case "Fail":
                    error, cause = (
                        state.get(field) or self._at(state[f"{field}Path"], data) for field in ("Error", "Cause")
                    )
                    return self.end("FAILED", error=error, cause=cause)

    def _pass(self, state: Data, data: Any) -> Any:
        data = self._at(state.get("InputPath", "$"), data)
        if "Result" in state:
            path, member = state["ResultPath"].split(".")
            assert path == "$"
            return {**data, member: state["Result"]}
        return self.filled(state["Parameters"], data) if "Parameters" in state else data

    def filled(self, template: Any, data: Any) -> Any:
        """A payload template with its paths and intrinsic functions replaced."""
        if not isinstance(template, Mapping):
            return template
        return {
            key.removesuffix(".$"): self._value(part, data) if key.endswith(".$") else self.filled(part, data)
            for key, part in template.items()
        }

    def _value(self, expression: str, data: Any) -> Any:
        if expression.startswith("States.Format('"):
            template, paths = expression.removeprefix("States.Format('").removesuffix(")").split("', ")
            return template.format(*(self._at(path, data) for path in paths.split(", ")))
        if expression.startswith("States.JsonToString("):
            return json.dumps(self._at(expression.removeprefix("States.JsonToString(").removesuffix(")"), data))
        assert expression.startswith("$"), f"{expression} is not modelled"
        return self._at(expression, data)

    def _at(self, path: str, data: Any) -> Any:
        found, value = follow(path, data, self._context)
        assert found, f"States.Runtime: no {path} in {self._context['State']['Name']}"
        return value


class Attempts:
    """One Task state, with its retriers and catchers."""

    def __init__(self, execution: Execution, name: str, state: Data, data: Any) -> None:
        self._execution, self._name, self._state, self._data = execution, name, state, data
        self._retries = [0] * len(state.get("Retry", ()))
        self._entered = execution._clock.now
        self._attempt = 0
        self._failed = False

    def go_on(self) -> None:
        execution = self._execution
        execution.token = execution._context["Task"]["Token"] = (
            f"token|{execution.name}|{execution._step}|{self._attempt}"
        )
        parameters = execution.filled(self._state["Parameters"], self._data)
        payload = json.dumps(parameters.get("Payload", parameters))
        match self._state["Resource"]:
            case "arn:aws:states:::lambda:invoke":
                function = parameters["FunctionName"].rsplit(":", 1)[-1]
                if parameters.get("InvocationType") == "Event":
                    function += ":Event"
            case "arn:aws:states:::lambda:invoke.waitForTaskToken":
                function = f"{parameters['FunctionName'].rsplit(':', 1)[-1]}:Token"
            case "arn:aws:states:::aws-sdk:cloudwatch:putMetricData":
                function = "PutMetricData"
            case "arn:aws:states:::aws-sdk:sfn:sendTaskFailure":
                function = "SendTaskFailure"
            case "arn:aws:states:::aws-sdk:sfn:sendTaskSuccess":
                function = "SendTaskSuccess"
            case resource:
                raise NotImplementedError(resource)
        step, attempt = execution._step, self._attempt

        def is_current() -> bool:
            return execution.status == "RUNNING" and execution._step == step and self._attempt == attempt

        def done(result: Any) -> None:
            if is_current():
                self._done({"Payload": result, "StatusCode": 200})

        def failed(error: str, cause: str) -> None:
            if is_current():
                self._attempt += 1
                self._fail(error, cause)

        execution.called_back = done
        seconds = self._state.get("TimeoutSeconds")
        if "TimeoutSecondsPath" in self._state:
            seconds = execution._at(self._state["TimeoutSecondsPath"], self._data)
        if seconds:
            execution._after(seconds, lambda: failed("States.Timeout", ""))
        waits_for_token = function.endswith(":Token")
        execution._invoke(function, payload, (lambda _: None) if waits_for_token else done, failed)

    def _done(self, result: Data) -> None:
        execution, state = self._execution, self._state
        if self._failed:
            self._tell()
        data = self._data if state.get("ResultPath", "$") is None else result
        assert state.get("ResultPath") is None
        execution._enter(state["Next"], execution._at(state.get("OutputPath", "$"), data))

    def _fail(self, error: str, cause: str) -> None:
        execution = self._execution
        self._failed = True
        for number, retrier in enumerate(self._state.get("Retry", ())):
            if not _names(retrier, error):
                continue
            if self._retries[number] < retrier["MaxAttempts"]:
                seconds = pause(retrier, self._retries[number], execution.random)
                self._retries[number] += 1
                self._tell(seconds)
                execution._after(seconds, self.go_on)
                return None
            break
        self._tell()
        for catcher in self._state["Catch"]:
            if _names(catcher, error):
                assert catcher["ResultPath"] in (None, "$.Broken")
                broken = {"Broken": {"Error": error, "Cause": cause}} if catcher["ResultPath"] else {}
                caught = {**self._data, **broken}
                return execution._enter(catcher["Next"], caught)
        raise AssertionError(f"{self._name} does not catch {error}")

    def _tell(self, pause: float = 0) -> None:
        if self._state["Resource"].endswith(".waitForTaskToken"):
            return  # a time-out there is a turn like any other
        self._execution._lost(self._name, self._entered, self._execution._clock.now + pause)


def _names(rule: Data, error: str) -> bool:
    return error in rule["ErrorEquals"] or "States.ALL" in rule["ErrorEquals"]


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
