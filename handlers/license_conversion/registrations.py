"""The table of registrations in DynamoDB: which gates wait, and what the poller of their account does.

The state machine writes a gate's registration (*Wait for Result*), the poller reads and removes it; it is under the name of
the gate's execution, in one of `SHARDS` partitions of its account, because one partition takes 1,000 writes a second.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html

Times are seconds since 1970; `Expires` is the table's time to live.
"""

import hashlib
import json
import random
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from license_conversion import aws, telemetry
from license_conversion.errors import TableUnavailable
from license_conversion.request import Account

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SHARDS = 10
LEASE = 30.0
"""Seconds for which a poller counts as one that goes on after it renewed its lease, or was started."""
MOST_POLLERS = 20
"""At once, of all accounts, regions and roles: each is a function that sleeps most of its time, and takes one of the account's
concurrent executions. https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html"""
POLLER = "poller"
SLOTS = {"Account": {"S": "pollers"}, "Gate": {"S": "pollers"}}
UNTIL = "SET #until = :until"
FREE = "attribute_not_exists(#until) OR #until <= :now"


@dataclass(frozen=True)
class Registration:
    """A gate that waits, as the poller sees it. `token` wakes it."""

    gate: str
    task_ids: Sequence[str]
    token: str
    since: float


@dataclass(frozen=True)
class LastPoll:
    """The poller's last whole poll: what it did not see end still ran when it `began`."""

    began: float = 0.0
    took: float = 0.0


