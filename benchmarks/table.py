"""A DynamoDB table in virtual time: the places of those who wait, and who watches.

What of this AWS documents: what a unit is, and how many of them one partition and a new on-demand table take a second. The
latencies are assumed. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

import json
import math
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from license_conversion.crowd import Place, Watched
from license_conversion.crowd_table import ATTEMPTS, SHARDS, WaitingGate
from license_conversion.errors import TableUnavailable
from tests.simulation.clock import VirtualClock
from tests.simulation.memory_table import Item, MemoryTable
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


class BenchmarkTable(MemoryTable):
    """`away` is from when until when it does not answer."""

    def __init__(self, clock: VirtualClock, away: tuple[float, float]) -> None:
        super().__init__()
        self.away = away
        self.dollars = 0.0
        self.throttles = 0
        self._clock = clock
        self._random = Random(7)  # noqa: S311 - jitter
        self._partitions = [TokenBucket(clock.monotonic, PARTITION_WRITES) for _ in range(SHARDS)]
        self._table = TokenBucket(clock.monotonic, TABLE_WRITES)

    def _call(self, gate: str = "", *, write_bytes: int = 0, read_units: float = 0.0, seconds: float = 0.0) -> None:
        if self.away[0] <= self._clock.now < self.away[1]:
            self._clock.sleep(GAVE_UP_SECONDS)
            raise TableUnavailable
        writes = math.ceil(write_bytes / 1024)
        partition = self._partitions[zlib.crc32(gate.encode()) % SHARDS]
        for attempt in range(ATTEMPTS):  # botocore's standard mode
            if not writes or (partition.take_units(writes) and self._table.take_units(writes)):
                break
            self.throttles += 1
            self._clock.sleep(self._random.random() * 2**attempt)
        else:
            raise TableUnavailable
        self.dollars += writes * WRITE + read_units * READ
        self._clock.sleep(CALL_SECONDS + seconds)

    def _bytes(self, gate: str) -> int:
        item = self.items.get(gate)
        return _bytes(item) if item else 1

    def take_place(self, gate: str, task_ids: Collection[str], token: str, now: float) -> bool:
        words = self.items[gate].words if gate in self.items else []
        self._call(gate, write_bytes=_bytes(Item(now, now, tuple(task_ids), token, words)))
        return super().take_place(gate, task_ids, token, now)

    def place(self, gate: str) -> Place | None:
        self._call(read_units=math.ceil(self._bytes(gate) / 4096))
        return super().place(gate)

    def leave(self, gate: str) -> Place | None:
        self._call(gate, write_bytes=self._bytes(gate))
        return super().leave(gate)

    def watched(self) -> Watched:
        self._call(read_units=1)
        return super().watched()

    def may_start(self, now: float, until: float) -> bool:
        self._call("WATCH", write_bytes=1)
        return super().may_start(now, until)

    def waiting(self, now: float) -> Iterator[WaitingGate]:
        found = super().waiting(now)
        size = sum(_bytes(item) for item in self.items.values())
        self._call(
            read_units=max(SHARDS, size / 4096), seconds=CALL_SECONDS * (SHARDS - 1) + MEGABYTE_SECONDS * size / 1e6
        )
        return found

    def tell(self, gate: str, words: Sequence[Mapping[str, Any]]) -> str:
        self._call(gate, write_bytes=self._bytes(gate) + len(json.dumps(words)))
        return super().tell(gate, words)

    def keep_watch(self, until: float) -> None:
        self._call("WATCH", write_bytes=1)
        super().keep_watch(until)

    def looked(self, began: float, took: float) -> None:
        self._call("WATCH", write_bytes=1)
        super().looked(began, took)


def _bytes(item: Item) -> int:
    words = sum(len(json.dumps(word)) for word in item.words)
    return PLACE_BYTES + TOKEN_BYTES + TASK_BYTES * len(item.task_ids) + words
