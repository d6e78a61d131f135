"""Writes what must not drift from the code: the JSON Schemas, the tables of properties and attributes in docs/reference.md, and
the outputs of the example that shows every attribute.

`make reference` runs it; a test compares.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from license_conversion.conversion import ATTRIBUTES
from license_conversion.properties import Integer, ListOf, OneOf, Property, ScalarOrList
from license_conversion.request import EXECUTION_INPUT, STACK_PROPERTIES

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
EXAMPLE = ROOT / "examples" / "stack-gate.yaml"
SCHEMAS: Mapping[str, tuple[str, Sequence[Property]]] = {
    "stack-properties": ("Properties of Custom::LicenseConversionTask", STACK_PROPERTIES),
    "execution-input": ("Input of the state machine LicenseConversionGate, and of its check function", EXECUTION_INPUT),
}


def schema(title: str, properties: Sequence[Property]) -> dict[str, Any]:
    """The properties as a JSON Schema for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {one.name: {"description": one.meaning, **_schema(one)} for one in properties},
        "required": [one.name for one in properties if one.default == "required"],
        "additionalProperties": False,
    }


def _schema(one: Property) -> dict[str, Any]:
    """An optional member that is null is as good as absent."""
    said = one.kind.schema()
    return said if one.default == "required" else {"anyOf": [*said.get("anyOf", [said]), {"type": "null"}]}


def table(properties: Sequence[Property]) -> str:
    """The properties as a Markdown table."""
    rows = [
        f"| `{one.name}` | {_cell(one.kind.allowed)} | {_default(one.default)} | {_cell(one.meaning)} |"
        for one in properties
    ]
    return "\n".join(["| Name | Allowed | Default | Meaning |", "| --- | --- | --- | --- |", *rows])


def attributes() -> str:
    """What Fn::GetAtt knows as a Markdown table."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in ATTRIBUTES.items()]
    return "\n".join(["| Attribute | Meaning |", "| --- | --- |", *rows])


def outputs() -> str:
    """An output of a template for each attribute. The demo and the tests read them by these names."""
    return "\n".join(
        f"  {name.replace('LicenseContext.', '')}: {{ Value: !GetAtt Gate.{name} }}" for name in ATTRIBUTES
    )


def syntax(properties: Sequence[Property]) -> str:
    """The properties as the Syntax section of AWS's own reference pages shows them."""
    lines = [f"  {one.name}: {_type(one.kind)}" for one in properties]
    return "\n".join(["```yaml", "Type: Custom::LicenseConversionTask", "Properties:", *lines, "```"])


def _type(kind: Any) -> str:
    match kind:
        case Integer():
            return "Integer"
        case OneOf():
            return " | ".join(kind.values)
        case ListOf():
            return "[ String, ... ]"
        case ScalarOrList():
            return "String | [ String, ... ]"
        case _:
            return "String"


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    reference = REFERENCE.read_text()
    written = {}
    for name, (title, properties) in SCHEMAS.items():
        written[ROOT / "schemas" / f"{name}.schema.json"] = json.dumps(schema(title, properties), indent=2) + "\n"
        reference = _with(reference, name, table(properties))
    reference = _with(reference, "attributes", attributes())
    written[REFERENCE] = _with(reference, "syntax", syntax(STACK_PROPERTIES))
    written[EXAMPLE] = _with(EXAMPLE.read_text(), "every attribute", outputs(), "  # {}")
    return written


def _with(page: str, name: str, text: str, comment: str = "<!-- {} -->") -> str:
    """The page with this text between the markers of that name."""
    begin, end = (comment.format(f"{name}: {what}") for what in ("written by scripts/write_reference.py", "end"))
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _default(text: str) -> str:
    return f"`{text}`" if re.fullmatch(r"[A-Z0-9]+", text) else _cell(text) or "-"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
