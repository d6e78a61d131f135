"""One local cloud for all end-to-end tests of a run, and the application deployed on it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.application import BUILT, NAME, READER, Application
from tests.local_cloud.cloud import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """Conversions run from when somebody looks: a machine so busy that it looks late sees the same."""
    with LocalCloud() as running:
        running.license_manager.configure(begins_when_seen=True)
        yield running


@pytest.fixture(scope="session")
def application(cloud: LocalCloud) -> Application:
    return Application(cloud, cloud.stacks.deploy(NAME, BUILT, {"AssumableRoleArns": READER}))
