"""The service itself: its tasks, its three operations and what it remembers of each call. It knows nothing of HTTP."""

import hashlib
import secrets
import threading
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice
from operator import itemgetter
from typing import Any

from tests.simulation.license_manager.conversion_task import IN_PROGRESS, WINDOWS_BYOL, Task, on_the_wire
from tests.simulation.license_manager.service_faults import ServiceFaults

Json = dict[str, Any]
INVALID = "InvalidParameterValueException"
STOPPED = "stopped"
USUAL = ("duration", "end_status", "status_message", "begins_when_seen")
FILTERS = {"ResourceArns": "ResourceArn", "Status": "Status"}


@dataclass(frozen=True)
class ReceivedCall:
    """One call received."""

    operation: str
    parameters: Json


class ServiceError(Exception):
    """An error that the API models, by its name."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class ConversionService:
    """License Manager's conversion tasks in memory.

    `clock` gives epoch seconds. `page_size` bounds a page of the list, and `seed` makes its order, which is no order: the API
    promises none; with None it is that in which they were added. `instance_state` gives the state of an instance by its id, as
    EC2 names it.
    """

    def __init__(
        self,
        *,
        page_size: int = 50,
        seed: int | None = 0,
        clock: Callable[[], float] = time.time,
        instance_state: Callable[[str], str] = lambda _: STOPPED,
    ) -> None:
        self.clock = clock
        self.instance_state = instance_state
        self.faults = ServiceFaults(clock)
        self._lock = threading.RLock()
        self._tasks: dict[str, Task] = {}
        self._calls: list[ReceivedCall] = []
        self._configured: Json = {
            "duration": 5.0, "end_status": "SUCCEEDED", "status_message": None, "begins_when_seen": False,
            "page_size": page_size, "seed": seed,
        }  # fmt: skip
        self._count = count()
        self._order: list[tuple[str, str]] = []
        """The places in the list, and who has them."""

    def configure(self, **settings: Any) -> None:
        """`page_size`, and what a task is that does not say so itself: `duration`, `end_status`, `status_message`,
        `begins_when_seen`.
        """
        with self._lock:
            self._configured.update(settings)
            self._order = sorted((self._place(task_id), task_id) for task_id in self._tasks)

    @property
    def calls(self) -> list[ReceivedCall]:
        """The calls so far, those that a fault spoilt too."""
        return list(self._calls)

    def calls_for(self, task_id: str) -> list[ReceivedCall]:
        """Those that asked for the task by its id."""
        return [call for call in self.calls if call.parameters.get("LicenseConversionTaskId") == task_id]

    @property
    def tasks(self) -> list[Json]:
        """What the service would answer about each task now, in the order that they were added."""
        return [task.answer(self.clock()) for task in list(self._tasks.values())]

    def add_task(self, task_id: str | None = None, **members: Any) -> str:
        """Add a task and give its id; `members` are those of `Task`, and start and end as configured when not given."""
        with self._lock:
            task_id = task_id or f"lct-{secrets.token_hex(9)[:17]}"
            usual = {name: self._configured[name] for name in USUAL}
            given = {name: value for name, value in members.items() if value is not None}
            self._tasks[task_id] = Task(task_id, **({"start_time": self.clock()} | usual | given))
            insort(self._order, (self._place(task_id), task_id))
            return task_id

    @property
    def known(self) -> Mapping[str, Task]:
        """The tasks as they are, whatever the service answers about them."""
        return self._tasks

    def finish_task(self, task_id: str, status: str = "SUCCEEDED", status_message: str | None = None) -> None:
        """End a task now."""
        with self._lock:
            task = self._tasks[task_id]
            duration = max(0.0, self.clock() - task.start_time)
            ended: Json = {"duration": duration, "end_status": status, "status_message": status_message}
            self._tasks[task_id] = replace(task, **ended, begins_when_seen=False)

    def license_context(self, instance_id: str) -> Json:
        """What the instance is billed as, after the conversions so far; EC2 reports it. Windows BYOL before the first.

        A conversion may fail when it has changed that already: then its task has a LicenseConversionTime.
        """
        converted = [
            task
            for task in self.tasks
            if task["ResourceArn"].endswith(f"/{instance_id}") and "LicenseConversionTime" in task
        ]
        converted.sort(key=lambda task: float(task["LicenseConversionTime"]))
        return dict(converted[-1]["DestinationLicenseContext"] if converted else on_the_wire(WINDOWS_BYOL))

    def reply(self, operation: str, parameters: Json, region: str) -> Json:
        """Answer one call, and remember it. Raises ServiceError."""
        with self._lock:
            self._calls.append(ReceivedCall(operation, parameters))
            if fault := self.faults.next_for(operation, parameters.get("LicenseConversionTaskId")):
                raise ServiceError(fault, "A fault made on purpose.")
            return self.answer(operation, parameters, region)

    def answer(self, operation: str, parameters: Json, region: str) -> Json:
        """What the operation gives, in the service's own shape. Raises ServiceError. Nothing is remembered of the call."""
        operations = {
            "CreateLicenseConversionTaskForResource": self._create,
            "GetLicenseConversionTask": self._get,
            "ListLicenseConversionTasks": self._list,
        }
        return operations[operation](parameters, region)

    def _create(self, parameters: Json, region: str) -> Json:
        self._refuse_what_cannot_be_converted(parameters["ResourceArn"], parameters["SourceLicenseContext"])
        task_id = self.add_task(
            resource_arn=parameters["ResourceArn"],
            source=parameters["SourceLicenseContext"],
            destination=parameters["DestinationLicenseContext"],
            region=region,
        )
        return {"LicenseConversionTaskId": task_id}

    def _refuse_what_cannot_be_converted(self, resource_arn: str, source: Json) -> None:
        """What the user guide asks for before a conversion. Which error AWS gives is not published: of those that the
        operation has, these fit. https://docs.aws.amazon.com/license-manager/latest/userguide/conversion-prerequisites.html
        """
        instance_id = resource_arn.rpartition("/")[2]
        state = self.instance_state(instance_id)
        if state != STOPPED:
            raise ServiceError(INVALID, f"Instance [{instance_id}] is {state}: it must be in the stopped state.")
        if any(task["ResourceArn"] == resource_arn and task.get("Status") == IN_PROGRESS for task in self.tasks):
            raise ServiceError(INVALID, f"A license conversion of instance [{instance_id}] is in progress.")
        if _comparable(source) != _comparable(billed := self.license_context(instance_id)):
            raise ServiceError(INVALID, f"Instance [{instance_id}] is billed as {billed}, and not as {source}.")

    def _get(self, parameters: Json, region: str) -> Json:
        task_id = parameters.get("LicenseConversionTaskId")
        task = self._tasks.get(str(task_id))
        if task is None or task.region not in (None, region):
            raise ServiceError(INVALID, f"License conversion task [{task_id}] was not found.")
        return self._tell(task)

    def _tell(self, task: Task) -> Json:
        if task.begins_when_seen:
            task = self._tasks[task.task_id] = replace(task, start_time=self.clock(), begins_when_seen=False)
        return task.answer(self.clock())

    def _list(self, parameters: Json, region: str) -> Json:
        wanted = [_wanted(each) for each in parameters.get("Filters") or ()]
        token, now = parameters.get("NextToken") or "", self.clock()
        rest = islice(self._order, bisect_right(self._order, token, key=itemgetter(0)), None)
        tasks = ((place, self._tasks[task_id]) for place, task_id in rest)
        listed = ((place, task) for place, task in tasks if task.is_listed(region, wanted, now))
        page = list(islice(listed, self._configured["page_size"]))
        more = {"NextToken": page[-1][0]} if next(listed, None) else {}
        return {"LicenseConversionTasks": [self._tell(task) for _, task in page], **more}

    def _place(self, task_id: str) -> str:
        """A place in the list that stays, so that tasks which come and go between two pages move no other."""
        seed = self._configured["seed"]
        return f"{next(self._count):064x}" if seed is None else hashlib.sha256(f"{seed} {task_id}".encode()).hexdigest()


def _comparable(context: Json) -> tuple[str, list[str]]:
    return context["UsageOperation"], sorted(code["ProductCodeId"] for code in context.get("ProductCodes", ()))


def _wanted(condition: Json) -> tuple[str, str]:
    name, values = condition.get("Name"), condition.get("Values") or []
    if name not in FILTERS:
        raise ServiceError(INVALID, f"[{name}] is not a filter: use one of {', '.join(FILTERS)}.")
    if len(values) != 1:
        raise ServiceError(INVALID, f"The filter {name} takes one value, and has {len(values)}.")
    return FILTERS[name], values[0]
