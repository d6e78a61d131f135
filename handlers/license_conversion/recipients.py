"""Who waits for an execution, and the response to each: a stack, its wait condition, a state machine with a task token.

Needs no layer. A response that a check has made is sent unchanged, whichever door sends it.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from license_conversion.executions import OWN_ID, Executions
from license_conversion.plain_telemetry import count
from license_conversion.response import bare, requested_at, send, unusable
from license_conversion.text import quoted, shorten

GATE_BROKEN = "LicenseConversion.GateBroken"
STACK, HANDLE, TASK_TOKEN = "STACK", "HANDLE", "TASK_TOKEN"
ASKED_BYTES = 300


@dataclass(frozen=True)
class Recipients:
    """Those who wait for the `execution` with this ARN. `given` is its input, which may be anything; `gate` is the gate's
    state as the execution assigned it last, empty where it never did.
    """

    execution: str
    given: Any
    gate: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """As the state machine sees them. Empty where it would send no response: a .sync caller reads how the execution ends.

        A stack that names a handle may have its response or not, as far as is known from outside: both get one, and each takes
        the first that it gets.
        """
        waiter = self.gate.get("Waiter") or self._waiter()
        if waiter == STACK and self.event.get("ResourceProperties", {}).get("WaitConditionHandle"):
            return [STACK, HANDLE]
        return [waiter] if waiter in (STACK, HANDLE, TASK_TOKEN) else []

    def _waiter(self) -> str:
        """Of an execution that ended before its first state, *Open Gate*, said it."""
        if self.event:
            return STACK
        token = self.given.get("TaskToken") if isinstance(self.given, Mapping) else ""
        return TASK_TOKEN if isinstance(token, str) and token else ""

    @property
    def event(self) -> Mapping[str, Any]:
        """The request of the stack that waits; empty where none does. A caller's input may be anything."""
        try:
            found, opened = self.given["Stack"]["Event"], self.given["Stack"]["Gate"]["GiveUpAt"]
        except (TypeError, KeyError):
            return {}
        return found if isinstance(found, Mapping) and opened and not unusable(found) else {}

    @property
    def task_id(self) -> str:
        """As the checks know it; `""` where none has seen a task."""
        return str(self.gate.get("Task", {}).get("LicenseConversionTaskId", ""))

    @property
    def asked(self) -> str:
        """What the gate waits for, for people."""
        return f"task {self.task_id}" if self.task_id else asked_for(self.event.get("ResourceProperties", self.given))

    def respond(self, name: str, reason: str, executions: Executions, seconds: float, now: datetime) -> str:
        """Give one of `names` the outcome, or FAILED with the `reason` where the gate has none. Returns the status.

        Raises ResponseNotTaken; for a task token one of `aws.failures`.
        """
        if self.gate.get("Ended"):  # a gate that broke has a Cause and no response
            cause = quoted(str(self.gate.get("Cause")))
            reason = f"{cause} The gate waited for {self.asked}. For more: execution {self.execution}."
        if name == TASK_TOKEN:
            return self._call_back(reason, executions, seconds)
        stack = self.given["Stack"]
        # The response that a stack with a handle got at once stays in the state: it is none for the handle.
        made = self.gate.get("Response") if self.gate.get("Ended") or name == STACK else None
        said = made or bare("FAILED", reason, self.task_id or stack.get("PhysicalResourceId"))
        requested = requested_at(self.event, now)
        with suppress(KeyError, ValueError):
            requested = min(requested, datetime.fromisoformat(stack["RequestedAt"]))
        send(self.event, said, to_handle=name == HANDLE, seconds=seconds, requested=requested, now=now)
        return str(said["Status"])

    def _call_back(self, reason: str, executions: Executions, seconds: float) -> str:
        """A caller that has gone is no error. A token that is none, as one of another account is here, is the caller's."""
        client, token, gate = executions.client, self.given["TaskToken"], self.gate
        passes = gate.get("Passed") and "Output" in gate
        error = (gate.get("Ended") and gate.get("Error")) or GATE_BROKEN
        cause = reason if error == GATE_BROKEN else gate.get("Cause", reason)

        def call() -> str:
            try:
                if passes:
                    client.send_task_success(taskToken=token, output=json.dumps(gate["Output"]))
                else:
                    client.send_task_failure(taskToken=token, error=error, cause=cause)
            except client.exceptions.InvalidToken:
                count("CallbacksRefused")
                return "REFUSED"
            except (client.exceptions.TaskTimedOut, client.exceptions.TaskDoesNotExist):
                pass
            return "SUCCESS" if passes else "FAILED"

        return executions.within(seconds, call)


def asked_for(properties: Any) -> str:
    """What these properties ask for. They may be unchecked, so only what has the form of an id or of an ARN is repeated."""
    given = properties if isinstance(properties, Mapping) else {}
    task_id, arn, tasks = map(given.get, ("LicenseConversionTaskId", "ResourceArn", "LicenseConversionTaskIds"))
    if isinstance(task_id, str) and OWN_ID.fullmatch(task_id):
        return f"task {task_id}"
    if isinstance(arn, str) and arn.startswith("arn:") and "?" not in arn:
        return f"the newest task of {shorten(arn, ASKED_BYTES)}"
    return f"a fleet of {len(tasks)} tasks" if isinstance(tasks, list) else "a task"
