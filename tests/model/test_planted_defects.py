"""Defects that the model must find: each is planted in the product as it is loaded, and an order that meets it breaks a promise.

The order finds nothing in the product as it is. No order says what is wrong: that is for promises.py.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import custom_resource
import last_resort
from license_conversion import gate, stack_response, waiters, waits
from tests.model.cloudformation import GAP, next_handle
from tests.model.faults import Fault
from tests.model.who_waits import FUNCTION
from tests.model.world import World
from tests.simulation import definition

TASK = "lct-00000000000000001"
OTHER = "lct-00000000000000002"
FOR_EVER = 10.0**9


def create(world: World, seconds: float = 100, end: str = "SUCCEEDED", **properties: Any) -> None:
    world.license_manager.add(TASK, seconds=seconds, end=end)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, **properties}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)


# Orders


def delivered_twice(world: World) -> None:
    create(world)
    world.run_for(200)
    world.deliver(world.cloudformation.requests[0], 0)
    world.run_for(200)


def put_meets(world: World, fault: Fault, until: float, then: float = 300) -> None:
    create(world)
    world.faults.weather["Put"] = (fault, until)
    world.run_for(then)


def put_is_not_acknowledged(world: World) -> None:
    put_meets(world, Fault.LOST, 250.0)


def put_is_refused(world: World) -> None:
    put_meets(world, Fault.REFUSED, 120.0)


def put_is_refused_for_long(world: World) -> None:
    put_meets(world, Fault.REFUSED, 600.0, then=4000)


def deleted_while_it_waits(world: World) -> None:
    create(world, seconds=FOR_EVER, WaitConditionHandle=next_handle(1))
    world.run_for(100)
    world.cloudformation.delete(world.cloudformation.resources[0])
    world.run_for(100)


def an_old_delete_comes_late(world: World) -> None:
    """Of the other id, after the update."""
    create(world)
    world.license_manager.add(OTHER, seconds=FOR_EVER, end="SUCCEEDED")
    world.run_for(200)
    resource = world.cloudformation.resources[0]
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": OTHER, "WaitConditionHandle": next_handle(1)}
    world.cloudformation.update(resource, named, then_fails=False, undo_by_delete=False)
    world.run_for(200)


def updated_while_the_create_waits(world: World) -> None:
    create(world, seconds=FOR_EVER, WaitConditionHandle=next_handle(1))
    world.run_for(100)
    resource = world.cloudformation.resources[0]
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "WaitConditionHandle": next_handle(2)}
    world.cloudformation.update(resource, named, then_fails=False, undo_by_delete=False)
    world.run_for(100)


def fails(world: World) -> None:
    create(world, end="FAILED")
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.run_for(GAP + 200)


def is_ended_from_outside(world: World) -> None:
    create(world)
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.run_for(50)
    for execution in world.step_functions.executions.values():
        world.end_from_outside(execution, "FAILED", "States.Runtime")
    world.run_for(4000)


def function_is_killed_after_the_start(world: World) -> None:
    create(world)
    world.faults.queued["StartExecution"].extend([Fault.CRASH_AFTER] * 2)
    world.run_for(300)


def check_is_throttled(world: World) -> None:
    create(world, seconds=FOR_EVER, ServiceTimeout="300")
    world.faults.weather["Invoke CheckTask"] = (Fault.THROTTLED, FOR_EVER)
    world.run_for(400)


def calls_back(world: World) -> None:
    world.license_manager.add(TASK, seconds=100, end="SUCCEEDED")
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.faults.queued["CallBack"].append(Fault.LOST)
    world.run_for(300)


@dataclass(frozen=True)
class Defect:
    """`owner.name` with `old` replaced by `new`; without an owner, the definition of the state machine."""

    order: Callable[[World], None]
    old: str
    new: str
    owner: Any = None
    name: str = ""


DEFINITION = {
    "a checked task is checked no more after Lambda's throttle": Defect(
        check_is_throttled, '"SecondsPath": "$.PauseSeconds"', '"Seconds": 600'
    ),
    "whoever waits is not told of a broken check": Defect(
        check_is_throttled, '"Next": "Answer as Last Resort"', '"Next": "Gate Passed?"'
    ),
    "a handle is not signalled": Defect(an_old_delete_comes_late, '"Next": "Signal Handle"', '"Next": "Gate Passed?"'),
    "a token is not called": Defect(calls_back, '"Next": "Report Success"', '"Next": "Gate Passed?"'),
    "an end is told as a success": Defect(fails, '"Next": "Report Failure"', '"Next": "Report Success"'),
    "the last resort is not tried again": Defect(put_is_refused_for_long, '"MaxAttempts": 9', '"MaxAttempts": 0'),
}
HANDLERS = {
    "a wait that had begun is not joined": Defect(
        delivered_twice, "self._client.exceptions.ExecutionAlreadyExists", "KeyError", waits.Waits, "begin"
    ),
    "a name is new for each delivery": Defect(
        delivered_twice, "event['RequestId']", "__import__('uuid').uuid4().hex", waits, "name"
    ),
    "an answer is not the same when it is sent again": Defect(
        put_is_not_acknowledged, '"Reason": reason,', '"Reason": reason + str(id(object())),', stack_response, "response"
    ),
    "a refused PUT counts as taken": Defect(
        put_is_refused, 'return "" if status // 100 == HTTPStatus.OK // 100', 'return "" if status', stack_response, "_put"
    ),
    "a Delete stops nothing": Defect(
        deleted_while_it_waits, "if not arn.endswith", "if arn.startswith('x') and not arn.endswith", waits.Waits, "stop"
    ),
    "a Delete stops the wait of its successor": Defect(
        an_old_delete_comes_late, "return physical_id ==", "return True or physical_id ==", waits.Waits, "_is_superseded"
    ),
    "an Update stops nothing": Defect(
        updated_while_the_create_waits, 'if event["RequestType"] == "Update":', "if False:",
        custom_resource.StackGate, "_begin",
    ),
    "a wait that was stopped is told by the second net": Defect(
        deleted_while_it_waits, "error.startswith(OURS) and", "error == 'x' and", waits, "told"
    ),
    "nobody is told by the second net": Defect(
        is_ended_from_outside, 'return [STACK, HANDLE] if waiter == STACK and handle else [waiter] if waiter else []',
        "return []", waiters.Waiters, "names",
    ),
    "the last resort answers for an execution that tells": Defect(
        function_is_killed_after_the_start, "elif _has_wait(request):", "elif False:", last_resort, "_answer_request"
    ),
}  # fmt: skip


@pytest.fixture
def world() -> Iterator[World]:
    world = World(seed=0)
    with world.at_the_seams():
        yield world
    world.close()


def run(world: World, order: Callable[[World], None]) -> None:
    order(world)
    world.settle()


@pytest.mark.parametrize("order", sorted({d.order for d in (*DEFINITION.values(), *HANDLERS.values())}, key=str))
def test_the_order_finds_nothing_in_the_product_as_it_is(world: World, order: Callable[[World], None]) -> None:
    run(world, order)


@pytest.mark.parametrize("what", DEFINITION)
def test_a_defect_of_the_definition_is_found(
    world: World, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defect, text = DEFINITION[what], definition.FILE.read_text()
    assert defect.old in text
    (tmp_path / "gate.asl.json").write_text(text.replace(defect.old, defect.new))
    monkeypatch.setattr(definition, "FILE", tmp_path / "gate.asl.json")
    definition.definition.cache_clear()
    try:
        with pytest.raises(AssertionError, match=r"at [0-9.]+: "):
            run(world, defect.order)
    finally:
        definition.definition.cache_clear()


@pytest.mark.parametrize("what", HANDLERS)
def test_a_defect_of_the_handlers_is_found(world: World, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(HANDLERS[what], monkeypatch)
    with pytest.raises(AssertionError, match=r"at [0-9.]+: "):
        run(world, HANDLERS[what].order)


def plant(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the function has been imported to by its name, too."""
    whole: Any = inspect.getattr_static(defect.owner, defect.name)
    function: Any = whole.fget if isinstance(whole, property) else whole
    source = textwrap.dedent(inspect.getsource(function))
    assert defect.old in source
    made: dict[str, Any] = {}
    exec(source.replace(defect.old, defect.new), function.__globals__, made)  # noqa: S102
    planted = made[defect.name]
    for owner in (defect.owner, *(custom_resource, last_resort, waiters, waits, stack_response, gate)):
        if inspect.getattr_static(owner, defect.name, None) is whole:
            monkeypatch.setattr(owner, defect.name, planted)
