"""The share of a processor that Lambda gives for so much memory, as a quota of the kernel's for a group of processes.

`first` and `second` are the files of the two versions of control groups. https://docs.kernel.org/scheduler/sched-bwc.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHOLE_MB = 1769
"""With so much memory a function has one processor, with less in proportion.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html"""
PERIOD_MICROSECONDS = 20_000
"""Lambda's own is not documented."""
GROUPS = Path("/sys/fs/cgroup")
NAME = "license-conversion-gate-benchmark"


def share(memory_mb: int) -> float:
    return min(1.0, memory_mb / WHOLE_MB)


@contextmanager
def limited(memory_mb: int, groups: Path = GROUPS) -> Iterator[str]:
    """The file to write a process's id to, from when on it has that share. `""`: this machine does not let us make a group."""
    quota = round(PERIOD_MICROSECONDS * share(memory_mb))
    # Before whatever else the machine does: on Lambda nobody else takes of the share.
    second = {"cpu.max": f"{quota} {PERIOD_MICROSECONDS}", "cpu.weight": "10000"}
    first = {"cpu.cfs_period_us": f"{PERIOD_MICROSECONDS}", "cpu.cfs_quota_us": f"{quota}", "cpu.shares": "262144"}
    has_second = "cpu" in _read(groups / "cgroup.controllers").split()
    group = (groups if has_second else groups / "cpu") / f"{NAME}-{memory_mb}"
    try:
        group.mkdir(exist_ok=True)
        for name, value in (second if has_second else first).items():
            (group / name).write_text(value)
    except OSError:
        yield ""
        return
    try:
        yield str(group / "cgroup.procs")
    finally:
        group.rmdir()


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""
