"""The crowd's table in DynamoDB. Times are seconds since 1970; `Expires` is its time to live.

A gate's place is under its execution's name, in one of `SHARDS` partitions of its account: one of them takes 1,000 writes a
second. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
"""

import hashlib
import json
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from license_conversion import aws
from license_conversion.crowd import Place, Watched
from license_conversion.errors import TableUnavailable
from license_conversion.request import Account

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ATTEMPTS = 4
SHARDS = 10
WATCH = "WATCH"
KEEPS = 600
"""Seconds after which a place goes that its gate has not come back to: one comes within `pace.LONGEST_IN_CROWD`."""
NO_WORDS = "attribute_not_exists(Words)"
NOBODY_WATCHES = " AND ".join(
    f"(attribute_not_exists({until}) OR {until} <= :now)" for until in ("WatchUntil", "StartUntil")
)


@dataclass(frozen=True)
class WaitingGate:
    """A gate at its place, as the watch sees it."""

    gate: str
    task_ids: Sequence[str]
    token: str


class CrowdTable:
    """The table `name`, as far as it is about one account. Every method raises TableUnavailable."""

    def __init__(self, name: str, account: Account) -> None:
        self._name = name
        said = "\n".join((account.role_arn, account.external_id, account.region))
        self._account = hashlib.sha256(said.encode()).hexdigest()[:24]

    @cached_property
    def _client(self) -> "DynamoDBClient":
        client: DynamoDBClient = aws.client("dynamodb", attempts=ATTEMPTS)
        return client

    # Of a gate

    def take_place(self, gate: str, task_ids: Collection[str], token: str, now: float) -> bool:
        taken = self._update(
            self._place(gate),
            "SET Since = if_not_exists(Since, :now), Expires = :expires, Tasks = :tasks, #token = :token",
            {":now": now, ":expires": now + KEEPS, ":tasks": " ".join(task_ids), ":token": token},
            condition=NO_WORDS,
            names={"#token": "Token"},
        )
        return taken is not None

    def place(self, gate: str) -> Place | None:
        return _place(self._call("get_item", Key=self._place(gate), ConsistentRead=True).get("Item"))

    def leave(self, gate: str) -> Place | None:
        return _place(self._call("delete_item", Key=self._place(gate), ReturnValues="ALL_OLD").get("Attributes"))

    def watched(self) -> Watched:
        item = self._call("get_item", Key=self._key(WATCH, WATCH), ConsistentRead=True).get("Item", {})
        return Watched(
            *(float(item.get(name, {"N": "0"})["N"]) for name in ("Began", "Took", "WatchUntil", "StartUntil"))
        )

    def may_start(self, now: float, until: float) -> bool:
        values = {":now": now, ":until": until}
        return self._of_watch("SET StartUntil = :until", values, NOBODY_WATCHES) is not None

    # Of the watch

    def waiting(self, now: float) -> Iterator[WaitingGate]:
        """Each gate at whose place there is no word."""
        for shard in range(SHARDS):
            more: dict[str, Any] = {}
            while True:
                page = self._call(
                    "query",
                    ConsistentRead=True,
                    KeyConditionExpression="Crowd = :crowd",
                    FilterExpression=f"{NO_WORDS} AND Expires > :now",
                    ExpressionAttributeValues={":crowd": {"S": self._crowd(shard)}, ":now": _typed(now)},
                    **more,
                )
                for item in page["Items"]:
                    yield WaitingGate(item["Place"]["S"], item["Tasks"]["S"].split(), item["Token"]["S"])
                if "LastEvaluatedKey" not in page:
                    break
                more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def tell(self, gate: str, words: Sequence[Mapping[str, Any]]) -> str:
        """Write them to the gate's place. The token that wakes it; `""` where it has left."""
        said = {":words": [json.dumps(word, ensure_ascii=False) for word in words], ":none": []}
        update = "SET Words = list_append(if_not_exists(Words, :none), :words)"
        item = self._update(self._place(gate), update, said, condition="attribute_exists(Since)")
        return str(item["Token"]["S"]) if item else ""

    def keep_watch(self, until: float) -> None:
        self._of_watch("SET WatchUntil = :until", {":until": until})

    def looked(self, began: float, took: float) -> None:
        self._of_watch("SET Began = :began, Took = :took", {":began": began, ":took": took})

    def _of_watch(self, update: str, values: Mapping[str, Any], condition: str = "") -> Mapping[str, Any] | None:
        return self._update(self._key(WATCH, WATCH), update, values, condition)

    def _crowd(self, shard: int | str) -> str:
        return f"{self._account}/{shard}"

    def _key(self, shard: int | str, place: str) -> dict[str, Any]:
        return {"Crowd": {"S": self._crowd(shard)}, "Place": {"S": place}}

    def _place(self, gate: str) -> dict[str, Any]:
        return self._key(zlib.crc32(gate.encode()) % SHARDS, gate)

    def _update(
        self,
        key: Mapping[str, Any],
        update: str,
        values: Mapping[str, Any],
        condition: str = "",
        names: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any] | None:
        """The item as it is then; None where the condition does not hold."""
        typed = {name: _typed(value) for name, value in values.items()}
        more: dict[str, Any] = {"ConditionExpression": condition} if condition else {}
        if names:
            more["ExpressionAttributeNames"] = names
        arguments = {"Key": key, "UpdateExpression": update, "ExpressionAttributeValues": typed, **more}
        try:
            item: Mapping[str, Any] = self._call("update_item", ReturnValues="ALL_NEW", **arguments)["Attributes"]
        except TableUnavailable as error:
            said = getattr(error.__cause__, "response", {}).get("Error", {})
            if said.get("Code") == "ConditionalCheckFailedException":
                return None
            raise
        return item

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(TableName=self._name, **arguments)
        except aws.failures() as error:
            raise TableUnavailable(f"The crowd's table does not answer: {error}") from error
        return answer


def _place(item: Mapping[str, Any] | None) -> Place | None:
    if not item:
        return None
    words = [json.loads(word["S"]) for word in item.get("Words", {"L": []})["L"]]
    return Place(float(item["Since"]["N"]), words)


def _typed(value: Any) -> Any:
    """A value as DynamoDB's wire has it."""
    if isinstance(value, list):
        return {"L": [_typed(one) for one in value]}
    return {"S": value} if isinstance(value, str) else {"N": f"{value:.3f}"}
