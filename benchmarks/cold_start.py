"""What a function's first invocation takes with the memory that it is given: its start, and the handler's first call.

Each is a new process (`sandbox`) of the Python that the local cloud runs the functions on, with the built layer and our code, not
compiled, as Lambda has them. AWS is on loopback, over TLS, and answers at once.

*The start* is what the processor works until the handler is imported: Lambda gives a start a whole one, whatever the memory. Its
reference does not say so, a guide of AWS's does:
https://serverlessland.com/content/service/lambda/guides/effectively-running-java-on-serverless/init-heavy-lifting
*The call* is by the clock, in a group of processes with the quota of that memory; where the machine has none, it is
computed: the processor's time by the share, and the time in which the function waited.
"""

import json
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.instant_aws import EXECUTION, TASK_ID, answering
from benchmarks.quota import limited, share
from benchmarks.runs import GB_SECOND

ROOT = Path(__file__).parent.parent
PYTHON = ROOT / ".local" / "lambda-runtime" / "bin" / "python"
LAYER = ROOT / ".aws-sam" / "build" / "DependenciesLayer" / "python"
SIZES = (128, 256, 512, 1024, 1769)
HALF = 0.5
"""Of a processor: who gets less leaves room for others to be measured beside it."""
REPETITIONS = 3
"""The least counts: whatever else the machine does only adds to it."""
INVOCATIONS = 3
"""The first one, and what a warm one takes."""
AT_START = {"AWS_LAMBDA_FUNCTION_NAME": "gate"}
"""In Lambda alone do our functions make their clients at the start (license_conversion.aws.prepare)."""
TRACED = {
    "LAMBDA_TASK_ROOT": "/var/task",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
    "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
}
ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "PYTHONDONTWRITEBYTECODE": "1",
    "GATE_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:gate",
    "GATE_EVENT_BUS_NAME": "default",
    "GATE_TABLE_NAME": "crowd",
    "GATE_ROLE_ARN": "arn:aws:iam::123456789012:role/check",
    "GATE_ACCOUNT_ID": "123456789012",
}


@dataclass(frozen=True)
class Start:
    """What is started: a handler's module, with more in its environment, and the event of its first invocation."""

    name: str
    module: str
    event: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=lambda: AT_START)


@dataclass(frozen=True)
class Took:
    """Seconds; the call and a warm one with each memory. `peak` in MB."""

    start: float
    peak: float
    call: Mapping[int, float]
    warm: Mapping[int, float]


def starts(url: str) -> Sequence[Start]:
    """Those of the application, and what they are compared with."""
    request = json.loads((ROOT / "events" / "create.json").read_text())
    request["ResponseURL"] = f"{url}/?X-Amz-Date=20991122T173955Z&X-Amz-Expires=7200"
    answer = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": TASK_ID, "Data": {}}
    stack = {"Event": request, "RequestedAt": "2099-11-22T17:39:55Z", "PhysicalResourceId": TASK_ID}
    check = {
        "Input": {"LicenseConversionTaskId": TASK_ID},
        "Gate": {"Waiter": "CALLER", "Checks": 0, "AttemptSeconds": 25, "PauseSeconds": 5},
        "StartedAt": "2026-11-22T17:39:55Z",
        "Execution": EXECUTION,
    }
    to_answer = {"Stack": stack, "Answer": answer, "Waiter": "STACK", "Execution": EXECUTION}
    to_answer_last = {"Stack": stack, "Gate": {"Waiter": "STACK", "Answer": answer}, "Execution": EXECUTION}
    end = {"executionArn": EXECUTION, "status": "ABORTED"}
    ended = {"detail-type": "Step Functions Execution Status Change", "detail": end}
    later: dict[str, str] = {}
    return (
        Start("stock crhelper: a poll", "stock_crhelper", {**request, "CrHelperPoll": True, "CrHelperData": {}}),
        Start("custom_resource", "custom_resource", request),
        Start("custom_resource, its client in the call", "custom_resource", request, later),
        Start("check_task", "check_task", check),
        Start("check_task, its client in the call", "check_task", check, later),
        Start("check_task, traced", "check_task", check, AT_START | TRACED),
        Start("watch_crowd, nobody waits", "watch_crowd", {"RoleArn": "", "ExternalId": "", "Region": ""}),
        Start("announce_end", "announce_end", {"DetailType": "License Conversion Succeeded", "Detail": {}}),
        Start("answer_stack", "answer_stack", to_answer),
        Start("last_resort: an answer", "last_resort", to_answer_last),
        Start("last_resort: a look at an execution", "last_resort", ended),
    )


