"""Whatever begins a Reason or a Cause has a row in docs/troubleshooting.md, and each row is about one that the code can give."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.template import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SAYS = {"InvalidRequest", "AccessDenied"}
"""The errors that end a gate: each is called with a sentence that a person reads."""
REASONS = {"failed", "timed_out"}
"""The functions of reason.py whose results are such sentences."""
GAP = "…"


Known = Mapping[str, list[ast.expr]]
"""What names stand for."""


def assigned(function: ast.AST) -> Known:
    known: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                pairs = zip(names, values, strict=True)
            case ast.Assign(targets=[name], value=value):
                pairs = zip([name], [value], strict=True)
            case _:
                continue
        for name, value in pairs:
            known.setdefault(_name(name), []).append(value)
    return known


def sentences(path: Path) -> Iterator[str]:
    """Those of one module that end a gate, with `GAP` where a value comes in."""
    functions = [one for one in ast.walk(ast.parse(path.read_text())) if isinstance(one, ast.FunctionDef)]
    returned = {
        function.name: [one.value for one in ast.walk(function) if isinstance(one, ast.Return) and one.value]
        for function in functions
    }
    for function in functions:
        known = {**returned, **assigned(function)}
        for node in ast.walk(function):
            match node:
                case ast.Call(args=[said, *_]) if _name(node) in SAYS:
                    yield from texts(said, known)
                case ast.Call(args=[ast.Constant(value="FAILED"), said, *_]) if _name(node) == "bare":
                    yield from texts(said, known)
                case ast.Call(args=[*_, said, _]) if _name(node) == "_respond":
                    yield from texts(said, known)
                case ast.Return(value=ast.expr() as said) if path.name == "reason.py" and function.name in REASONS:
                    yield from texts(said, known)


def texts(node: ast.expr, known: Known) -> Iterator[str]:
    """Every text that an expression can be: a name, or a call, stands for whatever the module gives it."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.BinOp(left=left):  # the beginning is what counts
            yield from texts(left, known)
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body, known)
            yield from texts(orelse, known)
        case ast.JoinedStr(values=[first, *rest]):
            behind = "".join(str(one.value) if isinstance(one, ast.Constant) else GAP for one in rest)
            begins = first.value if isinstance(first, ast.FormattedValue) else first
            yield from (text + behind for text in texts(begins, known))
        case ast.Name() | ast.Call() if values := known.get(_name(node)):
            for value in values:
                yield from texts(value, {**known, _name(node): []})
        case _:
            yield GAP


def _name(node: ast.AST) -> str:
    """Of what is named, or called."""
    named = node.func if isinstance(node, ast.Call) else node
    return str(getattr(named, "id", getattr(named, "attr", "")))


def said() -> set[str]:
    """The beginning of every sentence that ends a gate, of the functions and of the state machine."""
    found = {text for path in (ROOT / "handlers").rglob("*.py") for text in sentences(path)}
    found |= set(re.findall(r"'Cause': '(.+?)'", (ROOT / "statemachine" / "gate.asl.json").read_text()))
    return {text for text in found if text.strip(f"{GAP} ") and not text.startswith(f"{GAP} The ")}


def rows() -> list[str]:
    """The first column of the table of beginnings."""
    table = PAGE.split("## The Reason begins with")[1].split("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)


def matches(row: str, text: str) -> bool:
    return re.match(".*?".join(re.escape(part) for part in row.split(GAP)), text, re.DOTALL) is not None


@pytest.mark.parametrize("text", sorted(said()))
def test_each_reason_has_a_row(text: str) -> None:
    assert [row for row in rows() if matches(row, text)]


@pytest.mark.parametrize("row", rows())
def test_each_row_is_about_a_reason_that_the_code_gives(row: str) -> None:
    assert len(re.findall(r"\w{2,}", row)) > 1
    assert [text for text in said() if matches(row, text)]
