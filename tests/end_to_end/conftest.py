"""One local cloud for all end-to-end tests of a run, and the application deployed on it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.application import NAME, READER, Application, cloud_for_tests, packaged
from tests.local_cloud.cloud import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with cloud_for_tests() as running:
        yield running


@pytest.fixture(scope="session")
def application(cloud: LocalCloud) -> Application:
    stack = cloud.stacks.create(NAME, packaged(cloud), {"AssumableRoleArns": READER})
    assert stack.status == "CREATE_COMPLETE", stack.failures
    return Application(cloud, stack)
