"""What every test starts from: no credentials but made-up ones, and the same examples each time."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.local_cloud import parse_once

parse_once.services()

settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("quick", settings.get_profile("suite"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

FAKE_AWS = {
    "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


END_TO_END = "tests/end_to_end/test_"
CLOUDS = (
    ("dashboard", "verify", "parameters"),
    ("permissions", "safety_net", "local_cloud", "demo", "release"),
    ("state_machine", "stack_gate", "broken_gate", "convert_and_gate", "our_interpreter"),
    ("upgrade", "poller", "examples"),
)
"""The end-to-end modules of each local cloud, in this order; as long as each other. The dashboard's is first: it looks at all
that is logged. The examples' is last: what it deploys stays.
"""
ORDER = (*(f"{END_TO_END}{name}." for names in CLOUDS for name in names), END_TO_END, "tests/model/test_cloudformation")
"""What takes minutes begins first, beside what only waits; a run ends with what is over in a moment."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in ORDER])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What only works lets those go first that wait, whose way to the end of the run is the longest. A worker has them last."""
    if not item.nodeid.startswith(END_TO_END) and os.getpriority(os.PRIO_PROCESS, 0) < 10:
        os.setpriority(os.PRIO_PROCESS, 0, 10)


class Clouds(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """Each worker has one local cloud for the end-to-end modules that it gets, so four workers get them. All other tests go one
    by one. (xdist's own groups have no effect with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        if not nodeid.startswith(END_TO_END):
            return nodeid
        module = nodeid.removeprefix(END_TO_END).partition(".")[0]
        return next((f"cloud {number}" for number, names in enumerate(CLOUDS) if module in names), "cloud 0")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Clouds:
    config.option.loadscopereorder = False
    return Clouds(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What the machine has: one for each cloud, which rather waits than works, and one for each core; and a gigabyte of memory is
    enough for each, with three for what all share.
    """
    cores = len(os.sched_getaffinity(0))
    free = int(re.findall(r"MemAvailable: +(\d+)", Path("/proc/meminfo").read_text())[0]) / 2**20
    workers = max(1, min(cores + len(CLOUDS), int(free) - 3))
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"{workers} workers: {cores} cores, {free:.1f} GB of memory free")  # noqa: T201
    return workers


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate authority's certificate, and a server's key and chain for 127.0.0.1, made for this run."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return folder / "authority.pem", folder / "server.pem"


@pytest.fixture(autouse=True)
def fake_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach the account of the person who runs it."""
    for name in [one for one in os.environ if one.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in FAKE_AWS.items():
        monkeypatch.setenv(name, value)
