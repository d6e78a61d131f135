"""The rate limit that model, benchmark and local cloud share."""

from itertools import count

from tests.simulation.token_bucket import TokenBucket


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def taken(bucket: TokenBucket) -> int:
    return next(number for number in count() if not bucket.take())


def test_a_full_bucket_gives_its_size_at_once_and_then_its_rate() -> None:
    clock = Seconds()
    bucket = TokenBucket(clock, 2, size=5)

    assert taken(bucket) == 5
    clock.now += 0.25
    assert taken(bucket) == 0
    clock.now += 0.25
    assert taken(bucket) == 1
    clock.now += 3600
    assert taken(bucket) == 5


def test_less_than_one_a_second_still_lets_one_through() -> None:
    assert taken(TokenBucket(Seconds(), 0.2)) == 1


def test_units_are_lent_to_whoever_comes_first_and_paid_by_those_after_it() -> None:
    clock = Seconds()
    bucket = TokenBucket(clock, 10)

    assert bucket.take_units(25)
    assert not bucket.take_units(1)
    clock.now += 1.5
    assert not bucket.take_units(1)
    clock.now += 0.1
    assert bucket.take_units(1)
