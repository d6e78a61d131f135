"""The table of registrations, against moto's DynamoDB and with the expressions that DynamoDB is really sent."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
import botocore.handlers
import pytest
from moto import mock_aws
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from license_conversion.errors import TableUnavailable
from license_conversion.registrations import LEASE, MOST_POLLERS, SHARDS, LastPoll, Registration, Registrations
from license_conversion.request import Account
from tests.simulation.expressions import Surroundings, compiled, filled
from tests.simulation.memory_registrations import MemoryRegistrations
from tests.template import RESOURCES, STATES
from tests.unit.network import Network

NOW = 1_795_369_195.0
GATES = [f"gate-{number:03}" for number in range(300)]
LANGUAGE = {"SET", "REMOVE", "AND", "OR", "attribute_exists", "attribute_not_exists"}
WAIT_FOR_RESULT = compiled(STATES["Wait for Result"]["Arguments"])


def register(
    table: Registrations, gate: str, tasks: str, token: str = "", *, now: float = NOW, seconds: int = 120
) -> None:
    """As the state machine does, for a gate that sleeps so many seconds."""
    surroundings = Surroundings(lambda: now)
    next_check = datetime.fromtimestamp(now + seconds, UTC).isoformat()
    surroundings.bind("gate", {"Registration": table.key(gate), "Pending": tasks, "NextCheckAt": next_check})
    surroundings.bind("states", {"context": {"Task": {"Token": token}}})
    arguments = {**filled(WAIT_FOR_RESULT, surroundings), "TableName": "registrations"}
    if isinstance(table, MemoryRegistrations):
        table.register(arguments, now)
    else:
        boto3.client("dynamodb").update_item(**arguments)


def table_of(account: Account = Account()) -> Registrations:  # noqa: B008 - frozen
    return Registrations("registrations", account, "poll")


@dataclass
class DynamoDB:
    """`invoked` are the payloads of the pollers that were started, `started` are the owners in them."""

    started: list[str]
    invoked: list[dict[str, str]] = field(default_factory=list)
    operations: list[str] = field(default_factory=list)

    def called(self, event_name: str, params: dict[str, Any], **_: Any) -> None:
        """Each call of each client. DynamoDB refuses an expression with a reserved word, and a name or value too many; moto does
        not everywhere. And moto always shows the newest state, DynamoDB only where it is asked for.
        """
        self.operations.append(event_name.removeprefix("provide-client-params."))
        if event_name.endswith("lambda.Invoke"):
            assert params["InvocationType"] == "Event", "a check does not wait for the poller"
            self.invoked.append(json.loads(params["Payload"]))
            self.started.append(self.invoked[-1]["Owner"])
        assert params.get("ConsistentRead") or not event_name.endswith(("GetItem", "Query"))
        words = set(re.findall(r"[#:]?\w+", " ".join(params[name] for name in params if name.endswith("Expression"))))
        assert {word for word in words if word[0] == ":"} == params.get("ExpressionAttributeValues", {}).keys()
        assert {word for word in words if word[0] == "#"} == params.get("ExpressionAttributeNames", {}).keys()
        names = {word for word in words if word[0] not in ":#"} - LANGUAGE
        assert not {name for name in names if name.upper() in ReservedKeywords.get_reserved_keywords()}


@pytest.fixture
def started() -> list[str]:
    """The owners for whom a check has started a poller."""
    return []


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch, started: list[str]) -> Iterator[DynamoDB]:
    """As the template has it."""
    dynamodb = DynamoDB(started)
    handlers = [*botocore.handlers.BUILTIN_HANDLERS, ("provide-client-params", dynamodb.called)]
    monkeypatch.setattr(botocore.handlers, "BUILTIN_HANDLERS", handlers)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with mock_aws():
        properties = RESOURCES["RegistrationTable"]["Properties"]
        schema = {name: properties[name] for name in ("BillingMode", "AttributeDefinitions", "KeySchema")}
        boto3.client("dynamodb").create_table(TableName="registrations", **schema)
        yield dynamodb


@pytest.fixture(params=["DynamoDB", "memory"])
def table(request: pytest.FixtureRequest, started: list[str]) -> Registrations:
    """The fake of the other tests is held to the same."""
    if request.param == "memory":
        return MemoryRegistrations(started.append)
    request.getfixturevalue("dynamodb")
    return table_of()


# Registrations


def test_what_the_state_machine_writes_of_a_gate_the_poller_reads(table: Registrations) -> None:
    register(table, "one", "lct-1 lct-2", "t" * 2048, now=NOW + 0.9)

    assert list(table.waiting(NOW)) == [Registration("one", ["lct-1", "lct-2"], "t" * 2048, NOW)]
    assert table.registration("one") == Registration("one", ["lct-1", "lct-2"], "t" * 2048, NOW)
    assert table.registration("another") is None


def test_a_registration_is_removed_on_the_condition_of_its_token(table: Registrations) -> None:
    register(table, "one", "lct-1", "newer")
    newer = Registration("one", ["lct-1"], "newer", NOW)

    table.remove(Registration("one", ["lct-1"], "older", NOW))
    assert table.registration("one") == newer
    table.remove(newer)
    assert table.registration("one") is None
    table.remove(newer)


def test_a_gate_whose_sleep_is_long_over_does_not_wait(table: Registrations) -> None:
    register(table, "one", "lct-1", seconds=100)

    assert list(table.waiting(NOW + 104))
    assert not list(table.waiting(NOW + 105))


# The lease


def test_the_lease_is_taken_by_the_check_that_finds_no_poller_and_that_one_starts_the_poller(
    table: Registrations, started: list[str]
) -> None:
    for gate, second in (("one", 0), ("two", 0), ("one", 1), ("two", LEASE - 1)):
        assert table.look_after_poller(gate, NOW + second) == LastPoll()
    assert started == [f"one@{NOW:.3f}"]

    table.look_after_poller("two", NOW + LEASE)
    assert started == [f"one@{NOW:.3f}", f"two@{NOW + LEASE:.3f}"]


def test_the_lease_is_renewed_on_the_condition_that_it_is_still_ones_own(table: Registrations) -> None:
    assert table.take_lease("one", NOW)
    assert table.renew_lease("one", NOW + 20)
    assert not table.take_lease("two", NOW + LEASE + 19)
    assert not table.renew_lease("two", NOW + 20)
    assert table.renew_lease("one", NOW + 10 * LEASE), "a poller that stood still, where no other took it"


def test_a_lease_is_taken_over_once_though_the_pollers_event_is_delivered_twice(table: Registrations) -> None:
    assert table.take_lease("one", NOW)
    assert table.take_over("one", "first delivery")
    assert not table.take_over("one", "second delivery")
    assert table.renew_lease("first delivery", NOW + 20)


def test_the_lease_is_lost_to_another_poller_once_it_is_over_and_given_back_by_its_owner_alone(
    table: Registrations,
) -> None:
    table.take_lease("one", NOW)

    assert table.take_lease("two", NOW + LEASE)
    assert not table.renew_lease("one", NOW + LEASE)
    table.give_lease_back("one")
    assert not table.take_lease("three", NOW + LEASE)
    table.give_lease_back("two")
    assert table.take_lease("three", NOW + LEASE)


def test_a_poll_is_noted_by_the_owner_of_the_lease_and_read_by_each_check_whether_it_takes_the_lease_or_not(
    table: Registrations, started: list[str]
) -> None:
    table.take_lease("one", NOW)
    table.note_poll("one", NOW + 1, 2.5)
    table.note_poll("two", NOW + 2, 0.5)

    assert table.look_after_poller("gate", NOW + 3) == LastPoll(NOW + 1, 2.5)
    assert started == []
    assert table.look_after_poller("gate", NOW + LEASE) == LastPoll(NOW + 1, 2.5)
    assert table.look_after_poller("gate", NOW + LEASE) == LastPoll(NOW + 1, 2.5)
    assert started == [f"gate@{NOW + LEASE:.3f}"]


# What DynamoDB alone has


def test_a_poller_is_started_for_the_account_with_the_owner_of_the_lease_and_may_fail_to_start(
    dynamodb: DynamoDB, lines: Callable[[], str]
) -> None:
    account = Account("arn:role", "external", "us-west-2")

    assert table_of(account).look_after_poller("gate", NOW) == LastPoll()

    named = {"RoleArn": "arn:role", "ExternalId": "external", "Region": "us-west-2"}
    assert dynamodb.invoked == [{**named, "Owner": f"gate@{NOW:.3f}"}]
    assert "The poller could not be started" in lines(), "moto has no such function"


def test_gates_are_spread_over_partitions_and_all_of_them_are_found(dynamodb: DynamoDB) -> None:
    table = table_of()
    for gate in GATES[:80]:
        register(table, gate, "lct-1")

    assert {one.gate for one in table.waiting(NOW)} == set(GATES[:80])
    items = boto3.client("dynamodb").scan(TableName="registrations")["Items"]
    assert len({item["Account"]["S"] for item in items}) == SHARDS


def test_large_registrations_are_read_page_by_page(dynamodb: DynamoDB) -> None:
    table, tasks = table_of(), " ".join(f"lct-{number:046}" for number in range(1000))
    one_partition = [gate for gate in GATES if table.key(gate)["Account"]["S"].endswith("/0")]
    for gate in one_partition:
        register(table, gate, tasks, "t" * 2000)

    assert [one.gate for one in table.waiting(NOW)] == sorted(one_partition)
    assert dynamodb.operations.count("dynamodb.Query") > SHARDS


@pytest.mark.parametrize("account", [Account("arn:role"), Account("arn:role", "external"), Account(region="us-west-2")])
def test_each_account_role_and_region_has_registrations_and_a_poller_of_its_own(
    dynamodb: DynamoDB, account: Account
) -> None:
    own, other = table_of(), table_of(account)
    register(own, "one", "lct-1")

    assert other.registration("one") is None
    assert not list(other.waiting(NOW))
    assert own.take_lease("one", NOW)
    assert other.take_lease("two", NOW)


def test_a_pollers_item_in_another_form_breaks_no_check(dynamodb: DynamoDB) -> None:
    table = table_of()
    account = table.key("gate")["Account"]["S"].partition("/")[0]
    poller = {"Account": {"S": f"{account}/poller"}, "Gate": {"S": "poller"}}
    boto3.client("dynamodb").put_item(
        TableName="registrations", Item={**poller, "Began": {"S": "now"}, "Took": {"NULL": True}}
    )

    assert table.look_after_poller("gate", NOW) == LastPoll()
    assert len(dynamodb.invoked) == 1


@pytest.mark.parametrize("missing", ["Tasks", "Token", "Since", "Expires"])
def test_an_item_that_lacks_an_attribute_keeps_no_other_gate_from_its_poller(dynamodb: DynamoDB, missing: str) -> None:
    """An operator may write into the table, and a release to come may write otherwise."""
    table = table_of()
    register(table, "broken", "lct-1")
    register(table, "whole", "lct-2")
    key = table.key("broken")
    boto3.client("dynamodb").update_item(
        TableName="registrations", Key=key, UpdateExpression="REMOVE #it", ExpressionAttributeNames={"#it": missing}
    )

    waiting = {one.gate: one for one in table.waiting(NOW)}

    assert waiting.keys() == ({"whole", "broken"} if missing == "Since" else {"whole"})
    assert table.registration("whole") == waiting["whole"]
    table.registration("broken")


class TestSlots:
    """Of the pollers of all accounts, regions and roles."""

    @pytest.fixture
    def pollers(self, dynamodb: DynamoDB) -> list[Registrations]:
        accounts = [Account(f"arn:role-{number}") for number in range(MOST_POLLERS + 1)]
        return [Registrations("registrations", account) for account in accounts]

    def test_at_most_twenty_pollers_have_one_and_that_of_one_that_was_killed_is_free_after_thirty_seconds(
        self, pollers: list[Registrations]
    ) -> None:
        *running, late = pollers
        for poller in running:
            assert poller.take_slot(NOW)
            poller.take_lease("owner", NOW)
        for poller in running[1:]:
            assert poller.renew_lease("owner", NOW + 20)

        assert not late.take_slot(NOW + LEASE - 1)
        assert late.take_slot(NOW + LEASE)
        assert not running[0].take_slot(NOW + LEASE)

    def test_two_that_read_the_same_free_slot_do_not_both_have_it(self, pollers: list[Registrations]) -> None:
        """The slots are read once and taken on a condition each."""
        for poller in pollers[: MOST_POLLERS - 1]:
            poller.take_slot(NOW)
        *_, first, second = pollers
        answer = first._client.get_item
        first._client.get_item = lambda **arguments: (answer(**arguments), second.take_slot(NOW))[0]  # type: ignore[method-assign]

        assert not first.take_slot(NOW)

    def test_a_poller_that_has_lost_the_lease_does_not_keep_its_slot(self, pollers: list[Registrations]) -> None:
        for poller in pollers[:MOST_POLLERS]:
            poller.take_slot(NOW)
            assert not poller.renew_lease("another", NOW + 20)

        assert pollers[MOST_POLLERS].take_slot(NOW + LEASE)


@pytest.mark.parametrize(
    "call",
    [
        lambda table: table.take_lease("one", NOW),
        lambda table: list(table.waiting(NOW)),
        lambda table: table.registration("one"),
        lambda table: table.remove(Registration("one", ["lct-1"], "the-token", NOW)),
    ],
    ids=["update", "query", "get", "delete"],
)
def test_a_table_that_is_gone_is_unavailable_and_no_token_is_in_the_error(
    dynamodb: DynamoDB, call: Callable[[Registrations], Any]
) -> None:
    boto3.client("dynamodb").delete_table(TableName="registrations")

    with pytest.raises(TableUnavailable) as error:
        call(Registrations("registrations", Account()))

    assert "the-token" not in str(error.value)


@pytest.mark.parametrize(("poll_function", "attempts"), [("poll", 1), ("", 4)], ids=["check", "poller"])
def test_a_check_gives_a_table_in_trouble_one_attempt_and_the_poller_four(
    network: Network, monkeypatch: pytest.MonkeyPatch, poll_function: str, attempts: int
) -> None:
    network.refuses("UpdateItem", "ProvisionedThroughputExceededException")

    with pytest.raises(TableUnavailable):
        Registrations("registrations", Account(), poll_function).take_lease("one", NOW)

    assert network.operations() == ["UpdateItem"] * attempts
