"""A License Manager at the gate's own seam, for tests of what a gate makes of its words."""

from collections.abc import Callable

from license_conversion.conversion import ConversionTask, Status
from license_conversion.license_manager import LicenseManager, Page


class FakeLicenseManager(LicenseManager):
    """`says` of each task, and of a resource's newest one, a status, a whole task, or an exception, which is raised; where that
    is none, `of` may say something else of some of them. `asked` are the ids and ARNs that it was asked for, and the statuses
    that were listed. `called` is called before each answer: it may let time pass.
    """

    def __init__(self, task_id: str, called: Callable[[], None]) -> None:
        super().__init__("arn:aws:iam::123456789012:role/gate")
        self.says: str | ConversionTask | Exception = "IN_PROGRESS"
        self.of: dict[str, str | ConversionTask | Exception] = {}
        self.asked: list[str] = []
        self._newest, self._called = task_id, called

    def get_task(self, task_id: str) -> ConversionTask:
        return self._answer(task_id, task_id)

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self._answer(resource_arn, self._newest)

    def page_of(self, status: Status, token: str = "") -> Page:
        self.asked.append(status)
        self._called()
        if isinstance(self.says, Exception):
            raise self.says
        return Page({task_id: {"Status": said} for task_id, said in self.of.items() if said == status}, "")

    def _answer(self, what: str, task_id: str) -> ConversionTask:
        self.asked.append(what)
        self._called()
        said = self.says if isinstance(self.says, Exception) else self.of.get(what, self.says)
        if isinstance(said, Exception):
            raise said
        if isinstance(said, str):
            return ConversionTask({"LicenseConversionTaskId": task_id, "Status": said})
        return said
