"""Everything that CloudFormation, Lambda, Step Functions and License Manager can do to a gate, in every order.

Hypothesis makes the orders; the promises are checked by the model. MODEL_EXAMPLES sets how many orders, MODEL_SEED which.
"""

import os
import secrets
from contextlib import ExitStack
from typing import Any, TypeVar

from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from tests.model.aws_clients import Task
from tests.model.cloudformation import FUNCTION, Resource, State, next_handle
from tests.model.faults import Fault
from tests.model.world import World

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "2000"))
STEPS = int(os.environ.get("MODEL_STEPS", "16"))

TASKS = tuple(f"lct-0000000000000000{n}" for n in range(1, 5))
UNKNOWN_TASK = "lct-unknown"
FOR_EVER = 10.0**9

tasks = st.sampled_from((*TASKS, UNKNOWN_TASK))
service_timeouts = st.sampled_from((600, 300, 120, 60, 30, 10, 1800, 3600))
lateness = st.sampled_from((0.0, 0.0, 0.0, 1.0, 30.0, 90.0, 300.0, 800.0))
crashes = (Fault.CRASH_BEFORE, Fault.CRASH_AFTER)
no_crashes = (Fault.REFUSED, Fault.THROTTLED, Fault.LOST, Fault.SLOW, Fault.SLOW_REPLY)
invokes = ("Invoke CustomResource", "Invoke CheckTask", "Invoke LastResort")
clients = (
    "ListTasks",
    "StartExecution",
    "DescribeExecution",
    "ListExecutions",
    "StopExecution",
    "GetTask",
    "Announce",
    "Put",
)
faults = st.one_of(
    st.tuples(st.sampled_from(clients), st.sampled_from((*no_crashes, *crashes))),
    st.tuples(st.sampled_from(invokes), st.sampled_from((Fault.REFUSED, Fault.THROTTLED, Fault.LOST))),
    st.tuples(st.sampled_from(("ListExecutions", "GetTask")), st.just(Fault.STALE)),
)
weathers = st.one_of(
    st.tuples(st.just("GetTask"), st.sampled_from((*no_crashes, Fault.STALE))),
    st.tuples(st.just("Put"), st.sampled_from(no_crashes)),
    st.tuples(st.just("Invoke CheckTask"), st.sampled_from((Fault.THROTTLED, Fault.REFUSED))),
)
which = st.integers(0, 7)
One = TypeVar("One")


def one(of: list[One], number: int) -> One:
    return of[number % len(of)]


