"""The rate limit of whatever stands for a service of AWS's: the local cloud, the model, the benchmark."""

from collections.abc import Callable


class TokenBucket:
    """So many `per_second`, and at most `size` at once (as many, if nothing is said; never less than one). Full at first. `clock`
    gives seconds.
    """

    def __init__(self, clock: Callable[[], float], per_second: float, size: float | None = None) -> None:
        self._clock, self._per_second = clock, per_second
        self._size = max(1.0, per_second) if size is None else size
        self._left, self._at = self._size, clock()

    def take(self) -> bool:
        """One call. False: it is throttled, and nothing was taken."""
        return self._draw(1.0, least=1.0)

    def take_units(self, units: float) -> bool:
        """As DynamoDB does: a call that comes while anything is left gets all of it, and those after it pay."""
        return self._draw(units, least=0.0)

    def _draw(self, tokens: float, *, least: float) -> bool:
        now = self._clock()
        self._left = min(self._size, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < least or not self._left > 0:
            return False
        self._left -= tokens
        return True
