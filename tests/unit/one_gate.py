"""One gate, seen as the state machine sees it: its state goes as JSON from check to check."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from check_task import TaskCheck, handle
from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, GateError, InvalidRequest, StillUnknown, TableUnavailable
from license_conversion.gate import RETRY_SECONDS
from license_conversion.license_manager import LicenseManager, Page
from license_conversion.poll import Poll
from license_conversion.settings import Settings
from tests.context import Context
from tests.simulation.memory_registrations import MemoryRegistrations

TASK_ID = "lct-0123456789abcdef0"
TASK = {"LicenseConversionTaskId": TASK_ID}
HANDLE = {"WaitConditionHandle": "https://handles.s3.amazonaws.com/key?Signature=facade"}
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
SERVICE_TOKEN = "arn:aws:lambda:us-east-1:123456789012:function:gate"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:gate:Gate-1"
BEGAN = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
CONTEXT = Context()
SETTINGS = Settings("arn:aws:iam::123456789012:role/gate", "eu-central-1", "", "registrations", "poll")
STACK_EVENT = {
    "RequestType": "Create",
    "StackId": "arn:stack",
    "RequestId": "1",
    "LogicalResourceId": "Gate",
    "ResponseURL": "https://bucket/key?X-Amz-Signature=c0ffee",
}
NOT_READ_YET = {"Ended": False, "GiveUpAt": "", "AttemptSeconds": 25, "PauseSeconds": 15}

THROTTLE = StillUnknown("License Manager answered RateLimitExceededException: slow down", throttled=True)
FAULT = StillUnknown("License Manager answered 500: sorry")
NEW_ID = InvalidRequest("There is no such task.", grace=10)
NEW_ROLE = AccessDenied("It is denied.", grace=30)
WRONG = InvalidRequest("No.")


def ids(count: int) -> list[str]:
    """Ids of 50 characters: the longest."""
    return [f"lct-{number:046x}" for number in range(count)]


def first_check(now: datetime = BEGAN, **request: Any) -> dict[str, Any]:
    """What the state machine sends for a caller's gate."""
    return {
        "Input": {"LicenseConversionTaskId": TASK_ID, "TimeoutSeconds": 86400, **request},
        "Gate": {"Waiter": "CALLER", **NOT_READ_YET},
        "Results": [],
        "RegisteredAt": "",
        "EnteredAt": now.isoformat(),
        "Tries": 0,
        "StartedAt": now.isoformat(),
        "Execution": EXECUTION,
    }


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


class OneGate:
    """A gate for a caller, or for a stack that has these `properties`. `seconds` are those since the wait began; `share` is what
    chance gives; `touched` are the methods of the table that were called; `pollers` are the owners of those that were started.
    """

    def __init__(self, properties: Mapping[str, Any] | None = None, *, waiter: str = "", **request: Any) -> None:
        self.seconds, self.share, self.call_seconds = 0.0, 0.0, 0.0
        self.tries = 0
        self.pollers: list[str] = []
        self.touched: list[str] = []
        self.table_away = False
        self.license_manager = FakeLicenseManager(TASK_ID, lambda: self._sleep(self.call_seconds))
        self.registrations = MemoryRegistrations(self.pollers.append, self._touch)
        self.registered_at = ""
        stack = {**STACK_EVENT, "ResourceProperties": {"ServiceToken": SERVICE_TOKEN, **(properties or {})}}
        named = request.keys() & {"ResourceArn", "LicenseConversionTaskIds"}
        self.input: Any = {"TimeoutSeconds": 3600, **({} if named else {"LicenseConversionTaskId": TASK_ID}), **request}
        if properties is not None:
            self.input = {"Stack": {"Event": stack, "RequestedAt": BEGAN.isoformat()}}
        self.state: dict[str, Any] = {"Waiter": waiter or ("CALLER" if properties is None else "STACK"), **NOT_READ_YET}
        poll = Poll(self.license_manager, lambda: self.now().timestamp(), self._sleep)
        registrations = self.registrations
        self.task_check = TaskCheck(SETTINGS, lambda _: poll, lambda _: registrations, self.now, lambda: self.share)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)

    def _sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def _touch(self, method: str) -> None:
        self.touched.append(method)
        if self.table_away:
            raise TableUnavailable("The table of registrations does not answer")

    def check(
        self, says: Any = None, *results: Any, at: float | None = None, tries: int = 0, entered: datetime | None = None
    ) -> dict[str, Any]:
        """The state after one check, `at` so many seconds. License Manager `says` something else from now on; the poller has sent
        the `results`.
        """
        self.seconds = self.seconds if at is None else at
        self.license_manager.says = says or self.license_manager.says
        event = {
            **first_check(),
            "Input": self.input,
            "Gate": self.state,
            "Results": results,
            "RegisteredAt": self.registered_at,
            "EnteredAt": (entered or self.now()).isoformat(),
            "Tries": tries,
        }
        found = json.loads(json.dumps(handle(self.task_check, json.loads(json.dumps(event)), CONTEXT)))
        self.state = {**{name: self.state[name] for name in ("Waiter", *NOT_READ_YET)}, **found}  # as *Check Task* does
        if "Registration" in self.state:
            self.registered_at = self.now().isoformat()
        return self.state

    def sleep(self, says: Any = None, *, at: float | None = None) -> int:
        """The seconds until the next check, after this one."""
        self.check(says, at=at)
        return self.sleeps

    @property
    def sleeps(self) -> int:
        """The seconds until the next check; 0 at the end."""
        until = self.state.get("NextCheckAt", self.now().isoformat())
        return round((datetime.fromisoformat(until) - self.now()).total_seconds())

    def woken(self, *results: Any, at: float | None = None) -> dict[str, Any]:
        """The state after a check that the poller has woken with results, or that woke by itself; what was asked before is
        forgotten.
        """
        self.license_manager.asked.clear()
        self.touched.clear()
        return self.check(None, *results, at=at)

    def insists(self, says: Any = None, *, at: float | None = None) -> dict[str, Any]:
        """The same as `check`, where the state machine tries again while the check is refused; `tries` counts."""
        self.seconds = self.seconds if at is None else at
        entered, self.tries = self.now(), 0
        while True:
            self.tries += 1
            try:
                return self.check(says, tries=self.tries - 1, entered=entered)
            except GateError:
                self.seconds += RETRY_SECONDS

    @property
    def asked(self) -> list[str]:
        return self.license_manager.asked


def fleet(count: int, **request: Any) -> OneGate:
    """A gate for so many tasks, which all run."""
    gate = OneGate(LicenseConversionTaskIds=ids(count), **request)
    gate.license_manager.of = dict.fromkeys(ids(count), "IN_PROGRESS")
    return gate
