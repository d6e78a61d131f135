"""One local cloud for all end-to-end tests of a run, and the application deployed on it."""

from collections.abc import Iterator
from pathlib import Path

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
    return Application(cloud, cloud.deploy(NAME, BUILT, {"AssumableRoleArns": READER}))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the cloud goes to one worker of two, and first: it is the longest, and a second LocalStack would only
    compete with it. The rest goes to whoever has time.
    """
    for item in items:
        if {"cloud", "application"} & set(getattr(item, "fixturenames", ())) and Path(
            __file__
        ).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("cloud"))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
