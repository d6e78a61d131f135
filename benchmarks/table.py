"""The table of registrations as DynamoDB in virtual time: what its calls take and cost.

What of this AWS documents: what a unit is, and how many of them one partition and a new on-demand table take a second. The
latencies are assumed. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

import math
import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from license_conversion.aws import QUICK_SECONDS, READ_SECONDS
from license_conversion.errors import TableUnavailable
from license_conversion.registrations import SHARDS, LastPoll, Registration
from poll_tasks import ATTEMPTS
from tests.simulation.clock import VirtualClock
from tests.simulation.memory_registrations import MemoryRegistrations
from tests.simulation.token_bucket import TokenBucket

CALL_SECONDS = 0.005
MEGABYTE_SECONDS = 0.1
"""What a Query takes for each megabyte."""
INVOKE_SECONDS = 0.02
"""The asynchronous invocation of the poller."""
PARTITION_WRITES, TABLE_WRITES = 1000.0, 4000.0
ITEM_BYTES, TOKEN_BYTES, TASK_BYTES = 150, 900, 22
WRITE, READ = 0.625 / 1e6, 0.125 / 1e6
"""Dollars for a unit, us-east-1. A unit writes a kilobyte, or reads four, strongly consistent."""


class BenchmarkRegistrations(MemoryRegistrations):
    """`away` is from when until when the table refuses every call, or `hangs`: then it replies to none."""

    def __init__(
        self, clock: VirtualClock, start_poller: Callable[[str], None], *, away: tuple[float, float], hangs: bool
    ) -> None:
        super().__init__(start_poller, called=self._called)
        self.dollars = 0.0
        self._away, self._hangs, self._clock = away, hangs, clock
        self._random = Random(7)  # noqa: S311 - jitter
        self._partitions = [TokenBucket(clock.monotonic, PARTITION_WRITES) for _ in range(SHARDS)]
        self._pollers = TokenBucket(clock.monotonic, PARTITION_WRITES)
        self._table = TokenBucket(clock.monotonic, TABLE_WRITES)

    def _written(
        self,
        gate: str = "",
        *,
        written: int = 0,
        read_units: float = 0.0,
        seconds: float = 0.0,
        attempts: int = ATTEMPTS,
        patience: float = READ_SECONDS,
    ) -> None:
        """Of an item of so many bytes `written`: a gate's, or one of the pollers'. As botocore's standard mode tries it."""
        partition = self._partitions[zlib.crc32(gate.encode()) % SHARDS] if gate else self._pollers
        writes = math.ceil(written / 1024)
        for attempt in range(attempts):
            if attempt:
                self._clock.sleep(self._random.random() * 2 ** (attempt - 1))
            if self._away[0] <= self._clock.now < self._away[1]:
                self._clock.sleep(patience if self._hangs else CALL_SECONDS)
            elif not writes or (partition.take_units(writes) and self._table.take_units(writes)):
                break
        else:
            raise TableUnavailable
        self.dollars += writes * WRITE + read_units * READ
        self._clock.sleep(CALL_SECONDS + seconds)

    def _called(self, call: str) -> None:
        """What writes an item of the pollers', in any function; the others have their own costs below."""
        for _ in range({"take_lease": 1, "renew_lease": 2, "give_lease_back": 1, "note_poll": 1}.get(call, 0)):
            self._written(written=1)
        if call == "take_slot":
            self._written(written=1, read_units=1, seconds=CALL_SECONDS)

    def register(self, arguments: dict[str, Any], now: float) -> None:
        tasks = arguments["ExpressionAttributeValues"][":tasks"]["S"]
        self._written(arguments["Key"]["Gate"]["S"], written=ITEM_BYTES + TOKEN_BYTES + len(tasks), attempts=1)
        super().register(arguments, now)

    def look_after_poller(self, gate: str, now: float) -> LastPoll:
        self._written(written=1, attempts=1, patience=QUICK_SECONDS)
        before = self.owner
        last = super().look_after_poller(gate, now)
        self._clock.sleep(INVOKE_SECONDS if self.owner != before else 0.0)
        return last

    def waiting(self, now: float) -> Iterator[Registration]:
        size = sum(_bytes(item.registration) for item in self.items.values())
        for _ in range(SHARDS):
            self._written(read_units=max(1.0, size / SHARDS / 4096), seconds=MEGABYTE_SECONDS * size / SHARDS / 1e6)
        return super().waiting(now)

    def registration(self, gate: str) -> Registration | None:
        found = super().registration(gate)
        self._written(read_units=math.ceil(_bytes(found) / 4096) if found else 1)
        return super().registration(gate)

    def remove(self, registration: Registration) -> None:
        self._written(registration.gate, written=_bytes(registration))
        super().remove(registration)


def _bytes(registration: Registration) -> int:
    return ITEM_BYTES + TOKEN_BYTES + TASK_BYTES * len(registration.task_ids)
