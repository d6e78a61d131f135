"""The poller: polls License Manager for all gates of one account, region and role, and calls each one back with its results.

A check that finds no poller takes the lease and invokes this. The poller ends when no gate waits, when License Manager
does not answer, or after a quarter of an hour; a gate that waits even then starts the next one.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from license_conversion import aws, telemetry
from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import GateError, TableUnavailable
from license_conversion.license_manager import LicenseManager
from license_conversion.poll import Poll
from license_conversion.registrations import LEASE, Registration, Registrations
from license_conversion.request import Account
from license_conversion.settings import Settings
from license_conversion.text import shorten, size

EVERY, EVERY_WHERE_LARGE = 5.0, 13.0
"""Seconds from the beginning of one poll to that of the next; the second after a poll that took many calls."""
RENEW_SECONDS = 10.0
LAST_SECONDS = 60.0
"""Of the function's time, for the poll that is under way when another poller may take over."""
LAST_CALL_SECONDS = 10.0
"""Of those, for the last call and what follows from it."""
FLEET_SECONDS = 8.0
"""After it has registered, a fleet that has not ended sleeps this long at least, so that it is called back every 10 seconds at
most: a thousand ends in a day, called back one by one, come near to the 25,000 events of an execution."""
RESULTS_BYTES = 40_000
"""What one callback may carry: the variables of an execution have 256 KB in all. The rest comes with the next one."""
MESSAGE_SHARE = 10
"""Of what is left of that, a fleet's message may take this part, as in a fleet."""
BATCH = 100
"""So many gates are called back together while a long poll goes on."""
AT_ONCE = 10
ATTEMPTS = 4
GONE = {"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"}

aws.prepare("dynamodb", "license-manager", "stepfunctions")

CallBack = Callable[[str, str], bool]
"""Sends results to a task token. False: the token is used up. Raises one of `aws.failures`."""


class Poller:
    """`clock` gives seconds since 1970; `owner` is the name under which the lease was taken; `map_` may work at several gates at
    the same time.
    """

    def __init__(
        self,
        registrations: Registrations,
        license_manager: LicenseManager,
        call_back: CallBack,
        owner: str,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        map_: Callable[..., Iterable[bool]] = map,
    ) -> None:
        self._registrations, self._call_back, self._owner = registrations, call_back, owner
        self._clock, self._sleep, self._map = clock, sleep, map_
        self._poll = Poll(license_manager, clock, sleep, patience=LEASE, answered=self._renew)
        self._renewed_at = 0.0
        self._results: dict[str, ConversionTask] = {}
        """The tasks for which a gate waits and that have ended, or that License Manager refuses: those have no status."""
        self._missed = False
        """This poll could not call a gate back, so that gate knows nothing of it."""

    def run(self, until: float) -> None:
        """Raises TableUnavailable."""
        while (began := self._clock()) < until:
            if not self._renew():
                return  # another poller has the lease
            waiting = list(self._registrations.waiting(began))
            if not waiting and not (waiting := self._waits_after_all()):
                return
            self._poll_for(waiting, until + LAST_SECONDS - LAST_CALL_SECONDS)
            if self._poll.silent:
                telemetry.logger.warning("The poller ends: License Manager does not answer")
                self._registrations.give_lease_back(self._owner)
                return
            took = max(0.0, self._clock() - began)
            if not self._missed and not self._poll.unseen:  # a gate trusts a whole poll that says nothing
                self._registrations.note_poll(self._owner, began, took)
            telemetry.polled(len(waiting), took)
            self._sleep(max(0.0, (EVERY_WHERE_LARGE if self._poll.large else EVERY) - took))
        self._hand_over()

    def _waits_after_all(self) -> list[Registration]:
        """A gate that registered before the lease was given back may have found this poller at work."""
        self._registrations.give_lease_back(self._owner)
        self._sleep(EVERY)
        waiting = list(self._registrations.waiting(self._clock()))
        return waiting if waiting and self._registrations.take_lease(self._owner, self._clock()) else []

    def _hand_over(self) -> None:
        """Wake gates until one is awake: it starts the next poller."""
        self._registrations.give_lease_back(self._owner)
        for one in self._registrations.waiting(self._clock()):
            if self._deliver(one, []):
                return

    def _poll_for(self, waiting: Sequence[Registration], until: float) -> None:
        gates: dict[str, list[Registration]] = {}
        for one in waiting:
            for task_id in one.task_ids:
                gates.setdefault(task_id, []).append(one)
        self._results = {task_id: task for task_id, task in self._results.items() if task_id in gates}
        left = {one.gate: one for one in waiting}
        self._missed = False
        self._deliver_to((one for one in waiting if len(one.task_ids) == 1), left)
        found: list[Registration] = []
        for task_id, task in self._poll.run([task_id for task_id in gates if task_id not in self._results], until):
            if isinstance(task, GateError):
                self._results[task_id] = ConversionTask.unseen(task_id)  # the gate asks for itself
            elif task.terminal:
                self._results[task_id] = task
            else:
                telemetry.count("UnknownStatuses", bool(task.trouble))
                continue
            found += (one for one in gates[task_id] if len(one.task_ids) == 1)
            if len(found) >= BATCH:
                self._deliver_to(found, left)
                found = []
        self._deliver_to(waiting, left)
        self._results = {task_id: task for task_id, task in self._results.items() if task.terminal}

    def _deliver_to(self, gates: Iterable[Registration], left: dict[str, Registration]) -> None:
        """What is known, to each of these gates that is still left."""
        due = {one.gate: results for one in gates if one.gate in left and (results := self._due(one))}
        list(self._map(self._deliver, [left.pop(gate) for gate in due], due.values()))

    def _due(self, one: Registration) -> list[Any]:
        """The results for this gate, as far as they fit; none where it had better sleep on."""
        known = [self._results[task_id] for task_id in one.task_ids if task_id in self._results]
        if len(one.task_ids) == 1:
            return [task.shape for task in known]
        if len(known) < len(one.task_ids) and self._clock() < one.since + FLEET_SECONDS:
            return []
        return list(_fitting(known))

    def _deliver(self, one: Registration, results: Sequence[Any]) -> bool:
        """Call the gate back. A token that is used up is the one of an earlier registration. False: the gate sleeps on, or has
        ended; what it does not get now comes with the next poll.
        """
        output = json.dumps(results, ensure_ascii=False)
        failures: tuple[type[Exception], ...] = (TableUnavailable, *aws.failures())
        try:
            taken = self._call_back(one.token, output)
            if not taken and (again := self._registrations.registration(one.gate)) and again.token != one.token:
                one, taken = again, self._call_back(again.token, output)
            self._registrations.remove(one)
        except failures as error:
            telemetry.logger.warning(f"A gate is not called back: {aws.code(error)}")
            self._missed = True
            return False
        return taken

    def _renew(self) -> bool:
        """As often as the lease needs it, in a poll that takes longer too."""
        now = self._clock()
        if now < self._renewed_at + RENEW_SECONDS:
            return True
        self._renewed_at = now
        return self._registrations.renew_lease(self._owner, now)


