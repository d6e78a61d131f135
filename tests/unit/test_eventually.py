import pytest

from tests.eventually import LONGEST_PAUSE, eventually, longer


def test_what_comes_later_is_waited_for() -> None:
    values = iter(["", "", "here", "gone"])

    assert eventually(lambda: next(values), pause=0) == "here"


def test_what_is_not_there_yet_can_be_told_from_what_is() -> None:
    values = iter(["RUNNING", "RUNNING", "FAILED"])

    assert eventually(lambda: next(values), pause=0, until=lambda status: status != "RUNNING") == "FAILED"


def test_what_never_comes_is_an_error_that_shows_the_last_value() -> None:
    with pytest.raises(TimeoutError, match=r"Still \[\] after 0"):
        eventually(list, seconds=0)


def test_what_takes_long_is_asked_about_less_often() -> None:
    pauses = [0.05]
    while pauses[-1] < LONGEST_PAUSE:
        pauses.append(longer(pauses[-1]))

    assert len(pauses) > 5
    assert pauses[-1] == longer(LONGEST_PAUSE) == LONGEST_PAUSE
    assert longer(1) == 1