def measure() -> tuple[bool, Mapping[str, Took]]:
    """Whether there was a quota; and what each start took, by its name."""
    found: dict[str, dict[int, list[Mapping[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    with TemporaryDirectory() as folder, ExitStack() as stack:
        deployed = Path(folder)
        for code in (ROOT / "handlers", LAYER):
            shutil.copytree(code, deployed / code.name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "benchmarks" / "stock_crhelper.py", deployed / "handlers")
        url, authorities = stack.enter_context(answering(deployed))
        groups = {size: stack.enter_context(limited(size)) for size in SIZES}
        environment = {
            **ENVIRONMENT,
            "AWS_ENDPOINT_URL": url,
            "AWS_CA_BUNDLE": str(authorities),
            "SSL_CERT_FILE": str(authorities),
            "PYTHONPATH": os.pathsep.join(str(deployed / code) for code in ("handlers", LAYER.name)),
            "PATH": os.environ["PATH"],
        }

        def run(job: tuple[Start, int]) -> None:
            start, size = job
            said = _run(start, environment, groups[size])
            found[start.name][size].append(said)

        rounds = [(start, size) for _ in range(REPETITIONS) for size in SIZES for start in starts(url)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(run, (job for job in rounds if share(job[1]) < HALF)))
        for job in rounds:
            if share(job[1]) >= HALF:
                run(job)
        names = [start.name for start in starts(url)]
    quota = all(groups.values())
    return quota, {name: _took(found[name], quota=quota) for name in names}


def _run(start: Start, environment: Mapping[str, str], group: str) -> Mapping[str, Any]:
    what = {
        "module": start.module,
        "event": json.dumps(start.event),
        "group": group,
        "invocations": INVOCATIONS,
        "seconds": 120,
    }
    done = subprocess.run(  # noqa: S603 - ours
        [PYTHON, ROOT / "benchmarks" / "sandbox.py"],
        input=json.dumps(what),
        env={**environment, **start.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{start.name} does not start: {done.stderr}")
    said: Mapping[str, Any] = json.loads(done.stdout)
    return said


def _took(by_size: Mapping[int, Sequence[Mapping[str, Any]]], *, quota: bool) -> Took:
    def seconds(size: int, invocations: slice) -> float:
        spent: list[tuple[float, float]] = [one for said in by_size[size] for one in said["took"][invocations]]
        return min(clock if quota else worked / share(size) + (clock - worked) for clock, worked in spent)

    all_of_them = [said for said_of_size in by_size.values() for said in said_of_size]
    return Took(
        min(said["start"] for said in all_of_them),
        max(said["peak"] for said in all_of_them),
        {size: seconds(size, slice(0, 1)) for size in by_size},
        {size: seconds(size, slice(1, None)) for size in by_size},
    )


def tables() -> Iterator[str]:
    """For docs/benchmarks.md."""
    quota, measured = measure()
    how = "by a quota of the kernel's" if quota else "computed from the processor's time: this machine grants no quota"
    yield "### Cold start, size and memory"
    yield ""
    yield f"Seconds until the first invocation is done; in brackets their product with the price of a million. The share: {how}."
    yield ""
    yield from _table(
        {
            name: f"{took.start:.2f} s | {took.peak:.0f} MB | {products(took, boosted=True)}"
            for name, took in measured.items()
        },
        "start",
        "peak",
    )
    yield "The same, were the start given no more than the invocations (computed):"
    yield ""
    yield from _table({name: products(took, boosted=False) for name, took in measured.items()})
    yield "A warm invocation, in milliseconds, besides the time of the calls:"
    yield ""
    yield from _table(
        {name: " | ".join(f"{1000 * took.warm[size]:.0f}" for size in SIZES) for name, took in measured.items()}
    )
    yield f"The layer has {_layer_megabytes():.1f} MB, unpacked."


def _table(rows: Mapping[str, str], *before: str) -> Iterator[str]:
    """A row for each function, with a column for each memory after those that come `before`; and an empty line."""
    heads = [*before, *(f"{size:,} MB" for size in SIZES)]
    yield f"| | {' | '.join(heads)} |"
    yield f"| --- | {' | '.join('---:' for _ in heads)} |"
    for name, cells in rows.items():
        yield f"| {name} | {cells} |"
    yield ""


def products(took: Took, *, boosted: bool) -> str:
    """Each memory's time, and its product of time and price; the least of the products stands out."""
    times = {size: took.start / (1 if boosted else share(size)) + call for size, call in took.call.items()}
    products = {size: 1e6 * times[size] ** 2 * size / 1024 * GB_SECOND for size in times}
    least = min(products, key=lambda size: products[size])
    said = {size: f"{times[size]:.2f} ({products[size]:.1f})" for size in times}
    return " | ".join(f"**{one}**" if size == least else one for size, one in said.items())


def _layer_megabytes() -> float:
    return sum(file.stat().st_size for file in LAYER.rglob("*") if file.is_file()) / 1e6
