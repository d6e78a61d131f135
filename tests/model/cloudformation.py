"""CloudFormation's side: which requests a resource gets, in which order, and what becomes of their responses.

What another resource of the stack does (it fails, the user cancels) is a `cancel` here. Between two requests of a resource
CloudFormation needs GAP seconds.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from tests.model.aws_clients import LicenseManager, resource_arn
from tests.model.scheduler import Scheduler

GAP = 2.0
SERVICE_TIMEOUT = 3600
RESPONSE_BYTES = 4096
FLEET_ATTRIBUTES = {"Status", "Total", "Succeeded", "Failed", "FailedTaskIds", "StatusMessage"}
LAST_RESORTS = 10
LAMBDA_ATTEMPTS = 2
CHECK_SECONDS = 12
"""A check that hangs, and the pause after it, take so much of the margin at least: of one of less, too much."""
ATTRIBUTES = {
    "LicenseConversionTaskId", "ResourceArn", "Status", "StatusMessage", "StartTime", "LicenseConversionTime", "EndTime",
    "SourceLicenseContext.UsageOperation", "SourceLicenseContext.ProductCodes",
    "DestinationLicenseContext.UsageOperation", "DestinationLicenseContext.ProductCodes",
}  # fmt: skip
GATE_BROKE = "The gate itself broke"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:CustomResource"
MALFORMED = "/of-no-request"
"""Where an event that is no request is answered, if it says where."""
SECRET = "ThisIsACredential"
"""What no log may show."""
FAULTY_PUTS = 5
"""So many in the margin are more than the gate promises to outlast."""


class State(StrEnum):
    ABSENT = "absent"
    CREATING = "creating"
    CREATE_FAILED = "create failed, and kept"
    READY = "ready"
    UPDATING = "updating"
    ROLLING_BACK = "rolling back"
    ROLLBACK_FAILED = "rollback failed"
    CLEANING_UP = "cleaning up"
    DELETING = "deleting"
    DELETE_FAILED = "delete failed"


@dataclass(eq=False)
class Request:
    """One request of a resource, and all that is known of it."""

    resource: "Resource"
    number: int
    kind: str
    request_id: str
    physical_id: str | None
    properties: dict[str, Any]
    old_properties: dict[str, Any] | None
    requested: float
    url: str
    open: bool = True
    answer: dict[str, Any] | None = None
    bodies: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    attempts: list[list[Any]] = field(default_factory=list)  # [began, failed, ended]
    good_attempt: float | None = None
    last_resort: float | None = None
    lost: list[tuple[float, float]] = field(default_factory=list)
    lost_to_checks: list[tuple[float, float]] = field(default_factory=list)
    stop_faults: int = 0
    blind: bool = False
    """The last resort could not see whether there is a wait."""
    stopped: bool = False
    given_up_by: int = 0
    hard_faults: int = 0
    faulty_puts: list[float] = field(default_factory=list)

    @property
    def task_ids(self) -> tuple[str, ...]:
        """Empty for the newest task of a resource."""
        if "LicenseConversionTaskIds" in self.properties:
            return tuple(self.properties["LicenseConversionTaskIds"])
        return (self.properties["LicenseConversionTaskId"],) if "LicenseConversionTaskId" in self.properties else ()

    @property
    def resource_arn(self) -> str:
        return str(self.properties.get("ResourceArn", ""))

    @property
    def key(self) -> str:
        """What it waits for."""
        fleet = "a fleet of " if "LicenseConversionTaskIds" in self.properties else ""
        return self.resource_arn or fleet + ",".join(self.task_ids)

    @property
    def service_timeout(self) -> int:
        return int(self.properties.get("ServiceTimeout", SERVICE_TIMEOUT))

    @property
    def margin(self) -> int:
        return min(60, math.ceil(self.service_timeout / 5))

    @property
    def expiry(self) -> float:
        return self.requested + self.service_timeout

    @property
    def handle(self) -> str | None:
        return self.properties.get("WaitConditionHandle")

    @property
    def deadline(self) -> float:
        """Of the wait."""
        longest = 43_000 if self.handle else self.service_timeout - self.margin
        return self.requested + int(self.properties.get("TimeoutSeconds", longest))

    @property
    def answer_deadline(self) -> float:
        """Of the wait for the answer to the request itself, which a handle does not make longer."""
        return min(self.deadline, self.expiry - self.margin)

    @property
    def valid(self) -> bool:
        return self.properties.get("OnFailure") != "perhaps"

    def event(self) -> dict[str, Any]:
        event = {
            "RequestType": self.kind,
            "ServiceToken": FUNCTION,
            "ResponseURL": self.url,
            "StackId": self.resource.stack_id,
            "RequestId": self.request_id,
            "LogicalResourceId": self.resource.logical_id,
            "ResourceType": "Custom::LicenseConversionTask",
            "ResourceProperties": self.properties,
        }
        if self.physical_id is not None:
            event["PhysicalResourceId"] = self.physical_id
        if self.old_properties is not None:
            event["OldResourceProperties"] = self.old_properties
        return event

    def lost_in(self, begin: float, end: float) -> float:
        """Seconds of this time that faults have taken. Checks alone that hang or that Lambda throttles count for nothing."""
        checks, others = self._lost(self.lost_to_checks, begin, end), self._lost(self.lost, begin, end)
        return others + (checks if others or self.margin < CHECK_SECONDS else 0)

    @staticmethod
    def _lost(spans: list[tuple[float, float]], begin: float, end: float) -> float:
        total, at = 0.0, begin
        for one, other in sorted(spans):
            total += max(0.0, min(other, end) - max(one, at))
            at = max(at, min(other, end))
        return total

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of {self.resource.logical_id} ({self.key}, id {self.physical_id})"


@dataclass(eq=False)
class Resource:
    """One custom resource of one stack."""

    stack_id: str
    logical_id: str
    state: State = State.ABSENT
    physical_id: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    current: Request | None = None
    then_fails: bool = False
    keeps_failed: bool = False
    undo_by_delete: bool = False
    left: tuple[str, dict[str, Any]] | None = None
    """The id and the properties of a failed one that was kept, and is deleted once its successor is there."""
    generation: int = 0

    def made_up_id(self) -> str:
        return f"my-stack-{self.logical_id}-1ABCDEFGHIJKL"


class CloudFormation:
    """Sends requests, takes responses and signals. `send` delivers an event; `fail` says that a promise is broken."""

    def __init__(
        self,
        scheduler: Scheduler,
        license_manager: LicenseManager,
        send: Callable[[Request], None],
        in_flight: Callable[[Request], None],
        fail: Callable[[str], None],
    ) -> None:
        self._scheduler, self._license_manager, self._fail = scheduler, license_manager, fail
        self._send, self._in_flight = send, in_flight
        self.requests: list[Request] = []
        self.excused: Counter[str] = Counter()
        """How often the oracle has looked the other way, and why."""
        self._fleets: dict[frozenset[str], str] = {}
        self.resources = [
            Resource(f"arn:aws:cloudformation:us-east-1:123456789012:stack/my-stack/{n}", logical_id)
            for n, logical_id in ((1, "Gate"), (1, "GateWithALongNameOne"), (1, "GateWithALongNameTwo"), (2, "Gate"))
        ]

    # what a user, or another resource, does

    def create(self, resource: Resource, properties: dict[str, Any], *, keeps_failed: bool) -> None:
        resource.state, resource.keeps_failed, resource.properties = State.CREATING, keeps_failed, properties
        self._request(resource, "Create", properties, None)

    def create_anew(self, resource: Resource, properties: dict[str, Any]) -> None:
        """An update of a stack that kept a resource whose Create had failed."""
        resource.left = (resource.physical_id, resource.properties)
        self.create(resource, properties, keeps_failed=True)

    def retry_create(self, resource: Resource) -> None:
        """The deployment is tried again: the same RequestId, a new URL."""
        assert resource.current
        resource.state = State.CREATING
        self._request(resource, "Create", resource.properties, None, again=resource.current)

    def update(self, resource: Resource, properties: dict[str, Any], *, then_fails: bool, undo_by_delete: bool) -> None:
        resource.state, resource.then_fails, resource.undo_by_delete = State.UPDATING, then_fails, undo_by_delete
        self._request(resource, "Update", properties, resource.physical_id, old=resource.properties)

    def cancel(self, resource: Resource) -> None:
        """The answer is not waited for any more: a created resource is deleted, an updated one rolled back."""
        request = resource.current
        assert request
        request.open = False
        if resource.state is State.CREATING:
            self._soon(resource, lambda: self.delete(resource, resource.made_up_id()))
        else:
            self._soon(resource, lambda: self._roll_back(resource, resource.physical_id, request.properties))

    def continue_rollback(self, resource: Resource, *, same_request_id: bool) -> None:
        request = resource.current
        assert request
        assert request.old_properties is not None
        again = request if same_request_id else None
        self._roll_back(resource, str(request.physical_id), request.old_properties, again)

    def delete(self, resource: Resource, physical_id: str | None = None) -> None:
        resource.state, resource.physical_id = State.DELETING, physical_id or resource.physical_id
        self._request(resource, "Delete", resource.properties, resource.physical_id)

    # what follows

    def _soon(self, resource: Resource, what: Callable[[], None]) -> None:
        """The next step of a stack operation; nothing else happens to the resource until then."""
        resource.generation += 1
        generation = resource.generation

        def go_on() -> None:
            if resource.generation == generation:
                what()

        self._scheduler.after(GAP, go_on)

    def _roll_back(
        self, resource: Resource, physical_id: str, failed: dict[str, Any], again: Request | None = None
    ) -> None:
        resource.state = State.ROLLING_BACK
        self._request(resource, "Update", resource.properties, physical_id, old=failed, again=again)

    def _clean_up(self, resource: Resource, physical_id: str, properties: dict[str, Any]) -> None:
        resource.state = State.CLEANING_UP
        self._soon(resource, lambda: self._request(resource, "Delete", properties, physical_id))

    def _request(
        self,
        resource: Resource,
        kind: str,
        properties: dict[str, Any],
        physical_id: str | None,
        *,
        old: dict[str, Any] | None = None,
        again: Request | None = None,
    ) -> None:
        resource.generation += 1
        number = len(self.requests) + 1
        signed = self._scheduler.clock()
        url = (
            f"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/r{number}"
            f"?X-Amz-Date={signed:%Y%m%dT%H%M%SZ}&X-Amz-Expires=7200&X-Amz-Signature={SECRET}{number}"
        )
        request = Request(
            resource, number, kind, again.request_id if again else f"request-{number}", physical_id,
            properties, old, self._scheduler.now, url,
        )  # fmt: skip
        self.requests.append(request)
        resource.current = request
        self._scheduler.after(request.service_timeout, lambda: self._expire(request))
        self._send(request)

    def _expire(self, request: Request) -> None:
        if not request.open:
            return
        request.open = False
        if self.due(request):
            self._fail(f"{request} was not answered in its {request.service_timeout} s; lost: {request.lost}")
        self._answered(request, "FAILED", None)

    def due(self, request: Request) -> bool:
        """Whether the faults were few enough that an answer must have come by now.

        An invocation for the request (the first, the second, or one of the last resort's three in their place) must have
        come through, and before the margin that the gate keeps for the answer began; of a wait's verdict, not all nine
        attempts of the last resort may have failed; of the margin, three seconds must not have been taken by faults; and not
        so many PUTs in it may have met one.
        """
        begin = request.expiry - request.margin - 3
        if sum(at >= begin for at in request.faulty_puts) >= FAULTY_PUTS:
            self.excused["faulty PUTs"] += 1
            return False
        came_through = [at for at in (request.good_attempt, request.last_resort) if at is not None]
        if request.given_up_by >= LAST_RESORTS or not came_through or min(came_through) > begin:
            return False
        self._in_flight(request)
        late = request.lost_in(min(came_through), min(came_through) + 60)  # the wait began late, and so ends late
        lost = request.lost_in(begin, request.expiry) + late * (request.margin < 60)
        return lost == 0 or lost <= request.margin - 3

    # responses

    def taken(self, address: str, body: str, sender: Request | None) -> None:
        """A PUT has arrived."""
        path = urlsplit(address).path
        if path == MALFORMED:
            return
        if path.startswith("/h"):
            self._signalled(path, body, sender)
            return
        request = self.requests[int(path[2:]) - 1]
        said = json.loads(body)
        if sender is not request:
            self._fail(f"{sender} answers {request}")
        self._check_form(request, said, body)
        if request.bodies and body not in request.bodies and not self._excused(request, body):
            self._fail(f"{request} has two different responses: {request.bodies[0]} and {body}")
        request.bodies.append(body)
        if request.open:
            request.open = False
            request.answer = said
            self._check(request, said)
            self._answered(request, said["Status"], said["PhysicalResourceId"])

    def _excused(self, request: Request, body: str) -> bool:
        """The one case of two answers: Lambda gave an event up, and the last resort answered, though a wait had begun that it
        could not see, or one was begun by yet another delivery.
        """
        if not any("before it could answer" in one for one in (*request.bodies, body)):
            return False
        another = len(request.attempts) > LAMBDA_ATTEMPTS
        self.excused["another delivery" if another else "blind last resort"] += 1
        return another or request.blind

    def _signalled(self, path: str, body: str, sender: Request | None) -> None:
        if not sender or not sender.handle or urlsplit(sender.handle).path != path:
            self._fail(f"{sender} signals {path}")
            return
        if sender.signals and body not in sender.signals:
            self._fail(f"{sender} has two different signals: {sender.signals[0]} and {body}")
        sender.signals.append(body)
        said = json.loads(body)
        if (
            SECRET in body
            or set(said) != {"Status", "Reason", "UniqueId", "Data"}
            or len(body.encode()) > RESPONSE_BYTES
        ):
            self._fail(f"{sender} is signalled {body}")
        if said["Status"] == "SUCCESS":
            self._check_success(sender, json.loads(said["Data"]))

    def _check_form(self, request: Request, said: Mapping[str, Any], body: str) -> None:
        expected = (request.resource.stack_id, request.request_id, request.resource.logical_id)
        if (said["StackId"], said["RequestId"], said["LogicalResourceId"]) != expected:
            self._fail(f"{request} is answered for another: {body}")
        if len(body.encode()) > RESPONSE_BYTES or not 1 <= len(said["PhysicalResourceId"]) <= 1024 or SECRET in body:
            self._fail(f"{request} is answered {body}")

    def _check(self, request: Request, said: Mapping[str, Any]) -> None:
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

    def _is_right_id(self, request: Request, physical_id: str) -> bool:
        if request.resource_arn:
            return physical_id in self._newest_since(request)
        if "LicenseConversionTaskIds" in request.properties:
            known = self._fleets.setdefault(frozenset(request.task_ids), physical_id)
            return physical_id == known and not physical_id.startswith("lct-")
        return (physical_id,) == request.task_ids

    def _newest_since(self, request: Request) -> set[str]:
        """Tasks of the resource that have been its newest since the request was made."""
        manager = self._license_manager
        begun = {t.task_id for t in manager.tasks.values() if request.requested <= t.began <= self._scheduler.now}
        return {t for t in begun if resource_arn(t) == request.resource_arn} | {
            manager.newest(request.resource_arn, request.requested)
        }

    def _statuses(self, request: Request) -> set[str]:
        """Of the task, or the tasks, that it may mean."""
        return {self._license_manager.status(t) for t in request.task_ids or self._newest_since(request)}

    def _check_success(self, request: Request, data: Mapping[str, str]) -> None:
        statuses = self._statuses(request)
        allowed = {"SUCCEEDED", "FAILED"} if request.properties.get("OnFailure") == "CONTINUE" else {"SUCCEEDED"}
        expected = statuses if len(statuses) == 1 or request.resource_arn else {"FAILED"}
        right = bool(statuses & allowed) if request.resource_arn else statuses <= allowed
        if not right or data.get("Status") not in expected & allowed or not request.valid:
            self._fail(f"{request} succeeds, but its task is {statuses}: {data}")
        self._check_names(request, data)

    def _check_names(self, request: Request, data: Mapping[str, str]) -> None:
        names = FLEET_ATTRIBUTES if "LicenseConversionTaskIds" in request.properties else ATTRIBUTES
        if set(data) != names or not all(isinstance(value, str) for value in data.values()):
            self._fail(f"{request} succeeds without all attributes: {data}")

    def _check_failure(self, request: Request, reason: str) -> None:
        """A FAILED has its reason."""
        statuses = self._statuses(request)
        if reason.startswith("License conversion FAILED"):
            right = "FAILED" in statuses and request.properties.get("OnFailure") != "CONTINUE"
        elif reason.startswith("The wait ran out"):
            right = self._scheduler.now >= request.answer_deadline - 1  # requested to the second
        elif reason.startswith(GATE_BROKE):
            right = request.hard_faults > 0
        else:
            denied = self._license_manager.denies(request.resource_arn)
            right = "REFUSED" in statuses or denied or not request.valid
        if not right:
            self._fail(f"{request} of a task that is {statuses} fails at {self._scheduler.now}: {reason}")

    def _answered(self, request: Request, status: str, physical_id: str | None) -> None:
        resource, succeeds = request.resource, status == "SUCCESS"
        match resource.state:
            case State.CREATING if succeeds:
                left, resource.left = resource.left, None
                resource.state, resource.physical_id = State.READY, str(physical_id)
                if left and left[0] != physical_id:
                    self._clean_up(resource, *left)
            case State.CREATING if resource.keeps_failed and physical_id:
                resource.state, resource.physical_id = State.CREATE_FAILED, physical_id
            case State.CREATING:
                self._soon(resource, lambda: self.delete(resource, physical_id or resource.made_up_id()))
            case State.UPDATING if succeeds:
                self._updated(request, str(physical_id))
            case State.UPDATING:
                self._soon(resource, lambda: self._roll_back(resource, resource.physical_id, request.properties))
            case State.ROLLING_BACK if succeeds:
                resource.state, resource.physical_id = State.READY, str(physical_id)
                if physical_id != request.physical_id:
                    self._clean_up(resource, str(request.physical_id), request.old_properties or {})
            case State.ROLLING_BACK:
                resource.state, resource.physical_id = State.ROLLBACK_FAILED, str(request.physical_id)
            case State.CLEANING_UP:
                resource.state = State.READY
            case State.DELETING:
                resource.state = State.ABSENT if succeeds else State.DELETE_FAILED

    def _updated(self, request: Request, physical_id: str) -> None:
        resource, old_id = request.resource, resource_id(request)
        replaced = physical_id != old_id
        if resource.then_fails and replaced and resource.undo_by_delete:
            self._clean_up(resource, physical_id, request.properties)
        elif resource.then_fails:
            self._soon(resource, lambda: self._roll_back(resource, physical_id, request.properties))
        else:
            old, resource.properties = resource.properties, request.properties
            resource.state, resource.physical_id = State.READY, physical_id
            if replaced:
                self._clean_up(resource, old_id, old)


def resource_id(request: Request) -> str:
    assert request.physical_id
    return request.physical_id


def _ended(data: Mapping[str, str]) -> bool:
    """Whether it is a verdict, and not what is known when a handle's stack is answered at once."""
    if "Total" in data:
        return int(data["Succeeded"]) + int(data["Failed"]) == int(data["Total"])
    return data.get("Status") in ("SUCCEEDED", "FAILED")


def next_handle(number: int) -> str:
    host = "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com"
    return f"{host}/h{number}?X-Amz-Signature={SECRET}h{number}"
