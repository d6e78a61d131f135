"""What a promise is: what must hold whatever happens, and what excuses the gate where it does not. Nothing here simulates.

`fail` is called for each broken promise. Each excuse is counted by its name in `excused`.
"""

import json
import math
import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from license_conversion.conversion import ATTRIBUTES
from tests.model.aws_clients import LicenseManagerClient
from tests.model.who_waits import SECRET, Caller, LifecycleRequest, Waiter
from tests.simulation.clock import Process, VirtualClock
from tests.simulation.interpreter import Execution

RESPONSE_BYTES = 4096
FAULTY_PUTS = 5
"""So many in the margin are more than the gate promises to outlast."""
ORDINARY_SECONDS = 2.0
"""What one check, or one response, takes at most when nothing goes wrong."""
RETRY_SECONDS = 5
"""A check that is refused comes again after this time."""
LAG_SECONDS, FLEET_LAG_SECONDS = 30.0, 60.0
"""How long after a conversion's end a gate ends at the latest where nothing goes wrong: a poll, its callback, an event, a
response; or a poller that takes over."""
ALONE_SECONDS = 200.0
"""The same where the gate's help fails: it trusts the last poll for a minute, and sleeps for two at most."""
REGISTERS_SECONDS = 80.0
"""How long a registration may fail for, before the gate sleeps by itself."""
GRACE_SECONDS = 45.0
"""How long a refusal takes until it is believed."""
POLLER_SECONDS = 960.0
"""What a poller has met that long ago is over."""
TWO_POLLERS_SECONDS = 60.0
HELP = {"SendTaskSuccess", "Invoke PollTasks", "Poll", "PollList", "Table", "Register"}
"""Calls whose faults a gate outlives by asking License Manager itself."""
SECONDS_OF_A_CHECK, SECONDS_OF_A_FLEETS_CHECK = 20.0, 9.0
"""Of a wait, for each check, at least: an execution has 25,000 events."""
NET_SECONDS = 730.0
"""How long after an execution's end the safety net responds at the latest, besides what Lambda throttles: a late event, three
attempts of Lambda's."""
NET_PUT_SECONDS = 20.0
"""Where CloudFormation waits no longer than this, one invocation of the safety net tries, and no other one."""
GATE_BROKE = "The gate itself broke"
GATE_BROKE_BY_CHECKS = "The gate itself broke, the conversion is not affected. Read the log"
STOPPED_BY_HAND = "The gate's execution was stopped by an operator"
KINDS = {
    "License conversion FAILED": "Failed",
    "The wait ran out": "TimedOut",
    GATE_BROKE: "GateBroken",
    STOPPED_BY_HAND: "GateBroken",
}
"""How the Reason begins, by the error of a caller's. Any other is a refusal."""
GIVEN_UP = "before it could wait"
NO_RESPONSE = "LicenseConversion.NoResponse"
FLEET_ATTRIBUTES = {"Status", "Total", "Succeeded", "Failed", "FailedTaskIds", "StatusMessage"}
ENDS = {"GatesSucceeded", "GatesFailed", "GatesTimedOut", "GatesRefused", "GatesBroken"}
"""The metrics of a gate's end by itself."""
OWN_ID = re.compile(r"lct-\w+|license-conversion-fleet-[0-9a-f]{24}|license-conversion-gate-refused")


