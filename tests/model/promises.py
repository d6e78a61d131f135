"""What a promise is: what must hold whatever happens, and what excuses the gate where it does not. Nothing here simulates.

`fail` hears of each broken promise. Each excuse is counted by its name in `excused`.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from license_conversion.task import ATTRIBUTES
from tests.model.aws_clients import LicenseManagerClient
from tests.model.interpreter import Execution
from tests.model.who_waits import SECRET, Caller, LifecycleRequest, Waiter
from tests.simulation.clock import VirtualClock

RESPONSE_BYTES = 4096
LAST_RESORTS = 10
FAULTY_PUTS = 5
"""So many in the margin are more than the gate promises to outlast."""
ORDINARY_SECONDS = 2.0
"""What one look, or one answer, takes at most when nothing goes wrong."""
NET_SECONDS = 500.0
"""How long after an execution's end the second net speaks at the latest: a late event, three attempts of Lambda's."""
NET_PUT_SECONDS = 20.0
"""Where CloudFormation waits no longer than this, one invocation of the second net tries, and no other one."""
GATE_BROKE = "The gate itself broke"
STOPPED_BY_HAND = "Somebody stopped the gate"
GIVEN_UP = "before it could answer"
NOT_ANSWERED = "LicenseConversion.NotAnswered"
FLEET_ATTRIBUTES = {"Status", "Total", "Succeeded", "Failed", "FailedTaskIds", "StatusMessage"}


class Promises:
    """`managers` gives the License Manager of whoever waits; `in_flight` notes what running invocations have taken until now."""

    def __init__(
        self,
        clock: VirtualClock,
        managers: Callable[[Waiter], LicenseManagerClient],
        in_flight: Callable[[Waiter], None],
        fail: Callable[[str], None],
    ) -> None:
        self._clock, self._managers, self._in_flight, self._fail = clock, managers, in_flight, fail
        self.excused: Counter[str] = Counter()
        """How often the oracle has looked the other way, and why."""
        self._fleets: dict[frozenset[str], str] = {}
        self._left: set[tuple[LifecycleRequest, LifecycleRequest]] = set()

    def _excuse(self, why: str) -> bool:
        self.excused[why] += 1
        return True

    # Never silent

    def unanswered(self, request: LifecycleRequest) -> None:
        """CloudFormation has given the request up. An answer must have come by now where the faults were few enough."""
        if why := self._why_unanswered(request):
            self._excuse(why)
        else:
            self._fail(f"{request} was not answered in its {request.service_timeout} s; lost: {request.lost}")

    def _why_unanswered(self, request: LifecycleRequest) -> str:
        begin = request.expiry - request.margin - 3
        came_through = min(
            (at for at in (request.good_attempt, request.last_resort) if at is not None), default=request.expiry
        )
        excuses = {
            "an undated request stopped the wait": request.stopped_undated,
            "faulty PUTs in the margin": sum(at >= begin for at in request.faulty_puts) >= FAULTY_PUTS,
            "every attempt of the last resort failed": request.given_up_by >= LAST_RESORTS,
            "Lambda began with the event when there was no time left": request.arrived is None
            or request.arrived > begin,
            "no invocation came through before the margin": came_through > begin,
            # Where it came in time, `net_came_through` has looked.
            "the second net came too late": bool(request.ended_from_outside),
            "the margin was lost to faults": self._lost(request, begin, came_through) > max(0, request.margin - 3),
        }
        return next((why for why, holds in excuses.items() if holds), "")

    def _lost(self, request: LifecycleRequest, begin: float, came_through: float) -> float:
        """Seconds of the margin. A wait that began late ends late. A last look that is throttled comes again for half
        of the margin: lost where something else is.
        """
        self._in_flight(request)
        late = request.lost_in(came_through, came_through + 60)
        undated = 0 if request.dated else came_through - request.requested
        lost = request.lost_in(begin, request.expiry)
        throttled = max(0.0, min(request.throttled - begin, request.margin / 2)) if lost else 0
        return lost + throttled + late * (request.margin < 60) + undated

    # Responses and signals

    def answered(self, request: LifecycleRequest, body: str, sender: Waiter | None) -> None:
        """A response has been PUT. The first one is `open`'s, and decides."""
        said = json.loads(body)
        if sender is not request:
            self._fail(f"{sender} answers {request}")
        self._check_form(request, said, body)
        if request.bodies and body not in request.bodies and not self._is_excused_repeat(request, body):
            self._fail(f"{request} has two different responses: {request.bodies[0]} and {body}")
        request.bodies.append(body)
        if request.open:
            self._check_response(request, said)

    def _is_excused_repeat(self, request: LifecycleRequest, body: str) -> bool:
        """Lambda gave an event up, and the last resort answered, though a wait had begun that it could not see, or one was begun
        by yet another delivery; or the execution was ended while it spoke, and the second net, which cannot know, speaks too.
        """
        said = [json.loads(one) for one in (*request.bodies, body)]
        failed = all(one["Status"] == "FAILED" for one in said)
        if untold(request) and failed:
            return self._excuse("FAILED in two sentences, one of them the second net's")
        if untold(request) and request.handle:
            return self._excuse("a handle's stack, told at once, was told again by the second net")
        if any(GIVEN_UP in one["Reason"] for one in said):
            if request.deliveries > 1:
                return self._excuse("another delivery began a wait after the last resort's answer")
            return request.blind and self._excuse("a blind last resort")
        return False

    def signalled(self, path: str, body: str, sender: Waiter | None) -> None:
        """A handle's URL has been PUT to."""
        if not isinstance(sender, LifecycleRequest) or not sender.handle or urlsplit(sender.handle).path != path:
            self._fail(f"{sender} signals {path}")
            return
        said = json.loads(body)
        if sender.signals and body not in sender.signals:
            failed = all(json.loads(one)["Status"] == "FAILURE" for one in (*sender.signals, body))
            if not (
                untold(sender) and failed and self._excuse("FAILURE in two sentences, one of them the second net's")
            ):
                self._fail(f"{sender} has two different signals: {sender.signals[0]} and {body}")
        sender.signals.append(body)
        if (
            SECRET in body
            or set(said) != {"Status", "Reason", "UniqueId", "Data"}
            or len(body.encode()) > RESPONSE_BYTES
        ):
            self._fail(f"{sender} is signalled {body}")
        if said["Status"] == "SUCCESS":
            self._check_success(sender, json.loads(said["Data"]))

    def _check_form(self, request: LifecycleRequest, said: Mapping[str, Any], body: str) -> None:
        expected = (request.resource.stack_id, request.request_id, request.resource.logical_id)
        if (said["StackId"], said["RequestId"], said["LogicalResourceId"]) != expected:
            self._fail(f"{request} is answered for another: {body}")
        if len(body.encode()) > RESPONSE_BYTES or not 1 <= len(said["PhysicalResourceId"]) <= 1024 or SECRET in body:
            self._fail(f"{request} is answered {body}")

    def _check_response(self, request: LifecycleRequest, said: Mapping[str, Any]) -> None:
        succeeds, physical_id = said["Status"] == "SUCCESS", said["PhysicalResourceId"]
        if request.kind == "Delete":
            if not succeeds or physical_id != request.physical_id:
                self._fail(f"{request} is answered {said}")
            return
        if not succeeds and request.kind == "Update" and physical_id != request.physical_id:
            self._fail(f"{request} fails with another id: {said}")
        if not succeeds:
            self._check_failure(request, said["Reason"])
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
        """Tasks of the resource that have been its newest since the request was made."""
        manager = self._managers(waiter)
        begun = manager.begun(waiter.resource_arn, self._clock.now)
        since = {task.task_id for task in begun if task.start_time >= waiter.requested}
        return since | {manager.newest(waiter.resource_arn, waiter.requested)}

    def _statuses(self, waiter: Waiter) -> set[str]:
        """Of the task, or the tasks, that it may mean."""
        return {self._managers(waiter).status(t) for t in waiter.task_ids or self._newest_since(waiter)}

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

    def _check_failure(self, request: LifecycleRequest, reason: str) -> None:
        """A FAILED has its reason."""
        if reason.startswith("License conversion FAILED"):
            right = self._may_fail(request)
        elif reason.startswith("The wait ran out"):
            right = self._clock.now >= request.answer_deadline - 1  # requested to the second
        elif reason.startswith(GATE_BROKE):
            right = request.hard_faults > 0
        elif reason.startswith(STOPPED_BY_HAND):
            right = request.ended_from_outside == "ABORTED"
        else:
            right = self._may_be_refused(request)
        if not right:
            self._fail(f"{request} of a task that is {self._statuses(request)} fails at {self._clock.now}: {reason}")

    def _may_fail(self, waiter: Waiter) -> bool:
        return "FAILED" in self._statuses(waiter) and waiter.properties.get("OnFailure") != "CONTINUE"

    def _may_be_refused(self, waiter: Waiter) -> bool:
        denied = self._managers(waiter).denies(waiter.resource_arn)
        return "REFUSED" in self._statuses(waiter) or denied or not waiter.valid

    # Callers

    def caller_hears(self, caller: Caller, verdict: dict[str, Any]) -> None:
        """The token is called, and somebody hears it: the first call decides, and every other one says the same."""
        if SECRET in json.dumps(verdict):
            self._fail(f"{caller} is told a credential: {verdict}")
        if caller.calls and verdict != caller.calls[0]:
            self._fail(f"{caller} is called back in two ways: {caller.calls[0]} and {verdict}")
        if not caller.calls:
            self._check_verdict(caller, verdict)
        caller.calls.append(verdict)

    def caller_ended(self, caller: Caller, execution: Execution) -> None:
        """The way in which the execution ends is what a `.sync:2` caller is told, and agrees with what a token was."""
        if execution.status == "SUCCEEDED":
            verdict: dict[str, Any] = {"Output": execution.output}
        else:
            verdict = {"Error": execution.error, "Cause": execution.cause}
        if execution.error == NOT_ANSWERED:
            if not caller.token or not caller.hard_faults:
                self._fail(f"the execution of {caller} ends with {verdict}")
            return
        self._check_verdict(caller, verdict)
        if caller.calls and verdict != caller.calls[0]:
            self._fail(f"{caller} is called back with {caller.calls[0]}, and its execution ends with {verdict}")
        if caller.token and not caller.calls and not caller.gone:
            self._fail(f"{caller} is never called back, and its execution ends with {verdict}")

    def _check_verdict(self, caller: Caller, verdict: Mapping[str, Any]) -> None:
        if "Output" in verdict:
            self._check_passed(caller, verdict["Output"])
            return
        error, cause = verdict["Error"], verdict["Cause"]
        match error.removeprefix("LicenseConversion."):
            case "Failed":
                right = self._may_fail(caller) and json.loads(cause)["Status"] in ("FAILED", "IN_PROGRESS")
            case "TimedOut":
                right = self._clock.now >= caller.deadline - 1 and isinstance(json.loads(cause), dict)
            case "InvalidRequest" | "AccessDenied":
                right = self._may_be_refused(caller) and bool(cause)
            case "GateBroken" if STOPPED_BY_HAND in cause:
                right = caller.ended_from_outside == "ABORTED"
            case "GateBroken":
                right = caller.hard_faults > 0 and bool(cause)
            case _:
                right = False
        if not right:
            self._fail(f"{caller} of a task that is {self._statuses(caller)} is told {error}: {cause}")

    # The second net

    def net_tells(self, waiter: Waiter, execution: Execution) -> None:
        """The last resort is about to tell somebody because of the execution's end."""
        if not untold(waiter):
            self._fail(
                f"{waiter} is told by the second net, though its wait ended {execution.status} {execution.error}"
            )
        if self._clock.now - execution.stopped > NET_SECONDS:
            self._fail(f"{waiter} is told {self._clock.now - execution.stopped} s after its execution's end")

    def net_came_through(self, waiter: Waiter) -> None:
        """The last resort has worked through an event without an error. Whoever waited must know by now."""
        waiter.net.append(self._clock.now)
        if not untold(waiter):
            return
        if isinstance(waiter, LifecycleRequest):
            silent = waiter.open and self._clock.now < waiter.expiry - 1  # signed to the second
            hindered = any(at > waiter.expiry - NET_PUT_SECONDS for at in waiter.faulty_puts)
            silent = silent and not (hindered and self._excuse("faulty PUTs of the second net in the last seconds"))
        else:
            silent = isinstance(waiter, Caller) and bool(waiter.token) and not waiter.calls and not waiter.gone
        if silent:
            self._fail(f"the second net has not told {waiter}")

    # Waits

    def stops(self, request: LifecycleRequest, stopped: Waiter, execution: Execution) -> None:
        """Somebody stops a wait: only a later request may, or its own that could not be told that it had begun."""
        if not isinstance(stopped, LifecycleRequest) or request.resource is not stopped.resource:
            self._fail(f"{request} stops the wait of {stopped}")
            return
        if request.number < stopped.number:
            if request.dated:
                self._fail(f"{request} stops the wait of {stopped}")
            self._excuse("an undated request stopped a later wait")
            stopped.stopped_undated = True
        deletes = request.kind == "Delete" and is_own_id(str(request.physical_id))
        # The state may have changed between the look and the stop: one that has ended says no task.
        last_ones = (wait_id(execution, back) for back in range(1, len(execution.entered) + 1))
        if deletes and request.physical_id != next((known for known in last_ones if known), ""):
            self._fail(f"{request} stops the wait of {stopped}, whose id is {wait_id(execution)}")

    def running(self, request: LifecycleRequest, later_ones: Sequence[LifecycleRequest]) -> None:
        """A wait that began before a later request of its resource ends with the answer to that request."""
        execution = request.execution
        assert execution
        for later in later_ones:
            if (
                later.resource is request.resource
                and later.answer
                and later.valid
                and supersedes(later, execution)
                and (request, later) not in self._left
            ):
                self._left.add((request, later))
                if later.stop_faults:
                    self._excuse("a fault in the search for waits left one running")
                elif GIVEN_UP in later.answer["Reason"]:  # the last resort looks for no other wait
                    self._excuse("the last resort, which answers an Update, left a wait running")
                elif execution.started > later.requested:
                    self._excuse("a wait began after the request that takes its place")
                else:
                    self._fail(f"the wait of {request} still runs after {later} was answered")

    def ended(self, waiter: Waiter) -> None:
        """At the end of everything."""
        execution = waiter.execution
        assert execution
        if execution.status not in ("SUCCEEDED", "FAILED", "ABORTED") and not waiter.ended_from_outside:
            self._fail(f"the wait of {waiter} ends {execution.status}")
        if SECRET in f"{execution.output}{execution.error}{execution.cause}":
            self._fail(f"the wait of {waiter} ends with a credential: {execution.cause}")
        begun = execution.started - waiter.requested if isinstance(waiter, LifecycleRequest) and not waiter.dated else 0
        lasted = execution.stopped - max(waiter.deadline + begun, execution.started)
        if lasted > ORDINARY_SECONDS + waiter.lost_in(waiter.requested, execution.stopped) + 60:
            self._fail(f"the wait of {waiter} ends {lasted} s after its deadline")
        if self._is_silent(waiter):
            if untold(waiter) and not waiter.net:
                self._excuse("no event of the execution's end came through to the last resort")
            else:
                self._fail(f"{waiter} never hears of the end")

    @staticmethod
    def _is_silent(waiter: Waiter) -> bool:
        """Whether a handle is not signalled, or a token not called. Of the request itself `unanswered` speaks."""
        if isinstance(waiter, Caller):
            return bool(waiter.token) and not waiter.calls and not waiter.gone
        assert isinstance(waiter, LifecycleRequest)
        assert waiter.execution
        stopped_by_us = waiter.execution.status == "ABORTED" and not waiter.ended_from_outside
        passed = bool(waiter.answer) and waiter.answer["Status"] == "SUCCESS"  # type: ignore[index]
        return bool(waiter.handle) and passed and not stopped_by_us and not waiter.signals


