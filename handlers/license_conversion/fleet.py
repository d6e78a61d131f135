"""Many tasks in one gate: what is known of them, and one look at those that still run."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

from license_conversion.errors import StillUnknown
from license_conversion.request import fleet_id
from license_conversion.shared import SharedLicenseManager
from license_conversion.task import LIST_TASKS, ConversionTask, Status
from license_conversion.text import shorten, size

OUTPUT_BYTES = 100_000
"""What the list of tasks may take of an execution's 256 KB, which holds the output more than once."""
MESSAGES_BYTES = 40_000
"""All the failed tasks' messages together, between two checks."""
MESSAGE_SHARE = 10
"""Of what is left of that, a message may take this part: the first ones are kept whole, and no number of them is too many."""
FAILED_IDS_BYTES = 1500
LINES_BYTES = 1800
"""What the ids of the failed tasks, and the lines about them, may take of a response's 4,096 bytes: whole ones, as many as
fit, because an id that is cut is no id."""


@dataclass(frozen=True)
class Fleet:
    """The tasks of a fleet: `pending` ones are not known to be terminal, `failed` ones have their StatusMessage.

    It can be read like a ConversionTask. `unconfirmed` counts the pending tasks that the last look did not come to.
    """

    task_ids: tuple[str, ...]
    pending: tuple[str, ...]
    failed: Mapping[str, str]
    unconfirmed: int = 0

    @classmethod
    def unseen(cls, task_ids: tuple[str, ...]) -> Self:
        return cls(task_ids, task_ids, {})

    @property
    def task_id(self) -> str:
        """The physical id."""
        return fleet_id(self.task_ids)

    @property
    def status(self) -> Status:
        if self.failed:
            return Status.FAILED
        return Status.IN_PROGRESS if self.pending else Status.SUCCEEDED

    @property
    def seen(self) -> bool:
        """Whether the last look came to any of those that are pending."""
        return self.unconfirmed < len(self.pending)

    @property
    def runs(self) -> bool:
        return self.seen and bool(self.pending)

    @property
    def status_word(self) -> str:
        """What a fleet that is waited for still is, for people: a failed task does not end it by itself."""
        return str(Status.IN_PROGRESS if self.pending else self.status)

    @property
    def status_message(self) -> str:
        """One line for each failed task, as many as fit; the first one always, shortened if need be."""
        lines = (shorten(f"{task_id}: {said}", LINES_BYTES) for task_id, said in self.failed.items())
        return "\n".join(_fitting(lines, LINES_BYTES))

    @property
    def terminal(self) -> bool:
        return not self.pending

    @property
    def start_time(self) -> None:
        """A fleet's pace counts from the start of the wait."""
        return None

    @property
    def label(self) -> str:
        counts = f"{len(self.failed)} of {len(self.task_ids)} tasks FAILED, {len(self.pending)} not ended"
        return f"fleet {self.task_id} ({counts})"

    @property
    def command(self) -> str:
        return LIST_TASKS

    @property
    def shape(self) -> Mapping[str, Any]:
        return self.within(OUTPUT_BYTES)

    def within(self, limit: int) -> Mapping[str, Any]:
        """The output, with every task in `Tasks` if that fits into `limit` bytes, else with `TasksAt` in its place."""
        counts = self._counts()
        tasks = [self._task(task_id, set(self.pending)) for task_id in self.task_ids]
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

    def _task(self, task_id: str, pending: set[str]) -> dict[str, str]:
        if task_id in self.failed:
            said = {"Status": str(Status.FAILED), "StatusMessage": self.failed[task_id]}
        else:
            said = {"Status": str(Status.IN_PROGRESS if task_id in pending else Status.SUCCEEDED)}
        return {"LicenseConversionTaskId": task_id, **said}

    def attributes(self) -> dict[str, str]:
        """Every attribute of a fleet by name, each a string."""
        counts = self._counts()
        return {
            **{name: str(counts[name]) for name in ("Status", "Total", "Succeeded", "Failed")},
            "FailedTaskIds": ",".join(_fitting(self.failed, FAILED_IDS_BYTES)),
            "StatusMessage": self.status_message,
        }

    def carried(self) -> dict[str, Any]:
        """What the state machine keeps until the next check; `from_carried` reads it."""
        return {"Pending": list(self.pending), "FailedTasks": dict(self.failed)}

    @classmethod
    def from_carried(cls, task_ids: tuple[str, ...], state: Mapping[str, Any]) -> Self:
        if "Pending" not in state:
            return cls.unseen(task_ids)
        return cls(task_ids, tuple(state["Pending"]), state["FailedTasks"])

    def with_seen(self, *tasks: ConversionTask) -> Self:
        """The fleet after a look at some of its tasks."""
        ended = {task.task_id: task for task in tasks if task.terminal}
        if not ended:
            return self
        pending = tuple(task_id for task_id in self.pending if task_id not in ended)
        failed_now = [task for task in ended.values() if task.status is Status.FAILED]
        if not failed_now:
            return replace(self, pending=pending)
        failed = dict(self.failed)
        room = MESSAGES_BYTES - sum(size(said) for said in failed.values())
        for task in failed_now:
            failed[task.task_id] = shorten(task.status_message, room // MESSAGE_SHARE)
            room -= size(failed[task.task_id])
        return replace(self, pending=pending, failed=failed)

    def with_words(self, words: Iterable[Mapping[str, Any]]) -> Self:
        """The fleet after what the watch said of its tasks."""
        return self.with_seen(*(ConversionTask(word) for word in words))

    def asked_last(self, asked: tuple[str, ...], unconfirmed: int) -> Self:
        """The fleet whose next look comes to the other tasks first."""
        others = tuple(task_id for task_id in self.pending if task_id not in set(asked))
        again = tuple(task_id for task_id in self.pending if task_id in set(asked))
        return replace(self, pending=others + again, unconfirmed=unconfirmed)


@dataclass(frozen=True)
class Look:
    """What one look at a fleet found, and what kept it from seeing all."""

    fleet: Fleet
    trouble: str = ""
    throttled: bool = False
    unknown_status: bool = False


def look(
    fleet: Fleet,
    to_ask: Sequence[str],
    license_manager: SharedLicenseManager,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    *,
    until: datetime,
    stop_at_failure: bool,
) -> Look:
    """One look at those of the pending tasks: each is asked for by itself, and that answer is the verdict.

    A terminal task is never asked about again. No call begins after `until`: the tasks that the look has not come to are the
    next one's. Raises InvalidRequest and AccessDenied.
    """
    trouble, throttled, unknown_status, asked = "", False, False, 0
    for task_id in to_ask:
        pause = license_manager.between_calls if len(fleet.task_ids) > 1 else 0.0
        if clock() + timedelta(seconds=pause) > until or (stop_at_failure and fleet.failed):
            break
        sleep(pause)
        try:
            task = license_manager.get_task(task_id)
            fleet = fleet.with_seen(task)
            if task.trouble:
                trouble, unknown_status = f"{task_id}: {task.trouble}", True
        except StillUnknown as unknown:
            trouble, throttled = f"{task_id}: {unknown}", unknown.throttled
            if throttled:
                break
        asked += 1
    return Look(
        fleet.asked_last(tuple(to_ask[:asked]), unconfirmed=len(to_ask) - asked), trouble, throttled, unknown_status
    )


def _fitting(parts: Iterable[str], limit: int) -> list[str]:
    """As many whole parts as fit, with what separates them, into `limit` bytes of JSON."""
    fitting: list[str] = []
    for part in parts:
        limit -= size(part) + (len("\\n") if fitting else 0)
        if limit < 0:
            break
        fitting.append(part)
    return fitting
