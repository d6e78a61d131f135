"""A walk through a definition: an execution in virtual time, whose calls are answered as a test says."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.simulation.clock import VirtualClock
from tests.simulation.interpreter import Done, Execution, Failed, Machine


class Walk:
    """`said`: each function's results to one call after the other, the last one for ever. An error is a string; None hangs. What
    is not said of a function, it does at once.
    """

    def __init__(
        self,
        machine: Machine,
        execution_input: Any,
        said: Mapping[str, Sequence[Any]],
        random: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.calls: list[tuple[float, str]] = []
        self.payloads: list[Any] = []
        self.done: list[Done] = []
        """What each call says when it is done."""
        self.lost: list[tuple[str, float, float]] = []
        self.ended: list[Execution] = []
        self._said = {function: [*results] for function, results in said.items()}
        self.clock = VirtualClock()
        self.execution = Execution(
            self.clock, self._invoke, machine=machine, name="one", arn="arn:one", text=json.dumps(execution_input),
            lost=lambda *what: self.lost.append(what), random=random, ended=self.ended.append,
        )  # fmt: skip
        self.execution.begin()

    def _invoke(self, function: str, payload: str, done: Done, failed: Failed) -> None:
        self.calls.append((self.clock.now, function))
        assert len(self.calls) < 10_000, "it goes round in circles"
        self.payloads.append(json.loads(payload))
        self.done.append(done)
        said = self._said.get(function, [{}])
        result = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(result, str):
            self.clock.after(0, lambda: failed(result, "a cause"))
        elif result is not None:
            returned = self.result(result)
            self.clock.after(0, lambda: done(returned))

    def result(self, said: Any) -> Any:
        """What a call returns of which that is said."""
        return said

    def out(self) -> "Walk":
        self.clock.run_for(2 * 86400)
        assert self.execution.status != "RUNNING"
        return self

    def given(self, function: str) -> list[dict[str, Any]]:
        """What the function's calls were given."""
        return [given for given, (_, called) in zip(self.payloads, self.calls, strict=True) if called == function]

    def times(self, function: str) -> list[float]:
        return [when for when, called in self.calls if called == function]

    @property
    def functions(self) -> list[str]:
        return [called for _, called in self.calls]

    @property
    def metrics(self) -> list[str]:
        return [one["MetricData"][0]["MetricName"] for one in self.given("PutMetricData")]

    @property
    def way(self) -> list[str]:
        return [name for name, _ in self.execution.entered]
