"""A License Manager at the gate's own seam, for tests of what the gate makes of its words."""

from license_conversion.shared import SharedLicenseManager
from license_conversion.task import ConversionTask


class FakeLicenseManager(SharedLicenseManager):
    """Gives one answer after another, the last one again and again; an exception is raised. `asked` are the ids and ARNs that it
    was asked for.
    """

    def __init__(self, *answers: ConversionTask | Exception) -> None:
        self.asked: list[str] = []
        self.between_calls = 0.0
        self._answers = iter(answers)
        self._last: ConversionTask | Exception | None = None

    def get_task(self, task_id: str) -> ConversionTask:
        self.asked.append(task_id)
        self._last = next(self._answers, self._last)
        assert self._last
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def newest_task(self, resource_arn: str) -> ConversionTask:
        return self.get_task(resource_arn)
