"""A license type conversion task, as the service sees it, and as it tells of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

IN_PROGRESS = "IN_PROGRESS"
RESOURCE_ARN = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
WINDOWS_BYOL, WINDOWS_LICENSE_INCLUDED = "RunInstances:0800", "RunInstances:0002"
Context = str | Mapping[str, Any]
"""A license context: as on the wire (`UsageOperation`, `ProductCodes`), or the usage operation alone."""


@dataclass(frozen=True)
class Task:
    """A task that ends by itself, `duration` seconds after `start_time` (epoch seconds). With `begins_when_seen` that is when
    the service first tells of it: then whoever looks sees it run, however long it took to come.

    What License Manager leaves out before the end is not documented: `absent_in_progress` is a guess that tests vary.
    `lies` are answered whether true or not, None as a null; `without` names members that are never answered; `region`
    is the only one that knows the task, None for all of them.
    """

    task_id: str
    start_time: float
    duration: float
    end_status: str
    status_message: str | None = None
    resource_arn: str = RESOURCE_ARN
    source: Context = WINDOWS_BYOL
    destination: Context = WINDOWS_LICENSE_INCLUDED
    absent_in_progress: Sequence[str] = ("StatusMessage", "LicenseConversionTime", "EndTime")
    lies: Mapping[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()
    region: str | None = None
    begins_when_seen: bool = False

    def answer(self, now: float) -> dict[str, Any]:
        """The members that the service gives at `now`: true ones, then lies, less those that it keeps to itself."""
        end_time = min(now, self.start_time + self.duration)
        in_progress = self.duration > 0 and (self.begins_when_seen or now - self.start_time < self.duration)
        failed = not in_progress and self.end_status == "FAILED"
        members = {
            "LicenseConversionTaskId": self.task_id,
            "ResourceArn": self.resource_arn,
            "SourceLicenseContext": _context(self.source),
            "DestinationLicenseContext": _context(self.destination),
            "Status": IN_PROGRESS if in_progress else self.end_status,
            "StatusMessage": self.status_message or (self._why_it_failed() if failed else None),
            "StartTime": self.start_time,
            # The time the usage operation changed, which a failed conversion leaves as it was.
            "LicenseConversionTime": None if failed else end_time,
            "EndTime": end_time,
        }
        left_out = {*self.without, *(self.absent_in_progress if in_progress else ())}
        told = {name: value for name, value in members.items() if value is not None and name not in left_out}
        return told | {name: value for name, value in self.lies.items() if name not in self.without}

    def _why_it_failed(self) -> str:
        instance = self.resource_arn.rpartition("/")[2]
        return (
            f"Instance [{instance}] is launched from an Amazon owned AMI. "
            "Provide an instance launched originally from a BYOL AMI."
        )


def _context(context: Context) -> Mapping[str, Any]:
    return {"UsageOperation": context} if isinstance(context, str) else context
