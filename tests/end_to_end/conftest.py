"""One local cloud for all end-to-end tests of a run, and the application deployed on it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.application import BUILT, NAME, READER, Application
from tests.local_cloud.cloud import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as running:
        yield running


@pytest.fixture(scope="session")
def application(cloud: LocalCloud) -> Application:
    return Application(cloud, cloud.deploy(NAME, BUILT, {"AssumableRoleArns": READER}))
