"""A DynamoDB table in virtual time: the places of those who wait, and who watches.

What of this AWS documents: what a unit is, and how many of them one partition and a new on-demand table take a second. The
latencies are assumed. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from license_conversion.crowd import Place, Watched
from license_conversion.crowd_table import ATTEMPTS, KEEPS, SHARDS, WaitingGate
from license_conversion.errors import TableUnavailable
from tests.simulation.clock import VirtualClock
from tests.simulation.token_bucket import TokenBucket

CALL_SECONDS = 0.005
MEGABYTE_SECONDS = 0.1
"""What a Query takes for each megabyte."""
GAVE_UP_SECONDS = 2.0
"""Until a client gives up a table that does not answer."""
PARTITION_WRITES, TABLE_WRITES = 1000.0, 4000.0
PLACE_BYTES, TOKEN_BYTES, TASK_BYTES = 150, 900, 22
WRITE, READ = 0.625 / 1e6, 0.125 / 1e6
"""Dollars for a unit, us-east-1."""


@dataclass
class Item:
    since: float
    expires: float
    tasks: Sequence[str]
    token: str
    words: tuple[Mapping[str, Any], ...] = ()

    @property
    def bytes(self) -> int:
        return PLACE_BYTES + TOKEN_BYTES + TASK_BYTES * len(self.tasks) + sum(len(json.dumps(w)) for w in self.words)


@dataclass
class BenchmarkTable:
    """`away` is from when until when it does not answer."""

    clock: VirtualClock
    away: tuple[float, float] = (math.inf, math.inf)
    items: dict[str, Item] = field(default_factory=dict)
    dollars: float = 0.0
    throttles: int = 0

    def __post_init__(self) -> None:
        self._watched = Watched()
        self._random = Random(7)  # noqa: S311 - jitter
        self._partitions = [TokenBucket(self.clock.monotonic, PARTITION_WRITES) for _ in range(SHARDS)]
        self._table = TokenBucket(self.clock.monotonic, TABLE_WRITES)

    def _call(self, gate: str = "", *, write_bytes: int = 0, read_units: float = 0.0, seconds: float = 0.0) -> None:
        if self.away[0] <= self.clock.now < self.away[1]:
            self.clock.sleep(GAVE_UP_SECONDS)
            raise TableUnavailable
        writes = math.ceil(write_bytes / 1024)
        partition = self._partitions[zlib.crc32(gate.encode()) % SHARDS]
        for attempt in range(ATTEMPTS):  # botocore's standard mode
            if not writes or (partition.take_units(writes) and self._table.take_units(writes)):
                break
            self.throttles += 1
            self.clock.sleep(self._random.random() * 2**attempt)
        else:
            raise TableUnavailable
        self.dollars += writes * WRITE + read_units * READ
        self.clock.sleep(CALL_SECONDS + seconds)

    def take_place(self, gate: str, task_ids: Collection[str], token: str, now: float) -> bool:
        item = self.items.get(gate)
        taken = Item(item.since if item else now, now + KEEPS, tuple(task_ids), token)
        self._call(gate, write_bytes=taken.bytes)
        if item and item.words:
            return False
        self.items[gate] = taken
        return True

    def place(self, gate: str) -> Place | None:
        item = self.items.get(gate)
        self._call(read_units=math.ceil(item.bytes / 4096) if item else 1)
        return Place(item.since, item.words) if item else None

    def leave(self, gate: str) -> Place | None:
        item = self.items.get(gate)
        self._call(gate, write_bytes=item.bytes if item else 1)
        item = self.items.pop(gate, None)
        return Place(item.since, item.words) if item else None

    def watched(self) -> Watched:
        self._call(read_units=1)
        return self._watched

    def may_start(self, now: float, until: float) -> bool:
        self._call("WATCH", write_bytes=1)
        if now < max(self._watched.until, self._watched.starts_until):
            return False
        self._watched = replace(self._watched, starts_until=until)
        return True

    def waiting(self, now: float) -> Iterator[WaitingGate]:
        found = [(gate, item) for gate, item in self.items.items() if not item.words and item.expires > now]
        size = sum(item.bytes for item in self.items.values())
        self._call(
            read_units=max(SHARDS, size / 4096), seconds=CALL_SECONDS * (SHARDS - 1) + MEGABYTE_SECONDS * size / 1e6
        )
        return iter([WaitingGate(gate, item.tasks, item.token) for gate, item in found])

    def tell(self, gate: str, words: Sequence[Mapping[str, Any]]) -> str:
        item = self.items.get(gate)
        size = item.bytes + len(json.dumps(words)) if item else 1
        self._call(gate, write_bytes=size)
        item = self.items.get(gate)
        if not item:
            return ""
        item.words = (*item.words, *words)
        return item.token

    def keep_watch(self, until: float) -> None:
        self._call("WATCH", write_bytes=1)
        self._watched = replace(self._watched, until=until)

    def looked(self, began: float, took: float) -> None:
        self._call("WATCH", write_bytes=1)
        self._watched = replace(self._watched, began=began, took=took)