def untold(waiter: Waiter) -> bool:
    """Whether the execution has ended without having told whoever waits, as far as it knows."""
    execution = waiter.execution
    return bool(execution) and (bool(waiter.ended_from_outside) or execution.error == NOT_ANSWERED)  # type: ignore[union-attr]


def wait_id(execution: Execution, back: int = 1) -> str:
    """The physical id of what the execution waits for; `""` while no check has said which task is the newest of a resource.
    As its last state says it, or one that is further `back`.
    """
    known = str(json.loads(execution.input)["Stack"]["PhysicalResourceId"])
    state = json.loads(execution.entered[-back][1]) if execution.entered else {}
    return known or str(state.get("Task", {}).get("LicenseConversionTaskId", ""))


def supersedes(later: LifecycleRequest, execution: Execution) -> bool:
    """An Update takes the place of every wait of the resource, a Delete of those for the id that it names."""
    match later.kind:
        case "Update":
            return True
        case "Create":
            return False
    return not is_own_id(str(later.physical_id)) or later.physical_id == wait_id(execution)


def is_own_id(physical_id: str) -> bool:
    return physical_id.startswith(("lct-", "license-conversion-"))


def _ended(data: Mapping[str, str]) -> bool:
    """Whether it is a verdict, and not what is known when a handle's stack is answered at once."""
    if "Total" in data:
        return int(data["Succeeded"]) + int(data["Failed"]) == int(data["Total"])
    return data.get("Status") in ("SUCCEEDED", "FAILED")
