"""Seconds until the next check."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from license_conversion.pace import CLOSE, seconds_until_next_check, seconds_until_repetition

STARTED_AT = datetime(2026, 11, 22, 17, 39, 55, tzinfo=UTC)
FAR = timedelta(days=1)

moments = st.datetimes(timezones=st.just(UTC))
"""From year 1 to year 9999: clocks can be wrong."""
shares = st.floats(0, 1)


def always(share: float) -> Callable[[], float]:
    return lambda: share


def pause_after(elapsed: float, share: float = 0.0, throttles: int = 0) -> int:
    now = STARTED_AT + timedelta(seconds=elapsed)
    return seconds_until_next_check(
        now, started_at=STARTED_AT, deadline=now + FAR, random=always(share), throttles=throttles
    )


def pause_before_deadline(left: float, *, elapsed: float, share: float, throttles: int = 0) -> int:
    now = STARTED_AT + timedelta(seconds=elapsed)
    deadline = now + timedelta(seconds=left)
    return seconds_until_next_check(
        now, started_at=STARTED_AT, deadline=deadline, random=always(share), throttles=throttles
    )


@pytest.mark.parametrize(
    ("elapsed", "expected"),
    [
        pytest.param(0, 5, id="at the start"),
        pytest.param(17, 5, id="while the root is short"),
        pytest.param(100, 12, id="12 s after 100 s"),
        pytest.param(300, 21, id="21 s after five minutes"),
        pytest.param(600, 30, id="half a minute after ten minutes"),
        pytest.param(3599, 30, id="half a minute in the first hour"),
        pytest.param(3600, 60, id="a minute after it"),
        pytest.param(43000, 60, id="a minute at most"),
    ],
)
def test_the_pause_grows_with_the_root_of_the_time_since_the_start(elapsed: float, expected: int) -> None:
    assert pause_after(elapsed) == expected


def test_gates_that_started_together_drift_apart() -> None:
    pauses = {pause_after(4000, share / 10) for share in range(11)}

    assert pauses == {57, 58, 59, 60}


def pause_in_crowd(share: float, *, left: float = 86400, throttles: int = 0) -> int:
    now = STARTED_AT + timedelta(seconds=100)
    return seconds_until_next_check(
        now,
        started_at=STARTED_AT,
        deadline=now + timedelta(seconds=left),
        random=always(share),
        throttles=throttles,
        in_crowd=True,
    )


@given(share=shares)
def test_a_gate_of_a_crowd_wakes_by_itself_after_two_minutes_at_most(share: float) -> None:
    assert 96 <= pause_in_crowd(share) <= 120


@given(share=shares)
def test_a_gate_of_a_crowd_without_a_watch_asks_again_sooner_after_a_throttle(share: float) -> None:
    assert 32 <= pause_in_crowd(share, throttles=3) <= 40


@given(share=shares, left=st.floats(1, 150))
def test_a_gate_of_a_crowd_wakes_shortly_before_its_deadline_and_at_it(share: float, left: float) -> None:
    pause = pause_in_crowd(share, left=left)

    assert pause < left + 1
    assert left <= CLOSE or left - CLOSE - 120 <= pause <= left - 4


def test_a_gate_whose_start_lies_in_the_future_checks_at_the_shortest_pace() -> None:
    assert pause_after(-3600) == 5


@given(now=moments, started_at=moments, deadline=moments, share=shares)
def test_whatever_the_clocks_say_the_pause_is_from_one_second_to_a_minute(
    now: datetime, started_at: datetime, deadline: datetime, share: float
) -> None:
    pause = seconds_until_next_check(now, started_at=started_at, deadline=deadline, random=always(share))

    assert 1 <= pause <= 60


@given(now=moments, started_at=moments, deadline=moments, share=shares, throttles=st.integers(0, 10**9))
def test_however_often_it_was_throttled_the_pause_is_two_minutes_at_most(
    now: datetime, started_at: datetime, deadline: datetime, share: float, throttles: int
) -> None:
    pause = seconds_until_next_check(
        now, started_at=started_at, deadline=deadline, random=always(share), throttles=throttles
    )

    assert 1 <= pause <= 120


@given(elapsed=st.floats(0, 50_000), share=shares)
def test_before_the_deadline_no_check_comes_sooner_than_five_seconds(elapsed: float, share: float) -> None:
    assert pause_after(elapsed, share) >= 5


@given(elapsed=st.floats(0, 50_000), share=shares)
def test_the_end_is_seen_within_half_a_minute_in_the_first_hour_and_a_minute_after_it(
    elapsed: float, share: float
) -> None:
    assert pause_after(elapsed, share) <= (30 if elapsed < 3600 else 60)


@given(left=st.floats(0, CLOSE), elapsed=st.floats(0, 50_000), share=shares, throttles=st.integers(0, 5))
def test_close_to_the_deadline_the_next_check_comes_at_it_and_not_a_pause_later(
    left: float, elapsed: float, share: float, throttles: int
) -> None:
    pause = pause_before_deadline(left, elapsed=elapsed, share=share, throttles=throttles)

    assert pause < left + 1 or pause == 1


@given(left=st.floats(CLOSE + 1, 3600), elapsed=st.floats(0, 50_000), share=shares, throttles=st.integers(0, 5))
def test_no_check_comes_from_far_before_the_deadline_to_the_deadline_itself(
    left: float, elapsed: float, share: float, throttles: int
) -> None:
    """Whoever looks last at the deadline alone may be throttled there, though the task had ended long before."""
    pause = pause_before_deadline(left, elapsed=elapsed, share=share, throttles=throttles)

    assert pause <= left - 4


def test_the_looks_before_one_deadline_of_many_gates_come_each_at_a_time_of_its_own() -> None:
    before_it = {CLOSE + 20 - pause_before_deadline(CLOSE + 20, elapsed=4000, share=one / 25) for one in range(26)}

    assert max(before_it) <= CLOSE
    assert min(before_it) <= 6
    assert len(before_it) > 15


@given(share=shares)
def test_a_last_look_comes_again_after_a_few_seconds_that_differ(share: float) -> None:
    assert 1 <= seconds_until_repetition(always(share)) <= 5


def test_last_looks_that_come_again_spread() -> None:
    assert {seconds_until_repetition(always(one / 10)) for one in range(11)} == {1, 2, 3, 4, 5}


def test_the_check_at_the_deadline_is_not_a_moment_before_it() -> None:
    deadline = STARTED_AT + timedelta(seconds=2.1)

    assert seconds_until_next_check(STARTED_AT, started_at=STARTED_AT, deadline=deadline, random=always(0.0)) == 3


@given(elapsed=st.floats(0, 50_000), share=shares, throttles=st.integers(1, 20))
def test_a_throttle_never_quickens_the_pace(elapsed: float, share: float, throttles: int) -> None:
    assert pause_after(elapsed, share, throttles) >= pause_after(elapsed, 0.0)


@pytest.mark.parametrize(
    ("throttles", "expected"),
    [
        pytest.param(1, 10, id="once"),
        pytest.param(2, 20, id="twice in a row"),
        pytest.param(3, 40, id="three times in a row"),
        pytest.param(50, 120, id="for ever"),
    ],
)
def test_each_throttle_in_a_row_doubles_the_pause(throttles: int, expected: int) -> None:
    assert pause_after(0, 0.0, throttles) == expected


def test_throttled_gates_spread_wider_than_others() -> None:
    throttled = pause_after(300, 0.0, 1) - pause_after(300, 1.0, 1)
    others = pause_after(300, 0.0) - pause_after(300, 1.0)

    assert throttled > 2 * others
