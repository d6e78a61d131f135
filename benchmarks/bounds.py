"""The physical bound: the least lag that License Manager's limit allows at all, with any number of callers, sharing or not.
docs/benchmarks.md has the three formulas.
"""

import math
from dataclasses import dataclass

from benchmarks.rate_limit import CALL_SECONDS, TASK_SECONDS

SHARE = 0.43
"""A task stands on any page of the shorter listing, of what runs or what has ended, and its end is seen when that page is read
again. So it is of U min(x, 1 - x), U and x even from 0 to 1: 99 of 100 are below. With y twice it: 1 - y + y ln y = 0.01."""


@dataclass(frozen=True)
class Bound:
    waits: int
    begin: float
    seconds: float
    rate: float = 10
    page: int = 100

    @property
    def page_seconds(self) -> float:
        return max(1 / self.rate, CALL_SECONDS + TASK_SECONDS * min(self.page, self.waits))

    @property
    def asked(self) -> float:
        """The least p99 with a Get for each end."""
        return max(0.99 * self.waits / self.rate - 0.99 * self.seconds, 0.0) + CALL_SECONDS

    @property
    def listed(self) -> float:
        """The least p99 of a caller that does nothing but list."""
        return (max(1.0, SHARE * self.waits / self.page) + 1) * self.page_seconds

    def within(self, calls: float) -> float:
        """The least p99 for `calls` of them a wait."""
        pages = math.ceil(self.waits / self.page) * (self.begin + self.seconds / 2)
        if self.asked > self.listed:
            return max(self.listed, pages / (calls * self.waits))
        between = pages / ((calls - 1) * self.waits)
        return max(min(self.asked, self.listed), 0.99 * between + CALL_SECONDS)
