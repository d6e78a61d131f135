"""One poll of some tasks, in as few calls as License Manager needs for it."""

from collections.abc import Iterable
from cProfile import Profile
from dataclasses import dataclass
from pstats import Stats

import pytest

from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, GateError
from license_conversion.license_manager import Page
from license_conversion.poll import FEW_PAGES, FEW_SINGLES, MOST_SINGLES, Poll
from tests.unit.polled_account import FAILED, FAULT, IN_PROGRESS, SUCCEEDED, THROTTLE, PolledAccount, tasks

DENIED = AccessDenied("no")


@dataclass
class Polled(PolledAccount):
    """An account that one `Poll` polls; `calls` and `sleeps` are the last one's."""

    patience: float = 0.0

    def __post_init__(self) -> None:
        self.poll = Poll(self, self.clock, self.sleep, patience=self.patience)

    def found(self, task_ids: Iterable[str] = (), *, seconds: float = 1000.0) -> dict[str, ConversionTask | GateError]:
        """What the next poll of these tasks, or of all, finds."""
        self.calls.clear()
        self.sleeps.clear()
        found: dict[str, ConversionTask | GateError] = {}
        for task_id, what in self.poll.run(list(task_ids or self.tasks), self.clock() + seconds):
            assert task_id not in found
            found[task_id] = what
        return found

    def statuses(self) -> dict[str, str]:
        return {i: found.status_word for i, found in self.found().items() if isinstance(found, ConversionTask)}


def task(task_id: str, status: str, **more: str) -> ConversionTask:
    return ConversionTask({"LicenseConversionTaskId": task_id, "Status": status, **more})


# Listings and single tasks


@pytest.mark.parametrize(("count", "calls"), [(0, []), (1, ["lct-0"]), (2, [IN_PROGRESS]), (50, [IN_PROGRESS])])
def test_what_runs_costs_one_listing_and_one_task_one_call(count: int, calls: list[str]) -> None:
    account = Polled(tasks(count))

    assert account.statuses() == (tasks(1) if count == 1 else {})
    assert account.calls == calls
    assert not account.poll.unseen


def test_a_task_that_has_left_the_listing_is_asked_for() -> None:
    account = Polled(tasks(50) | {"lct-7": SUCCEEDED}, messages={"lct-7": "Done."})

    assert account.found() == {"lct-7": task("lct-7", SUCCEEDED, StatusMessage="Done.")}
    assert account.calls == [IN_PROGRESS, "lct-7"]


def test_where_many_have_ended_the_ends_are_listed() -> None:
    account = Polled(tasks(500, SUCCEEDED) | tasks(100, FAILED), messages={"lct-0": "No."})

    assert account.found()["lct-0"] == task("lct-0", FAILED, StatusMessage="No.")
    assert account.calls == [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED]
    assert account.statuses() == account.tasks


def test_a_listing_of_ends_that_breaks_off_is_worth_what_it_has_shown() -> None:
    class Breaks(Polled):
        def page_of(self, status: Status, token: str = "") -> Page:
            if token:
                raise FAULT
            return super().page_of(status, token)

    account = Breaks(tasks(100, SUCCEEDED), page=60)

    assert account.statuses() == account.tasks
    assert [call for call in account.calls if call.startswith("lct")] == [f"lct-{number}" for number in range(60, 100)]


def test_ends_of_years_are_not_read_to_their_end_and_not_begun_again() -> None:
    old = {f"lct-old-{number}": SUCCEEDED for number in range(10_000)}
    account = Polled(tasks(2, SUCCEEDED) | old | tasks(12, SUCCEEDED), page=10)

    for calls in (
        [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED, *[f"lct-{number}" for number in range(2, 12)]],
        [IN_PROGRESS, FAILED, *tasks(12)],
    ):
        assert account.found(tasks(12)).keys() == tasks(12).keys()
        assert sorted(account.calls) == sorted(calls)


def test_a_listing_that_would_cost_more_calls_than_there_are_tasks_is_tried_once_and_then_left_out() -> None:
    account = Polled(tasks(1000))

    for listings in (4, 0):
        account.found(tasks(5))
        assert account.calls == [*[IN_PROGRESS] * listings, SUCCEEDED, FAILED, *tasks(5)]
    account.found(tasks(6))
    assert account.calls[0] == IN_PROGRESS, "for one task more, one more page may be worth it"


def test_a_fault_of_one_task_keeps_no_other_from_being_seen() -> None:
    account = Polled(tasks(20, SUCCEEDED), denied={"lct-0": FAULT, SUCCEEDED: FAULT})

    assert account.found().keys() == account.tasks.keys() - {"lct-0"}
    assert list(account.poll.unseen) == ["lct-0"]
    assert (account.poll.trouble, account.poll.throttled) == ("sorry", False)


def test_tasks_that_do_not_end_do_not_keep_the_others_from_being_asked_for() -> None:
    """Where nothing can be listed, one poll does not come to all of them."""
    account = Polled(tasks(2 * MOST_SINGLES + 10), no_list=DENIED)

    polls = [account.statuses() for _ in range(3)]

    assert [len(found) for found in polls] == [MOST_SINGLES] * 3
    assert set().union(*polls) == account.tasks.keys()
    assert min(account.sleeps) == 0.02, "fifty calls a second at most"


def test_a_poll_that_has_no_time_for_all_tasks_comes_to_the_rest_with_the_next_ones() -> None:
    account = Polled(tasks(300), no_list=FAULT, call_seconds=1.0)

    assert set().union(*(account.found(seconds=20) for _ in range(20))) == account.tasks.keys()


# How much a poll takes


