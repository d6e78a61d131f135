"""One poll of some tasks, in as few calls as License Manager needs for it."""

from cProfile import Profile
from pstats import Stats

import pytest

from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, GateError, InvalidRequest
from license_conversion.license_manager import Page
from license_conversion.poll import FEW_PAGES, FEW_SINGLES, MOST_SINGLES, Poll
from tests.unit.polled_account import FAILED, FAULT, IN_PROGRESS, NOW, SUCCEEDED, THROTTLE, PolledAccount, tasks


class Polled:
    """What a poll found, by id."""

    def __init__(
        self, account: PolledAccount, poll: Poll | None = None, *, seconds: float = 1000.0, patience: float = 0.0
    ) -> None:
        self.poll = poll or Poll(account, account.clock, account.sleep, patience=patience)
        self.found: dict[str, ConversionTask | GateError] = {}
        before = len(account.calls)
        for task_id, found in self.poll.run(list(account.tasks), account.clock() + seconds):
            assert task_id not in self.found
            self.found[task_id] = found
        self.calls = account.calls[before:]

    def statuses(self) -> dict[str, str]:
        return {i: found.status_word for i, found in self.found.items() if isinstance(found, ConversionTask)}


# Listings and single tasks


@pytest.mark.parametrize(("count", "calls"), [(0, []), (1, ["lct-0"]), (2, [IN_PROGRESS]), (50, [IN_PROGRESS])])
def test_what_runs_costs_one_listing_and_one_task_one_call(count: int, calls: list[str]) -> None:
    polled = Polled(PolledAccount(tasks(count)))

    assert polled.calls == calls
    assert polled.statuses() == (tasks(1) if count == 1 else {})
    assert not polled.poll.unseen


def test_a_task_that_has_left_the_listing_is_asked_for() -> None:
    account = PolledAccount(tasks(50) | {"lct-7": SUCCEEDED})
    account.messages["lct-7"] = "Done."

    polled = Polled(account)

    assert polled.calls == [IN_PROGRESS, "lct-7"]
    shape = {"LicenseConversionTaskId": "lct-7", "Status": SUCCEEDED, "StatusMessage": "Done."}
    assert polled.found == {"lct-7": ConversionTask(shape)}


def test_a_task_that_no_listing_shows_has_not_ended_for_that() -> None:
    account = PolledAccount(tasks(50))
    account.hidden = set(account.tasks)

    assert Polled(account).statuses() == tasks(50)


def test_where_many_have_ended_the_ends_are_listed() -> None:
    account = PolledAccount(tasks(500, SUCCEEDED) | tasks(100, FAILED))
    account.messages["lct-0"] = "No."

    polled = Polled(account)

    assert polled.calls == [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED]
    assert polled.statuses() == account.tasks
    shape = {"LicenseConversionTaskId": "lct-0", "Status": FAILED, "StatusMessage": "No."}
    assert polled.found["lct-0"] == ConversionTask(shape)


def test_a_listing_of_ends_that_breaks_off_is_worth_what_it_has_shown() -> None:
    class Breaks(PolledAccount):
        def page_of(self, status: Status, token: str = "") -> Page:
            if token:
                raise FAULT
            return super().page_of(status, token)

    polled = Polled(Breaks(tasks(100, SUCCEEDED), page=60))

    assert [call for call in polled.calls if call.startswith("lct")] == [f"lct-{number}" for number in range(60, 100)]


def test_ends_of_years_are_not_read_to_their_end_and_not_begun_again() -> None:
    old = {f"lct-old-{number}": SUCCEEDED for number in range(10_000)}
    account = PolledAccount(tasks(2, SUCCEEDED) | old | tasks(12, SUCCEEDED), page=10)
    poll = Poll(account, account.clock, account.sleep)

    for calls in (
        [IN_PROGRESS, *[SUCCEEDED] * 4, FAILED, *[f"lct-{number}" for number in range(2, 12)]],
        [IN_PROGRESS, FAILED, *tasks(12)],
    ):
        account.calls.clear()
        assert dict(poll.run(list(tasks(12)), NOW + 1000)).keys() == tasks(12).keys()
        assert sorted(account.calls) == sorted(calls)


