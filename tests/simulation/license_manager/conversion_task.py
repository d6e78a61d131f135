"""A license type conversion task, as the service sees it, and as it answers about it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

IN_PROGRESS = "IN_PROGRESS"
RESOURCE_ARN = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
WINDOWS_BYOL, WINDOWS_LICENSE_INCLUDED = "RunInstances:0800", "RunInstances:0002"
NOT_BEFORE_THE_END = ("StatusMessage", "LicenseConversionTime", "EndTime")
"""What License Manager leaves out while a conversion runs is not documented: a guess."""
Context = str | Mapping[str, Any]
"""A license context: as on the wire (`UsageOperation`, `ProductCodes`), or the usage operation alone."""


@dataclass(frozen=True)
class Task:
    """A task that ends by itself, `duration` seconds after `start_time` (epoch seconds). With `begins_when_seen` that is when
    the service first answers about it: then a check sees it run, however late it comes.

    `region` is the only one that knows the task, None for all of them.
    """

    task_id: str
    start_time: float
    duration: float
    end_status: str
    status_message: str | None = None
    resource_arn: str = RESOURCE_ARN
    source: Context = WINDOWS_BYOL
    destination: Context = WINDOWS_LICENSE_INCLUDED
    region: str | None = None
    begins_when_seen: bool = False
    fails_late: bool = False
    """When it has changed the usage operation already."""

    @property
    def end_time(self) -> float:
        return self.start_time + self.duration

    def status(self, now: float) -> str:
        runs = self.duration > 0 and (self.begins_when_seen or now < self.end_time)
        return IN_PROGRESS if runs else self.end_status

    def is_listed(self, region: str, wanted: Iterable[tuple[str, str]], now: float) -> bool:
        """Whether a list of the region has it whose filters want these members: of what is true, whatever it answers."""
        if self.start_time > now or self.region not in (None, region):
            return False
        return all((self.status(now) if member == "Status" else self.resource_arn) == value for member, value in wanted)

    def answer(self, now: float) -> dict[str, Any]:
        """The members that the service gives at `now`."""
        end_time, status = min(now, self.end_time), self.status(now)
        in_progress, failed = status == IN_PROGRESS, status == "FAILED"
        members = {
            "LicenseConversionTaskId": self.task_id,
            "ResourceArn": self.resource_arn,
            "SourceLicenseContext": on_the_wire(self.source),
            "DestinationLicenseContext": on_the_wire(self.destination),
            "Status": status,
            "StatusMessage": self.status_message or (self._why_it_failed() if failed else None),
            "StartTime": self.start_time,
            "LicenseConversionTime": None if failed and not self.fails_late else end_time,
            "EndTime": end_time,
        }
        left_out = NOT_BEFORE_THE_END if in_progress else ()
        return {name: value for name, value in members.items() if value is not None and name not in left_out}

    def _why_it_failed(self) -> str:
        instance = self.resource_arn.rpartition("/")[2]
        return (
            f"Instance [{instance}] is launched from an Amazon owned AMI. "
            "Provide an instance launched originally from a BYOL AMI."
        )


def on_the_wire(context: Context) -> Mapping[str, Any]:
    return {"UsageOperation": context} if isinstance(context, str) else context
