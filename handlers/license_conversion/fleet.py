"""A fleet: many tasks in one gate, read like one conversion. Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from license_conversion.conversion import LIST_TASKS, ConversionTask, Status
from license_conversion.text import shorten, size

PREFIX = "license-conversion-fleet-"
ID_DIGITS = 24
MESSAGES_BYTES = 40_000
"""All the failed tasks' messages together, between two checks."""
MESSAGE_SHARE = 10
"""Of what is left of that, a message may take this part: the first ones are kept whole, and no number of them is too many."""
FAILED_IDS_BYTES = 1500
LINES_BYTES = 1800
"""What the ids of the failed tasks, and the lines about them, may take of a response's 4,096 bytes: whole ones, as many as
fit, because an id that is cut is no id."""


def fleet_id(task_ids: Iterable[str]) -> str:
    """The physical id of a fleet: it depends on the set of tasks alone."""
    digest = hashlib.sha256("\n".join(sorted(task_ids)).encode()).hexdigest()
    return f"{PREFIX}{digest[:ID_DIGITS]}"


@dataclass(frozen=True)
class Fleet:
    """The tasks of a fleet: `pending` ones are not known to be terminal, `failed` ones have their StatusMessage.

    `unseen` counts the pending tasks of which the last poll does not know how they stand.
    """

    task_ids: tuple[str, ...]
    pending: tuple[str, ...]
    failed: Mapping[str, str]
    unseen: int = 0

    @classmethod
    def from_carried(cls, task_ids: tuple[str, ...], state: Mapping[str, Any]) -> Self:
        """What the last check left in the gate's `state`; before the first one, all tasks are pending."""
        return cls(task_ids, tuple(state.get("Pending", " ".join(task_ids)).split()), state.get("FailedTasks", {}))

    def carried(self) -> dict[str, Any]:
        """The ids that are pending are in the gate's `Pending`."""
        return {"FailedTasks": dict(self.failed)}

    @property
    def task_id(self) -> str:
        return fleet_id(self.task_ids)

    @property
    def status(self) -> Status:
        if self.failed:
            return Status.FAILED
        return Status.IN_PROGRESS if self.pending else Status.SUCCEEDED

    @property
    def terminal(self) -> bool:
        return not self.pending

    @property
    def seen(self) -> bool:
        return self.unseen < len(self.pending)

    @property
    def runs(self) -> bool:
        return self.seen and bool(self.pending)

    @property
    def status_word(self) -> str:
        """A failed task does not end a fleet by itself."""
        return str(Status.IN_PROGRESS if self.pending else self.status)

    @property
    def status_message(self) -> str:
        """One line for each failed task, as many as fit; the first one always, shortened if need be."""
        lines = (shorten(f"{task_id}: {said}", LINES_BYTES) for task_id, said in self.failed.items())
        return "\n".join(_fitting(lines, LINES_BYTES))

    @property
    def label(self) -> str:
        counts = f"{len(self.failed)} of {len(self.task_ids)} tasks FAILED, {len(self.pending)} not ended"
        return f"fleet {self.task_id} ({counts})"

    @property
    def command(self) -> str:
        return LIST_TASKS

    @property
    def arns(self) -> list[str]:
        return []

    def output(self, limit: int) -> dict[str, Any]:
        """With every task in `Tasks` if that fits, else with `TasksAt` instead."""
        counts = self._counts()
        pending = set(self.pending)
        tasks = [self._task(task_id, task_id in pending) for task_id in self.task_ids]
        whole = {**counts, "FailedTaskIds": list(self.failed), "Tasks": tasks}
        if len(json.dumps(whole, ensure_ascii=False).encode()) <= limit:
            return whole
        return {**counts, "FailedTaskIds": _fitting(self.failed, limit // 4), "TasksAt": LIST_TASKS}

    def _counts(self) -> dict[str, Any]:
        return {
            "LicenseConversionTaskId": self.task_id,
            "Status": str(self.status),
            "Total": len(self.task_ids),
            "Succeeded": len(self.task_ids) - len(self.pending) - len(self.failed),
            "Failed": len(self.failed),
        }

    def _task(self, task_id: str, pending: bool) -> dict[str, str]:
        if task_id in self.failed:
            said = {"Status": str(Status.FAILED), "StatusMessage": self.failed[task_id]}
        else:
            said = {"Status": str(Status.IN_PROGRESS if pending else Status.SUCCEEDED)}
        return {"LicenseConversionTaskId": task_id, **said}

    def attributes(self) -> dict[str, str]:
        counts = self._counts()
        return {
            **{name: str(counts[name]) for name in ("Status", "Total", "Succeeded", "Failed")},
            "FailedTaskIds": ",".join(_fitting(self.failed, FAILED_IDS_BYTES)),
            "StatusMessage": self.status_message,
        }

    def after(self, tasks: Iterable[ConversionTask], unseen: int = 0) -> "Fleet":
        ended = {task.task_id: task for task in tasks if task.terminal}
        pending = tuple(task_id for task_id in self.pending if task_id not in ended)
        failed = dict(self.failed)
        room = MESSAGES_BYTES - sum(size(said) for said in failed.values())
        for task in ended.values():
            if task.status is Status.FAILED and task.task_id in self.pending:
                failed[task.task_id] = shorten(task.status_message, room // MESSAGE_SHARE)
                room -= size(failed[task.task_id])
        return replace(self, pending=pending, failed=failed, unseen=unseen)


Conversion = ConversionTask | Fleet
"""What a gate waits for."""


def _fitting(parts: Iterable[str], limit: int) -> list[str]:
    """As many whole parts as fit, with what separates them, into `limit` bytes of JSON."""
    fitting: list[str] = []
    for part in parts:
        limit -= size(part) + (len("\\n") if fitting else 0)
        if limit < 0:
            break
        fitting.append(part)
    return fitting
