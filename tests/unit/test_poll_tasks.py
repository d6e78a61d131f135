"""The poller: each row of what it keeps of the protocol of waiting."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import poll_tasks
from license_conversion.conversion import ConversionTask
from license_conversion.errors import AccessDenied, TableUnavailable
from license_conversion.fleet import Fleet
from license_conversion.registrations import LEASE, LastPoll, Registration, Registrations
from license_conversion.request import Account
from license_conversion.text import MARK
from poll_tasks import EVERY, EVERY_WHERE_LARGE, FLEET_SECONDS, LAST_SECONDS, RENEW_SECONDS, Poller
from tests.context import Context
from tests.simulation.memory_registrations import Item, MemoryRegistrations
from tests.unit.conftest import Said
from tests.unit.network import Network
from tests.unit.polled_account import FAILED, FAULT, IN_PROGRESS, NOW, SUCCEEDED, THROTTLE, PolledAccount, tasks

QUARTER = 840.0
ONCE = 1.0
"""Seconds in which one poll begins."""
REFUSED = ClientError({"Error": {"Code": "ThrottlingException"}}, "SendTaskSuccess")


@dataclass
class WaitingAccount(PolledAccount):
    """An account, and the gates that wait for its tasks; their tokens are their names. `called` are the callbacks that were
    taken: token and results. A token is used up by the first, or when it is in `used_up`; one in `refused` raises. `woken` is
    called for each callback that is taken.
    """

    table: MemoryRegistrations = field(default_factory=lambda: MemoryRegistrations(owner="owner", until=NOW + LEASE))
    called: list[tuple[str, Any]] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    used_up: set[str] = field(default_factory=set)
    refused: dict[str, Exception] = field(default_factory=dict)
    woken: Callable[[str], None] = lambda _: None

    def register(self, gate: str, *task_ids: str, token: str = "", since: float = NOW) -> None:
        self.table.items[gate] = Item(Registration(gate, task_ids, token or gate, since), NOW + 10 * QUARTER)

    def call_back(self, token: str, output: str) -> bool:
        self.tried.append(token)
        if token in self.refused:
            raise self.refused[token]
        if token in self.used_up:
            return False
        self.used_up.add(token)
        self.called.append((token, json.loads(output)))
        self.woken(token)
        return True

    def poll(self, seconds: float = ONCE) -> None:
        poller = Poller(self.table, self, self.call_back, "owner", clock=self.clock, sleep=self.sleep)
        poller.run(self.clock() + seconds)

    @property
    def results(self) -> dict[str, list[Any]]:
        """By gate: of each callback that had some, the last poller's farewell has none."""
        by_gate: dict[str, list[Any]] = {}
        for token, results in self.called:
            if results:
                by_gate.setdefault(token, []).append(results)
        return by_gate


def waiting(tasks: dict[str, str], **settings: Any) -> WaitingAccount:
    """For each task a gate that has its name."""
    account = WaitingAccount(tasks, **settings)
    for task_id in tasks:
        account.register(task_id, task_id)
    return account


def fleet(tasks: dict[str, str], **settings: Any) -> WaitingAccount:
    account = WaitingAccount(tasks, **settings)
    account.register("fleet", *tasks)
    return account


def result(task_id: str, status: str = SUCCEEDED, **more: str) -> dict[str, str]:
    return {"LicenseConversionTaskId": task_id, "Status": status, **more}


class TestLease:
    def test_is_renewed_every_ten_seconds_of_a_poll_that_takes_longer(self) -> None:
        account, renewed = waiting(tasks(400), no_list=FAULT, call_seconds=0.5), list[float]()
        account.table.called = lambda call: renewed.append(account.seconds) if call == "renew_lease" else None

        account.poll()

        assert renewed[-1] > 40
        pauses = [after - before for before, after in pairwise(renewed)]
        assert all(RENEW_SECONDS <= pause < RENEW_SECONDS + 1 for pause in pauses)

    def test_that_is_lost_ends_the_poller_which_leaves_it_to_the_other(self) -> None:
        account = waiting(tasks(50))
        account.table.owner = "another"

        account.poll()

        assert (account.calls, account.seconds) == ([], 0)
        assert account.table.until > account.clock()

    def test_that_is_lost_in_a_poll_ends_the_poller_when_it_would_be_renewed(self) -> None:
        account = waiting(tasks(50))
        account.after(0, lambda: setattr(account.table, "owner", "another"))

        account.poll(QUARTER)

        assert account.calls == [IN_PROGRESS] * 2, "within ten seconds"
        assert account.table.last_poll == LastPoll(), "the other poller's"