class StacksAtTheGate(RuleBasedStateMachine):
    """Four resources of two stacks, four tasks."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.handles = 0

    @initialize(
        number=st.integers(0, 2**32),
        durations=st.tuples(*[st.sampled_from((0.0, 3.0, 40.0, 200.0, 900.0, FOR_EVER))] * len(TASKS)),
        ends=st.tuples(*[st.sampled_from(("SUCCEEDED", "SUCCEEDED", "FAILED", "DENIED"))] * len(TASKS)),
        bare=st.booleans(),
    )
    def begin(self, number: int, durations: tuple[float, ...], ends: tuple[str, ...], bare: bool) -> None:
        self.world = World(number)
        self._stack.enter_context(self.world.at_the_seams())
        for task_id, seconds, end in zip(TASKS, durations, ends, strict=True):
            self.world.license_manager.tasks[task_id] = Task(task_id, 0.0, seconds, end, bare)

    # what CloudFormation does

    def _in(self, *states: State) -> list[Resource]:
        return [r for r in self.world.cloudformation.resources if r.state in states]

    def _open(self, *states: State) -> list[Resource]:
        return [r for r in self._in(*states) if r.current and r.current.open]

    def _properties(self, task_id: str, timeout: int, extra: str) -> dict[str, Any]:
        properties: dict[str, Any] = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": task_id}
        if timeout != 3600:
            properties["ServiceTimeout"] = str(timeout)
        match extra:
            case "CONTINUE" | "perhaps":
                properties["OnFailure"] = extra
            case "handle" | "handle, CONTINUE":
                self.handles += 1
                properties["WaitConditionHandle"] = next_handle(self.handles)
                properties["TimeoutSeconds"] = "2000"
                if "CONTINUE" in extra:
                    properties["OnFailure"] = "CONTINUE"
        return properties

    extras = st.sampled_from(("", "", "CONTINUE", "handle", "handle, CONTINUE", "perhaps"))

    @precondition(lambda self: self._in(State.ABSENT))
    @rule(which=which, task_id=tasks, timeout=service_timeouts, extra=extras, late=lateness, keeps_failed=st.booleans())
    def create(
        self, *, which: int, task_id: str, timeout: int, extra: str, late: float, keeps_failed: bool
    ) -> None:  # fmt: skip
        resource = one(self._in(State.ABSENT), which)
        self._late(late)
        self.world.cloudformation.create(resource, self._properties(task_id, timeout, extra), keeps_failed=keeps_failed)

    @precondition(lambda self: self._in(State.READY))
    @rule(
        which=which, task_id=tasks, timeout=service_timeouts, extra=extras, late=lateness,
        then_fails=st.booleans(), undo_by_delete=st.booleans(),
    )  # fmt: skip
    def update(
        self, *, which: int, task_id: str, timeout: int, extra: str, late: float,
        then_fails: bool, undo_by_delete: bool,
    ) -> None:  # fmt: skip
        resource = one(self._in(State.READY), which)
        self._late(late)
        properties = self._properties(task_id, timeout, extra)
        self.world.cloudformation.update(resource, properties, then_fails=then_fails, undo_by_delete=undo_by_delete)

    @precondition(lambda self: self._open(State.CREATING, State.UPDATING))
    @rule(which=which, late=lateness)
    def cancel(self, *, which: int, late: float) -> None:
        self._late(late)
        self.world.cloudformation.cancel(one(self._open(State.CREATING, State.UPDATING), which))

    @precondition(lambda self: self._in(State.READY, State.CREATE_FAILED, State.ROLLBACK_FAILED, State.DELETE_FAILED))
    @rule(which=which, late=lateness)
    def delete(self, *, which: int, late: float) -> None:
        self._late(late)
        states = (State.READY, State.CREATE_FAILED, State.ROLLBACK_FAILED, State.DELETE_FAILED)
        self.world.cloudformation.delete(one(self._in(*states), which))

    @precondition(lambda self: self._in(State.CREATE_FAILED, State.ROLLBACK_FAILED))
    @rule(which=which, late=lateness, same=st.booleans())
    def try_again(self, *, which: int, late: float, same: bool) -> None:
        self._late(late)
        resource = one(self._in(State.CREATE_FAILED, State.ROLLBACK_FAILED), which)
        if resource.state is State.CREATE_FAILED:
            self.world.cloudformation.retry_create(resource)
        else:
            self.world.cloudformation.continue_rollback(resource, same_request_id=same)

    # what goes wrong

    def _late(self, seconds: float) -> None:
        """The next event that is sent comes late."""
        self.world.lateness = [seconds] if seconds else []

    @precondition(lambda self: self.world.cloudformation.requests)
    @rule(which=which, late=lateness)
    def deliver_again(self, *, which: int, late: float) -> None:
        self.world.deliver(one(self.world.cloudformation.requests, which), late)

    @rule(fault=faults, times=st.integers(1, 3))
    def arrange(self, fault: tuple[str, Fault], times: int) -> None:
        self.world.faults.queued[fault[0]].extend([fault[1]] * times)

    @rule(weather=weathers, seconds=st.sampled_from((10.0, 45.0, 200.0, 1000.0)))
    def weather(self, weather: tuple[str, Fault], seconds: float) -> None:
        self.world.faults.weather[weather[0]] = (weather[1], self.world.scheduler.now + seconds)

    # time

    @rule(seconds=st.sampled_from((0.1, 0.3, 1.0, 5.0)))
    def a_moment(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @rule(seconds=st.sampled_from((20.0, 61.0, 300.0, 1000.0, 3700.0)))
    def a_while(self, seconds: float) -> None:
        self.world.run_for(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self.world.broken:
                self.world.settle()
        finally:
            self.world.close()
            self._stack.close()


def test_every_promise_holds_whatever_happens_in_whatever_order() -> None:
    number = int(os.environ.get("MODEL_SEED") or secrets.randbits(32))
    print(f"MODEL_SEED={number} MODEL_EXAMPLES={EXAMPLES} gives these examples again")  # noqa: T201
    run_state_machine_as_test(
        seed(number)(StacksAtTheGate),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=False,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
