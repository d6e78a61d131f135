"""crhelper's seams: what lifecycle.py overrides or sets. A release that takes one away fails here, by its name."""

import inspect
import logging
from typing import Any

import pytest
from crhelper import CfnResource, log_helper

from license_conversion.lifecycle import Lifecycle

OVERRIDDEN = [name for name, one in vars(Lifecycle).items() if inspect.isfunction(one) and name != "__init__"]


def parameters(function: Any) -> list[str]:
    return [name.removeprefix("_") for name in inspect.signature(function).parameters]


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_every_method_that_is_overridden_is_one_of_crhelpers(name: str) -> None:
    assert hasattr(CfnResource, name), f"crhelper's CfnResource has no {name} any more"
    ours = parameters(getattr(Lifecycle, name))
    assert parameters(getattr(CfnResource, name))[: len(ours)] == ours, f"{name} has other parameters than crhelper's"


def test_crhelper_sets_up_logging_through_the_name_that_is_taken_away_from_it() -> None:
    assert callable(log_helper.setup)
    root = logging.getLogger()
    before = (root.level, list(root.handlers), log_helper.setup)

    Lifecycle(lambda *_: 1)

    assert (root.level, list(root.handlers), log_helper.setup) == before


def test_crhelpers_logger_which_writes_whole_events_is_silent() -> None:
    assert not logging.getLogger("crhelper.resource_helper").isEnabledFor(logging.ERROR)