class TestNoGateWaits:
    def test_the_lease_is_given_back_and_after_another_reading_the_poller_ends(self) -> None:
        account, calls = WaitingAccount({}), list[tuple[str, float]]()
        account.table.called = lambda call: calls.append((call, account.seconds))

        account.poll(QUARTER)

        assert calls == [("renew_lease", 0), ("waiting", 0), ("give_lease_back", 0), ("waiting", EVERY)]
        assert account.table.until == 0
        assert account.calls == []

    @pytest.mark.parametrize("starts_another", [False, True])
    def test_a_gate_that_registered_meanwhile_has_the_poller_that_it_found_or_started(
        self, starts_another: bool
    ) -> None:
        account = WaitingAccount(tasks(1, SUCCEEDED))

        def comes() -> None:
            account.register("late", "lct-0")
            assert not starts_another or account.table.take_lease("another", account.clock())

        account.after(0, comes)
        account.poll(QUARTER)

        assert account.results == ({} if starts_another else {"late": [[result("lct-0")]]})
        assert account.table.owner == ("another" if starts_another else "owner")
        assert bool(account.table.until) is starts_another, "and the lease is given back"


class TestAQuarterOfAnHourIsOver:
    def test_the_lease_is_given_back_and_gates_are_woken_until_one_takes_its_token_and_starts_the_next_poller(
        self,
    ) -> None:
        account = waiting(tasks(50), used_up=set(tasks(3)), refused={"lct-3": REFUSED})
        free: list[bool] = []
        account.woken = lambda _: free.append(account.table.until == 0)

        account.poll(QUARTER)

        assert QUARTER <= account.seconds < QUARTER + EVERY
        assert account.called == [("lct-4", [])]
        assert len(account.tried) == 5
        assert free == [True]

    def test_a_poll_that_is_under_way_ends_ten_seconds_before_the_function_does(self) -> None:
        account = waiting(tasks(5), denied=dict.fromkeys(tasks(5), THROTTLE), no_list=AccessDenied("no"))
        account.call_seconds = 11.0

        account.poll()

        assert account.seconds < ONCE + LAST_SECONDS - poll_tasks.LAST_CALL_SECONDS + account.call_seconds
        assert account.called


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["throttle", "fault"])
def test_a_silent_license_manager_ends_the_poller_which_gives_the_lease_back_and_does_not_note_that_poll(
    trouble: Exception, said: Callable[[], Said]
) -> None:
    account, began = waiting(tasks(50), denied=dict.fromkeys(tasks(50), trouble), no_list=trouble), list[float]()
    account.table.called = lambda call: began.append(account.clock()) if call == "renew_lease" else None

    account.poll(QUARTER)

    assert LEASE - 0.01 < account.seconds < LEASE + 6
    assert account.table.until == 0
    assert account.table.last_poll.began < began[-1]
    assert account.called == []
    assert said().lines[-1]["message"] == "The poller ends: License Manager does not answer"