class Registrations:
    """The table `name`, as far as it is about one account. Every method raises TableUnavailable.

    `poll_function` is for a check, which starts the poller. A check can do without the table, so it gives a call one attempt of
    a second.
    """

    def __init__(self, name: str, account: Account, poll_function: str = "") -> None:
        self._name, self._named, self._poll_function = name, account, poll_function
        said = "\n".join((account.role_arn, account.external_id, account.region))
        self._slot = ""
        self._account = hashlib.sha256(said.encode()).hexdigest()[:24]

    @cached_property
    def _client(self) -> "DynamoDBClient":
        quick = bool(self._poll_function)
        client: DynamoDBClient = aws.client("dynamodb", attempts=1 if quick else 4, quick=quick)
        return client

    # Of a gate

    def key(self, gate: str) -> dict[str, Any]:
        """Of the item that the state machine writes."""
        return self._key(zlib.crc32(gate.encode()) % SHARDS, gate)

    def look_after_poller(self, gate: str, now: float) -> LastPoll:
        """Start the poller where none runs: the check that takes the free lease does, for an owner that is named once.

        A poller that does not start is no error: the next gate that wakes tries again, and asks License Manager itself.
        """
        owner = f"{gate}@{now:.3f}"
        before, taken = self._take_lease(owner, now)
        if taken:
            named = self._named
            event = {"RoleArn": named.role_arn, "ExternalId": named.external_id, "Region": named.region, "Owner": owner}
            try:
                lambda_ = aws.client("lambda", attempts=1, quick=True)
                lambda_.invoke(FunctionName=self._poll_function, InvocationType="Event", Payload=json.dumps(event))
                telemetry.logger.info("The gate starts a poller")
            except aws.failures() as error:
                telemetry.logger.warning(f"The poller could not be started: {error}")
        return LastPoll(_number(before, "Began"), _number(before, "Took"))

    def _take_lease(self, owner: str, now: float) -> tuple[Mapping[str, Any], bool]:
        """The poller's item as it was, and whether the lease is the owner's now."""
        values = {":owner": owner, ":until": now + LEASE, ":now": now}
        return self._update(self._poller, f"{UNTIL}, Holder = :owner", values, FREE, {"#until": "Until"})

    # Of the poller

    def take_lease(self, owner: str, now: float) -> bool:
        return self._take_lease(owner, now)[1]

    def take_over(self, owner: str, successor: str) -> bool:
        """The lease that a check took. False: Lambda has delivered the poller's event twice, and the other one was faster."""
        values = {":owner": owner, ":successor": successor}
        return self._update(self._poller, "SET Holder = :successor", values, "Holder = :owner")[1]

    def take_slot(self, now: float) -> bool:
        """One of the places of the pollers that may run at once; False: all are taken."""
        item = self._call("get_item", Key=SLOTS, ConsistentRead=True).get("Item", {})
        for number in random.sample(range(MOST_POLLERS), MOST_POLLERS):
            slot, values = f"Slot{number}", {":until": now + LEASE, ":now": now}
            if _number(item, slot) <= now and self._update(SLOTS, UNTIL, values, FREE, {"#until": slot})[1]:
                self._slot = slot
                return True
        return False

    def renew_lease(self, owner: str, now: float) -> bool:
        """And the slot. False: the lease is another poller's."""
        values = {":until": now + LEASE}
        mine = {**values, ":owner": owner}
        _, renewed = self._update(self._poller, UNTIL, mine, "Holder = :owner", {"#until": "Until"})
        if renewed:
            self._update(SLOTS, UNTIL, values, "attribute_exists(#until)", {"#until": self._slot})
        return renewed

    def give_lease_back(self, owner: str) -> None:
        self._update(self._poller, "REMOVE #until", {":owner": owner}, "Holder = :owner", {"#until": "Until"})

    def note_poll(self, owner: str, began: float, took: float) -> None:
        values = {":began": began, ":took": took, ":owner": owner}
        self._update(self._poller, "SET Began = :began, Took = :took", values, "Holder = :owner")

    def waiting(self, now: float) -> Iterator[Registration]:
        """Each gate that waits."""
        for shard in range(SHARDS):
            more: dict[str, Any] = {}
            while True:
                page = self._call(
                    "query",
                    ConsistentRead=True,
                    KeyConditionExpression="Account = :account",
                    FilterExpression="Expires > :now",
                    ExpressionAttributeValues={":account": {"S": self._partition(shard)}, ":now": _typed(now)},
                    **more,
                )
                yield from filter(None, map(_registration, page["Items"]))
                if "LastEvaluatedKey" not in page:
                    break
                more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def registration(self, gate: str) -> Registration | None:
        """As it is now: a gate registers anew whenever it wakes and goes on waiting."""
        return _registration(self._call("get_item", Key=self.key(gate), ConsistentRead=True).get("Item", {}))

    def remove(self, registration: Registration) -> None:
        """But not the one that the gate has written since."""
        arguments = {
            "ConditionExpression": "#token = :token",
            "ExpressionAttributeNames": {"#token": "Token"},
            "ExpressionAttributeValues": {":token": _typed(registration.token)},
        }
        self._call("delete_item", Key=self.key(registration.gate), **arguments)

    @property
    def _poller(self) -> dict[str, Any]:
        return self._key(POLLER, POLLER)

    def _partition(self, shard: int | str) -> str:
        return f"{self._account}/{shard}"

    def _key(self, shard: int | str, gate: str) -> dict[str, Any]:
        return {"Account": {"S": self._partition(shard)}, "Gate": {"S": gate}}

    def _update(
        self, key: Mapping[str, Any], update: str, values: Mapping[str, Any], condition: str,
        names: Mapping[str, str] | None = None,
    ) -> tuple[Mapping[str, Any], bool]:  # fmt: skip
        """The item as it was, and whether the condition held."""
        answer = self._call(
            "update_item",
            Key=key,
            UpdateExpression=update,
            ConditionExpression=condition,
            ExpressionAttributeValues={name: _typed(value) for name, value in values.items()},
            ReturnValues="ALL_OLD",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **({"ExpressionAttributeNames": names} if names else {}),
        )
        return answer.get("Attributes", {}), "Held" not in answer

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer; of a condition that does not hold the item, as DynamoDB shows it."""
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(TableName=self._name, **arguments)
        except aws.failures() as error:
            if aws.code(error) == "ConditionalCheckFailedException":
                return {"Attributes": getattr(error, "response", {}).get("Item", {}), "Held": False}
            raise TableUnavailable(f"The table of registrations does not answer: {error}") from error
        return answer


def _registration(item: Mapping[str, Any]) -> Registration | None:
    """None where the item is none that the state machine writes: it must not stop the poller of all others."""
    try:
        return Registration(item["Gate"]["S"], item["Tasks"]["S"].split(), item["Token"]["S"], _number(item, "Since"))
    except KeyError:
        return None


def _number(item: Mapping[str, Any], name: str) -> float:
    return float(item.get(name, {}).get("N", 0))


def _typed(value: str | float) -> dict[str, str]:
    """A value as DynamoDB's wire has it."""
    return {"S": value} if isinstance(value, str) else {"N": f"{value:.3f}"}
