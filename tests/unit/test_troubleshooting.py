"""Whatever begins a Reason or a Cause has a row in docs/troubleshooting.md, and each row is about one that the code can give."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SAYS = {"InvalidRequest", "AccessDenied"}
"""The errors that end a gate: each is called with a sentence that a person reads."""
REASONS = {"failed", "timed_out"}
"""The functions of reason.py whose results are such sentences."""
GAP = "…"


class Sentences:
    """The sentences of one module, with `GAP` where a value comes in."""

    def __init__(self, path: Path) -> None:
        self._tree = ast.parse(path.read_text())
        self._is_reason = path.name == "reason.py"
        self._function: ast.AST = self._tree

    def found(self) -> Iterator[str]:
        for function in ast.walk(self._tree):
            if isinstance(function, ast.FunctionDef):
                self._function = function
                for node in ast.walk(function):
                    yield from self._said_at(node)
                    if self._is_reason and function.name in REASONS and isinstance(node, ast.Return) and node.value:
                        yield from self._texts(node.value)

    def _said_at(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.Call(func=function, args=[said, *_]) if _name(function) in SAYS:
                yield from self._texts(said)
            case ast.Call(func=function, args=[ast.Constant(value="FAILED"), said, *_]) if _name(function) == "bare":
                yield from self._texts(said)
            case ast.Call(func=function, args=[*_, said, _]) if _name(function) == "_respond":
                yield from self._texts(said)

    def _texts(self, node: ast.expr) -> Iterator[str]:
        """Every text that an expression can be: a name stands for whatever the module gives it."""
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.BinOp(left=left):  # the beginning is what counts
                yield from self._texts(left)
            case ast.IfExp(body=body, orelse=orelse):
                yield from self._texts(body)
                yield from self._texts(orelse)
            case ast.JoinedStr(values=[first, *rest]):
                behind = "".join(str(one.value) if isinstance(one, ast.Constant) else GAP for one in rest)
                begins = first.value if isinstance(first, ast.FormattedValue) else first
                yield from (text + behind for text in self._texts(begins))
            case ast.Name(id=name) if values := list(self._values(name)):
                for value in values:
                    yield from self._texts(value)
            case ast.Call(func=function) if returned := list(self._returned(_name(function))):
                for value in returned:
                    yield from self._texts(value)
            case _:
                yield GAP

    def _values(self, name: str) -> Iterator[ast.expr]:
        """What the function gives a name."""
        for node in ast.walk(self._function):
            if isinstance(node, ast.Assign):
                (target,) = node.targets
                pairs = (
                    zip(target.elts, node.value.elts, strict=True)
                    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                    else [(target, node.value)]
                )
                yield from (value for one, value in pairs if isinstance(one, ast.Name) and one.id == name)

    def _returned(self, function: str) -> Iterator[ast.expr]:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.FunctionDef) and node.name == function:
                yield from (one.value for one in ast.walk(node) if isinstance(one, ast.Return) and one.value)


def _name(function: ast.expr) -> str:
    return str(getattr(function, "id", getattr(function, "attr", "")))


def said() -> set[str]:
    """The beginning of every sentence that ends a gate, of the functions and of the state machine."""
    texts = {text for path in (ROOT / "handlers").rglob("*.py") for text in Sentences(path).found()}
    texts |= set(re.findall(r"'Cause': '(.+?)'", (ROOT / "statemachine" / "gate.asl.json").read_text()))
    return {text for text in texts if text.strip(f"{GAP} ") and not text.startswith(f"{GAP} The ")}


def rows() -> list[str]:
    """The first column of the table of beginnings."""
    table = PAGE.split("## The Reason begins with")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)


def matches(row: str, text: str) -> bool:
    return re.match(".*?".join(re.escape(part) for part in row.split(GAP)), text, re.DOTALL) is not None


def test_sentences_are_found_where_they_are_made() -> None:
    found = said()

    assert any(text.startswith("License conversion FAILED: ") for text in found)
    assert any(text.startswith("AWS STS refuses ") for text in found)
    assert any(text.startswith("sts:AssumeRole on ") for text in found)
    assert any(text.startswith("No task is named: give exactly one of ") for text in found)
    assert any(text.startswith("Region: no endpoint of License Manager ") for text in found)


@pytest.mark.parametrize("text", sorted(said()))
def test_each_reason_has_a_row(text: str) -> None:
    assert [row for row in rows() if matches(row, text)]


@pytest.mark.parametrize("row", rows())
def test_each_row_is_about_a_reason_that_the_code_gives(row: str) -> None:
    assert len(re.findall(r"\w{2,}", row)) > 1
    assert [text for text in said() if matches(row, text)]
