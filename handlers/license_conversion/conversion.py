"""What License Manager says of a conversion: its status, its attributes, its output. Pure.

A gate waits for one task, or for a fleet of them; fleet.py has the type of either, and reads the same properties.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from license_conversion.text import shorten

TIMES = ("StartTime", "LicenseConversionTime", "EndTime")
ATTRIBUTES: Mapping[str, str] = {
    "LicenseConversionTaskId": "the task: `lct-0123456789abcdef0`",
    "ResourceArn": "the resource that was converted: `arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0`",
    "SourceLicenseContext.UsageOperation": "what it was billed as: `RunInstances:0800`",
    "SourceLicenseContext.ProductCodes": "marketplace product codes, comma-separated",
    "DestinationLicenseContext.UsageOperation": "what it is billed as now: `RunInstances:0002`",
    "DestinationLicenseContext.ProductCodes": "marketplace product codes, comma-separated",
    "Status": "`SUCCEEDED`; `FAILED` only with `OnFailure: CONTINUE`; any other only with a `WaitConditionHandle`",
    "StatusMessage": "License Manager's message; shortened, with a mark, if the response would not fit",
    "StartTime": "when the conversion began: `2026-11-22T17:39:55Z`",
    "LicenseConversionTime": "when the usage operation of the resource was changed",
    "EndTime": "when the conversion ended",
}
"""The names that Fn::GetAtt knows, with what they mean. A name that a response lacks fails the stack, so each is always there."""

MEMBERS: Mapping[str, type] = {
    "ResourceArn": str,
    "SourceLicenseContext": Mapping,
    "DestinationLicenseContext": Mapping,
    "Status": str,
    "StatusMessage": str,
    **dict.fromkeys(TIMES, datetime),
}
LIST_TASKS = "aws license-manager list-license-conversion-tasks"
MESSAGE_BYTES = 15_000
"""A longer StatusMessage would fit nowhere: a response has 4,096 bytes, an execution's Cause 32,768 characters."""
ARN_BYTES = 1024
CONTEXT_BYTES = 256
MOST_CODES = 10
"""More than any ARN, any text of a license context and any list of product codes has: a service that lies must not fill an
execution's state, or its Cause."""
LONGEST = {"StatusMessage": MESSAGE_BYTES, "ResourceArn": ARN_BYTES}


class Status(StrEnum):
    """What License Manager says of a task. UNKNOWN: a status that it does not document, or none."""

    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True)
