"""Watches for all gates of one account that wait together: lists their tasks again and again, and tells each gate what has become
of its own. Whoever takes a place and finds nobody at watch invokes this; two at once are a few calls too many, and nothing else.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from license_conversion import aws, telemetry
from license_conversion.crowd import WATCH
from license_conversion.crowd_table import CrowdTable, WaitingGate
from license_conversion.errors import GateError, StillUnknown
from license_conversion.license_manager import LicenseManager, Page
from license_conversion.request import Account
from license_conversion.settings import Settings
from license_conversion.task import ConversionTask, Status
from license_conversion.text import shorten, size
from license_conversion.wake import wake

T = TypeVar("T")
FEW = 1
"""So many tasks are no crowd: their gates go on by themselves."""
EVERY = 13.0
"""Seconds from the beginning of one look to that of the next, at least."""
BETWEEN_CALLS = 0.1
LEAST_BETWEEN_CALLS = 0.02
MOST_BETWEEN_CALLS = 1.0
AFTER_THROTTLE = 1.0
"""Seconds between two calls, doubled by a throttle and a little less after each answer; and how long nothing is asked then."""
RECOVERY = 0.98
VERDICTS = 500
"""How many tasks one look asks for, at least: the others are the next one's, so that no look takes long."""
KEEP = 10.0
"""Seconds after which a watch that License Manager answers says so."""
BELLS = 100
"""So many gates are told before they are woken: as many sleep on if the watch is killed in between."""
WORDS_BYTES = 200_000
"""What the words for one gate may take of an item's 400 KB.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html"""
WORD_SHARE = 10
"""Of what is left of that, a message may take this part, as in a fleet."""
SAVES = 3
"""A listing of what has ended is read where it takes this many times fewer calls than asking for each task: of how much it shows
is not known before."""
LAST_SECONDS = 60.0
"""Of the function's time, for a look that is under way when another one may take over."""

aws.prepare("dynamodb", "license-manager", "stepfunctions")


class NoAnswer(Exception):  # noqa: N818 - says what happened
    """License Manager has not answered this watch for so long that others count it as ended."""


class WatchedPlaces(Protocol):
    """The places, as the watch sees them. Every method raises TableUnavailable."""

    def waiting(self, now: float) -> Iterable[WaitingGate]: ...
    def tell(self, gate: str, words: Sequence[Mapping[str, Any]]) -> str: ...
    def keep_watch(self, until: float) -> None: ...
    def looked(self, began: float, took: float) -> None: ...


