"""Step Functions with its executions, as a real client meets it, and the clock of those who ask."""

import json
from collections.abc import Mapping
from typing import Any

from license_conversion.executions import Executions
from tests.unit.network import Network, Reply, refusal

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LicenseConversionGate-0f1e2d3c"
ARNS = f"{STATE_MACHINE.replace(':stateMachine:', ':execution:')}:"


class StepFunctions:
    """So many executions or events are on a `page`. The clock moves with each pause, and by `call_seconds` with each call."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.known: dict[str, tuple[Any, Any, Mapping[str, str]]] = {}
        self.stopped: list[tuple[str, str]] = []
        self.pauses: list[float] = []
        self.sleep = self.pauses.append
        self.call_seconds, self.page = 0.0, 1000
        network.answers("ListExecutions", self.lists)
        network.answers("DescribeExecution", self.describes)
        network.answers("GetExecutionHistory", self._history)
        network.answers("StopExecution", self.stops)

    def monotonic(self) -> float:
        return sum(self.pauses) + self.call_seconds * len(self.network.calls)

    def executions(self, share: float = 1.0) -> Executions:
        """Those of the application; `share` is what chance gives."""
        return Executions(STATE_MACHINE, self.monotonic, self.sleep, lambda: share)

    def asked(self, operation: str) -> list[Mapping[str, Any]]:
        return [call.said for call in self.network.calls if call.operation == operation]

    def has(self, given: Any, gate: Any = None, name: str = "Gate-1", **end: str) -> None:
        """An execution with the input that is `given`. `gate` is what it has assigned, None where it never did; `end` is how it
        ended, empty while it runs.
        """
        self.known[name] = given, gate, end

    def lists(self, said: Mapping[str, Any]) -> Reply:
        assert said["statusFilter"] == "RUNNING"
        names, more = self._page(list(self.known), said)
        running = [{"executionArn": ARNS + name, "name": name} for name in names if not self.known[name][2]]
        return 200, {"executions": running, **more}

    def describes(self, said: Mapping[str, Any]) -> Reply:
        """AWS says the error and the cause of an execution that was stopped in its history alone."""
        name = said["executionArn"].removeprefix(ARNS)
        if name not in self.known:
            return refusal("ExecutionDoesNotExist")
        given, _, end = self.known[name]
        shown = {"status": "ABORTED"} if end.get("status") == "ABORTED" else end
        return 200, {"status": "RUNNING", "input": json.dumps(given), **shown}

    def _history(self, said: Mapping[str, Any]) -> Reply:
        """The newest first: how it was stopped, a state that has assigned another variable, two that have assigned the gate."""
        assert said["reverseOrder"]
        assert said["includeExecutionData"], "without it there is no variable to read"
        _, gate, end = self.known[said["executionArn"].removeprefix(ARNS)]
        gates = [] if gate is None else [json.dumps(gate), '{"Waiter": "OLDER"}']
        variables = [{"metric": '""'}, *({"gate": gate, "results": "[]"} for gate in gates)]
        events = [{"stateExitedEventDetails": {"name": "State", "assignedVariables": some}} for some in variables]
        if end.get("status") == "ABORTED":
            events.insert(0, {"executionAbortedEventDetails": {**end}})
        events, more = self._page(events, said)
        return 200, {"events": events, **more}

    def stops(self, said: Mapping[str, Any]) -> Reply:
        name = said["executionArn"].removeprefix(ARNS)
        self.stopped.append((name, said["error"]))
        self.has(*self.known[name][:2], name, status="ABORTED", error=said["error"], cause=said["cause"])
        return 200, {}

    def _page(self, whole: list[Any], said: Mapping[str, Any]) -> tuple[list[Any], dict[str, str]]:
        at = int(said.get("nextToken", 0))
        end = at + self.page
        return whole[at:end], {"nextToken": str(end)} if end < len(whole) else {}