def test_a_listing_that_would_cost_more_calls_than_there_are_tasks_is_tried_once_and_then_left_out() -> None:
    account = PolledAccount(tasks(1000))
    poll = Poll(account, account.clock, account.sleep)

    for listings in (4, 0):
        account.calls.clear()
        list(poll.run(list(tasks(5)), NOW + 1000))
        assert account.calls == [*[IN_PROGRESS] * listings, SUCCEEDED, FAILED, *tasks(5)]


@pytest.mark.parametrize("trouble", [AccessDenied("no"), InvalidRequest("no"), FAULT], ids=str)
def test_where_nothing_can_be_listed_each_task_is_asked_for(trouble: Exception) -> None:
    account = PolledAccount(tasks(20) | {"lct-3": SUCCEEDED})
    account.listing(trouble)

    assert Polled(account).statuses() == account.tasks


def test_a_fault_of_one_task_keeps_no_other_from_being_seen() -> None:
    account = PolledAccount(tasks(20, SUCCEEDED))
    account.denied |= {"lct-0": FAULT, SUCCEEDED: FAULT}

    polled = Polled(account)

    assert polled.found.keys() == account.tasks.keys() - {"lct-0"}
    assert list(polled.poll.unseen) == ["lct-0"]
    assert (polled.poll.trouble, polled.poll.throttled) == ("sorry", False)


def test_tasks_that_do_not_end_do_not_keep_the_others_from_being_asked_for() -> None:
    """Where nothing can be listed, one poll does not come to all of them."""
    account = PolledAccount(tasks(2 * MOST_SINGLES + 10))
    account.listing(AccessDenied("no"))
    poll = Poll(account, account.clock, account.sleep)

    polls = [Polled(account, poll).found.keys() for _ in range(3)]

    assert [len(found) for found in polls] == [MOST_SINGLES] * 3
    assert set().union(*polls) == account.tasks.keys()
    assert min(account.sleeps) == 0.02, "fifty calls a second at most"


def test_a_poll_that_has_no_time_for_all_tasks_comes_to_the_rest_with_the_next_ones() -> None:
    account = PolledAccount(tasks(300))
    account.listing(FAULT)
    account.call_seconds = 1.0
    poll = Poll(account, account.clock, account.sleep)

    found = [Polled(account, poll, seconds=20).found.keys() for _ in range(20)]

    assert set().union(*found) == account.tasks.keys()


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
    account = PolledAccount(tasks(running) | {f"lct-ended-{number}": SUCCEEDED for number in range(ended)})
    if ended < 10:
        account.denied[SUCCEEDED] = FAULT

    assert Polled(account).poll.large is large


def test_what_is_said_of_a_poll_is_said_of_the_last_one() -> None:
    account = PolledAccount(tasks(1000))
    account.listing(FAULT)
    account.denied["lct-3"] = FAULT
    first = Polled(account)
    assert (first.poll.large, bool(first.poll.unseen), first.poll.trouble) == (True, True, "sorry")

    account.denied.clear()
    account.tasks = tasks(100)
    second = Polled(account, first.poll)

    assert (second.poll.large, dict(second.poll.unseen), second.poll.trouble) == (False, {}, "")


def test_ten_thousand_tasks_take_ten_times_the_steps_of_a_thousand() -> None:
    def steps(count: int) -> int:
        account = PolledAccount(tasks(count), page=count)
        account.hidden = {f"lct-{number}" for number in range(0, count, 20)}
        profile = Profile()
        profile.runcall(Polled, account)
        return int(Stats(profile).total_calls)  # type: ignore[attr-defined]

    assert steps(10_000) < 11 * steps(1_000)


# Pauses, and troubles


def test_there_is_no_pause_before_the_first_call_and_one_before_each_other() -> None:
    account = PolledAccount(tasks(3))
    account.hidden = set(account.tasks)

    Polled(account)
    assert account.calls == [IN_PROGRESS, SUCCEEDED, FAILED, *tasks(3)]
    assert account.sleeps == pytest.approx([0.1 * 0.98**calls for calls in range(1, 6)])

    account.sleeps.clear()
    account.tasks = tasks(1)
    Polled(account)
    assert account.sleeps == []


