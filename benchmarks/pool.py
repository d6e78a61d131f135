"""Runs each case once, on all processors."""

import os
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.queues import Queue

from benchmarks.peers import Peer
from benchmarks.runs import Case, Result, run

Job = tuple[Case, type[Peer] | None]


def results(jobs: Iterable[Job]) -> Mapping[Job, Result]:
    """The largest first, so that no processor is left with one at the end."""
    todo = sorted(dict.fromkeys(jobs), key=lambda job: -job[0].waits)
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [-1] * (os.cpu_count() or 1)
    context = get_context()
    mine = context.Queue()
    for processor in processors:
        mine.put(processor)
    found = {}
    with ProcessPoolExecutor(len(processors), context, initializer=_stay, initargs=(mine,)) as pool:
        running = {pool.submit(run, *job): job for job in todo}
        for done in as_completed(running):
            result = found[running[done]] = done.result()
            if result.waits > 1:
                sys.stderr.write(f"{result.way}: {result.case}\n")
    return found


def _stay(processors: "Queue[int]") -> None:
    """On one processor: a clock's threads hand the turn to each other all the time, which is dear from one to another."""
    processor = processors.get()
    if processor >= 0:
        os.sched_setaffinity(0, {processor})