def _fitting(tasks: Iterable[ConversionTask]) -> Iterable[Any]:
    """What a fleet keeps of its tasks: the id of one that has succeeded, a message of one that has failed."""
    room = RESULTS_BYTES
    for task in tasks:
        result: Any = task.task_id if task.status is Status.SUCCEEDED else dict(task.shape)
        if task.status is Status.FAILED:
            message = shorten(task.status_message, room // MESSAGE_SHARE)
            result = {"LicenseConversionTaskId": task.task_id, "Status": str(task.status), "StatusMessage": message}
        room -= size(json.dumps(result, ensure_ascii=False)) + 1
        if room < 0:
            return
        yield result


def _call_back() -> CallBack:
    client = aws.client("stepfunctions", attempts=ATTEMPTS)

    def call_back(token: str, output: str) -> bool:
        try:
            client.send_task_success(taskToken=token, output=output)
        except aws.refusal() as error:
            if aws.code(error) not in GONE:
                raise
            return False
        return True

    return call_back


def handler(event: Mapping[str, str], context: Any) -> None:
    """Lambda's entry point. `event` has the `Owner` of the lease and its account (`""`: the function's own role and region)."""
    if "StayActive" in event:
        return
    telemetry.begin(context)
    settings = Settings.from_env()
    account = Account(event["RoleArn"], event["ExternalId"], event["Region"])
    registrations = Registrations(settings.table_name, account)
    try:
        owner = uuid4().hex
        if not registrations.take_over(event["Owner"], owner):
            return
        if not registrations.take_slot(time.time()):
            telemetry.count("PollersTooMany")
            telemetry.logger.warning("As many pollers run as may: the gates of this account ask by themselves")
            return
        telemetry.count("PollersStarted")
        until = time.time() + context.get_remaining_time_in_millis() / 1000 - LAST_SECONDS
        license_manager = LicenseManager(settings.role_arn, account)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            Poller(
                registrations, license_manager, _call_back(), owner, clock=time.time, sleep=time.sleep, map_=threads.map
            ).run(until)
    except Exception:
        telemetry.logger.exception("The poller broke: a gate that wakes starts the next one")
        raise
    finally:
        telemetry.flush()