class TestHowOften:
    def test_a_poll_begins_every_five_seconds_whatever_it_takes_is_noted_and_counted(
        self, said: Callable[[], Said]
    ) -> None:
        account, noted = waiting(tasks(50), call_seconds=0.5), list[float]()
        account.table.called = lambda call: noted.append(account.seconds) if call == "note_poll" else None

        account.poll(EVERY * 4)

        assert noted == [0.5, 5.5, 10.5, 15.5]
        assert account.table.last_poll == LastPoll(NOW + 3 * EVERY, 0.5)
        assert said().metrics == {"GatesWaiting": 200, "SecondsToPoll": 2.0}

    @pytest.mark.parametrize(("running", "pause"), [(500, EVERY), (501, EVERY_WHERE_LARGE)])
    def test_every_thirteen_where_the_last_one_took_many_calls(self, running: int, pause: float) -> None:
        account = waiting(tasks(running))

        account.poll()

        assert account.seconds == pytest.approx(pause)

    @pytest.mark.parametrize("jump", [-3600.0, 3600.0])
    def test_a_clock_that_jumps_stops_no_poller(self, jump: float) -> None:
        account = waiting(tasks(50))
        account.after(0, lambda: setattr(account, "seconds", account.seconds + jump))

        account.poll()

        assert all(0 < pause <= EVERY for pause in account.sleeps)
        assert account.table.last_poll.took >= 0


class TestNews:
    def test_is_what_is_terminal_and_all_its_gates_have_it(self, said: Callable[[], Said]) -> None:
        ended = {"lct-3": SUCCEEDED, "lct-4": FAILED, "lct-5": "PAUSED", "lct-7": ""}
        account = waiting(tasks(50) | ended, hidden={"lct-6"})
        account.register("another", "lct-3")

        account.poll()

        assert account.results.keys() == {"lct-3", "another", "lct-4"}
        assert account.results["another"] == account.results["lct-3"] == [[result("lct-3")]]
        assert said().metrics["UnknownStatuses"] == 2, "statuses that are not documented"

    def test_goes_out_a_hundred_gates_at_a_time_while_a_long_poll_goes_on(self) -> None:
        account = waiting(tasks(250, SUCCEEDED), no_list=FAULT)
        asked: list[int] = []
        account.woken = lambda _: asked.append(len(account.calls) - 3)

        account.poll()

        assert asked == [100] * 100 + [200] * 100 + [250] * 50


class TestARefusedTask:
    def test_is_its_gates_to_ask_for_and_asked_for_again_once_the_gate_has_registered_again(self) -> None:
        account = waiting(tasks(20), hidden={"lct-3"}, denied={"lct-3": AccessDenied("no")})
        account.after(EVERY, lambda: account.register("lct-3", "lct-3", token="newer"))

        account.poll(EVERY * 5)

        ask_yourself = [[{"LicenseConversionTaskId": "lct-3"}]]
        assert account.results == {"lct-3": ask_yourself, "newer": ask_yourself}
        assert account.calls.count("lct-3") == 2

    def test_is_the_fleets_to_ask_for_too(self) -> None:
        account = fleet(tasks(3, SUCCEEDED), hidden={"lct-1"}, denied={"lct-1": AccessDenied("no")})

        account.poll()

        assert account.results == {"fleet": [["lct-0", {"LicenseConversionTaskId": "lct-1"}, "lct-2"]]}


class TestResults:
    def test_of_one_task_are_its_whole_shape(self) -> None:
        members = {
            "ResourceArn": "arn",
            "StatusMessage": "ü" * 5_000,
            "SourceLicenseContext": {"UsageOperation": "Run"},
        }
        account = waiting(tasks(1, FAILED), members=members)

        account.poll()

        assert account.results == {"lct-0": [[result("lct-0", FAILED) | members]]}

    def test_of_a_fleet_are_ids_of_what_succeeded_and_messages_of_what_failed(self) -> None:
        ended = {"lct-1": SUCCEEDED, "lct-2": FAILED, "lct-3": FAILED}
        account = fleet(ended, messages={"lct-2": "No."}, members={"ResourceArn": "arn:resource"})

        account.poll()

        failed = [result(one, FAILED, StatusMessage=said) for one, said in (("lct-2", "No."), ("lct-3", ""))]
        assert account.results == {"fleet": [["lct-1", *failed]]}

    @pytest.mark.parametrize("message", ["\0" * 5_000, "\N{GRINNING FACE}" * 4_000, ""])
    def test_are_forty_kilobytes_at_most_and_the_rest_comes_with_the_next_poll(self, message: str) -> None:
        account = fleet({f"lct-{number:046}": FAILED for number in range(200)}, members={"StatusMessage": message})
        known = Fleet.from_carried(tuple(account.tasks), {})
        sent: list[int] = []

        def registers_again(token: str) -> None:
            nonlocal known
            _, results = account.called[-1]
            sent.append(len(json.dumps(results, ensure_ascii=False).encode()))
            known = known.after(ConversionTask.from_result(one) for one in results)
            if known.pending:
                account.register("fleet", *known.pending, token=f"{token}+", since=account.clock())

        account.woken = registers_again
        account.poll(EVERY * 20)

        assert known.terminal
        assert len(known.failed) == 200
        assert max(sent) <= 40_002
        assert len(sent) > 1 or not message

    def test_have_the_first_messages_of_a_fleet_whole(self) -> None:
        account = fleet(tasks(100, FAILED), members={"StatusMessage": "x" * 3_500})

        account.poll()

        (results,) = account.results["fleet"]
        assert results[0]["StatusMessage"] == "x" * 3_500
        assert any(one["StatusMessage"].endswith(MARK) for one in results)


