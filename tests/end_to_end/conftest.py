"""One local cloud for all end-to-end tests of a run."""

from collections.abc import Iterator

import pytest

from tests.local_cloud.cloud import LocalCloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    with LocalCloud() as running:
        yield running
