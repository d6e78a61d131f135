"""The responder's own zip: what is in it, that all it imports is, and that nothing else can break it."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_cloud.answers import AnswersReceiver
from tests.template import RESOURCES
from tests.unit.network import Network
from tests.unit.test_respond import ARN, BROKE, BROKEN, FAILURE, HANDLE, STACK, Outside, record

ROOT = Path(__file__).parents[2]
HANDLERS = ROOT / "handlers"
LAMBDAS_OWN = {"boto3", "botocore"}
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


def imported(module: Path) -> Iterator[tuple[str, str]]:
    """What a module imports at any time, when it is loaded or later: (module, name). Not what types alone need."""
    tree = ast.parse(module.read_text())
    types = [one for one in ast.walk(tree) if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"]
    left_out = {id(node) for one in types for node in ast.walk(one)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def ours(module: Path) -> set[str]:
    """The files of the package that a module imports."""
    found = set()
    for name, member in imported(module):
        if name == PACKAGE:
            found.add(f"{PACKAGE}/{member}.py")
        elif name.startswith(f"{PACKAGE}."):
            found.add(f"{name.replace('.', '/')}.py")
    return found


def test_all_that_it_imports_is_in_it_and_nothing_more(unpacked: Path) -> None:
    needed, to_read = {f"{PACKAGE}/__init__.py"}, {"respond.py"}
    while to_read:
        one = to_read.pop()
        needed.add(one)
        to_read |= ours(HANDLERS / one) - needed

    assert {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()} == needed


def test_it_needs_nothing_but_what_lambda_has(unpacked: Path) -> None:
    roots = {name.partition(".")[0] for path in unpacked.rglob("*.py") for name, _ in imported(path)}

    assert roots - sys.stdlib_module_names - {PACKAGE} == LAMBDAS_OWN


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
        "state": {"Input": outside.of_stack(), "Gate": {**BROKEN, "Waiter": STACK}, "Execution": ARN},
        "state, for a handle": {"Input": outside.of_handle(), "Gate": {**BROKEN, "Waiter": HANDLE}, "Execution": ARN},
        "record": record(outside.request()),
        "deployment": {**outside.request(), "ResourceType": "Custom::LicenseConversionGateResponder"},
    }[door]

    subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", INVOCATION, str(alone)],
        input=json.dumps(event), check=True, text=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "GATE_STATE_MACHINE_ARN": "arn"},
    )  # fmt: skip

    ((waiter, got),) = outside.heard().items()
    assert waiter == (HANDLE if "handle" in door else STACK)
    if "state" in door:
        assert got == {**FAILURE, "Reason": BROKE}
    else:
        assert got["Status"] == ("SUCCESS" if door == "deployment" else "FAILED")


def test_the_template_has_it_built_so() -> None:
    function = RESOURCES["RespondFunction"]

    assert function["Metadata"]["BuildMethod"] == "makefile"
    assert "SkipBuild" not in function["Metadata"]
    assert "Layers" not in function["Properties"]
