"""`make benchmark`: runs every case, and writes docs/benchmarks.md (between its markers)."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"

from benchmarks.aims import AIMS, ANY, HOUR_LONG, LONE, SEEDS, SHORT, Aim, repeated
from benchmarks.bounds import Bound
from benchmarks.gates import Trouble
from benchmarks.peers import PEERS, Peer
from benchmarks.runs import Case, Result, run, together

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
HEAD = "| {} | lag p50 | lag p99 | calls | throttled | failed | $ for 1,000 |"
RULE = "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
WAYS = (None, *PEERS)
NONE = "–"  # noqa: RUF001
LIMITED = Trouble(transitions=500, burst=800)


AGAINST: Mapping[str, Sequence[Case]] = {
    "One wait, 2 to 10 min": repeated(SHORT, 200),
    "100 waits at once, 20 to 60 min": [Case(HOUR_LONG, 100)],
    "1,000 waits at once, 20 to 60 min": [Case(HOUR_LONG, 1000)],
}
"""Tables of all ways to wait."""
LIMITS: Mapping[str, Case] = {
    "100, 10 s to 10 min, 5, 25": Case("10 s to 10 min", 100, rate=5, page=25),
    "100, 10 s to 10 min, 20, 100": Case("10 s to 10 min", 100, rate=20),
    "1,000, 20 to 60 min, 5, 100": Case(HOUR_LONG, 1000, rate=5),
    "1,000, 20 to 60 min, 10, 25": Case(HOUR_LONG, 1000, page=25),
    "1,000, 20 to 60 min, 20, 100": Case(HOUR_LONG, 1000, rate=20),
    "a fleet of 1,000, 20 to 60 min, 10, 25": Case(HOUR_LONG, 1000, page=25, fleet=True),
    "a fleet of 1,000, 20 to 60 min, 5, 100": Case(HOUR_LONG, 1000, rate=5, fleet=True),
    "1,000 spread over 10 min, 20 to 60 min, 10, 100": Case(HOUR_LONG, 1000, spread=600),
    "1,000, a tail of 12 h, 10, 100": Case("a tail of 12 h", 1000),
    "10,000, 2 to 10 min, 10, 25": Case(SHORT, 10_000, page=25),
    "10,000, 2 to 10 min, 10, 100, **500 transitions a second**": Case(SHORT, 10_000, trouble=LIMITED),
}
BOUNDS = (
    ("100 gates at once, 20 to 60 min", Bound(100, begin=1200, seconds=2400)),
    ("1,000 gates at once, 20 to 60 min", Bound(1000, begin=1200, seconds=2400)),
    ("10,000 gates at once, 20 to 60 min", Bound(10_000, begin=1200, seconds=2400)),
    ("10,000 gates at once, 2 to 10 min", Bound(10_000, begin=120, seconds=480)),
)
Way = type[Peer] | None
Found = Mapping[tuple[Case, Way], Result]


def _row(name: str, result: Result) -> str:
    lags = (f"{result.lag(share):,.1f} s" if result.lags else "never" for share in (0.5, 0.99))
    failed = f"{result.failed / result.waits:.0%}"
    said = (*lags, f"{result.calls:.1f}", f"{result.throttles:.1f}", failed, f"{1000 * result.dollars:.2f}")
    return f"| {name} | {' | '.join(said)} |"


def _aims(found: Found) -> Iterator[str]:
    yield "| Aim | p50 | p99 | calls | $ for 1,000 | reached: p50 | p99 | calls | $ for 1,000 | failed | |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for aim in AIMS:
        result = _reached(aim, found)
        aims = ((aim.p50, " s"), (aim.p99, " s"), (aim.calls, ""), (1000 * aim.dollars, ""))
        said = " | ".join(f"{round(one, 2):g}{unit}" if one < ANY else NONE for one, unit in aims)
        lags = f"{result.lag(0.5):.1f} s | {result.lag(0.99):.1f} s"
        met = f"{result.failed} | {'met' if aim.met_by(result) else '**not met**'}"
        yield f"| {aim.what} | {said} | {lags} | {result.calls:.2f} | {1000 * result.dollars:.2f} | {met} |"


def _reached(aim: Aim, found: Found) -> Result:
    return aim.reached(lambda case: found[case, None])


def _bounds(found: Found) -> Iterator[str]:
    yield "### The distance to the physical bound\n"
    yield "| p99 | a Get for each end | ends listed | within the calls that were made | reached | distance |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for what, bound in BOUNDS:
        (aim,) = (aim for aim in AIMS if aim.what == what)
        result = _reached(aim, found)
        within, reached = bound.within(result.calls), result.lag(0.99)
        said = " | ".join(f"{one:,.1f} s" for one in (bound.asked, bound.listed, within, reached, reached - within))
        yield f"| {what} | {said} |"


def _against_peers(title: str, cases: Sequence[Case], found: Found) -> Iterator[str]:
    results = [together([found[case, peer] for case in cases]) for peer in WAYS]
    yield f"### {title}\n"
    yield HEAD.format("way to wait")
    yield RULE
    for result in results:
        yield _row(result.way, result)


def _limits(found: Found) -> Iterator[str]:
    yield "### The gate at other limits, page sizes and quotas\n"
    yield HEAD.format("waits, conversions, requests a second, page")
    yield RULE
    for name, case in LIMITS.items():
        yield _row(name, found[case, None])


def _results(jobs: Iterable[tuple[Case, Way]]) -> Found:
    """Each case once, on all processors. The largest first, so that no processor is left with one at the end."""
    todo = sorted(dict.fromkeys(jobs), key=lambda job: -job[0].waits)
    found = {}
    with ProcessPoolExecutor() as pool:
        for job, result in zip(todo, pool.map(run, *zip(*todo, strict=True)), strict=True):
            found[job] = result
            if result.waits > 1:
                sys.stderr.write(f"{result.way}: {result.case}\n")
    return found


def main() -> None:
    jobs = [
        *((case, None) for aim in AIMS for case in aim.cases),
        *((case, peer) for cases in AGAINST.values() for case in cases for peer in WAYS),
        *((case, None) for case in LIMITS.values()),
    ]
    found = _results(jobs)
    parts = (_aims(found), _bounds(found), *(_against_peers(*one, found) for one in AGAINST.items()), _limits(found))
    lines = [line for part in parts for line in (*part, "")]
    seeds = ", ".join(map(str, SEEDS))
    page = DOCS / "benchmarks.md"
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    said = f"All from one run, with the seeds {seeds}; the gates that are alone are {LONE}, with others."
    page.write_text("\n".join([before + BEGIN, "", said, "", *lines, END]) + after)


if __name__ == "__main__":
    main()
