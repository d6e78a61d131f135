"""What X-Ray is told, by a process of its own: the SDK and its patches stay in a process once they are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from license_conversion import telemetry
from tests.local_cloud.traces import TraceDaemon

HANDLERS = Path(__file__).parents[2] / "handlers"
INVOCATION = """
import sys
from types import SimpleNamespace
from license_conversion import telemetry

telemetry.begin(SimpleNamespace(aws_request_id="r"), task_id="lct-1", stack_id="arn:stack", checks=3)
try:
    with telemetry.traced("check"):
        telemetry.about(execution="arn:execution")
        raise KeyError("what")
except KeyError:
    print(*sorted({"botocore.session", "aws_xray_sdk"} & sys.modules.keys()))
"""


def run(daemon: TraceDaemon, *, sampled: bool) -> str:
    """What an invocation whose step fails prints of the packages that it has imported."""
    header = f"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled={int(sampled)}"
    environment = {
        "PYTHONPATH": str(HANDLERS),
        "LAMBDA_TASK_ROOT": str(HANDLERS),
        "AWS_XRAY_DAEMON_ADDRESS": daemon.address,
        "_X_AMZN_TRACE_ID": header,
    }
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", INVOCATION], env=os.environ | environment, check=True, stdout=subprocess.PIPE
    )
    return ran.stdout.decode().strip()


def test_a_step_that_fails_is_traced_with_what_the_log_knows_of_it() -> None:
    with TraceDaemon() as daemon:
        run(daemon, sampled=True)

    (step,) = daemon.subsegments
    assert step["name"] == "## check"
    assert step["trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert step["fault"] is True
    assert step["annotations"] == {"task_id": "lct-1", "stack_id": "arn:stack", "execution": "arn:execution"}


def test_an_invocation_that_is_not_sampled_is_not_traced_and_brings_no_sdk() -> None:
    with TraceDaemon() as daemon:
        assert run(daemon, sampled=False) == ""

    assert daemon.subsegments == []


@pytest.mark.parametrize("header", ["", "Root=1-5759e988-bd862e3fe1be46a994272793"])
def test_a_step_without_a_trace_is_just_done(monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    done = []

    with telemetry.traced("check"):
        done.append("check")

    assert done == ["check"]
