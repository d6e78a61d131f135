"""Who waits for an execution, told from outside of it: by the last resort, and when the application is deleted.

Needs no layer. Who is told, and what, is what the execution's last state would have said: a verdict that a check has
seen goes out word for word.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from license_conversion.stack_response import bare, send

if TYPE_CHECKING:
    from license_conversion.waits import Waits

BROKEN = "LicenseConversion.GateBroken"
STACK, HANDLE, TASK_TOKEN = "STACK", "HANDLE", "TASK_TOKEN"


@dataclass(frozen=True)
class Waiters:
    """Those who wait for one execution. `given` is its input, which may be anything; `state` the data of its last state."""

    given: Any
    state: Mapping[str, Any]

    @classmethod
    def of(cls, waits: "Waits", arn: str, given: str, seconds: float) -> "Waiters":
        """`given` is the input as DescribeExecution says it. Raises one of `aws.failures`."""
        state = waits.last_state(arn, seconds)
        return cls(json.loads(given), state if isinstance(state, Mapping) else {})

    @property
    def names(self) -> list[str]:
        """As the state machine sees it. Empty where it would tell nobody: a .sync caller hears from Step Functions.

        A stack that names a handle may have had its answer or not: both are told, and each takes the first word that it gets.
        """
        waiter = self._waiter()
        handle = self.event.get("ResourceProperties", {}).get("WaitConditionHandle") if self.event else None
        return [STACK, HANDLE] if waiter == STACK and handle else [waiter] if waiter else []

    def _waiter(self) -> str:
        said = self.state.get("Waiter")
        if said:
            return "" if said == "CALLER" else str(said)
        given = self.given if isinstance(self.given, Mapping) else {}  # it ended before it had a state of its own
        if self.event:
            return str(given["Gate"]["Waiter"])
        return TASK_TOKEN if isinstance(given.get("TaskToken"), str) and given["TaskToken"] else ""

    @property
    def event(self) -> Mapping[str, Any]:
        """The request of the stack that waits; empty where none does. A caller's input may look like anything."""
        try:
            found, waiter = self.given["Stack"]["Event"], self.given["Gate"]["Waiter"]
        except (TypeError, KeyError):
            return {}
        return found if isinstance(found, Mapping) and found.get("ResponseURL") and waiter else {}

    def tell(self, reason: str, waiter: str, waits: "Waits", seconds: float, now: datetime) -> str:
        """Tell one of `names` the verdict, or FAILED with the `reason` where there is none. Returns the status that was told.

        Raises AnswerNotDelivered; for a task token one of `aws.failures`.
        """
        if waiter == TASK_TOKEN:
            result = self._verdict_for_caller() or {"Error": BROKEN, "Cause": reason}
            waits.tell_caller(self.given["TaskToken"], result, seconds)
            return "SUCCESS" if result.get("Passed") else "FAILED"
        known = self.state.get("Task", {}).get("LicenseConversionTaskId") or self.given["Stack"]["PhysicalResourceId"]
        verdict = self.state.get("Answer") if self.state.get("Ended") else None
        answer = verdict or bare("FAILED", reason, known)
        send(self.event, answer, waiter, seconds, now=now)
        return str(answer["Status"])

    def _verdict_for_caller(self) -> Mapping[str, Any]:
        """Nothing where the state is not whole: its own definition may be what is broken."""
        needs = {"Output"} if self.state.get("Passed") else {"Error", "Cause"}
        return self.state if self.state.get("Ended") and needs <= self.state.keys() else {}