@pytest.mark.parametrize(
    ("running", "ended", "large"),
    [
        (100 * FEW_PAGES, 0, False),
        (100 * FEW_PAGES + 1, 0, True),
        (100, FEW_SINGLES, False),
        (100, FEW_SINGLES + 1, True),
        (0, 1000, False),  # eight pages, of ends
    ],
)
def test_a_poll_is_large_after_five_pages_of_what_runs_or_five_tasks_asked_for_singly(
    running: int, ended: int, large: bool
) -> None:
    account = Polled(tasks(running) | {f"lct-ended-{number}": SUCCEEDED for number in range(ended)})
    if ended < 10:
        account.denied[SUCCEEDED] = FAULT

    account.found()

    assert account.poll.large is large


def test_what_is_said_of_a_poll_is_said_of_the_last_one() -> None:
    account = Polled(tasks(1000), no_list=FAULT, denied={"lct-3": FAULT})
    account.found()
    assert (account.poll.large, bool(account.poll.unseen), account.poll.trouble) == (True, True, "sorry")

    account.no_list, account.tasks = None, tasks(100)
    account.found()
    assert (account.poll.large, bool(account.poll.unseen), account.poll.trouble) == (False, False, "")


def test_ten_thousand_tasks_take_ten_times_the_steps_of_a_thousand() -> None:
    def steps(count: int) -> int:
        account = Polled(tasks(count), page=count, hidden={f"lct-{number}" for number in range(0, count, 20)})
        profile = Profile()
        profile.runcall(account.found)
        return int(Stats(profile).total_calls)  # type: ignore[attr-defined]

    assert steps(10_000) < 11 * steps(1_000)


# Pauses, and troubles


def test_there_is_no_pause_before_the_first_call_and_one_before_each_other() -> None:
    account = Polled(tasks(3), hidden=set(tasks(3)))

    assert account.statuses() == tasks(3), "which have not ended because no listing shows them"
    assert account.calls == [IN_PROGRESS, SUCCEEDED, FAILED, *tasks(3)]
    assert account.sleeps == pytest.approx([0.1 * 0.98**calls for calls in range(1, 6)])
    account.found(tasks(1))
    assert account.sleeps == []


def test_a_refusal_is_an_answer_at_the_same_pace() -> None:
    account = Polled(tasks(20), no_list=DENIED)

    assert account.statuses() == account.tasks
    assert account.sleeps[:3] == pytest.approx([0.1, 0.1, 0.1])
    assert account.sleeps[-1] < account.sleeps[-2] < account.sleeps[3]


def test_a_gate_does_not_wait_a_throttle_out_and_keeps_what_was_found() -> None:
    account = Polled(tasks(10, SUCCEEDED), denied={SUCCEEDED: FAULT, "lct-4": THROTTLE})

    assert account.found().keys() == tasks(4).keys()
    assert account.calls == [IN_PROGRESS, SUCCEEDED, FAILED, *tasks(5)]
    assert account.poll.unseen.keys() == account.tasks.keys() - tasks(4).keys()
    assert (account.poll.trouble, account.poll.throttled, account.poll.silent) == ("slow down", True, False)


def test_the_poller_waits_throttles_out_at_a_slower_pace() -> None:
    account = Polled(tasks(50), denied={IN_PROGRESS: THROTTLE}, patience=30)
    account.after(10, account.denied.clear)

    account.found()

    assert account.sleeps == pytest.approx([1.0, 0.2, 1.0, 0.4, 1.0, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], abs=0.01)
    assert not account.poll.unseen
    assert not account.poll.silent


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["throttle", "fault"])
def test_a_license_manager_that_does_not_answer_for_as_long_as_the_patience_is_silent(trouble: Exception) -> None:
    denied = dict.fromkeys(tasks(500), trouble)
    account = Polled(tasks(500), no_list=trouble, denied=denied, call_seconds=0.5, patience=30)

    assert not account.found()
    assert account.poll.silent
    assert len(account.poll.unseen) == 500
    assert 30 <= account.seconds < 35


def test_a_license_manager_that_refuses_is_not_silent() -> None:
    denied = {**dict.fromkeys(tasks(99), DENIED), "lct-99": FAULT}
    account = Polled(tasks(100), no_list=DENIED, denied=denied, call_seconds=0.5, patience=30)

    assert account.found() == dict.fromkeys(tasks(99), DENIED)
    assert account.seconds > 50
    assert not account.poll.silent
    assert list(account.poll.unseen) == ["lct-99"]


def test_a_license_manager_that_throttles_now_and_then_is_not_silent() -> None:
    account = Polled(tasks(50), no_list=FAULT, denied=dict.fromkeys(tasks(50), THROTTLE), patience=5)
    account.then = lambda _: account.denied.pop(
        "".join(account.calls[-1:]), None
    )  # what was throttled once is not again

    assert len(account.found()) == 50
    assert account.seconds > 50
    assert not account.poll.silent


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("patience", [0.0, 30.0], ids=["gate", "poller"])
@pytest.mark.parametrize("throttled", [False, True])
def test_no_call_begins_when_the_time_is_over(seconds: float, patience: float, throttled: bool) -> None:
    account = Polled(tasks(600), hidden=set(tasks(600)), call_seconds=0.2, patience=patience)
    if throttled:
        account.denied = dict.fromkeys(account.tasks, THROTTLE)

    account.found(seconds=seconds)

    began = account.seconds - account.call_seconds
    assert began <= seconds + 1 + 1e-6, "a second after a throttle, in which nothing is called"
    assert account.calls, "one may begin as it is over"
    assert account.poll.unseen
    assert not account.poll.silent


def test_no_call_begins_when_the_time_was_over_before() -> None:
    account = Polled(tasks(5))

    account.found(seconds=-1)

    assert account.calls == []
