"""The table of registrations in memory, as a check, the state machine and the poller see it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from license_conversion.registrations import LEASE, LastPoll, Registration, Registrations


@dataclass
class Item:
    registration: Registration
    expires: float


@dataclass
class MemoryRegistrations(Registrations):
    """Stands where `Registrations` does, for one account. `called` is called before each call: it may raise, or let time
    pass. `start_poller` is given the owner of the lease that a check has taken.
    """

    start_poller: Callable[[str], None] = lambda _: None
    called: Callable[[str], None] = lambda _: None
    items: dict[str, Item] = field(default_factory=dict)
    last_poll: LastPoll = field(default_factory=LastPoll)
    owner: str = ""
    until: float = 0.0
    """Of the lease."""
    slots: bool = True

    def key(self, gate: str) -> dict[str, Any]:
        return {"Account": {"S": "here"}, "Gate": {"S": gate}}

    def register(self, arguments: dict[str, Any], now: float) -> None:
        """What the state machine writes: the arguments of its UpdateItem."""
        self.called("register")
        values = {
            name.removeprefix(":"): next(iter(value.values()))
            for name, value in arguments["ExpressionAttributeValues"].items()
        }
        gate = arguments["Key"]["Gate"]["S"]
        registration = Registration(gate, values["tasks"].split(), values["token"], float(values["since"]))
        self.items[gate] = Item(registration, float(values["expires"]))

    def look_after_poller(self, gate: str, now: float) -> LastPoll:
        self.called("look_after_poller")
        last, owner = self.last_poll, f"{gate}@{now:.3f}"
        if self._take(owner, now):
            self.start_poller(owner)
        return last

    def take_lease(self, owner: str, now: float) -> bool:
        self.called("take_lease")
        return self._take(owner, now)

    def _take(self, owner: str, now: float) -> bool:
        if self.until > now:
            return False
        self.owner, self.until = owner, now + LEASE
        return True

    def take_over(self, owner: str, successor: str) -> bool:
        self.called("take_over")
        if owner != self.owner:
            return False
        self.owner = successor
        return True

    def take_slot(self, now: float) -> bool:
        self.called("take_slot")
        return self.slots

    def renew_lease(self, owner: str, now: float) -> bool:
        self.called("renew_lease")
        if owner != self.owner:
            return False
        self.until = now + LEASE
        return True

    def give_lease_back(self, owner: str) -> None:
        self.called("give_lease_back")
        if owner == self.owner:
            self.until = 0.0

    def note_poll(self, owner: str, began: float, took: float) -> None:
        self.called("note_poll")
        if owner == self.owner:
            self.last_poll = LastPoll(began, took)

    def waiting(self, now: float) -> Iterator[Registration]:
        self.called("waiting")
        return iter([item.registration for item in self.items.values() if item.expires > now])

    def registration(self, gate: str) -> Registration | None:
        self.called("registration")
        return self.items[gate].registration if gate in self.items else None

    def remove(self, registration: Registration) -> None:
        self.called("remove")
        item = self.items.get(registration.gate)
        if item and item.registration.token == registration.token:
            del self.items[registration.gate]
