"""`make benchmark`: runs every case, and writes docs/benchmarks.md (between its markers) and its charts."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ["POWERTOOLS_LOG_LEVEL"] = "CRITICAL"

from benchmarks import cold_start
from benchmarks.aims import AIMS, ANY, LARGEST, Aim, bound
from benchmarks.gates import Trouble
from benchmarks.peers import PEERS
from benchmarks.plot import lag_chart
from benchmarks.runs import Case, Result, run

DOCS = Path(__file__).parent.parent / "docs"
BEGIN, END = "<!-- benchmark -->", "<!-- /benchmark -->"
HEAD = "| {} | lag p50 | lag p99 | calls | throttled | failed | $ for 1,000 |"
RULE = "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
WAYS = (None, *PEERS)


def _row(name: str, result: Result) -> str:
    lags = (f"{result.lag(share):,.0f} s" if result.lags else "never" for share in (0.5, 0.99))
    failed = f"{result.failed / result.case.waits:.0%}" if result.case.waits > 1 else str(result.failed)
    said = (*lags, f"{result.calls:.1f}", f"{result.throttles:.1f}", failed, f"{1000 * result.dollars:.2f}")
    return f"| {name} | {' | '.join(said)} |"


def _aims(aims: Sequence[Aim]) -> Iterator[str]:
    yield "| Aim | p50 | p99 | calls | reached: p50 | p99 | calls | failed | $ for 1,000 | |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for aim in aims:
        result = _said(aim.what, aim.reached())
        p50, p99, calls = (
            f"{one:g}{unit}" if one < ANY else "–"  # noqa: RUF001
            for one, unit in ((aim.p50, " s"), (aim.p99, " s"), (aim.calls, ""))
        )
        reached = f"{result.lag(0.5):.1f} s | {result.lag(0.99):.1f} s | {result.calls:.2f} | {result.failed}"
        met = "met" if aim.met_by(result) else "**not met**"
        yield f"| {aim.what} | {p50} | {p99} | {calls} | {reached} | {1000 * result.dollars:.2f} | {met} |"


def _said(what: str, result: Result) -> Result:
    sys.stderr.write(f"{what}: {result.way}\n")
    return result


def _against_peers(case: Case, title: str, chart: str = "") -> Iterator[str]:
    results = [_said(title, run(case, peer)) for peer in WAYS]
    yield ""
    yield f"### {title}"
    yield ""
    if chart:
        rows = [
            (one.way, one.lag(0.5), one.lag(0.99), f"{one.failed / case.waits:.0%} failed" if one.failed else "")
            for one in results
        ]
        (DOCS / chart).write_text(lag_chart(f"{title}: seconds until the end is seen", rows))
        yield f"![{title}]({chart})"
        yield ""
    yield HEAD.format("way to wait")
    yield RULE
    for result in results:
        yield _row(result.way, result)


def _limits() -> Iterator[str]:
    yield ""
    yield "### The gate at other limits and page sizes"
    yield ""
    yield HEAD.format("waits, conversions, requests a second, page")
    yield RULE
    for waits, conversions in ((100, "10 s to 10 min"), (1000, "20 to 60 min")):
        for rate in (5, 10, 20):
            for page in (25, 100):
                name = f"{waits:,}, {conversions}, {rate}, {page}"
                yield _row(name, _said(name, run(Case(conversions, waits, rate, page))))
    for case, name in (
        (Case("10 s to 10 min", 1000), "1,000, 10 s to 10 min, 10, 100"),
        (Case("20 to 60 min", 1000, spread=600), "1,000 spread over 10 min, 20 to 60 min, 10, 100"),
        (
            Case("2 to 10 min", 1000, trouble=Trouble(transitions=500)),
            "1,000, 2 to 10 min, 10, 100, **500 transitions a second**",
        ),
        (
            Case("2 to 10 min", 10_000, trouble=Trouble(transitions=500)),
            "10,000, 2 to 10 min, 10, 100, **500 transitions a second**",
        ),
        (Case("a tail of 12 h", 1000), "1,000, a tail of 12 h, 10, 100"),
        (Case("2 to 10 min", 1000, fleet=True), "a fleet of 1,000, 2 to 10 min, 10, 100"),
        (Case("20 to 60 min", 1000, page=25, fleet=True), "a fleet of 1,000, 20 to 60 min, 10, 25"),
        (Case("20 to 60 min", 1000, rate=5, fleet=True), "a fleet of 1,000, 20 to 60 min, 5, 100"),
    ):
        yield _row(name, _said(name, run(case)))


def _bounds() -> Iterator[str]:
    yield ""
    yield "### The distance to the physical bound"
    yield ""
    yield "| waits, conversions | least p99: a Get for each end | least p99: ends listed |"
    yield "| --- | ---: | ---: |"
    for waits in (100, 1000, 10_000):
        for conversions, seconds in (("20 to 60 min", 2400.0), ("2 to 10 min", 480.0)):
            asked, listed = (bound(Case(conversions, waits, page=page), seconds=seconds) for page in (1, 100))
            yield f"| {waits:,}, {conversions} | {asked:,.1f} s | {listed:,.1f} s |"


def _cold_starts() -> Iterator[str]:
    yield ""
    yield "### Cold start and size"
    yield ""
    yield "| | time, as deployed | time, with bytecode | peak memory, as deployed |"
    yield "| --- | ---: | ---: | ---: |"
    yield "| stock crhelper, clients at import | 1 | 1 | 1 |"
    for deployed, compiled in zip(cold_start.measure(bytecode=False), cold_start.measure(bytecode=True), strict=True):
        yield f"| {deployed.handler} | {deployed.time:.2f} | {compiled.time:.2f} | {deployed.memory:.2f} |"
    yield ""
    yield f"The layer has {cold_start.layer_megabytes():.1f} MB, unpacked."


def main() -> None:
    lines = [
        *_aims((*AIMS, *LARGEST)),
        *_bounds(),
        *_against_peers(Case("2 to 10 min", 1), "One wait, 2 to 10 min"),
        *_against_peers(Case("20 to 60 min", 100), "100 waits at once, 20 to 60 min"),
        *_against_peers(Case("20 to 60 min", 1000), "1,000 waits at once, 20 to 60 min", "benchmark-1000.svg"),
        *_limits(),
        *_cold_starts(),
    ]
    page = DOCS / "benchmarks.md"
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text("\n".join([before + BEGIN, "", *lines, "", END]) + after)


if __name__ == "__main__":
    main()
