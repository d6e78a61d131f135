"""What every test starts from: no credentials but made-up ones, and the same examples each time."""

import os
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

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


class OneCloud(LoadScopeScheduling):  # type: ignore[misc]  # xdist is untyped
    """What needs the local cloud goes to one worker, first, because it is the longest: a second LocalStack would only compete
    with it. Every other test goes to whoever has time. (xdist's own groups have no effect with pytest 9.2.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return "the cloud" if nodeid.startswith("tests/end_to_end/") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneCloud:
    return OneCloud(config, log)


@pytest.fixture(autouse=True)
def fake_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach the account of whoever runs it."""
    for name, value in FAKE_AWS.items():
        monkeypatch.setenv(name, value)
    for name in REAL_AWS:
        monkeypatch.delenv(name, raising=False)
