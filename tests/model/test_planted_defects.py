"""Defects that the model must find: each is planted in the product as it is loaded, and an order that meets it breaks a promise.

The order finds nothing in the product as it is. No order says what is wrong: that is for promises.py.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import check_task
import custom_resource
import poll_tasks
import respond
from license_conversion import executions, gate, recipients, response
from license_conversion.executions import Executions
from license_conversion.recipients import Recipients
from poll_tasks import Poller
from tests.model import world as model
from tests.model.aws_clients import resource_arn
from tests.model.cloudformation import GAP, next_handle
from tests.model.faults import Fault
from tests.model.who_waits import FUNCTION
from tests.model.world import World
from tests.simulation.interpreter import FILE
from tests.simulation.interpreter import gate as machine_of

TASK = "lct-00000000000000001"
OTHER = "lct-00000000000000002"
FOR_EVER = 10.0**9
SOON = {"TimeoutSeconds": "1200"}
"""And no twelve hours, with eight thousand polls."""


def create(world: World, seconds: float = 100, end: str = "SUCCEEDED", **properties: Any) -> None:
    world.license_manager.add(TASK, seconds=seconds, end=end)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, **properties}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)


# Orders


def delivered_twice(world: World) -> None:
    create(world)
    world.run_for(200)
    world.deliver(world.cloudformation.requests[0])
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
    create(world, seconds=FOR_EVER, WaitConditionHandle=next_handle(1), **SOON)
    world.run_for(100)
    world.cloudformation.delete(world.cloudformation.resources[0])
    world.run_for(100)


def an_old_delete_comes_late(world: World) -> None:
    """Of the other id, after the update."""
    create(world)
    world.license_manager.add(OTHER, seconds=FOR_EVER, end="SUCCEEDED")
    world.run_for(200)
    resource = world.cloudformation.resources[0]
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": OTHER, "WaitConditionHandle": next_handle(1), **SOON}
    world.cloudformation.update(resource, named, then_fails=False, undo_by_delete=False)
    world.run_for(200)


def updated_while_the_create_waits(world: World) -> None:
    create(world, seconds=FOR_EVER, WaitConditionHandle=next_handle(1), **SOON)
    world.run_for(100)
    resource = world.cloudformation.resources[0]
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, "WaitConditionHandle": next_handle(2), **SOON}
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


def check_cannot_start_for_a_minute(world: World) -> None:
    create(world, seconds=30)
    world.faults.weather["Invoke CheckTask"] = (Fault.REFUSED, 60.0)
    world.run_for(300)


def license_manager_refuses_for_a_moment(world: World) -> None:
    create(world)
    world.faults.queued["GetTask"].append(Fault.DENIED)
    world.run_for(300)


def is_refused_with_little_time(world: World) -> None:
    create(world, end="DENIED", ServiceTimeout="20")
    world.run_for(100)


def calls_back(world: World) -> None:
    world.license_manager.add(TASK, seconds=100, end="SUCCEEDED")
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.faults.queued["CallBack"].append(Fault.LOST)
    world.run_for(300)


def waits_alone(world: World) -> None:
    create(world, seconds=240)
    world.run_for(400)


def ends_soon(world: World) -> None:
    create(world, seconds=30)
    world.run_for(200)


def waits_for_long(world: World) -> None:
    """The poller's time is over meanwhile, and of two gates one has gone."""
    gone = world.call({"LicenseConversionTaskId": OTHER}, token=False)
    world.license_manager.add(OTHER, seconds=FOR_EVER, end="SUCCEEDED")
    create(world, seconds=870)
    world.run_for(838)
    assert gone.execution
    world.end_from_outside(gone.execution, "ABORTED", "by hand")
    world.run_for(200)


def has_no_poller_any_more(world: World) -> None:
    create(world, seconds=300)
    world.run_for(250)
    world.kill_pollers()
    world.faults.weather["Invoke PollTasks"] = (Fault.REFUSED, FOR_EVER)
    world.run_for(1000)


def is_never_called_back(world: World) -> None:
    create(world, seconds=300)
    world.faults.weather["SendTaskSuccess"] = (Fault.REFUSED, FOR_EVER)
    world.run_for(1000)


def table_fails(world: World) -> None:
    create(world, seconds=300)
    world.faults.weather["Register"] = (Fault.REFUSED, 200.0)
    world.run_for(600)


def table_hangs(world: World) -> None:
    world.faults.weather["Table"] = (Fault.SLOW, 60.0)
    waits_alone(world)