class TestAFleet:
    def test_that_has_not_ended_is_woken_eight_seconds_after_it_registered_with_what_was_found(self) -> None:
        account, woken = fleet(tasks(5) | {"lct-0": SUCCEEDED}), list[float]()
        account.woken = lambda _: woken.append(account.seconds)

        account.poll(FLEET_SECONDS + EVERY)

        assert FLEET_SECONDS < woken[0] < FLEET_SECONDS + EVERY
        assert account.results == {"fleet": [["lct-0"]]}
        assert account.calls.count("lct-0") == 1, "the next poll need not ask again"

    def test_has_the_ends_of_a_poll_that_broke_off_with_those_of_the_next(self) -> None:
        account = fleet(tasks(4, SUCCEEDED), no_list=FAULT, denied={"lct-2": FAULT})
        account.after(EVERY - 0.1, lambda: account.denied.pop("lct-2"))

        account.poll(EVERY * 2)

        assert account.results == {"fleet": [["lct-0", "lct-1", "lct-2", "lct-3"]]}
        assert [account.calls.count(task_id) for task_id in account.tasks] == [1, 1, 2, 1]


class TestDelivery:
    def test_with_a_token_that_is_used_up_reads_that_one_registration_and_calls_its_new_token(self) -> None:
        account, read = waiting(tasks(20) | {"lct-3": SUCCEEDED}), list[str]()

        def wakes_and_registers_again() -> None:
            account.used_up.add("lct-3")
            account.register("lct-3", "lct-3", token="newer")
            account.table.called = read.append

        account.after(0, wakes_and_registers_again)
        account.poll()

        assert ("newer", [result("lct-3")]) in account.called
        assert "lct-3" not in account.table.items
        assert read.count("registration") == 1

    @pytest.mark.parametrize("again", ["", "newer"], ids=["ended", "used up again"])
    def test_to_a_gate_that_is_gone_is_no_trouble(self, again: str, said: Callable[[], Said]) -> None:
        account = waiting(tasks(2, SUCCEEDED), used_up={"lct-0", "newer"})

        def has_gone() -> None:
            account.table.items.pop("lct-0")
            if again:
                account.register("lct-0", "lct-0", token=again)

        account.after(0, has_gone)
        account.poll()

        assert account.results == {"lct-1": [[result("lct-1")]]}
        assert not account.table.items
        assert [line["level"] for line in said().lines if line["level"] != "INFO"] == []

    @pytest.mark.parametrize(
        "error", [REFUSED, EndpointConnectionError(endpoint_url="https://states"), TimeoutError()], ids=str
    )
    def test_that_fails_is_made_again_by_the_next_poll_from_memory(self, error: Exception) -> None:
        account = waiting(tasks(20) | {"lct-3": SUCCEEDED}, refused={"lct-3": error})
        account.after(EVERY / 2, account.refused.clear)
        calls: list[int] = []
        account.woken = lambda _: calls.append(len(account.calls))

        account.poll(EVERY * 2)

        assert account.calls.count("lct-3") == 1
        assert account.tried[:2] == ["lct-3"] * 2
        assert calls[0] == len([IN_PROGRESS, "lct-3"]), "before the next poll has asked License Manager anything"
        assert account.results == {"lct-3": [[result("lct-3")]]}

    def test_is_forgotten_when_no_gate_waits_for_the_task_any_more(self) -> None:
        account = waiting(tasks(20) | {"lct-3": SUCCEEDED})
        account.after(EVERY + 1, lambda: account.register("another", "lct-3"))

        account.poll(EVERY * 3)

        assert account.results.keys() == {"lct-3", "another"}
        assert account.calls.count("lct-3") == 2

    @pytest.mark.parametrize("call", ["remove", "registration"])
    def test_keeps_no_other_gate_from_its_result_where_the_table_fails(self, call: str) -> None:
        account = waiting(tasks(30, SUCCEEDED), used_up={"lct-7"})
        failures = [1]

        def fails(called: str) -> None:
            if called == call and failures:
                failures.pop()
                raise TableUnavailable

        account.table.called = fails
        account.poll(EVERY * 2)

        assert len(account.results) == 29
        assert account.table.items.keys() == set()

    def test_of_the_same_gate_is_made_once_a_poll_though_it_registers_again_meanwhile(self) -> None:
        account = waiting(tasks(250, SUCCEEDED), no_list=FAULT)
        account.woken = lambda token: account.register(token, "lct-0", token=f"{token}+")

        account.poll()

        assert len([token for token, results in account.called if results]) == 250

    def test_of_what_broke_in_our_own_code_breaks_the_poller(self) -> None:
        account = waiting(tasks(3, SUCCEEDED), refused={"lct-0": ZeroDivisionError()})

        with pytest.raises(ZeroDivisionError):
            account.poll()


