"""Defects that the model must find: each is planted in the product as it is loaded, and an order that meets it breaks a promise.

No order says what is wrong: that is for promises.py.
"""

import inspect
import textwrap
from collections.abc import Callable
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
from tests.model.cloudformation import next_handle
from tests.model.faults import Fault
from tests.model.who_waits import FUNCTION, Caller
from tests.model.world import World
from tests.simulation.interpreter import FILE, Machine
from tests.simulation.interpreter import gate as machine_of

TASK = "lct-00000000000000001"
OTHER = "lct-00000000000000002"
FOR_EVER = 10.0**9
SOON = {"TimeoutSeconds": "1200"}
"""And no twelve hours, with eight thousand polls."""


Order = Callable[[World], None]


def create(world: World, seconds: float = 100, end: str = "SUCCEEDED", **properties: Any) -> None:
    world.license_manager.add(TASK, seconds=seconds, end=end)
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": TASK, **properties}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)


def update(world: World, task_id: str, handle: int) -> None:
    named = {"ServiceToken": FUNCTION, "LicenseConversionTaskId": task_id, "WaitConditionHandle": next_handle(handle)}
    resource = world.cloudformation.resources[0]
    world.cloudformation.update(resource, named | SOON, then_fails=False, undo_by_delete=False)


def call(
    world: World, *task_ids: str, token: bool = False, seconds: float = FOR_EVER, end: str = "SUCCEEDED"
) -> Caller:
    """A state machine, for the last task, or for all of them."""
    world.license_manager.add(task_ids[-1], seconds=seconds, end=end)
    given = {"LicenseConversionTaskIds": [*task_ids]} if len(task_ids) > 1 else {"LicenseConversionTaskId": task_ids[0]}
    return world.call(given, token=token)


# Orders


def stack(meets: str = "", fault: Fault = Fault.LOST, until: float = 0, *, times: int = 0, **created: Any) -> Order:
    """One gate, whose calls of a name meet a fault: all of them `until` then, or so many `times`."""

    def order(world: World) -> None:
        create(world, **created)
        world.faults.weather[meets] = (fault, until)
        world.faults.queued[meets].extend([fault] * times)
        world.run_for(1300)

    return order


check_cannot_start = stack("Invoke CheckTask", Fault.REFUSED, 60, seconds=30)
check_is_throttled = stack("Invoke CheckTask", Fault.THROTTLED, FOR_EVER, seconds=FOR_EVER, ServiceTimeout="300")
is_refused_for_a_moment = stack("GetTask", Fault.DENIED, times=1)
function_is_killed = stack("StartExecution", Fault.CRASH_AFTER, times=2)
has_little_time = stack(end="DENIED", ServiceTimeout="20")
is_never_called_back = stack("SendTaskSuccess", Fault.REFUSED, FOR_EVER, seconds=300)
put_is_refused = stack("Put", Fault.REFUSED, 600)
table_hangs = stack("Table", Fault.SLOW, 60, seconds=240)
waits_alone = stack(seconds=240)


def delivered_twice(world: World) -> None:
    create(world)
    world.run_for(200)
    world.deliver(world.cloudformation.requests[0])
    world.run_for(200)


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
    update(world, OTHER, 1)
    world.run_for(200)


def updated_while_the_create_waits(world: World) -> None:
    create(world, seconds=FOR_EVER, WaitConditionHandle=next_handle(1), **SOON)
    world.run_for(100)
    update(world, TASK, 2)
    world.run_for(100)


def is_ended_from_outside(world: World) -> None:
    create(world)
    world.call({"LicenseConversionTaskId": TASK}, token=True)
    world.run_for(50)
    for execution in world.step_functions.executions.values():
        world.end_from_outside(execution, "FAILED", "States.Runtime")
    world.run_for(4000)


def calls_back(world: World) -> None:
    call(world, TASK, token=True, seconds=100)
    world.faults.queued["CallBack"].append(Fault.LOST)
    world.run_for(300)


def waits_for_long(world: World) -> None:
    """The poller's time is over meanwhile, and of two gates the one that registered first has gone."""
    gone = call(world, OTHER)
    world.run_for(5)
    create(world, seconds=870)
    world.run_for(833)
    assert gone.execution
    world.end_from_outside(gone.execution, "ABORTED", "by hand")
    world.run_for(200)


def has_no_poller_any_more(world: World) -> None:
    create(world, seconds=300)
    world.run_for(250)
    world.kill_pollers()
    world.faults.weather["Invoke PollTasks"] = (Fault.REFUSED, FOR_EVER)
    world.run_for(1000)


def registers_while_the_poller_ends(world: World) -> None:
    """At each moment of the second in which it looks for the last time."""
    for hundredths in range(500, 600, 4):
        for name, seconds, then in ((f"lct-a{hundredths}", 11, 15 + hundredths / 100), (f"lct-b{hundredths}", 60, 100)):
            call(world, name, seconds=world.clock.now + seconds)
            world.run_for(then)


