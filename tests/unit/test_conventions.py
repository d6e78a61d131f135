"""What the pages say to a newcomer, and the settings of editors and hooks, are what holds here."""

import ast
import re
import subprocess
from collections import Counter

import pytest
from editorconfig import get_properties

from tests.template import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
LIST = ["git", "ls-files", "-z"]
TRACKED = subprocess.check_output(LIST, cwd=ROOT, text=True).split("\0")[:-1]  # noqa: S603
READ = [name for name in TRACKED if re.search(r"\.md$|^\.(github|devcontainer|ci)/|^\.pre-commit", name)]
GENERATED = ("requirements/", "layers/dependencies/requirements.txt")


@pytest.mark.parametrize("name", [name for name in TRACKED if not name.startswith(GENERATED)])
def test_a_file_has_the_form_that_editors_give_it(name: str) -> None:
    path = ROOT / name
    asked = get_properties(str(path))
    lines = path.read_bytes().decode(asked["charset"]).split("\n")

    assert not [line for line in lines if line.endswith((" ", "\t", "\r"))]
    assert lines[-1] == ""
    indents = {" ": "space", "\t": "tab"}
    assert {indents[line[0]] for line in lines if line[:1] in indents and line[0]} <= {asked["indent_style"]} | (
        {"space"} if asked["indent_style"] == "tab" else set()  # the values of make's variables
    )


@pytest.mark.parametrize("name", [name for name in TRACKED if name.endswith(".md")])
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", (ROOT / name).read_text()):
        file, _, heading = target.partition("#")
        path = (ROOT / name).parent / file if file else ROOT / name
        assert path.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}, target


def test_no_two_modules_or_classes_of_different_things_have_one_name() -> None:
    modules = [ROOT / name for name in TRACKED if re.match(r"(handlers|tests|benchmarks|scripts|demo)/.*\.py$", name)]
    classes = Counter(
        node.name
        for module in modules
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    stems = Counter(one.stem for one in modules if not re.match(r"__|test_|conftest", one.stem))

    assert [name for name, times in (classes + stems).items() if times > 1] == []


@pytest.mark.parametrize("name", READ)
def test_a_make_command_that_a_page_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    named = re.findall(r"(?:`|run: |entry: |^|\")make ([a-z][a-z ]*)", text, re.MULTILINE)

    assert {one for names in named for one in names.split()} <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
