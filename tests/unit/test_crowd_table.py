"""The crowd's table, against moto's DynamoDB."""

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from license_conversion.crowd import Place, Places, Watched
from license_conversion.crowd_table import KEEPS, SHARDS, CrowdTable
from license_conversion.errors import TableUnavailable
from license_conversion.request import Account
from tests.simulation.memory_table import MemoryTable
from tests.template import RESOURCES

NOW = 1_795_369_195.0
DONE = {"LicenseConversionTaskId": "lct-1", "Status": "SUCCEEDED", "StatusMessage": "fertig, schön"}


def schema() -> dict[str, Any]:
    """As the template has it."""
    properties = RESOURCES["CrowdTable"]["Properties"]
    return {name: properties[name] for name in ("BillingMode", "AttributeDefinitions", "KeySchema")}


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(TableName="crowd", **schema())
        yield client


@pytest.fixture(params=["DynamoDB", "memory"])
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CrowdTable | MemoryTable:
    """The fake of the other tests is held to the same."""
    if request.param == "memory":
        return MemoryTable()
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    request.getfixturevalue("dynamodb")
    return CrowdTable("crowd", Account())


def test_both_are_tables_to_a_gate(table: Places) -> None:
    assert table.watched() == Watched()


def test_a_place_is_the_gates_until_it_leaves(table: CrowdTable | MemoryTable) -> None:
    assert table.place("one") is None
    assert table.take_place("one", ["lct-1"], "token", NOW)

    assert table.place("one") == Place(NOW, [])
    assert table.leave("one") == Place(NOW, [])
    assert table.place("one") is table.leave("one") is None


def test_a_place_that_is_taken_again_keeps_its_beginning_and_has_the_new_token(table: CrowdTable | MemoryTable) -> None:
    table.take_place("one", ["lct-1", "lct-2"], "token", NOW)
    table.take_place("one", ["lct-2"], "newer", NOW + 100)

    assert table.place("one") == Place(NOW, [])
    (waiting,) = table.waiting(NOW)
    assert (waiting.gate, list(waiting.task_ids), waiting.token) == ("one", ["lct-2"], "newer")


def test_words_are_kept_in_order_and_keep_the_place_from_being_taken(table: CrowdTable | MemoryTable) -> None:
    table.take_place("one", ["lct-1"], "token", NOW)

    assert table.tell("one", [DONE]) == "token"
    assert table.tell("one", [{"LicenseConversionTaskId": "lct-2"}]) == "token"
    assert not table.take_place("one", ["lct-1"], "newer", NOW)
    assert list(table.waiting(NOW)) == []
    place = table.leave("one")
    assert place
    assert list(place.words) == [DONE, {"LicenseConversionTaskId": "lct-2"}]


def test_whoever_has_left_is_not_told(table: CrowdTable | MemoryTable) -> None:
    assert table.tell("one", [DONE]) == ""
    assert table.place("one") is None


def test_a_place_whose_gate_does_not_come_back_is_not_looked_for(table: CrowdTable | MemoryTable) -> None:
    table.take_place("one", ["lct-1"], "token", NOW)

    assert list(table.waiting(NOW + KEEPS - 1))
    assert not list(table.waiting(NOW + KEEPS + 1))


def test_one_caller_starts_the_watch(table: CrowdTable | MemoryTable) -> None:
    assert [table.may_start(NOW + second, NOW + second + 30) for second in (0, 1, 29)] == [True, False, False]
    assert table.may_start(NOW + 30, NOW + 60)


def test_nobody_starts_a_watch_while_one_is_at_work(table: CrowdTable | MemoryTable) -> None:
    table.keep_watch(NOW + 30)

    assert not table.may_start(NOW, NOW + 30)
    assert table.may_start(NOW + 30, NOW + 60)


def test_what_the_watch_says_of_itself_is_read_as_it_was_said(table: CrowdTable | MemoryTable) -> None:
    table.may_start(NOW, NOW + 30)
    table.looked(NOW + 1, 2.5)
    table.keep_watch(NOW + 31)

    assert table.watched() == Watched(NOW + 1, 2.5, NOW + 31, NOW + 30)


def test_gates_are_spread_over_partitions_and_all_of_them_are_found(dynamodb: Any) -> None:
    table = CrowdTable("crowd", Account())
    gates = {f"gate-{number}" for number in range(200)}
    for gate in gates:
        table.take_place(gate, ["lct-1"], "token", NOW)

    assert {one.gate for one in table.waiting(NOW)} == gates
    assert len({item["Crowd"]["S"] for item in dynamodb.scan(TableName="crowd")["Items"]}) == SHARDS


def test_large_places_are_read_page_by_page(dynamodb: Any) -> None:
    table = CrowdTable("crowd", Account())
    tasks = [f"lct-{number:046}" for number in range(1000)]
    for number in range(300):
        table.take_place(f"gate-{number}", tasks, "t" * 2000, NOW)

    assert len(list(table.waiting(NOW))) == 300


@pytest.mark.parametrize("account", [Account("arn:role"), Account("arn:role", "external"), Account(region="us-west-2")])
def test_each_account_and_region_is_a_crowd_of_its_own(dynamodb: Any, account: Account) -> None:
    CrowdTable("crowd", Account()).take_place("one", ["lct-1"], "token", NOW)

    assert CrowdTable("crowd", account).place("one") is None


CALLS: dict[str, Callable[[CrowdTable], Any]] = {
    "take_place": lambda table: table.take_place("one", ["lct-1"], "the-token", NOW),
    "place": lambda table: table.place("one"),
    "leave": lambda table: table.leave("one"),
    "watched": lambda table: table.watched(),
    "may_start": lambda table: table.may_start(NOW, NOW),
    "waiting": lambda table: list(table.waiting(NOW)),
    "tell": lambda table: table.tell("one", [DONE]),
    "keep_watch": lambda table: table.keep_watch(NOW),
    "looked": lambda table: table.looked(NOW, 1.0),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_table_that_is_gone_is_unavailable_and_no_token_is_in_the_error(dynamodb: Any, call: str) -> None:
    dynamodb.delete_table(TableName="crowd")

    with pytest.raises(TableUnavailable) as error:
        CALLS[call](CrowdTable("crowd", Account()))

    assert "the-token" not in str(error.value)