def test_a_refusal_is_an_answer_at_the_same_pace() -> None:
    account = PolledAccount(tasks(20))
    account.listing(AccessDenied("no"))

    Polled(account)

    assert account.sleeps[:3] == pytest.approx([0.1, 0.1, 0.1])
    assert account.sleeps[-1] < account.sleeps[-2] < account.sleeps[3]


def test_a_gate_does_not_wait_a_throttle_out_and_keeps_what_was_found() -> None:
    account = PolledAccount(tasks(10, SUCCEEDED))
    account.denied |= {SUCCEEDED: FAULT, "lct-4": THROTTLE}

    polled = Polled(account)

    assert polled.calls == [IN_PROGRESS, SUCCEEDED, FAILED, *[f"lct-{number}" for number in range(5)]]
    assert list(polled.poll.unseen) == [f"lct-{number}" for number in range(4, 10)]
    assert (polled.poll.trouble, polled.poll.throttled, polled.poll.silent) == ("slow down", True, False)


def test_the_poller_waits_throttles_out_at_a_slower_pace() -> None:
    account = PolledAccount(tasks(50))
    account.denied[IN_PROGRESS] = THROTTLE
    account.after(10, account.denied.clear)

    polled = Polled(account, patience=30)

    assert account.sleeps == pytest.approx([1.0, 0.2, 1.0, 0.4, 1.0, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], abs=0.01)
    assert not polled.poll.unseen
    assert not polled.poll.silent


@pytest.mark.parametrize("trouble", [THROTTLE, FAULT], ids=["throttle", "fault"])
def test_a_license_manager_that_does_not_answer_for_as_long_as_the_patience_is_silent(trouble: Exception) -> None:
    account = PolledAccount(tasks(500))
    account.denied = dict.fromkeys((IN_PROGRESS, SUCCEEDED, FAILED, *account.tasks), trouble)
    account.call_seconds = 0.5

    polled = Polled(account, patience=30)

    assert polled.poll.silent
    assert len(polled.poll.unseen) == 500
    assert 30 <= account.seconds < 35


def test_a_license_manager_that_refuses_is_not_silent() -> None:
    account = PolledAccount(tasks(100))
    account.listing(AccessDenied("no"))
    account.denied |= {**dict.fromkeys(account.tasks, AccessDenied("no")), "lct-99": FAULT}
    account.call_seconds = 0.5

    polled = Polled(account, patience=30)

    assert account.seconds > 50
    assert not polled.poll.silent
    assert list(polled.poll.unseen) == ["lct-99"]


def test_a_license_manager_that_throttles_now_and_then_is_not_silent() -> None:
    account = PolledAccount(tasks(50))
    account.listing(FAULT)
    account.denied |= dict.fromkeys(account.tasks, THROTTLE)

    def recovers(_: float) -> None:
        account.denied.pop(next(reversed(account.calls), ""), None)

    account.then = recovers

    polled = Polled(account, patience=5)

    assert account.seconds > 50
    assert not polled.poll.silent
    assert len(polled.found) == 50


@pytest.mark.parametrize("seconds", [0.0, 0.5, 1.0, 4.0])
@pytest.mark.parametrize("patience", [0.0, 30.0], ids=["gate", "poller"])
@pytest.mark.parametrize("throttled", [False, True])
def test_no_call_begins_when_the_time_is_over(seconds: float, patience: float, throttled: bool) -> None:
    account = PolledAccount(tasks(600))
    account.hidden, account.call_seconds = set(account.tasks), 0.2
    if throttled:
        account.denied = dict.fromkeys(account.tasks, THROTTLE)

    polled = Polled(account, seconds=seconds, patience=patience)

    began = account.seconds - account.call_seconds
    assert began <= seconds + 1 + 1e-6, "a second after a throttle, in which nothing is called"
    assert polled.poll.unseen
    assert not polled.poll.silent


def test_no_call_begins_when_the_time_was_over_before() -> None:
    assert Polled(PolledAccount(tasks(5)), seconds=-1).calls == []
