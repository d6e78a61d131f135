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
from license_conversion.properties import Property
from license_conversion.request import EXECUTION_INPUT, STACK_PROPERTIES

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference.md"
EXAMPLE = ROOT / "examples" / "stack-gate.yaml"
SCHEMAS: Mapping[str, tuple[str, Sequence[Property]]] = {
    "stack-properties": ("Properties of Custom::LicenseConversionTask", STACK_PROPERTIES),
    "execution-input": ("Input of the state machine LicenseConversionGate, and of its check function", EXECUTION_INPUT),
}
FUNCTION: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "patternProperties": {"^(Ref|Fn::[A-Za-z]+(::[A-Za-z]+)?)$": {}},
    "additionalProperties": False,
}
COMPUTED: list[dict[str, Any]] = [FUNCTION, {"type": "string", "pattern": r"\{\{resolve:[^}]+\}\}"}]
"""What a template can have in place of a value: an intrinsic function, or a dynamic reference.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html"""

AS_AN_EDITOR_SEES = {"type": ["string", "array"]}
"""An editor of YAML sees no tag: to it `!Ref Task` is the string Task, and `!If [A, B, C]` is a list."""


def schema(title: str, properties: Sequence[Property]) -> dict[str, Any]:
    """The properties as a JSON Schema: a stack's as a template has them, a caller's as Step Functions gets them."""
    of_template = properties is STACK_PROPERTIES
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {one.name: {"description": one.meaning, **_schema(one, of_template)} for one in properties},
        "required": [one.name for one in properties if one.default == "required"],
        "additionalProperties": False,
    }


def _schema(one: Property, of_template: bool) -> dict[str, Any]:
    """An optional member that is null is as good as absent."""
    options = _options(one.kind.schema())
    options += [] if one.default == "required" else [{"type": "null"}]
    if of_template:
        options = [_with_computed_items(option) for option in options] + COMPUTED
    return options[0] if len(options) == 1 else {"anyOf": options}


def _options(said: dict[str, Any]) -> list[dict[str, Any]]:
    return list(said.get("anyOf", [said]))


def _with_computed_items(said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "items": {"anyOf": [said["items"], *COMPUTED]}} if "items" in said else said


def editors_schema() -> dict[str, Any]:
    """A whole template, of which it knows the gates: each property's name, and each value that is neither a string nor a list."""
    gate = {
        "type": "object",
        "properties": {
            one.name: {"description": one.meaning, "anyOf": [AS_AN_EDITOR_SEES, FUNCTION, *_options(one.kind.schema())]}
            for one in STACK_PROPERTIES
        },
        "required": ["ServiceToken"],
        "additionalProperties": False,
    }
    is_gate = {"properties": {"Type": {"const": "Custom::LicenseConversionTask"}}, "required": ["Type"]}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A CloudFormation template with gates",
        "type": "object",
        "properties": {
            "Resources": {
                "type": "object",
                "additionalProperties": {"if": is_gate, "then": {"properties": {"Properties": gate}}},
            }
        },
    }


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


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    reference = REFERENCE.read_text()
    written = {}
    for name, (title, properties) in SCHEMAS.items():
        written[ROOT / "schemas" / f"{name}.schema.json"] = json.dumps(schema(title, properties), indent=2) + "\n"
        known = {one.name for one in STACK_PROPERTIES} - {"TimeoutSeconds"} if properties is EXECUTION_INPUT else set()
        reference = _with(reference, name, table([one for one in properties if one.name not in known]))
    written[ROOT / "schemas" / "template.schema.json"] = json.dumps(editors_schema(), indent=2) + "\n"
    written[REFERENCE] = _with(reference, "attributes", attributes())
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