def registers_while_the_poller_ends(world: World) -> None:
    """At each moment of the second in which it looks for the last time."""
    for hundredths in range(500, 600, 4):
        for name, seconds, then in ((f"lct-a{hundredths}", 11, 15 + hundredths / 100), (f"lct-b{hundredths}", 60, 100)):
            world.license_manager.add(name, seconds=world.clock.now + seconds, end="SUCCEEDED")
            world.call({"LicenseConversionTaskId": name}, token=False)
            world.run_for(then)


def is_refused_to_the_poller(world: World) -> None:
    create(world, seconds=1000)
    world.faults.weather["Poll"] = (Fault.DENIED, FOR_EVER)
    world.run_for(1200)


def has_no_task_yet(world: World) -> None:
    world.license_manager.add(TASK, seconds=0, end="SUCCEEDED")
    world.faults.weather["ListTasks"] = (Fault.THROTTLED, 12.0)
    named = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK)}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.run_for(300)


def fleet_has_a_refused_id(world: World) -> None:
    world.license_manager.add(OTHER, seconds=FOR_EVER, end="DENIED")
    world.license_manager.add(TASK, seconds=FOR_EVER, end="SUCCEEDED")
    world.call({"LicenseConversionTaskIds": [TASK, OTHER]}, token=True)
    world.run_for(300)


def two_pollers_come_to_be(world: World) -> None:
    create(world, seconds=FOR_EVER)
    world.run_for(20)
    world.table.until = 0.0
    world.license_manager.add(OTHER, seconds=FOR_EVER, end="SUCCEEDED")
    world.call({"LicenseConversionTaskId": OTHER}, token=False)
    world.run_for(200)


@dataclass(frozen=True)
class Defect:
    """`owner.name` with `old` replaced by `new`; without an owner, the definition of the state machine."""

    order: Callable[[World], None]
    old: str
    new: str
    owner: Any = None
    name: str = ""