def has_no_task_yet(world: World) -> None:
    world.license_manager.add(TASK, seconds=0, end="SUCCEEDED")
    world.faults.weather["ListTasks"] = (Fault.THROTTLED, 12.0)
    named = {"ServiceToken": FUNCTION, "ResourceArn": resource_arn(TASK)}
    world.cloudformation.create(world.cloudformation.resources[0], named, keeps_failed=True)
    world.run_for(300)


def fleet_has_a_refused_id(world: World) -> None:
    world.license_manager.add(TASK, seconds=FOR_EVER, end="SUCCEEDED")
    call(world, TASK, OTHER, token=True, end="DENIED")
    world.run_for(300)


def two_pollers_come_to_be(world: World) -> None:
    create(world, seconds=FOR_EVER)
    world.run_for(20)
    world.table.until = 0.0
    call(world, OTHER)
    world.run_for(200)


@dataclass(frozen=True)
class Defect:
    """`owner.name` with `old` replaced by `new`; without an owner, the definition of the state machine."""

    order: Order
    old: str
    new: str
    owner: Any = None
    name: str = ""


DEFECTS = {
    "a check that fails ends the gate": Defect(
        check_cannot_start, "$failed != '' and $millis() >= $toMillis($gate.GiveUpAt)", "$failed != ''"
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
    "the responder is not tried again": Defect(put_is_refused, '"MaxAttempts": 250', '"MaxAttempts": 0'),
    "a refusal is not tried again": Defect(
        fleet_has_a_refused_id, '"MaxAttempts": 12', '"MaxAttempts": 0'
    ),
    "a gate never registers": Defect(
        waits_alone, "$exists($gate.Registration) and $toMillis($gate.NextCheckAt)", "false and $toMillis($gate.NextCheckAt)"
    ),
    "a table that fails ends the gate": Defect(
        stack("Register", Fault.REFUSED, 200, seconds=300), '"registeredAt": ""\n          },\n          "Next": "Back Off"',
        '"undelivered": "x", "registeredAt": ""\n          },\n          "Next": "Route"',
    ),
    "an end is not counted": Defect(check_is_throttled, '"metric": "GatesBroken"', '"metric": ""'),
    "an execution that had begun is not joined": Defect(
        delivered_twice, "self.client.exceptions.ExecutionAlreadyExists", "KeyError", Executions, "begin"
    ),
    "a name is new for each delivery": Defect(
        delivered_twice, "event['RequestId']", "__import__('uuid').uuid4().hex", executions, "name"
    ),
    "a response is not the same when it is sent again": Defect(
        stack("Put", Fault.LOST, 250), '"Reason": reason,', '"Reason": reason + str(id(object())),', response, "response"
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
    "the safety net sends no response": Defect(
        is_ended_from_outside, "return [waiter] if waiter in", "return [] if waiter in", Recipients, "names"
    ),
    "the responder responds for an execution that does": Defect(
        function_is_killed, "elif _has_execution(request):", "elif False:", respond, "_request_given_up"
    ),
    "a refusal is believed at once": Defect(
        is_refused_for_a_moment, "believed = wait.refusals and", "believed = True or", gate.Gate, "_refused"
    ),
    "a refusal keeps its grace though there is no time for it": Defect(
        has_little_time, " or now + timedelta(seconds=RETRY_SECONDS) > wait.times.deadline", "", gate.Gate, "_refused"
    ),
    "a gate is counted whenever a check is tried": Defect(
        is_refused_for_a_moment, "found = self._checked(", 'telemetry.count("GatesStarted"); found = self._checked(',
        check_task.TaskCheck, "for_state_machine",
    ),
    "the first check starts no poller": Defect(
        stack(seconds=30), "if registers and wait.first:", "if False:", gate.Gate, "_decided"
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
        stack("Poll", Fault.DENIED, FOR_EVER, seconds=1000), "and not refused_to_poller", "", gate.Gate, "_sleep"
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


@pytest.mark.parametrize("what", DEFECTS)
def test_the_order_finds_the_defect_and_nothing_in_the_product_as_it_is(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(DEFECTS[what].order)
    machine = plant(DEFECTS[what], monkeypatch)
    with pytest.raises(AssertionError, match=r"at [0-9.]+: "):
        run(DEFECTS[what].order, machine)


def run(order: Order, machine: Machine | None = None) -> None:
    world = World(seed=0, machine=machine)
    with world.at_the_seams():
        try:
            order(world)
            world.settle()
        finally:
            world.close()


def plant(defect: Defect, monkeypatch: pytest.MonkeyPatch) -> Machine | None:
    """A machine with it; or into the function, wherever it has been imported to by its name, too."""
    if not defect.owner:
        text = FILE.read_text()
        assert defect.old in text
        return machine_of.__wrapped__(text.replace(defect.old, defect.new))
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
    return None
