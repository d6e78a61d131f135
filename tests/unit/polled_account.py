"""An account's License Manager at the poll's own seam, with a clock that moves with each sleep and each call."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import StillUnknown
from license_conversion.license_manager import LicenseManager, Page

NOW = 1_795_369_195.0
IN_PROGRESS, SUCCEEDED, FAILED = "IN_PROGRESS", "SUCCEEDED", "FAILED"
THROTTLE = StillUnknown("slow down", throttled=True)
FAULT = StillUnknown("sorry")


@dataclass
class PolledAccount(LicenseManager):
    """Tasks by id, of which the listings show those that are not `hidden`, in pages.

    `calls`: each id that was asked for, each status that was listed. `denied` is raised in their place, and `no_list` in that of
    each listing. `then` is called after each sleep, with the seconds until then.
    """

    tasks: dict[str, str]
    page: int = 100
    messages: dict[str, str] = field(default_factory=dict)
    members: dict[str, Any] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    denied: dict[str, Exception] = field(default_factory=dict)
    no_list: Exception | None = None
    calls: list[str] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    then: Callable[[float], object] = lambda _: None
    seconds: float = 0.0
    call_seconds: float = 0.0

    def clock(self) -> float:
        return NOW + self.seconds

    def sleep(self, seconds: float) -> None:
        if seconds:
            self.sleeps.append(seconds)
        self.seconds += seconds
        self.then(self.seconds)

    def after(self, seconds: float, happens: Callable[[], object]) -> None:
        """Once, at the end of the first sleep that ends then or later."""

        def looks(now: float) -> None:
            if now >= seconds:
                self.then = lambda _: None
                happens()

        self.then = looks

    def get_task(self, task_id: str) -> ConversionTask:
        self._called(task_id, None)
        return ConversionTask.from_answer(task_id, self._shape(task_id))

    def page_of(self, status: Status, token: str = "") -> Page:
        self._called(str(status), self.no_list)
        listed = [one for one, said in self.tasks.items() if said == status and one not in self.hidden]
        first = int(token or 0)
        more = str(first + self.page) if first + self.page < len(listed) else ""
        return Page({one: self._shape(one) for one in listed[first : first + self.page]}, more)

    def _shape(self, task_id: str) -> dict[str, Any]:
        said = {"StatusMessage": self.messages[task_id]} if task_id in self.messages else {}
        return {"LicenseConversionTaskId": task_id, "Status": self.tasks[task_id], **said, **self.members}

    def _called(self, what: str, trouble: Exception | None) -> None:
        self.calls.append(what)
        self.seconds += self.call_seconds
        if trouble := self.denied.get(what, trouble):
            raise trouble


def tasks(count: int, status: str = IN_PROGRESS) -> dict[str, str]:
    return {f"lct-{number}": status for number in range(count)}
