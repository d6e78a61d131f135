"""Who waits at a gate: a request of CloudFormation's, or a state machine; and what happened to the gate meanwhile."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.simulation.interpreter import Execution

SERVICE_TIMEOUT = 3600
MARGIN = 60
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:CustomResource"
SECRET = "ThisIsACredential"
"""What no log may show."""
CHECK_SECONDS = 12
"""A check that hangs, and the pause after it, take so much of the margin at least: of one of less, too much."""


@dataclass(eq=False, kw_only=True)
class Waiter:
    """The recipient of one execution's response, and what its functions and calls have met."""

    number: int
    kind: str = "Call"
    properties: dict[str, Any]
    requested: float
    execution: Execution | None = None
    lost: list[tuple[float, float]] = field(default_factory=list)
    lost_to_checks: list[tuple[float, float]] = field(default_factory=list)
    throttled: float = -math.inf
    """When License Manager throttled a check of its last."""
    refused_at: float = -math.inf
    """When a check raised what License Manager refused."""
    denied: list[float] = field(default_factory=list)
    """When License Manager denied its checks what it allows, the last times without a break."""
    stop_faults: int = 0
    hard_faults: int = 0
    faulty_puts: list[float] = field(default_factory=list)
    ended_from_outside: str = ""
    """Step Functions, or an operator, ended the execution: its status."""
    net: list[float] = field(default_factory=list)
    """When the responder had worked through an event of the execution's end."""
    dead_letters: int = 0
    """Events of the execution's end that Lambda has given up."""
    metrics: Counter[str] = field(default_factory=Counter)
    """What the invocations and the execution have counted."""
    counts_lost: bool = False
    """An invocation was killed, its result was lost, or it was delivered twice: it may have counted twice, or not at all."""
    stopped: bool = False
    """By the function of a later request."""

    @property
    def margin(self) -> int:
        """Seconds of its time that the gate keeps for the response."""
        return MARGIN

    @property
    def deadline(self) -> float:
        """Of the wait."""
        return self.requested + int(self.properties.get("TimeoutSeconds", SERVICE_TIMEOUT))

    @property
    def response_deadline(self) -> float:
        return self.deadline

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
    def valid(self) -> bool:
        return self.properties.get("OnFailure") != "perhaps"

    def lost_in(self, begin: float, end: float) -> float:
        """Seconds of this time that faults have taken. Checks alone that hang or that Lambda throttles count for nothing."""
        checks, others = _seconds(self.lost_to_checks, begin, end), _seconds(self.lost, begin, end)
        return others + (checks if others or self.margin < CHECK_SECONDS else 0)


def _seconds(spans: Iterable[tuple[float, float]], begin: float, end: float) -> float:
    total, at = 0.0, begin
    for one, other in sorted(spans):
        total += max(0.0, min(other, end) - max(one, at))
        at = max(at, min(other, end))
    return total


@dataclass(eq=False, kw_only=True)
class Caller(Waiter):
    """A state machine that has started an execution: `.sync:2` waits for its end, a task token for its call."""

    token: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Of the token."""

    def __str__(self) -> str:
        return f"caller {self.number} {'with a token ' if self.token else ''}({self.key})"

    @property
    def valid(self) -> bool:
        return super().valid and "Stack" not in self.properties


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


@dataclass(eq=False, kw_only=True)
class LifecycleRequest(Waiter):
    """One request of a resource, and all that is known of it."""

    resource: "Resource"
    request_id: str
    physical_id: str | None
    old_properties: dict[str, Any] | None
    url: str
    open: bool = True
    response: dict[str, Any] | None = None
    bodies: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    deliveries: int = 0
    arrived: float | None = None
    """When Lambda began with it, or gave it up."""
    good_attempt: float | None = None
    responder: float | None = None
    """When the responder had worked through what Lambda had given up."""
    blind: bool = False
    """The responder could not see whether there is an execution."""

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
    def response_deadline(self) -> float:
        """Of the wait for the response to the request itself, which a handle does not make longer."""
        return min(self.deadline, self.expiry - self.margin)

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
    current: LifecycleRequest | None = None
    then_fails: bool = False
    keeps_failed: bool = False
    undo_by_delete: bool = False
    left: tuple[str, dict[str, Any]] | None = None
    """The id and the properties of a failed one that was kept, and is deleted once its successor is there."""
    generation: int = 0

    def made_up_id(self) -> str:
        """As CloudFormation does, of the names of the stack and the resource: nearly one of ours, here."""
        return f"license-conversion-fleet-{self.logical_id}-1ABCDEFGHIJKL"
