"""The responder's own zip: what is in it, that all it imports is, and that nothing else can break it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.answers import AnswersReceiver
from tests.unit.network import Network
from tests.unit.test_respond import ARN, BROKE, BROKEN, FAILURE, HANDLE, STACK, Outside, record

ROOT = Path(__file__).parents[2]
HANDLERS = ROOT / "handlers"
PACKAGE = "license_conversion"
NOT_ALWAYS = ["request", "properties", "conversion", "fleet"]
"""What the responder needs for a part of its work alone: a fault in one of these keeps it from that part at most."""
INVOCATION = """
import json, sys
sys.path.insert(0, sys.argv[1])
import respond

class Context:
    def get_remaining_time_in_millis(self):
        return 30000

respond.handler(json.loads(sys.stdin.read()), Context())
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `sam build` has it made."""
    folder = tmp_path_factory.mktemp("respond")
    make(HANDLERS, folder)
    return folder


def make(source: Path, folder: Path) -> None:
    command = ["make", "--silent", "build-RespondFunction", f"ARTIFACTS_DIR={folder}"]
    subprocess.run(command, cwd=source, check=True)  # noqa: S603 - our own Makefile


def test_all_that_it_imports_is_in_it_or_what_lambda_has_and_nothing_more_is(unpacked: Path) -> None:
    """At any time, when it is loaded or later; and what types alone need, which is nothing of ours."""
    finder = ModuleFinder([str(unpacked)])
    finder.run_script(str(unpacked / "respond.py"))

    found: Mapping[str, Any] = finder.modules
    assert {module.__file__ for module in found.values()} - {None} == {
        str(path) for path in unpacked.rglob("*") if path.is_file()
    }
    missing = finder.any_missing()
    assert [name for name in missing if name.startswith(PACKAGE)] == []
    elsewhere = {name.partition(".")[0] for name in missing}
    assert elsewhere - sys.stdlib_module_names == {"boto3", "botocore", "mypy_boto3_stepfunctions"}


@pytest.fixture(scope="module")
def alone(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of a release with a syntax error wherever that is possible."""
    source, folder = tmp_path_factory.mktemp("handlers"), tmp_path_factory.mktemp("alone")
    (source / PACKAGE).mkdir()
    for path in HANDLERS.rglob("*.py"):
        name = path.relative_to(HANDLERS)
        whole = (unpacked / name).exists() and name.stem not in NOT_ALWAYS
        (source / name).write_text(path.read_text() if whole else "def broken(:\n")
    (source / "Makefile").write_text((HANDLERS / "Makefile").read_text())
    make(source, folder)
    return folder


@pytest.mark.parametrize("door", ["state", "state, for a handle", "record", "deployment"])
def test_it_responds_though_every_other_module_is_broken_and_there_is_no_layer(
    answers: AnswersReceiver, network: Network, alone: Path, door: str
) -> None:
    """-I -S: no site-packages, so neither the layer nor boto3, which only executions and task tokens need."""
    outside = Outside(answers, network)
    event = {
        "state": {"Input": outside.of(STACK), "Gate": BROKEN, "Execution": ARN},
        "state, for a handle": {"Input": outside.of(HANDLE), "Gate": {**BROKEN, "Waiter": HANDLE}, "Execution": ARN},
        "record": record(outside.request()),
        "deployment": {**outside.request(), "ResourceType": "Custom::LicenseConversionGateResponder"},
    }[door]

    subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", INVOCATION, str(alone)],
        input=json.dumps(event), check=True, text=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "GATE_STATE_MACHINE_ARN": "arn"},
    )  # fmt: skip

    ((waiter, got),) = outside.received().items()
    assert waiter == (HANDLE if "handle" in door else STACK)
    if "state" in door:
        assert got == {**FAILURE, "Reason": BROKE}
    else:
        assert got["Status"] == ("SUCCESS" if door == "deployment" else "FAILED")
