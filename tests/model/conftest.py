"""A world with nothing in it yet."""

from collections.abc import Iterator

import pytest

from tests.model.world import World


@pytest.fixture
def unjudged() -> Iterator[World]:
    """In which promises may be broken."""
    world = World(seed=0)
    with world.at_the_seams():
        yield world
    world.close()


@pytest.fixture
def world(unjudged: World) -> Iterator[World]:
    yield unjudged
    unjudged.settle()