class Watch:
    """Looks at all who wait. `clock` gives seconds since 1970; `wake_` takes task tokens."""

    def __init__(
        self,
        table: WatchedPlaces,
        license_manager: LicenseManager,
        wake_: Callable[[Collection[str]], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._table = table
        self._license_manager = license_manager
        self._wake = wake_
        self._clock = clock
        self._sleep = sleep
        self._between_calls = BETWEEN_CALLS
        self._answered_at = clock()
        self._kept_at = float("-inf")
        self._pages = dict.fromkeys(Status, 1)
        """Of a whole listing: counted, or as many as there must be at least."""

    def run(self, until: float, report: Callable[[int, float], None] = telemetry.watched) -> None:
        """Until nobody waits, License Manager answers no more, or time is up. Whoever waits even then starts the next watch.

        `report` hears of each whole look: at how many gates, in how many seconds. Raises TableUnavailable.
        """
        try:
            while (began := self._clock()) < until and (waiting := list(self._table.waiting(began))):
                self._look(waiting)
                took = self._clock() - began
                self._table.looked(began, took)
                report(len(waiting), took)
                self._sleep(max(0.0, EVERY - took))
        except NoAnswer:
            telemetry.logger.warning("The watch ends: License Manager does not answer it")
        self._table.keep_watch(0.0)
        # In this order: whoever has taken a place until now may have found this watch at work, whoever does it later will not.
        left = list(self._table.waiting(self._clock()))
        self._wake([one.token for one in left[:1]])

    def _look(self, waiting: Collection[WaitingGate]) -> None:
        gates: dict[str, list[WaitingGate]] = defaultdict(list)
        for one in waiting:
            for task_id in one.task_ids:
                gates[task_id].append(one)
        running = self._listed(Status.IN_PROGRESS, len(gates) - 1, {})
        left = [task_id for task_id in gates if task_id not in running]
        words: dict[str, Mapping[str, Any]] = {}
        for status in (Status.SUCCEEDED, Status.FAILED):
            words |= self._listed(status, len(left) // SAVES, set(left))
            left = [task_id for task_id in left if task_id not in words]
        fleets = [one for one in waiting if len(one.task_ids) > 1]
        self._tell((one for task_id in words for one in gates[task_id] if len(one.task_ids) == 1), words)
        found: list[WaitingGate] = []
        for task_id in left[: max(VERDICTS, 2 * self._pages[Status.IN_PROGRESS])]:
            if word := self._word(task_id, alone=len(gates) <= FEW):
                words[task_id] = word
                found += (one for one in gates[task_id] if len(one.task_ids) == 1)
            if len(found) >= BELLS:
                self._tell(found, words)
                found = []
        self._tell(found, words)
        self._tell(fleets, words)  # once a look: a gate that is awake has no place for more

    def _word(self, task_id: str, *, alone: bool) -> Mapping[str, Any] | None:
        """What the gates of the task are told; None: nothing, it still runs, or is not known."""
        try:
            task = self._call(lambda: self._license_manager.get_task(task_id))
        except GateError:
            return ConversionTask.unseen(task_id).shape
        except StillUnknown:
            return None
        return task.shape if task.terminal or task.trouble or alone else None

    def _listed(self, status: Status, most_calls: int, wanted: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """The tasks of this status, and nothing where that takes more calls: of those that have ended, what was read until then.

        Whoever may read each task need not be allowed to list them all.
        """
        listed: dict[str, Mapping[str, Any]] = {}
        if most_calls < self._pages[status]:
            return listed
        ended = status is not Status.IN_PROGRESS
        token = ""
        for calls in range(1, most_calls + 1):
            try:
                page: Page = self._call(lambda token=token: self._license_manager.page_of(status, token))  # type: ignore[misc]
            except (GateError, StillUnknown) as error:
                telemetry.logger.warning(f"The tasks {status} could not be listed: {error}")
                return listed if ended else {}
            listed.update(
                (task_id, ConversionTask.from_answer(task_id, {"Status": status, **answer}).shape if ended else {})
                for task_id, answer in page.answers.items()
                if not ended or task_id in wanted
            )
            token = page.token
            if not token:
                self._pages[status] = calls
                return listed
        self._pages[status] = most_calls + 1
        return listed if ended else {}

    def _tell(self, waiting: Iterable[WaitingGate], words: Mapping[str, Mapping[str, Any]]) -> None:
        tokens: list[str] = []
        for one in waiting:
            said = [words[task_id] for task_id in one.task_ids if task_id in words]
            if said and (token := self._table.tell(one.gate, said if len(one.task_ids) == 1 else list(_brief(said)))):
                tokens.append(token)
            if len(tokens) >= BELLS:
                self._wake(tokens)
                tokens = []
        self._wake(tokens)

    def _call(self, call: Callable[[], T]) -> T:
        """At the pace that License Manager allows: as often as it takes, for a throttle."""
        while True:
            self._sleep(self._between_calls)
            try:
                result = call()
            except StillUnknown as unknown:
                if self._clock() > self._answered_at + WATCH:
                    raise NoAnswer from unknown
                if not unknown.throttled:
                    raise
                self._between_calls = min(MOST_BETWEEN_CALLS, self._between_calls * 2)
                self._sleep(AFTER_THROTTLE)
            except GateError:
                self._answered()
                raise
            else:
                self._between_calls = max(LEAST_BETWEEN_CALLS, self._between_calls * RECOVERY)
                self._answered()
                return result

    def _answered(self) -> None:
        now = self._answered_at = self._clock()
        if now >= self._kept_at + KEEP:
            self._kept_at = now
            self._table.keep_watch(now + WATCH)


def _brief(words: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    """What a fleet keeps of its tasks, in at most `WORDS_BYTES`."""
    room = WORDS_BYTES
    for word in words:
        message = shorten(str(word.get("StatusMessage", "")), room // WORD_SHARE)
        room -= size(message)
        kept = {name: word[name] for name in ("LicenseConversionTaskId", "Status") if name in word}
        yield {**kept, **({"StatusMessage": message} if message else {})}


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Lambda's entry point. `event` has the account's `RoleArn`, `ExternalId` and `Region`, `""` for the function's own."""
    telemetry.begin(context)
    settings = Settings.from_env()
    account = Account(event["RoleArn"], event["ExternalId"], event["Region"])
    table = CrowdTable(settings.table_name, account)
    telemetry.count("WatchesStarted")
    try:
        seconds = context.get_remaining_time_in_millis() / 1000 - LAST_SECONDS
        Watch(table, LicenseManager(settings.role_arn, account), wake, time.time, time.sleep).run(time.time() + seconds)
    except Exception:
        telemetry.logger.exception("The watch broke: a gate that wakes starts the next one")
        raise
    finally:
        telemetry.flush()