class ConversionTask:
    """One answer of GetLicenseConversionTask, in the service's own shape.

    `shape` has PascalCase keys and the nested contexts as they came; times are ISO 8601 strings in UTC; members that the
    answer lacks are absent.
    """

    shape: Mapping[str, Any]

    @classmethod
    def from_answer(cls, task_id: str, answer: Mapping[str, Any]) -> Self:
        """The task that `task_id` was asked for. An answer about another task says nothing about this one.

        A member of a type that the service does not document counts as absent.
        """
        if answer.get("LicenseConversionTaskId", task_id) != task_id:
            return cls.unseen(task_id)
        shape: dict[str, Any] = {"LicenseConversionTaskId": task_id}
        for name, kind in MEMBERS.items():
            value = answer.get(name)
            plain = _plain(value, LONGEST.get(name, CONTEXT_BYTES))
            if isinstance(value, kind) and plain is not None:
                shape[name] = plain
        return cls(shape)

    @classmethod
    def unseen(cls, task_id: str = "", resource_arn: str = "") -> Self:
        """A task before the first check: what the request says of it."""
        said = {"LicenseConversionTaskId": task_id, "ResourceArn": resource_arn}
        return cls({name: value for name, value in said.items() if value})

    @classmethod
    def from_result(cls, result: Any) -> Self:
        """What the poller sends of a task: its shape, or the id alone of one that has succeeded."""
        return cls({"LicenseConversionTaskId": result, "Status": "SUCCEEDED"} if isinstance(result, str) else result)

    def after(self, tasks: "Iterable[ConversionTask]", unseen: int = 0) -> "ConversionTask":  # noqa: ARG002 - a fleet's
        """The same, after these tasks were seen, and so many were not that should have been."""
        return next((task for task in tasks if task.task_id == self.task_id and task.seen), self)

    @property
    def pending(self) -> tuple[str, ...]:
        """The ids of the tasks that are waited for."""
        return (self.task_id,) if self.task_id and not self.terminal else ()

    @property
    def task_id(self) -> str:
        """The physical id; `""` before the newest task of a resource is known."""
        return str(self.shape.get("LicenseConversionTaskId", ""))

    @property
    def status(self) -> Status:
        try:
            return Status(self.shape.get("Status", ""))
        except ValueError:
            return Status.UNKNOWN

    @property
    def seen(self) -> bool:
        """Whether License Manager has said how it stands."""
        return "Status" in self.shape

    @property
    def runs(self) -> bool:
        return self.status is Status.IN_PROGRESS

    @property
    def status_word(self) -> str:
        """The status as the service gives it, for people."""
        return str(self.shape.get("Status", "")) or "no status"

    @property
    def trouble(self) -> str:
        """Why the answer is no outcome, though License Manager answered."""
        if self.status is not Status.UNKNOWN:
            return ""
        return f"the status is {self.status_word}, which License Manager does not document"

    @property
    def status_message(self) -> str:
        return str(self.shape.get("StatusMessage", ""))

    @property
    def terminal(self) -> bool:
        return self.status in (Status.SUCCEEDED, Status.FAILED)

    @property
    def label(self) -> str:
        """Which task it is, for people."""
        resource = self.shape.get("ResourceArn") or "an unknown resource"
        return f"task {self.task_id} of {resource}" if self.task_id else str(resource)

    @property
    def command(self) -> str:
        """What shows a person more, without the region."""
        if self.task_id:
            return f"aws license-manager get-license-conversion-task --license-conversion-task-id {self.task_id}"
        return f"{LIST_TASKS} --filters Name=ResourceArns,Values={self.shape.get('ResourceArn', '')}"

    @property
    def arns(self) -> list[str]:
        """The resources, for an event."""
        return [self.shape["ResourceArn"]] if "ResourceArn" in self.shape else []

    def output(self, _limit: int) -> dict[str, Any]:
        """The shape, of a fleet in at most `limit` bytes."""
        return dict(self.shape)  # one task always fits

    def carried(self) -> dict[str, Any]:
        """What the state machine keeps of it until the next check."""
        return {"Task": dict(self.shape)}

    @property
    def start_time(self) -> datetime | None:
        started = self.shape.get("StartTime")
        return datetime.fromisoformat(started) if started else None

    def attributes(self) -> dict[str, str]:
        """What Fn::GetAtt finds: each name is there, and each value is a string."""
        return {name: self._attribute(name) for name in ATTRIBUTES}

    def _attribute(self, name: str) -> str:
        value: Any = self.shape
        for member in name.split("."):
            value = value.get(member, "") if isinstance(value, Mapping) else ""
        if name.endswith(".ProductCodes"):
            return _product_code_ids(value)
        return value if isinstance(value, str) else ""


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2026-11-22T17:39:55Z`: the one form in which a time leaves the gate."""
    return f"{moment.astimezone(UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def _product_code_ids(codes: Any) -> str:
    codes = codes if isinstance(codes, list) else []
    ids = (code.get("ProductCodeId") for code in codes if isinstance(code, Mapping))
    return ",".join(one for one in ids if isinstance(one, str))


def _plain(value: Any, limit: int) -> Any:
    """`value` as JSON has it, each text in at most `limit` bytes; None for what JSON or UTF-8 has no form for."""
    if isinstance(value, str):
        return shorten(value.encode("utf-8", "replace").decode(), limit)
    if isinstance(value, datetime):
        try:
            return iso(value)
        except OverflowError:  # a date at the end of time, in a time zone beyond it
            return None
    if isinstance(value, Mapping):
        plain = {name: _plain(member, limit) for name, member in value.items()}
        return {name: member for name, member in plain.items() if member is not None}
    if isinstance(value, list):
        return [_plain(member, limit) for member in value[:MOST_CODES] if member is not None]
    return value if isinstance(value, int) else None
