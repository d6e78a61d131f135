"""The rate limit that model, benchmark and local cloud share."""

from itertools import count

from tests.simulation.clock import VirtualClock
from tests.simulation.token_bucket import TokenBucket


def taken(bucket: TokenBucket) -> int:
    return next(number for number in count() if not bucket.take())


def test_a_full_bucket_gives_its_size_at_once_and_then_its_rate() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock.monotonic, 2, size=5)
    found = [taken(bucket)]
    for seconds in (0.25, 0.25, 3600):
        clock.run_for(seconds)
        found.append(taken(bucket))

    assert found == [5, 0, 1, 5]
    assert taken(TokenBucket(clock.monotonic, 0.2)) == 1, "less than one a second still lets one through"


def test_units_are_lent_to_the_first_call_and_paid_by_those_after_it() -> None:
    clock = VirtualClock()
    bucket = TokenBucket(clock.monotonic, 10)
    found = [bucket.take_units(25), bucket.take_units(1)]
    for seconds in (1.5, 0.1):
        clock.run_for(seconds)
        found.append(bucket.take_units(1))

    assert found == [True, False, False, True]
