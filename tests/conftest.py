"""What every test starts from: no credentials but made-up ones, and the same examples each time."""

import os
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.local_cloud import parse_once

parse_once.regions()
parse_once.services()

settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.register_profile("mutants", settings.get_profile("suite"), max_examples=10)
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
REAL_AWS = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


END_TO_END = "tests/end_to_end/test_"
LONGEST = (
    *(f"{END_TO_END}permissions", "tests/model/test_cloudformation_model", f"{END_TO_END}stack_gate"),
    *(f"{END_TO_END}state_machine", f"{END_TO_END}poller", f"{END_TO_END}dashboard", f"{END_TO_END}convert_and_gate"),
    *(f"{END_TO_END}examples", f"{END_TO_END}broken_gate", END_TO_END),
)
"""In this order: what takes minutes begins first and beside what only waits, and a run ends with what is over in a moment."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in LONGEST])


class Modules(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """An end-to-end module goes to one worker as a whole: a worker has one local cloud for those that it gets. The poller's tests
    go one by one, as each waits for minutes. (xdist's own groups have no effect with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        whole = nodeid.startswith(END_TO_END) and not nodeid.startswith(f"{END_TO_END}poller")
        return nodeid.split("::", maxsplit=1)[0] if whole else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Modules:
    config.option.loadscopereorder = False
    return Modules(config, log)


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
    """No test can reach the account of whoever runs it."""
    for name, value in FAKE_AWS.items():
        monkeypatch.setenv(name, value)
    for name in REAL_AWS:
        monkeypatch.delenv(name, raising=False)
