import pytest

from tests.eventually import eventually


def test_what_comes_later_is_waited_for_and_what_never_comes_is_an_error_that_shows_the_last_value() -> None:
    values = iter(["RUNNING", "RUNNING", "FAILED"])

    assert eventually(lambda: next(values), pause=0, until=lambda status: status != "RUNNING") == "FAILED"
    with pytest.raises(TimeoutError, match=r"Still \[\] after 0"):
        eventually(list, seconds=0)
