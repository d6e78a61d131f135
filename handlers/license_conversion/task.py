"""GetLicenseConversionTask's answer -> a status, attributes, an output. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

from license_conversion.text import shorten

CONTEXTS = ("SourceLicenseContext", "DestinationLicenseContext")
TIMES = ("StartTime", "LicenseConversionTime", "EndTime")
ATTRIBUTES = (
    "LicenseConversionTaskId",
    "ResourceArn",
    *(f"{context}.{member}" for context in CONTEXTS for member in ("UsageOperation", "ProductCodes")),
    "Status",
    "StatusMessage",
    *TIMES,
)
"""The names that Fn::GetAtt knows. A name that a response lacks fails the stack, so each one is always there."""

MESSAGE_BYTES = 16_000
"""A longer StatusMessage would fit into no answer: a response has 4,096 bytes, an execution's Cause 32,768 characters."""


class Status(StrEnum):
    """What License Manager says of a task. UNKNOWN: a word that it does not document, or none."""

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
        """The task that `task_id` was asked for. An answer about another task says nothing about this one."""
        if answer.get("LicenseConversionTaskId", task_id) != task_id:
            return cls.unseen(task_id)
        known = ("LicenseConversionTaskId", "ResourceArn", *CONTEXTS, "Status", "StatusMessage", *TIMES)
        members = {"LicenseConversionTaskId": task_id, **answer}
        return cls({name: _plain(members[name]) for name in known if members.get(name) is not None})

    @classmethod
    def unseen(cls, task_id: str) -> Self:
        """A task before the first look at it."""
        return cls({"LicenseConversionTaskId": task_id})

    @property
    def task_id(self) -> str:
        return str(self.shape["LicenseConversionTaskId"])

    @property
    def resource_arn(self) -> str:
        return str(self.shape.get("ResourceArn", ""))

    @property
    def status(self) -> Status:
        try:
            return Status(self.shape.get("Status", ""))
        except ValueError:
            return Status.UNKNOWN

    @property
    def status_word(self) -> str:
        """The status in the service's own word, for people."""
        return str(self.shape.get("Status", "")) or "no status"

    @property
    def status_message(self) -> str:
        return str(self.shape.get("StatusMessage", ""))

    @property
    def terminal(self) -> bool:
        return self.status in (Status.SUCCEEDED, Status.FAILED)

    @property
    def start_time(self) -> datetime | None:
        started = self.shape.get("StartTime")
        return datetime.fromisoformat(started) if started else None

    def attributes(self) -> dict[str, str]:
        """Every attribute by name, each a string: `""` for what License Manager has not given."""
        return {name: self._attribute(name) for name in ATTRIBUTES}

    def _attribute(self, name: str) -> str:
        value: Any = self.shape
        for member in name.split("."):
            value = value.get(member, "") if isinstance(value, Mapping) else ""
        if name.endswith(".ProductCodes"):
            return _product_code_ids(value or [])
        return str(value)


def iso(moment: datetime) -> str:
    """`2026-11-22T17:39:55Z`: the one form in which a time leaves the gate."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _product_code_ids(codes: Iterable[Mapping[str, str]]) -> str:
    return ",".join(str(code.get("ProductCodeId", "")) for code in codes)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return iso(value)
    return shorten(value, MESSAGE_BYTES) if isinstance(value, str) else value
