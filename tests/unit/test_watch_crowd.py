"""One look after another at all who wait."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

import watch_crowd
from license_conversion import request, wake
from license_conversion.crowd import WATCH
from license_conversion.crowd_table import CrowdTable
from license_conversion.errors import AccessDenied, InvalidRequest, StillUnknown, TableUnavailable
from license_conversion.fleet import Fleet
from license_conversion.license_manager import LicenseManager, Page
from license_conversion.task import ConversionTask, Status
from tests.context import Context
from tests.simulation.memory_table import MemoryTable, away
from tests.unit.conftest import Said
from tests.unit.network import Network
from watch_crowd import EVERY, KEEP, LAST_SECONDS, WORDS_BYTES, Watch

NOW = 1_795_369_195.0
QUARTER = 840.0
IN_PROGRESS, SUCCEEDED, FAILED = "IN_PROGRESS", "SUCCEEDED", "FAILED"
THROTTLE = StillUnknown("slow down", throttled=True)
FAULT = StillUnknown("sorry")


class WatchedAccount(LicenseManager):
    """Tasks by id, in pages, and whoever waits for them. `calls`: each id that was asked for, each status that was listed."""

    def __init__(self, tasks: Mapping[str, str], *, page: int = 100) -> None:
        self.tasks = dict(tasks)
        self.messages: dict[str, str] = {}
        self.page = page
        self.listed = True
        self.calls: list[str] = []
        self.denied: dict[str, Exception] = {}
        self.then: Callable[[float], None] = lambda _: None
        self.seconds = 0.0
        self.table = MemoryTable()
        self.members: dict[str, Any] = {}
        self.sleeps: list[float] = []
        self.woken: list[str] = []
        self.bells: list[int] = []
        self.looks: list[tuple[int, float]] = []

    def _shape(self, task_id: str) -> dict[str, Any]:
        said = {"StatusMessage": self.messages[task_id]} if task_id in self.messages else {}
        return {"LicenseConversionTaskId": task_id, "Status": self.tasks[task_id], **said, **self.members}

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.denied:
            raise self.denied[what]

    def get_task(self, task_id: str) -> ConversionTask:
        self._called(task_id)
        return ConversionTask.from_answer(task_id, self._shape(task_id))

    def page_of(self, status: Status, token: str = "") -> Page:
        self._called(str(status))
        listed = [task_id for task_id, one in self.tasks.items() if one == status and self.listed]
        first = int(token or 0)
        more = str(first + self.page) if first + self.page < len(listed) else ""
        return Page({one: self._shape(one) for one in listed[first : first + self.page]}, more)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds
        self.then(self.seconds)

    def join(self, gate: str, *task_ids: str) -> None:
        self.table.take_place(gate, task_ids, f"token of {gate}", NOW)

    def watch(self, seconds: float = QUARTER) -> None:
        def wake(tokens: Any) -> None:
            self.woken.extend(tokens)
            self.bells += [len(tokens)] if tokens else []

        watch = Watch(self.table, self, wake, lambda: NOW + self.seconds, self.sleep)
        watch.run(NOW + self.seconds + seconds, lambda gates, took: self.looks.append((gates, took)))

    def words(self, gate: str) -> list[Mapping[str, Any]]:
        return self.table.items[gate].words


def crowd(count: int, status: str = IN_PROGRESS, *, page: int = 100) -> WatchedAccount:
    """So many gates, each with a task of its own."""
    account = WatchedAccount({f"lct-{number}": status for number in range(count)}, page=page)
    for task_id in account.tasks:
        account.join(f"gate of {task_id}", task_id)
    return account


# One look


def test_a_crowd_in_progress_costs_one_listing_a_look() -> None:
    account = crowd(50)

    account.watch(EVERY * 10)

    assert account.calls == [IN_PROGRESS] * 10
    assert not any(account.words(gate) for gate in account.table.items)


def test_a_task_that_has_left_the_listing_is_asked_for_and_its_gate_is_woken() -> None:
    account = crowd(50)
    account.tasks["lct-7"] = SUCCEEDED
    account.messages["lct-7"] = "Done."

    account.watch(1)

    assert account.calls == [IN_PROGRESS, "lct-7"]
    assert account.words("gate of lct-7") == [
        {"LicenseConversionTaskId": "lct-7", "Status": SUCCEEDED, "StatusMessage": "Done."}
    ]
    assert account.woken[0] == "token of gate of lct-7"


def test_a_gate_is_told_all_that_license_manager_says_and_a_fleet_what_it_keeps() -> None:
    account = WatchedAccount({"lct-1": SUCCEEDED, "lct-2": SUCCEEDED, "lct-3": IN_PROGRESS})
    account.members = {"ResourceArn": "arn:resource"}
    account.join("one", "lct-1")
    account.join("fleet of two", "lct-1", "lct-2")
    account.join("a third", "lct-3")

    account.watch(1)

    brief = [{"LicenseConversionTaskId": task_id, "Status": SUCCEEDED} for task_id in ("lct-1", "lct-2")]
    assert account.words("one") == [{**brief[0], "ResourceArn": "arn:resource"}]
    assert account.words("fleet of two") == brief
    assert account.words("a third") == []


def test_two_that_wait_are_a_crowd() -> None:
    account = crowd(2)

    account.watch(1)

    assert account.calls == [IN_PROGRESS]


def test_a_task_that_no_listing_shows_has_not_ended_for_that() -> None:
    account = crowd(50)
    account.listed = False

    account.watch(1)

    assert set(account.tasks) <= set(account.calls)
    assert not any(account.words(gate) for gate in account.table.items)


def test_where_many_have_ended_the_ends_are_listed() -> None:
    account = crowd(500, SUCCEEDED)
    for number in range(100):
        account.tasks[f"lct-{number}"] = FAILED

    account.watch(60)

    assert account.calls[:6] == [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED]
    assert len(account.calls) == 6
    assert {word["Status"] for gate in account.table.items for word in account.words(gate)} == {SUCCEEDED, FAILED}
    assert len(set(account.woken)) == 500
    assert account.bells == [100, 100, 100, 100, 100], "as many as sleep on if the watch is killed"


def test_gates_whose_tasks_are_asked_for_one_by_one_are_told_and_woken_a_hundred_at_a_time() -> None:
    account = crowd(250, SUCCEEDED)
    account.denied = {SUCCEEDED: FAULT, FAILED: FAULT}
    called: list[str] = []
    account.table.called = called.append

    account.watch(60)

    assert account.bells == [100, 100, 50]
    assert called.count("tell") == 250
    assert all(account.words(gate)[0]["Status"] == SUCCEEDED for gate in account.table.items)


def test_what_a_listing_of_ends_has_shown_is_told_though_it_breaks_off_and_leaves_the_status_out() -> None:
    class Terse(WatchedAccount):
        def page_of(self, status: Status, token: str = "") -> Page:
            if token:
                raise FAULT
            page = super().page_of(status, token)
            return Page({task_id: {"ResourceArn": "arn"} for task_id in page.answers}, page.token)

    account = Terse({f"lct-{number}": SUCCEEDED for number in range(100)}, page=60)
    for task_id in account.tasks:
        account.join(f"gate of {task_id}", task_id)

    account.watch(60)

    assert [call for call in account.calls if call.startswith("lct")] == [f"lct-{number}" for number in range(60, 100)]
    assert account.words("gate of lct-0") == [
        {"LicenseConversionTaskId": "lct-0", "Status": SUCCEEDED, "ResourceArn": "arn"}
    ]


def test_ends_of_years_are_not_read_to_their_end_and_not_begun_again() -> None:
    account = crowd(12, SUCCEEDED, page=10)
    old = {f"lct-old-{number}": SUCCEEDED for number in range(10_000)}
    account.tasks = {**old, **account.tasks}

    account.watch(60)

    assert account.calls[:6] == [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED]
    assert account.calls[6:] == [f"lct-{number}" for number in range(12)]
    assert all(account.words(gate) for gate in account.table.items)


def test_a_listing_that_would_cost_more_calls_than_there_are_tasks_is_left_out() -> None:
    account = crowd(5)
    account.tasks |= {f"lct-other-{number}": IN_PROGRESS for number in range(1000)}

    account.watch(EVERY * 2)

    assert account.calls.count(IN_PROGRESS) == 4  # tried once, and not again
    assert account.calls.count("lct-0") == 2


@pytest.mark.parametrize(
    "trouble", [AccessDenied("no"), InvalidRequest("no"), FAULT], ids=["denied", "refused", "broken"]
)
def test_whoever_may_not_list_asks_for_each_task(trouble: Exception) -> None:
    account = crowd(20)
    account.tasks["lct-3"] = SUCCEEDED
    account.denied = dict.fromkeys((IN_PROGRESS, SUCCEEDED, FAILED), trouble)

    account.watch(1)

    assert set(account.tasks) <= set(account.calls)
    assert account.words("gate of lct-3")
    assert not account.words("gate of lct-4")


@pytest.mark.parametrize("trouble", [AccessDenied("no"), InvalidRequest("no")], ids=["denied", "refused"])
def test_a_task_that_is_refused_is_left_to_its_gate(trouble: Exception) -> None:
    account = crowd(20)
    del account.tasks["lct-3"]
    account.denied["lct-3"] = trouble

    account.watch(1)

    assert account.words("gate of lct-3") == [{"LicenseConversionTaskId": "lct-3"}]


def test_a_fault_of_one_task_keeps_no_other_from_its_verdict() -> None:
    account = crowd(20, SUCCEEDED)
    account.denied |= {"lct-0": FAULT, SUCCEEDED: FAULT}

    account.watch(1)

    assert not account.words("gate of lct-0")
    assert all(account.words(f"gate of lct-{number}") for number in range(1, 20))


def test_a_status_that_nobody_knows_is_told_as_it_is() -> None:
    account = crowd(20)
    account.tasks["lct-3"] = "PAUSED"

    account.watch(1)

    assert account.words("gate of lct-3") == [{"LicenseConversionTaskId": "lct-3", "Status": "PAUSED"}]


def test_all_gates_of_one_task_are_told() -> None:
    account = crowd(5)
    account.join("another", "lct-2")
    account.tasks["lct-2"] = SUCCEEDED

    account.watch(1)

    assert account.words("another") == account.words("gate of lct-2") != []
    assert account.calls.count("lct-2") == 1


def test_a_fleet_is_told_once_a_look() -> None:
    account = WatchedAccount({f"lct-{number}": SUCCEEDED for number in range(300)})
    account.tasks["lct-299"] = IN_PROGRESS
    account.join("fleet", *account.tasks)

    account.watch(1)

    assert len(account.words("fleet")) == 299
    assert account.woken.count("token of fleet") == 1


def test_the_words_for_a_fleet_fit_into_an_item_and_its_first_messages_are_whole() -> None:
    account = WatchedAccount({f"lct-{number:046}": FAILED for number in range(1000)})
    account.messages = dict.fromkeys(account.tasks, "ü" * 5_000)
    account.join("fleet", *account.tasks)

    account.watch(60)

    words = account.words("fleet")
    assert sum(len(str(word).encode()) for word in words) < WORDS_BYTES + 150_000
    assert words[0]["StatusMessage"] == words[1]["StatusMessage"] == "ü" * 5_000
    assert Fleet.unseen(tuple(account.tasks)).with_words(words).terminal


# When it ends


def test_the_last_one_is_told_that_its_task_still_runs_and_goes_on_alone() -> None:
    account = crowd(1)

    account.watch()

    assert account.calls == ["lct-0"]
    assert account.words("gate of lct-0") == [{"LicenseConversionTaskId": "lct-0", "Status": IN_PROGRESS}]
    assert account.table.about_watch.until == 0


def test_a_watch_at_which_nobody_waits_ends_at_once() -> None:
    account = WatchedAccount({})

    account.watch()

    assert (account.calls, account.seconds) == ([], 0)


def test_whoever_came_while_the_watch_was_ending_is_woken_to_start_the_next() -> None:
    account = WatchedAccount({"lct-0": IN_PROGRESS})

    def comes(call: str) -> None:
        if call == "keep_watch":
            account.table.called = lambda _: None
            account.join("late", "lct-0")

    account.table.called = comes

    account.watch()

    assert account.woken == ["token of late"]


def test_a_watch_whose_time_is_up_wakes_one_gate() -> None:
    account = crowd(50)
    for item in account.table.items.values():
        item.expires += QUARTER

    account.watch()

    assert QUARTER <= account.seconds < QUARTER + EVERY
    assert len(account.woken) == 1
    assert account.table.about_watch.until == 0


def test_a_watch_says_that_it_watches_only_when_license_manager_answers() -> None:
    account = crowd(50)
    account.denied[IN_PROGRESS] = THROTTLE
    kept: list[str] = []
    account.table.called = kept.append

    account.watch()

    assert kept.count("keep_watch") == 1  # that it ends
    assert account.looks == []
    assert account.seconds < WATCH + 10


def test_a_throttled_call_is_repeated_at_a_slower_pace() -> None:
    account = crowd(50)
    account.denied[IN_PROGRESS] = THROTTLE
    account.then = lambda now: account.denied.clear() if now > 10 else None

    account.watch(11)

    assert account.sleeps[:8] == [0.1, 1.0, 0.2, 1.0, 0.4, 1.0, 0.8, 1.0]
    assert account.looks[0][0] == 50


def test_the_pace_recovers_with_each_answer() -> None:
    account = crowd(20)
    account.denied = dict.fromkeys((IN_PROGRESS, SUCCEEDED, FAILED), AccessDenied("no"))

    account.watch(1)

    pauses = account.sleeps[:-1]  # the last one is until the next look
    assert pauses[:3] == pytest.approx([0.1, 0.1, 0.1])  # a denial is an answer at the same pace
    assert pauses[-1] < pauses[-2] < pauses[3]


def test_a_look_that_takes_longer_than_the_pause_between_two_is_followed_by_the_next_one() -> None:
    account = crowd(500)
    account.denied = {IN_PROGRESS: THROTTLE}
    account.then = lambda now: account.denied.update({IN_PROGRESS: AccessDenied("no")}) if now > 10 else None

    account.watch(11)

    assert account.sleeps[-1] == 0


def test_a_watch_says_every_ten_seconds_for_how_long_it_counts_as_one() -> None:
    account = crowd(50)
    account.denied = {IN_PROGRESS: AccessDenied("no")}
    kept: list[str] = []
    until: list[float] = []

    def called(what: str) -> None:
        kept.append(what)
        if what == "looked":
            until.append(account.table.about_watch.until - NOW - account.seconds)

    account.table.called = called

    account.watch(1)

    assert kept.count("keep_watch") == 2  # at the first answer, and that it ends
    assert WATCH - KEEP < until[0] < WATCH


def test_a_table_that_is_away_ends_the_watch() -> None:
    account = crowd(50)
    account.table.called = away

    with pytest.raises(TableUnavailable):
        account.watch()


def test_a_watch_says_of_each_whole_look_when_it_began() -> None:
    account = crowd(50)

    account.watch(EVERY * 3)

    assert [gates for gates, _ in account.looks] == [50, 50, 50]
    assert [took for _, took in account.looks] == pytest.approx([0.1, 0.098, 0.096], abs=0.001)
    assert account.table.about_watch.began - NOW == pytest.approx(2 * EVERY)
    assert account.table.about_watch.took == account.looks[-1][1]


# The entry point

READER = {"RoleArn": "arn:aws:iam::210987654321:role/reader", "ExternalId": "an-id", "Region": "eu-central-1"}


@pytest.fixture
def crowd_of_one(network: Network, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """One gate at its place, until it is told; and how long the watch slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setenv("GATE_TABLE_NAME", "crowd")
    place = {"Place": {"S": "Gate-1"}, "Tasks": {"S": "lct-1"}, "Token": {"S": "the-token"}}
    network.answers("Query", {"Items": [place]}, {"Items": []})
    network.answers("UpdateItem", {"Attributes": {"Token": {"S": "the-token"}}})
    network.answers("GetLicenseConversionTask", {"LicenseConversionTaskId": "lct-1", "Status": SUCCEEDED})
    wake._client.cache_clear()
    yield slept
    wake._client.cache_clear()