class Promises:
    """`in_flight` notes what running invocations have taken until now."""

    def __init__(
        self, clock: VirtualClock, manager: LicenseManagerClient, in_flight: Callable[[Waiter], None],
        fail: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._clock, self._manager, self._in_flight, self._fail = clock, manager, in_flight, fail
        self.excused: Counter[str] = Counter()
        """How often the oracle has looked the other way, and why."""
        self._fleets: dict[frozenset[str], str] = {}
        self._faults: list[tuple[float, bool]] = []
        self._pollers: list[Process] = []
        self._left: set[tuple[LifecycleRequest, LifecycleRequest]] = set()

    def _excuse(self, why: str) -> bool:
        self.excused[why] += 1
        return True

    def meets(self, call: str) -> None:
        """A call meets a fault now."""
        self._faults.append((self._clock.now, call in HELP))

    # One poller

    def begins_to_poll(self, poller: Process) -> None:
        """It ends soon where another one has taken the lease."""
        self._pollers = [one for one in self._pollers if not one.dead]
        for other in self._pollers:
            self._clock.after(TWO_POLLERS_SECONDS, lambda other=other: self._is_alone(poller, other))  # type: ignore[misc]
        self._pollers.append(poller)

    def _is_alone(self, poller: Process, other: Process) -> None:
        hindered = bisect(self._faults, (self._clock.now - TWO_POLLERS_SECONDS,)) < len(self._faults)
        if not (poller.dead or other.dead or hindered):
            self._fail("there are two pollers")

    # Never silent

    def without_response(self, request: LifecycleRequest) -> None:
        """CloudFormation has given the request up. A response must have come by now where the faults were few enough."""
        if why := self._why_without(request):
            self._excuse(why)
        else:
            self._fail(f"{request} got no response in its {request.service_timeout} s; lost: {request.lost}")

    def _why_without(self, request: LifecycleRequest) -> str:
        begin = request.expiry - request.margin - 3
        came_through = min(
            (at for at in (request.good_attempt, request.responder) if at is not None), default=request.expiry
        )
        excuses = {
            "faulty PUTs in the margin": sum(at >= begin for at in request.faulty_puts) >= FAULTY_PUTS,
            "Lambda began with the event when there was no time left": request.arrived is None
            or request.arrived > begin,
            "no invocation came through before the margin": came_through > begin,
            # Where it came in time, `net_came_through` has looked.
            "the safety net came too late": bool(request.ended_from_outside),
            "the margin was lost to faults": self._lost(request, begin, came_through) > max(0, request.margin - 3),
        }
        return next((why for why, holds in excuses.items() if holds), "")

    def _lost(self, request: LifecycleRequest, begin: float, came_through: float) -> float:
        """Seconds of the margin. A gate that began late ends late. A last check that is throttled comes again for half
        of the margin: lost where something else is.
        """
        self._in_flight(request)
        late = request.lost_in(came_through, came_through + 60)
        lost = request.lost_in(begin, request.expiry)
        throttled = max(0.0, min(request.throttled - begin, request.margin / 2)) if lost else 0
        return lost + throttled + late * (request.margin < 60)

    # Responses and signals

    def responds(self, request: LifecycleRequest, body: str, sender: Waiter | None) -> None:
        """A response has been PUT. The first one is `open`'s, and decides."""
        said = json.loads(body)
        if sender is not request:
            self._fail(f"{sender} responds to {request}")
        self._check_form(request, said, body)
        if request.bodies and body not in request.bodies and not self._is_excused_repeat(request, body):
            self._fail(f"{request} has two different responses: {request.bodies[0]} and {body}")
        request.bodies.append(body)
        if request.open:
            self._check_response(request, said)

    def _is_excused_repeat(self, request: LifecycleRequest, body: str) -> bool:
        """Lambda gave an event up, and the responder responded, though an execution had begun that it could not see, or one was
        begun by yet another delivery; or the execution was ended while it responded, and the safety net, which cannot know,
        responds too.
        """
        said = [json.loads(one) for one in (*request.bodies, body)]
        failed = all(one["Status"] == "FAILED" for one in said)
        if left_waiting(request) and failed:
            return self._excuse("FAILED in two sentences, one of them the safety net's")
        if left_waiting(request) and request.handle:
            return self._excuse("a handle's stack, which had its response, got another from the safety net")
        if any(GIVEN_UP in one["Reason"] for one in said):
            if request.deliveries > 1:
                return self._excuse("another delivery began an execution after the responder's response")
            return request.blind and self._excuse("a blind responder")
        return False

    def signalled(self, path: str, body: str, sender: Waiter | None) -> None:
        """A handle's URL has been PUT to."""
        if not isinstance(sender, LifecycleRequest) or not sender.handle or urlsplit(sender.handle).path != path:
            self._fail(f"{sender} signals {path}")
            return
        said = json.loads(body)
        if sender.signals and body not in sender.signals:
            failed = all(json.loads(one)["Status"] == "FAILURE" for one in (*sender.signals, body))
            why = "FAILURE in two sentences, one of them the safety net's"
            if not (left_waiting(sender) and failed and self._excuse(why)):
                self._fail(f"{sender} has two different signals: {sender.signals[0]} and {body}")
        sender.signals.append(body)
        whole = set(said) == {"Status", "Reason", "UniqueId", "Data"}
        if SECRET in body or not whole or len(body.encode()) > RESPONSE_BYTES:
            self._fail(f"{sender} is signalled {body}")
        if said["Status"] == "SUCCESS":
            self._check_success(sender, json.loads(said["Data"]))

    def _check_form(self, request: LifecycleRequest, said: Mapping[str, Any], body: str) -> None:
        expected = (request.resource.stack_id, request.request_id, request.resource.logical_id)
        if (said["StackId"], said["RequestId"], said["LogicalResourceId"]) != expected:
            self._fail(f"{request} gets the response to another: {body}")
        if len(body.encode()) > RESPONSE_BYTES or not 1 <= len(said["PhysicalResourceId"]) <= 1024 or SECRET in body:
            self._fail(f"{request} gets {body}")

    def _check_response(self, request: LifecycleRequest, said: Mapping[str, Any]) -> None:
        succeeds, physical_id = said["Status"] == "SUCCESS", said["PhysicalResourceId"]
        if request.kind == "Delete":
            if not succeeds or physical_id != request.physical_id:
                self._fail(f"{request} gets {said}")
            return
        if not succeeds and request.kind == "Update" and physical_id != request.physical_id:
            self._fail(f"{request} fails with another id: {said}")
        if not succeeds:
            kind = next((kind for begins, kind in KINDS.items() if said["Reason"].startswith(begins)), "InvalidRequest")
            self._check_failure(request, kind, request.response_deadline, said["Reason"])
        elif not self._is_right_id(request, physical_id):
            self._fail(f"{request} succeeds with another id: {said}")
        elif not request.handle or _ended(said["Data"]):
            self._check_success(request, said["Data"])
        else:
            self._check_names(request, said["Data"])

    def _is_right_id(self, request: LifecycleRequest, physical_id: str) -> bool:
        if request.resource_arn:
            return physical_id in self._newest_since(request)
        if "LicenseConversionTaskIds" in request.properties:
            known = self._fleets.setdefault(frozenset(request.task_ids), physical_id)
            return physical_id == known and not physical_id.startswith("lct-")
        return (physical_id,) == request.task_ids

    def _newest_since(self, waiter: Waiter) -> set[str]:
        """Tasks of the resource that have been its newest since the request was made. One that runs is newer than one that has
        ended: a resource has one conversion at a time.
        """
        begun = self._manager.begun(waiter.resource_arn, self._clock.now)
        before = [task.start_time for task in begun if task.start_time <= waiter.requested]
        newest = max(before, default=math.inf)
        return {
            task.task_id
            for task in begun
            if max(task.start_time, task.end_time) >= waiter.requested or task.start_time == newest
        } | ({""} if not before else set())

    def _statuses(self, waiter: Waiter) -> set[str]:
        """Of the task, or the tasks, that it may mean."""
        return {self._manager.status(t) for t in waiter.task_ids or self._newest_since(waiter)}

    def _check_success(self, request: LifecycleRequest, data: Mapping[str, str]) -> None:
        self._check_passed(request, data)
        self._check_names(request, data)

    def _check_passed(self, waiter: Waiter, data: Mapping[str, Any]) -> None:
        statuses = self._statuses(waiter)
        allowed = {"SUCCEEDED", "FAILED"} if waiter.properties.get("OnFailure") == "CONTINUE" else {"SUCCEEDED"}
        expected = statuses if len(statuses) == 1 or waiter.resource_arn else {"FAILED"}
        right = bool(statuses & allowed) if waiter.resource_arn else statuses <= allowed
        if not right or data.get("Status") not in expected & allowed or not waiter.valid:
            self._fail(f"{waiter} succeeds, but its task is {statuses}: {data}")

    def _check_names(self, request: LifecycleRequest, data: Mapping[str, str]) -> None:
        names = FLEET_ATTRIBUTES if "LicenseConversionTaskIds" in request.properties else set(ATTRIBUTES)
        if set(data) != names or not all(isinstance(value, str) for value in data.values()):
            self._fail(f"{request} succeeds without all attributes: {data}")

    def _check_failure(self, waiter: Waiter, kind: str, deadline: float, words: str) -> None:
        """A failure has its reason."""
        match kind:
            case "Failed":
                right = self._may_fail(waiter)
            case "TimedOut":
                right = self._clock.now >= deadline - 1  # requested to the second
            case "InvalidRequest" | "AccessDenied":
                right = self._may_be_refused(waiter)
            case "GateBroken" if STOPPED_BY_HAND in words:
                right = waiter.ended_from_outside == "ABORTED"
            case "GateBroken" if GATE_BROKE_BY_CHECKS in words:
                right = waiter.hard_faults > 0 and self._clock.now >= self._gives_up(waiter, deadline)
            case "GateBroken":
                right = waiter.hard_faults > 0
            case _:
                right = False
        if not (right and words):
            self._fail(
                f"{waiter} of a task that is {self._statuses(waiter)} fails at {self._clock.now}: {kind}: {words}"
            )

    def _may_fail(self, waiter: Waiter) -> bool:
        return "FAILED" in self._statuses(waiter) and waiter.properties.get("OnFailure") != "CONTINUE"

    def _gives_up(self, waiter: Waiter, deadline: float) -> float:
        """When a check that fails is not tried again: where the pause before the next try would not end before the deadline."""
        return deadline - 1 - max(15, math.ceil((deadline - waiter.requested) / 1500))

    def _may_be_refused(self, waiter: Waiter) -> bool:
        """A refusal that passes is believed after two tries, or where there is no time for another."""
        denied = self._manager.denies(waiter.resource_arn)
        if "REFUSED" in self._statuses(waiter) or denied or not waiter.valid:
            return True
        recently = [at for at in waiter.denied if at > self._clock.now - 90]
        deadlines = (waiter.deadline, waiter.response_deadline)
        late = any(self._clock.now > deadline - RETRY_SECONDS - ORDINARY_SECONDS for deadline in deadlines)
        return len(recently) > 1 or (bool(recently) and late)

    # Callers

    def caller_is_called_back(self, caller: Caller, outcome: dict[str, Any]) -> None:
        """The token is called while its caller still waits: the first call decides, and every other one says the same."""
        if SECRET in json.dumps(outcome):
            self._fail(f"{caller} gets a credential: {outcome}")
        if caller.calls and outcome != caller.calls[0]:
            self._fail(f"{caller} is called back in two ways: {caller.calls[0]} and {outcome}")
        if not caller.calls:
            self._check_outcome(caller, outcome)
        caller.calls.append(outcome)

    def caller_ended(self, caller: Caller, execution: Execution) -> None:
        """The way in which the execution ends is what a `.sync:2` caller gets, and agrees with what a token was called with."""
        if execution.status == "SUCCEEDED":
            outcome: dict[str, Any] = {"Output": execution.output}
        else:
            outcome = {"Error": execution.error, "Cause": execution.cause}
        if execution.error == NO_RESPONSE:
            if not caller.token or not caller.hard_faults:
                self._fail(f"the execution of {caller} ends with {outcome}")
            return
        self._check_outcome(caller, outcome)
        if caller.calls and not _says(caller.calls[0], outcome):
            self._fail(f"{caller} is called back with {caller.calls[0]}, and its execution ends with {outcome}")
        if caller.token and not caller.calls:
            self._fail(f"{caller} is never called back, and its execution ends with {outcome}")

    def _check_outcome(self, caller: Caller, outcome: Mapping[str, Any]) -> None:
        if "Output" in outcome:
            self._check_passed(caller, outcome["Output"])
            return
        kind, cause = outcome["Error"].removeprefix("LicenseConversion."), outcome["Cause"]
        self._check_failure(caller, kind, caller.deadline, cause)
        if kind in ("Failed", "TimedOut"):
            task = json.loads(cause) if cause.startswith("{") else {}
            told = task.get("Status") in ("FAILED", "IN_PROGRESS") if kind == "Failed" else bool(task)
            if not told:
                self._fail(f"{caller} gets a Cause without the task: {cause}")

    # The safety net

    def net_responds(self, waiter: Waiter, execution: Execution) -> None:
        """The responder is about to respond because of the execution's end."""
        if not left_waiting(waiter):
            self._fail(
                f"{waiter} gets a response of the safety net, though its gate ended {execution.status} {execution.error}"
            )
        late = self._clock.now - execution.stopped
        if late - waiter.lost_in(execution.stopped, self._clock.now) > NET_SECONDS:
            self._fail(f"{waiter} gets a response {late} s after its execution's end")

    def net_came_through(self, waiter: Waiter) -> None:
        """The responder has worked through an event without an error. The recipient must have a response by now."""
        waiter.net.append(self._clock.now)
        if not left_waiting(waiter):
            return
        if isinstance(waiter, LifecycleRequest):
            silent = waiter.open and self._clock.now < waiter.expiry - 1  # signed to the second
            hindered = any(at > waiter.expiry - NET_PUT_SECONDS for at in waiter.faulty_puts)
            silent = silent and not (hindered and self._excuse("faulty PUTs of the safety net in the last seconds"))
        else:
            silent = isinstance(waiter, Caller) and bool(waiter.token) and not waiter.calls
        if silent:
            self._fail(f"the safety net has not responded to {waiter}")

    # Executions

    def stops(self, request: LifecycleRequest, stopped: Waiter, execution: Execution) -> None:
        """An execution is stopped: only a later request may, or its own that does not know that it had begun."""
        if not isinstance(stopped, LifecycleRequest) or request.resource is not stopped.resource:
            self._fail(f"{request} stops the execution of {stopped}")
            return
        if request.number < stopped.number:
            self._fail(f"{request} stops the execution of {stopped}")
        # The state may have changed between the look and the stop: one that has ended says no task.
        known = next((task_id for task_id in task_ids(execution) if task_id), "")
        if request.kind == "Delete" and is_own_id(str(request.physical_id)) and request.physical_id != known:
            self._fail(f"{request} stops the execution of {stopped}, whose id is {known}")

    def running(self, request: LifecycleRequest, later_ones: Sequence[LifecycleRequest]) -> None:
        """An execution that began before a later request of its resource ends with the response to that request."""
        execution = request.execution
        assert execution
        for later in later_ones:
            if (
                later.resource is request.resource
                and later.response
                and later.valid
                and supersedes(later, execution)
                and (request, later) not in self._left
            ):
                self._left.add((request, later))
                if later.stop_faults:
                    self._excuse("a fault in the search for executions left one running")
                elif GIVEN_UP in later.response["Reason"]:  # the responder looks for no other execution
                    self._excuse("the responder, which responds to an Update, left an execution running")
                elif execution.started > later.requested:
                    self._excuse("an execution began after the request that takes its place")
                else:
                    self._fail(f"the execution of {request} still runs after {later} got its response")

    def ended(self, waiter: Waiter) -> None:
        """At the end of everything."""
        execution = waiter.execution
        assert execution
        if execution.status not in ("SUCCEEDED", "FAILED", "ABORTED") and not waiter.ended_from_outside:
            self._fail(f"the execution of {waiter} ends {execution.status}")
        if execution.error.startswith("States.") and not waiter.ended_from_outside:
            self._fail(f"the execution of {waiter} ends by itself: {execution.error}: {execution.cause}")
        if SECRET in f"{execution.output}{execution.error}{execution.cause}":
            self._fail(f"the execution of {waiter} ends with a credential: {execution.cause}")
        lasted = execution.stopped - max(waiter.deadline, execution.started)
        if lasted > ORDINARY_SECONDS + waiter.lost_in(waiter.requested, execution.stopped) + 60:
            self._fail(f"the execution of {waiter} ends {lasted} s after its deadline")
        if self._is_silent(waiter):
            if left_waiting(waiter) and not waiter.net and waiter.dead_letters:
                self._excuse("the event of the execution's end is in the dead-letter queue")
            else:
                self._fail(f"{waiter} never gets its end")
        self._counted(waiter)
        if not (waiter.ended_from_outside or waiter.stopped or "GateBroken" in execution.error or not waiter.valid):
            self._lagged(waiter, execution)

    def _lagged(self, waiter: Waiter, execution: Execution) -> None:
        """A gate ends soon after its conversion, and does not wake for less."""
        faults = self._faults[bisect(self._faults, (execution.started - POLLER_SECONDS,)) :]
        faults = faults[: bisect(faults, (execution.stopped, True))]
        checks = waiter.metrics["Checks"]
        others = sum(not helps for at, helps in faults if at >= execution.started)
        fleet = "LicenseConversionTaskIds" in waiter.properties
        seconds = SECONDS_OF_A_FLEETS_CHECK if fleet else SECONDS_OF_A_CHECK
        if checks > 8 + others + (execution.stopped - execution.started) / seconds:
            self._fail(f"{waiter} has been checked {checks} times in {execution.stopped - execution.started} s")
        over, seconds = self._over(waiter, execution)
        if over is None or over > waiter.deadline - GRACE_SECONDS:
            return
        since = max([over, execution.started, *(at for at, helps in faults if not helps)])
        if waiter.resource_arn and faults:  # whose task has no name yet is looked for less and less often
            seconds += 1.2 * (since - waiter.requested)
        elif faults:
            seconds += ALONE_SECONDS + REGISTERS_SECONDS
        if execution.stopped - since > seconds:
            self._fail(f"{waiter} ends {execution.stopped - since} s after its conversion, or the last fault")

    def _over(self, waiter: Waiter, execution: Execution) -> tuple[float | None, float]:
        """When what it waits for was over, if that is known; and how many seconds it may take to see that."""
        known = self._manager.service.known
        tasks = [known[task_id] for task_id in waiter.task_ids if task_id in known]
        if waiter.resource_arn:
            tasks = self._manager.begun(waiter.resource_arn, self._clock.now)
            if len(tasks) != 1 or tasks[0].start_time > waiter.requested:
                return None, 0
        refused = not waiter.resource_arn and len(tasks) < len(waiter.task_ids)
        if refused or any(task.end_status == "DENIED" for task in tasks):
            return execution.started, GRACE_SECONDS
        failed = [task.end_time for task in tasks if task.end_status == "FAILED"]
        seconds = FLEET_LAG_SECONDS if "LicenseConversionTaskIds" in waiter.properties else LAG_SECONDS
        if failed and waiter.properties.get("OnFailure") != "CONTINUE":
            return min(failed), seconds
        return max(task.end_time for task in tasks), seconds

    def _counted(self, waiter: Waiter) -> None:
        """A gate is counted once when it starts and once when it ends, however it ends."""
        started, ended = waiter.metrics["GatesStarted"], sum(waiter.metrics[name] for name in ENDS)
        if (started, ended) == (1, 1):
            return
        stopped = waiter.stopped or bool(waiter.ended_from_outside)
        if (stopped and started <= 1 and ended <= 2) or (waiter.metrics["GatesBroken"] == ended == 1 and not started):
            self._excuse("a gate that was stopped, or broke before its first check ended")
        elif waiter.counts_lost:
            self._excuse("an invocation that was killed, lost or delivered twice counted nothing, or twice")
        else:
            self._fail(f"{waiter} is counted {dict(waiter.metrics)}")

    @staticmethod
    def _is_silent(waiter: Waiter) -> bool:
        """Whether a handle is not signalled, or a token not called. Of the request itself `without_response` speaks."""
        if isinstance(waiter, Caller):
            return bool(waiter.token) and not waiter.calls
        assert isinstance(waiter, LifecycleRequest)
        assert waiter.execution
        stopped_by_us = waiter.execution.status == "ABORTED" and not waiter.ended_from_outside
        passed = bool(waiter.response) and waiter.response["Status"] == "SUCCESS"  # type: ignore[index]
        return bool(waiter.handle) and passed and not stopped_by_us and not waiter.signals


def left_waiting(waiter: Waiter) -> bool:
    """Whether the execution has ended without a response to its recipient, as far as it knows."""
    execution = waiter.execution
    return bool(execution) and (bool(waiter.ended_from_outside) or execution.error == NO_RESPONSE)  # type: ignore[union-attr]


def task_ids(execution: Execution) -> Iterator[str]:
    """The physical id of what the execution waits for, as it last assigned it and as it did before; `""` while no check has said
    which task is the newest of a resource.
    """
    yield str(json.loads(execution.input)["Stack"]["PhysicalResourceId"])
    for _, assigned in reversed(execution.assigned):
        if "gate" in assigned:
            yield str(json.loads(assigned["gate"]).get("Task", {}).get("LicenseConversionTaskId", ""))


def _says(call: Mapping[str, Any], outcome: Mapping[str, Any]) -> bool:
    """Whether the call of a token says how the execution ends. That of a gate that broke says also what it waited for."""
    cause = str(outcome.get("Cause", ""))
    broke = cause.startswith(GATE_BROKE) and str(call.get("Cause", "")).startswith(cause)
    return call == outcome or (broke and call.get("Error") == outcome["Error"])


def supersedes(later: LifecycleRequest, execution: Execution) -> bool:
    """An Update takes the place of every execution of the resource, a Delete of those for the id that it names."""
    match later.kind:
        case "Update":
            return True
        case "Create":
            return False
    given, newest, *_ = (*task_ids(execution), "")
    return not is_own_id(str(later.physical_id)) or later.physical_id == (given or newest)


def is_own_id(physical_id: str) -> bool:
    return bool(OWN_ID.fullmatch(physical_id))


def _ended(data: Mapping[str, str]) -> bool:
    """Whether it is an outcome, and not what is known when a handle's stack gets its response at once."""
    if "Total" in data:
        return int(data["Succeeded"]) + int(data["Failed"]) == int(data["Total"])
    return data.get("Status") in ("SUCCEEDED", "FAILED")