DEFINITION = {
    "a check that fails ends the gate": Defect(
        check_cannot_start_for_a_minute, "$failed != '' and $millis() >= $toMillis($gate.GiveUpAt)", "$failed != ''"
    ),
    "a check that fails is tried again when it is too late": Defect(
        check_is_throttled, "$ceil($gate.PauseSeconds * (1 - 0.2 * $random()))", "600"
    ),
    "a stack gets no response": Defect(check_is_throttled, "in ['STACK', 'HANDLE', 'TASK_TOKEN']", "in ['HANDLE']"),
    "a handle is not signalled": Defect(
        an_old_delete_comes_late, "in ['STACK', 'HANDLE', 'TASK_TOKEN']", "in ['STACK', 'TASK_TOKEN']"
    ),
    "a token is not called": Defect(
        calls_back, "in ['STACK', 'HANDLE', 'TASK_TOKEN']", "in ['STACK', 'HANDLE']"
    ),
    "the responder is not tried again": Defect(put_is_refused_for_long, '"MaxAttempts": 250', '"MaxAttempts": 0'),
    "a refusal is not tried again": Defect(
        fleet_has_a_refused_id, '"MaxAttempts": 12', '"MaxAttempts": 0'
    ),
    "a gate never registers": Defect(
        waits_alone, "$exists($gate.Registration) and $toMillis($gate.NextCheckAt)", "false and $toMillis($gate.NextCheckAt)"
    ),
    "a table that fails ends the gate": Defect(
        table_fails, '"registeredAt": ""\n          },\n          "Next": "Back Off"',
        '"undelivered": "x", "registeredAt": ""\n          },\n          "Next": "Route"',
    ),
    "an end is not counted": Defect(check_is_throttled, '"metric": "GatesBroken"', '"metric": ""'),
}  # fmt: skip
HANDLERS = {
    "an execution that had begun is not joined": Defect(
        delivered_twice, "self.client.exceptions.ExecutionAlreadyExists", "KeyError", Executions, "begin"
    ),
    "a name is new for each delivery": Defect(
        delivered_twice, "event['RequestId']", "__import__('uuid').uuid4().hex", executions, "name"
    ),
    "a response is not the same when it is sent again": Defect(
        put_is_not_acknowledged, '"Reason": reason,', '"Reason": reason + str(id(object())),', response, "response"
    ),
    "a refused PUT counts as taken": Defect(
        put_is_refused, 'return "" if status // 100 == HTTPStatus.OK // 100', 'return "" if status', response, "_put"
    ),
    "a Delete stops nothing": Defect(
        deleted_while_it_waits, "if not arn.endswith", "if arn.startswith('x') and not arn.endswith",
        Executions, "stop_superseded",
    ),
    "a Delete stops the execution of its successor": Defect(
        an_old_delete_comes_late, "return physical_id ==", "return True or physical_id ==", Executions, "_is_superseded"
    ),
    "an Update stops nothing": Defect(
        updated_while_the_create_waits, 'if event["RequestType"] == "Update":', "if False:", custom_resource, "provider"
    ),
    "an execution that was stopped gets a response of the safety net": Defect(
        deleted_while_it_waits, "error.startswith(OURS) and", "error == 'x' and", executions, "has_responded"
    ),
    "the safety net responds to nobody": Defect(
        is_ended_from_outside, "return [waiter] if waiter in", "return [] if waiter in", Recipients, "names"
    ),
    "the responder responds for an execution that does": Defect(
        function_is_killed_after_the_start, "elif _has_execution(request):", "elif False:", respond, "_request_given_up"
    ),
    "a refusal is believed at once": Defect(
        license_manager_refuses_for_a_moment, "believed = wait.refusals and", "believed = True or", gate.Gate, "_refused"
    ),
    "a refusal keeps its grace though there is no time for it": Defect(
        is_refused_with_little_time, " or now + timedelta(seconds=RETRY_SECONDS) > wait.times.deadline", "", gate.Gate, "_refused"
    ),
    "a gate is counted whenever a check is tried": Defect(
        license_manager_refuses_for_a_moment, "found = self._checked(", 'telemetry.count("GatesStarted"); found = self._checked(',
        check_task.TaskCheck, "for_state_machine",
    ),
    "the first check starts no poller": Defect(
        ends_soon, "if registers and wait.first:", "if False:", gate.Gate, "_decided"
    ),
    "a table that hangs ends a check": Defect(
        table_hangs, "except TableUnavailable as error:", "except KeyError as error:", gate.Gate, "_look_after_poller"
    ),
    "a gate trusts whatever poll there was": Defect(
        has_no_poller_any_more, "if not wait.registered_at", "if polled.began: return True\n    if not wait.registered_at",
        gate.Gate, "_is_fresh",
    ),
    "a gate trusts the results to come": Defect(
        is_never_called_back, "if not self._missed and not self._poll.unseen:", "if True:", Poller, "run"
    ),
    "a poller that has lost its lease goes on": Defect(
        two_pollers_come_to_be, "if not self._renew():", "if not (self._renew() or True):", Poller, "run",
    ),
    "a poll wakes for no news": Defect(waits_alone, "elif task.terminal:", "elif True:", Poller, "_poll_for"),
    "a task that is refused to the poller wakes its gate at once again": Defect(
        is_refused_to_the_poller, "and not refused_to_poller", "", gate.Gate, "_sleep"
    ),
    "the poller ends without another look": Defect(
        registers_while_the_poller_ends, "return waiting if waiting and", "return [] if True or", Poller, "_waits_after_all"
    ),
    "the poller ends without a word": Defect(
        waits_for_long, "if self._deliver(one, []):", "if True:", Poller, "_hand_over"
    ),
    "the first gate that the poller wakes may have gone": Defect(
        waits_for_long, "if self._deliver(one, []):", "if self._deliver(one, []) or True:", Poller, "_hand_over"
    ),
    "a task without a name yet is looked for in two minutes": Defect(
        has_no_task_yet, "seconds = min(LONGEST_SLEEP, max(SHORTEST_PAUSE, (now - wait.began).total_seconds()))",
        "pass", gate.Gate, "_sleep",
    ),
    "a fleet asks on though one of its ids is refused": Defect(
        fleet_has_a_refused_id, "raise found", "continue", gate.Gate, "_ask"
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
def test_a_defect_of_the_definition_is_found(world: World, what: str) -> None:
    defect, text = DEFINITION[what], FILE.read_text()
    assert defect.old in text
    world.machine = machine_of.__wrapped__(text.replace(defect.old, defect.new))
    with pytest.raises(AssertionError, match=r"at [0-9.]+: "):
        run(world, defect.order)


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
    for owner in (defect.owner, *(custom_resource, respond, poll_tasks, recipients, executions, response, gate, model)):
        if inspect.getattr_static(owner, defect.name, None) is whole:
            monkeypatch.setattr(owner, defect.name, planted)
