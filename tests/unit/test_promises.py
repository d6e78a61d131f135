"""docs/promises.md has a row for each promise of the reference, and names files, states and tests that are there."""

import re

import pytest

from tests.template import ROOT, STATES

PROMISES = (ROOT / "docs" / "promises.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
README = (ROOT / "README.md").read_text()
FOLDERS = ("handlers", "handlers/license_conversion", "statemachine")


def section(page: str, heading: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", page.split(f"\n{heading}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(page: str, heading: str) -> list[list[str]]:
    """The table below a heading, without its head."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def promised(page: str, heading: str) -> list[str]:
    """The bold beginnings of a list, without a full stop."""
    return re.findall(r"^- \*\*(.+?)\.?\*\*", section(page, heading), re.MULTILINE)


ROWS = [row for heading in re.findall(r"^## Of .+$", PROMISES, re.MULTILINE) for row in rows(PROMISES, heading)]


def test_each_promise_of_the_reference_has_a_row_and_each_row_a_promise() -> None:
    assert promised(REFERENCE, "### Promises")
    assert [row[0] for row in rows(PROMISES, "## Of each gate")] == promised(REFERENCE, "### Promises")


def test_the_front_page_promises_nothing_more() -> None:
    assert promised(README, "## What it promises")
    assert set(promised(README, "## What it promises")) <= set(promised(REFERENCE, "### Promises"))


@pytest.mark.parametrize(
    ("ours", "heading"),
    [
        ("## Of each event of CloudFormation's", "### Lifecycle"),
        ("## Of what License Manager says", "### What License Manager says, and what the gate does"),
    ],
)
def test_each_row_of_the_references_tables_has_one_here(ours: str, heading: str) -> None:
    assert [row[0] for row in rows(PROMISES, ours)] == [row[0] for row in rows(REFERENCE, heading)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_promise_names_where_it_is_kept(row: list[str]) -> None:
    files, states = re.findall(r"`([\w.]+)`", row[1]), re.findall(r"\*([^*]+)\*", row[1])

    assert files or states
    for name in files:
        assert [folder for folder in FOLDERS if (ROOT / folder / name).exists()]
    assert set(states) <= STATES.keys()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_promise_is_held_by_tests_that_are_there(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/.]+\.py)::([\w:]+)`", row[2])

    assert named
    for path, test in named:
        there = re.findall(r"^ *(?:class|def) (\w+)", (ROOT / path).read_text(), re.MULTILINE)
        assert {*test.split("::")} <= {*there}