@pytest.mark.parametrize("call", ["renew_lease", "waiting", "note_poll", "give_lease_back", "take_lease"])
def test_a_table_that_fails_ends_the_poller(call: str) -> None:
    account = WaitingAccount(tasks(1))

    def fails(called: str) -> None:
        if called == call:
            raise TableUnavailable

    account.table.called = fails
    if call == "note_poll":
        account.register("gate", "lct-0")
    account.then = lambda _: account.register("gate", "lct-0")

    with pytest.raises(TableUnavailable):
        account.poll(QUARTER)


# The entry point

READER = {"RoleArn": "arn:aws:iam::210987654321:role/reader", "ExternalId": "an-id", "Region": "eu-central-1"}
EVENT = {**READER, "Owner": "gate@1"}


@pytest.fixture
def one_waits(network: Network, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One gate that waits until it is called back; and how long the poller slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setenv("GATE_TABLE_NAME", "registrations")
    attributes = {"Gate": {"S": "Gate-1"}, "Tasks": {"S": "lct-1"}, "Token": {"S": "the-token"}, "Since": {"N": "1"}}
    network.answers("Query", {"Items": [attributes]}, {"Items": []})
    network.answers("GetLicenseConversionTask", {"LicenseConversionTaskId": "lct-1", "Status": SUCCEEDED})
    return slept


def with_left(seconds: float) -> Context:
    """In its last minute a poller begins no poll."""
    return Context(seconds=LAST_SECONDS + seconds)


@pytest.mark.usefixtures("one_waits")
class TestTheFunction:
    def test_lambda_hands_over_the_account_whose_gates_wait(
        self, network: Network, one_waits: list[float], said: Callable[[], Said]
    ) -> None:
        poll_tasks.handler(EVENT, with_left(800))

        asked_for = network.call("GetLicenseConversionTask")
        assert asked_for.said == {"LicenseConversionTaskId": "lct-1"}
        assert (asked_for.signed_by, ".eu-central-1." in asked_for.url) == ("ASIAOFTHEROLE", True)
        assumed = network.call("AssumeRole").said
        assert (assumed["RoleArn"], assumed["ExternalId"]) == (READER["RoleArn"], "an-id")
        called_back = network.call("SendTaskSuccess").said
        assert (called_back["taskToken"], json.loads(called_back["output"])) == ("the-token", [result("lct-1")])
        assert network.operations().count("GetItem") == 1, "a slot: who was called back is not looked up again"
        of_table = [call.said for call in network.calls if "TableName" in call.said]
        key = Registrations("registrations", Account(*READER.values())).key("Gate-1")
        assert ("registrations", key) in [(said["TableName"], said.get("Key")) for said in of_table]
        owners = [said["ExpressionAttributeValues"][":owner"]["S"] for said in of_table if ":owner" in json.dumps(said)]
        assert owners == ["gate@1", *[owners[1]] * 3], "the check's, then its own: renewed, noted, given back"
        assert owners[1] != "gate@1"
        until_the_next_poll, until_the_last_reading = [pause for pause in one_waits if pause]
        assert 0 < until_the_next_poll < until_the_last_reading == EVERY
        printed = said()
        assert printed.metrics.keys() == {"PollersStarted", "GatesWaiting", "SecondsToPoll"}
        assert [line["request_id"] for line in printed.lines] == [Context().aws_request_id]

    def test_no_poll_begins_in_the_last_minute_of_an_invocation(self, network: Network) -> None:
        poll_tasks.handler(EVENT, with_left(0))

        assert "GetLicenseConversionTask" not in network.operations()
        called_back = network.call("SendTaskSuccess").said
        assert called_back == {"taskToken": "the-token", "output": "[]"}, "a gate that wakes starts the next poller"

    @pytest.mark.parametrize("code", ["TaskTimedOut", "TaskDoesNotExist", "InvalidToken"])
    def test_a_token_that_is_used_up_is_no_news(self, network: Network, said: Callable[[], Said], code: str) -> None:
        network.refuses("SendTaskSuccess", code)
        network.answers("GetItem", {}, {"Item": {}})

        poll_tasks.handler(EVENT, with_left(1))

        asked = [one for one in network.operations() if one in ("SendTaskSuccess", "GetItem", "DeleteItem")]
        assert asked == ["GetItem", "SendTaskSuccess", "GetItem", "DeleteItem"], "a slot; then the gate's newer token"
        assert {line["level"] for line in said().lines} == {"INFO"}

    def test_a_gate_that_cannot_be_called_back_is_in_the_log_and_its_token_is_not(
        self, network: Network, lines: Callable[[], str]
    ) -> None:
        network.refuses("SendTaskSuccess", "ThrottlingException", "not the-token")

        poll_tasks.handler(EVENT, with_left(1))

        printed = lines()
        assert "A gate is not called back: ThrottlingException" in printed
        assert "the-token" not in printed
        assert network.operations().count("SendTaskSuccess") == poll_tasks.ATTEMPTS
        assert "DeleteItem" not in network.operations()

    def test_an_event_that_lambda_delivers_twice_is_one_poller(
        self, network: Network, said: Callable[[], Said]
    ) -> None:
        network.refuses("UpdateItem", "ConditionalCheckFailedException")

        poll_tasks.handler(EVENT, with_left(800))

        assert network.operations() == ["UpdateItem"]
        assert said().metrics == {}

    def test_a_poller_too_many_ends_at_once_and_is_counted(self, network: Network, said: Callable[[], Said]) -> None:
        slots = {f"Slot{number}": {"N": str(time.time() + 20)} for number in range(20)}
        network.answers("GetItem", {"Item": slots})

        poll_tasks.handler(EVENT, with_left(800))

        assert network.operations() == ["UpdateItem", "GetItem"]
        printed = said()
        assert printed.metrics == {"PollersTooMany": 1}
        assert [line["level"] for line in printed.lines] == ["WARNING"]

    @pytest.mark.parametrize(("operation", "counted"), [("GetItem", {}), ("Query", {"PollersStarted": 1})])
    def test_a_poller_that_breaks_says_so_and_fails(
        self, network: Network, said: Callable[[], Said], operation: str, counted: dict[str, int]
    ) -> None:
        network.refuses(operation, "AccessDeniedException")

        with pytest.raises(TableUnavailable):
            poll_tasks.handler(EVENT, with_left(800))

        printed = said()
        assert printed.metrics == counted
        (line,) = printed.lines
        assert (line["level"], line["message"]) == ("ERROR", "The poller broke: a gate that wakes starts the next one")
