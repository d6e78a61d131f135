"""A crowd's table in memory, as a gate and as the watch see it, and a crowd in which nobody else waits."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from license_conversion.crowd import Crowd, Place, Watched
from license_conversion.crowd_table import KEEPS, WaitingGate
from license_conversion.errors import TableUnavailable
from license_conversion.request import Account


@dataclass
class Item:
    since: float
    expires: float
    task_ids: tuple[str, ...]
    token: str
    words: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass
class MemoryTable:
    """`called` hears of each call beforehand: it may raise, or let time pass."""

    called: Callable[[str], None] = lambda _: None
    items: dict[str, Item] = field(default_factory=dict)
    about_watch: Watched = field(default_factory=Watched)

    def take_place(self, gate: str, task_ids: Collection[str], token: str, now: float) -> bool:
        self.called("take_place")
        item = self.items.get(gate)
        if item and item.words:
            return False
        self.items[gate] = Item(item.since if item else now, now + KEEPS, tuple(task_ids), token)
        return True

    def place(self, gate: str) -> Place | None:
        self.called("place")
        item = self.items.get(gate)
        return Place(item.since, list(item.words)) if item else None

    def leave(self, gate: str) -> Place | None:
        self.called("leave")
        item = self.items.pop(gate, None)
        return Place(item.since, item.words) if item else None

    def watched(self) -> Watched:
        self.called("watched")
        return self.about_watch

    def may_start(self, now: float, until: float) -> bool:
        self.called("may_start")
        if now < max(self.about_watch.until, self.about_watch.starts_until):
            return False
        self.about_watch = replace(self.about_watch, starts_until=until)
        return True

    def waiting(self, now: float) -> Iterator[WaitingGate]:
        self.called("waiting")
        return iter(
            [
                WaitingGate(gate, item.task_ids, item.token)
                for gate, item in self.items.items()
                if not item.words and item.expires > now
            ]
        )

    def tell(self, gate: str, words: Sequence[Mapping[str, Any]]) -> str:
        self.called("tell")
        item = self.items.get(gate)
        if not item:
            return ""
        item.words += json.loads(json.dumps(words))
        return item.token

    def keep_watch(self, until: float) -> None:
        self.called("keep_watch")
        self.about_watch = replace(self.about_watch, until=until)

    def looked(self, began: float, took: float) -> None:
        self.called("looked")
        self.about_watch = replace(self.about_watch, began=began, took=took)


def away(_: str) -> None:
    raise TableUnavailable("away")


def nobody(_: Account) -> Crowd:
    """A crowd of an account in which nothing happens: no gate is woken, and no watch comes."""
    return Crowd(MemoryTable(), lambda: None, lambda _: None, lambda: 0.0)
