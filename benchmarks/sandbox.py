"""A sandbox's life, as a process of its own: the start, then invocations, at the share of the processor that Lambda gives.

`cold_start` runs it with the functions' Python and nothing on its path but what they see. It reads what to do from its input, and
prints what it took. What a function prints is its log, and nobody reads it.
"""

import importlib
import json
import os
import sys
import time
from types import SimpleNamespace
from typing import Any

AWS_REQUEST_ID = "00000000-0000-4000-8000-000000000000"


def main() -> None:
    what: dict[str, Any] = json.load(sys.stdin)
    result = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    handler = importlib.import_module(what["module"]).handler
    start = time.process_time()
    if what["group"]:  # from now on: what comes before has a whole processor
        with open(what["group"], "a") as group:  # noqa: PTH123 - a function may not import pathlib
            group.write(str(os.getpid()))
    took = []
    for _ in range(what["invocations"]):
        ends = time.monotonic() + what["seconds"]
        context = SimpleNamespace(
            aws_request_id=AWS_REQUEST_ID,
            function_name=what["module"],
            get_remaining_time_in_millis=lambda ends=ends: 1000 * (ends - time.monotonic()),
        )
        began, worked = time.monotonic(), time.process_time()
        handler(json.loads(what["event"]), context)
        took.append([time.monotonic() - began, time.process_time() - worked])
    # VmHWM: ru_maxrss would start with that of the process that started this one
    with open("/proc/self/status") as status:  # noqa: PTH123
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    json.dump({"start": start, "took": took, "peak": peak}, result)


if __name__ == "__main__":
    main()
