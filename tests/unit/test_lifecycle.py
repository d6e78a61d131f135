"""crhelper's seams: what lifecycle.py overrides, sets or relies on. A release that takes one away fails here, by its name."""

import inspect
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crhelper import CfnResource, log_helper, resource_helper

from license_conversion.lifecycle import Lifecycle

HANDLERS = Path(__file__).parents[2] / "handlers"
SEAMS = {
    "__call__": ["event", "context"],
    "_log_setup": ["event", "context"],
    "_set_timeout": [],
    "_get_func": [],
    "_wrap_function": ["func"],
    "_poll_enabled": [],
    "_setup_polling": [],
    "_remove_polling": [],
    "generate_physical_id": ["event"],
    "_send": ["status", "reason"],
    "create": ["func"],
    "update": ["func"],
    "delete": ["func"],
}
"""Each method, with the parameters that are passed to it."""
ATTRIBUTES = ("Status", "Reason", "_event", "_context", "_response_url")
"""What a new resource has, and each request sets."""


def parameters(function: Any) -> list[str]:
    return [name.removeprefix("_") for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("seam", SEAMS)
def test_crhelper_has_the_method(seam: str) -> None:
    assert hasattr(CfnResource, seam), f"crhelper's CfnResource has no {seam} any more"
    assert parameters(getattr(CfnResource, seam))[: len(SEAMS[seam])] == SEAMS[seam]


def test_every_method_that_is_overridden_is_one_of_crhelpers() -> None:
    overridden = {name for name, one in vars(Lifecycle).items() if inspect.isfunction(one)} - {"__init__"}

    assert overridden <= SEAMS.keys()
    for name in overridden:
        assert parameters(getattr(Lifecycle, name)) == SEAMS[name], f"{name} has other parameters than crhelper's"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_crhelper_has_the_attribute(attribute: str) -> None:
    lifecycle = Lifecycle(lambda *_: 1)

    assert hasattr(lifecycle, attribute), f"crhelper's CfnResource has no {attribute} any more"


def test_what_crhelper_calls_failed_and_success_is_cloudformations() -> None:
    assert (resource_helper.FAILED, resource_helper.SUCCESS) == ("FAILED", "SUCCESS")


def test_crhelper_sets_up_logging_through_the_name_that_is_taken_away_from_it() -> None:
    assert callable(log_helper.setup)
    root = logging.getLogger()
    before = (root.level, list(root.handlers), log_helper.setup)

    Lifecycle(lambda *_: 1)

    assert (root.level, list(root.handlers), log_helper.setup) == before


def test_crhelpers_logger_which_writes_whole_events_is_silent() -> None:
    assert not logging.getLogger("crhelper.resource_helper").isEnabledFor(logging.ERROR)


def test_an_import_brings_no_boto3_and_leaves_the_real_one_to_whoever_needs_it() -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(HANDLERS)!r}); import custom_resource; "
        "assert 'botocore.session' not in sys.modules; import boto3; assert boto3.client('sts', region_name='us-east-1')"
    )

    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
