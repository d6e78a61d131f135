"""The last resort's own zip: what is in it, that all it imports is, and that nothing else can break it."""

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
from tests.unit.test_last_resort import execution

ROOT = Path(__file__).parents[2]
HANDLERS = ROOT / "handlers"
LAMBDAS_OWN = {"boto3", "botocore"}
PACKAGE = "license_conversion"
NOT_ALWAYS = ["waits", "aws", "request", "properties", "task"]
"""What the last resort needs for a part of its work alone."""
INVOCATION = """
import json, sys
sys.path.insert(0, sys.argv[1])
import last_resort

class Context:
    def get_remaining_time_in_millis(self):
        return 30000

last_resort.handler(json.loads(sys.stdin.read()), Context())
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `sam build` has it made."""
    folder = tmp_path_factory.mktemp("last-resort")
    make(HANDLERS, folder)
    return folder


def make(source: Path, folder: Path) -> None:
    command = ["make", "--silent", "build-LastResortFunction", f"ARTIFACTS_DIR={folder}"]
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
    needed, to_read = {f"{PACKAGE}/__init__.py"}, {"last_resort.py", "tell_waiters.py"}
    while to_read:
        one = to_read.pop()
        needed.add(one)
        to_read |= ours(HANDLERS / one) - needed

    assert {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()} == needed


def test_it_needs_nothing_but_what_lambda_has(unpacked: Path) -> None:
    roots = {name.partition(".")[0] for path in unpacked.rglob("*.py") for name, _ in imported(path)}

    assert roots - sys.stdlib_module_names - {PACKAGE} == LAMBDAS_OWN


@pytest.mark.parametrize("module", NOT_ALWAYS)
def test_what_only_some_of_its_work_needs_is_imported_when_it_is_needed(module: str) -> None:
    """A fault in one of these keeps it from that part at most."""
    program = "import sys, last_resort; print(*sys.modules)"
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], cwd=HANDLERS, check=True, stdout=subprocess.PIPE, text=True
    )

    assert f"{PACKAGE}.{module}" not in ran.stdout.split()


def test_it_answers_though_every_other_module_is_broken_and_there_is_no_layer(
    answers: AnswersReceiver, unpacked: Path, tmp_path: Path
) -> None:
    """A release with a syntax error wherever that is possible. -I -S: no site-packages, so neither the layer nor boto3."""
    source, folder = tmp_path / "handlers", tmp_path / "zip"
    (source / PACKAGE).mkdir(parents=True)
    for path in HANDLERS.rglob("*.py"):
        name = path.relative_to(HANDLERS)
        whole = (unpacked / name).exists() and name.stem not in NOT_ALWAYS
        (source / name).write_text(path.read_text() if whole else "def broken(:\n")
    (source / "Makefile").write_text((HANDLERS / "Makefile").read_text())
    make(source, folder)
    event = execution(answers, {"Broken": {"Error": "Runtime.UserCodeSyntaxError", "Cause": "gate.py"}})

    subprocess.run(  # noqa: S603
        [sys.executable, "-I", "-S", "-c", INVOCATION, str(folder)],
        input=json.dumps(event), check=True, text=True, env=os.environ, stdout=subprocess.DEVNULL,
    )  # fmt: skip

    (answer,) = answers.answers()
    assert answer.json["Status"] == "FAILED"
    assert "Runtime.UserCodeSyntaxError" in answer.json["Reason"]


@pytest.mark.parametrize("name", ["LastResortFunction", "TellWaitersFunction"])
def test_the_template_has_it_built_so(name: str) -> None:
    function = RESOURCES[name]

    assert function["Metadata"]["BuildMethod"] == "makefile"
    assert "SkipBuild" not in function["Metadata"]
    assert "Layers" not in function["Properties"]