def with_left(seconds: float) -> Context:
    """In its last minute a watch begins no look."""
    return Context(seconds=LAST_SECONDS + seconds)


def test_lambda_hands_over_the_account_whose_gates_are_looked_for(
    network: Network, crowd_of_one: list[float], said: Callable[[], Said]
) -> None:
    watch_crowd.handler(READER, with_left(1))

    asked_for = network.call("GetLicenseConversionTask")
    assert asked_for.said == {"LicenseConversionTaskId": "lct-1"}
    assert (asked_for.signed_by, ".eu-central-1." in asked_for.url) == ("ASIAOFTHEROLE", True)
    assumed = network.call("AssumeRole").said
    assert (assumed["RoleArn"], assumed["ExternalId"]) == (READER["RoleArn"], "an-id")
    assert network.call("SendTaskSuccess").said["taskToken"] == "the-token"
    of_table = [call for call in network.calls if "TableName" in call.said]
    assert {call.said["TableName"] for call in of_table} == {"crowd"}
    crowd = CrowdTable("crowd", request.Account(*READER.values()))
    assert of_table[0].said["ExpressionAttributeValues"][":crowd"] == {"S": crowd._crowd(0)}
    between_calls, until_the_next_look = crowd_of_one
    assert between_calls == 0.1
    assert 0 < until_the_next_look < EVERY
    printed = said()
    assert {**printed.metrics, "SecondsToLook": 0} == {"WatchesStarted": 1, "GatesInCrowd": 1, "SecondsToLook": 0}
    assert printed.units == {"WatchesStarted": "Count", "GatesInCrowd": "Count", "SecondsToLook": "Seconds"}
    (line,) = printed.lines
    assert isinstance(line.pop("look_seconds"), float)
    request_id = Context().aws_request_id
    assert line == {"level": "INFO", "message": "The crowd is watched", "request_id": request_id, "gates": 1}


@pytest.mark.usefixtures("crowd_of_one")
def test_no_look_begins_in_the_last_minute_of_an_invocation(network: Network) -> None:
    watch_crowd.handler(READER, with_left(0))

    assert "GetLicenseConversionTask" not in network.operations()
    assert network.call("SendTaskSuccess").said["taskToken"] == "the-token", "whoever waits starts the next watch"


def test_a_watch_that_breaks_says_so_and_fails(network: Network, said: Callable[[], Said]) -> None:
    network.refuses("Query", "AccessDeniedException")

    with pytest.raises(TableUnavailable):
        watch_crowd.handler({"RoleArn": "", "ExternalId": "", "Region": ""}, Context(seconds=900))

    printed = said()
    assert printed.metrics == {"WatchesStarted": 1}
    (line,) = printed.lines
    assert (line["level"], line["message"]) == ("ERROR", "The watch broke: a gate that wakes starts the next one")
