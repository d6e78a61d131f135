"""Writes what must not drift from the code: the JSON Schemas, the tables of properties, attributes and states, the drawing of the
state machine, the outputs of the example that shows every attribute, and how many resources there are and what alarms cost.

`make reference` runs it; a test compares.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from license_conversion.conversion import ATTRIBUTES
from license_conversion.properties import Property
from license_conversion.request import EXECUTION_INPUT, STACK_PROPERTIES
from scripts.draw_state_machine import flowchart

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DEFINITION = ROOT / "statemachine" / "gate.asl.json"
EXAMPLE = ROOT / "examples" / "stack-gate.yaml"
SCHEMAS: Mapping[str, tuple[str, Sequence[Property]]] = {
    "stack-properties": ("Properties of Custom::LicenseConversionTask", STACK_PROPERTIES),
    "execution-input": ("Input of the state machine LicenseConversionGate, and of its check function", EXECUTION_INPUT),
}
COUNTED = {
    "functions": "AWS::Serverless::Function",
    "roles": "AWS::IAM::Role",
    "log groups": "AWS::Logs::LogGroup",
    "alarms": "AWS::CloudWatch::Alarm",
    "saved queries": "AWS::Logs::QueryDefinition",
}
"""What docs/getting-started.md and docs/cost.md count."""
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
    options = _options(one) + ([] if one.default == "required" else [{"type": "null"}])
    if of_template:
        options = [_with_computed_items(option) for option in options] + COMPUTED
    return options[0] if len(options) == 1 else {"anyOf": options}


def _options(one: Property) -> list[dict[str, Any]]:
    allowed = one.kind.schema()
    return list(allowed.get("anyOf", [allowed]))


def _with_computed_items(option: dict[str, Any]) -> dict[str, Any]:
    return {**option, "items": {"anyOf": [option["items"], *COMPUTED]}} if "items" in option else option


def editors_schema() -> dict[str, Any]:
    """A whole template, of which it knows the gates: each property's name, and each value that is neither a string nor a list."""
    gate = {
        "type": "object",
        "properties": {
            one.name: {"description": one.meaning, "anyOf": [AS_AN_EDITOR_SEES, FUNCTION, *_options(one)]}
            for one in STACK_PROPERTIES
        },
        "required": ["ServiceToken"],
        "additionalProperties": False,
    }
    is_gate = {"properties": {"Type": {"const": "Custom::LicenseConversionTask"}}, "required": ["Type"]}
    resource = {"if": is_gate, "then": {"properties": {"Properties": gate}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A CloudFormation template with gates",
        "type": "object",
        "properties": {"Resources": {"type": "object", "additionalProperties": resource}},
    }


def table(head: str, rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = (" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows)
    return "\n".join([f"| {head} |", re.sub(r"[\w ]+", " --- ", f"|{head}|"), *(f"| {line} |" for line in lines)])


def _row(one: Property) -> tuple[str, ...]:
    default = f"`{one.default}`" if re.fullmatch(r"[A-Z0-9]+", one.default) else one.default or "-"
    return f"`{one.name}`", one.kind.allowed, default, one.meaning


def counted(page: str) -> str:
    """The page with as many of each resource as the template has, and with what its alarms cost."""
    kinds = Counter(re.findall(r"^    Type: (\S+)", (ROOT / "template.yaml").read_text(), re.MULTILINE))
    for name, kind in COUNTED.items():
        page = re.sub(rf"\b\d+ {name}\b", f"{kinds[kind]} {name}", page)
    cost, dashboard = kinds[COUNTED["alarms"]] * 0.1, 3
    page = re.sub(r"(alarms, \$0\.10 each \|) \$[\d.]+", rf"\1 ${cost:.2f}", page)
    return re.sub(
        r"(alarms and dashboard are) \$[\d.]+ to \$[\d.]+", rf"\1 ${cost:.2f} to ${cost + dashboard:.2f}", page
    )


def files() -> dict[Path, str]:
    """Every generated file with the text that it should have."""
    reference, written = (DOCS / "reference.md").read_text(), {}
    for name, (title, properties) in SCHEMAS.items():
        written[ROOT / "schemas" / f"{name}.schema.json"] = json.dumps(schema(title, properties), indent=2) + "\n"
        known = {one.name for one in STACK_PROPERTIES} - {"TimeoutSeconds"} if properties is EXECUTION_INPUT else set()
        rows = [_row(one) for one in properties if one.name not in known]
        reference = _with(reference, name, table("Name | Allowed | Default | Meaning", rows))
    written[ROOT / "schemas" / "template.schema.json"] = json.dumps(editors_schema(), indent=2) + "\n"
    attributes = table("Attribute | Meaning", [(f"`{name}`", meaning) for name, meaning in ATTRIBUTES.items()])
    written[DOCS / "reference.md"] = _with(reference, "attributes", attributes)
    outputs = [f"  {name.replace('LicenseContext.', '')}: {{ Value: !GetAtt Gate.{name} }}" for name in ATTRIBUTES]
    written[EXAMPLE] = _with(EXAMPLE.read_text(), "every attribute", "\n".join(outputs), "  # {}")
    definition = json.loads(DEFINITION.read_text())
    states = table("State | What it is for", [(name, one["Comment"]) for name, one in definition["States"].items()])
    drawing = f"```mermaid\n{flowchart(definition)}\n```\n\n{states}"
    written[DOCS / "state-machine.md"] = _with((DOCS / "state-machine.md").read_text(), "states", drawing)
    for page in (DOCS / "getting-started.md", DOCS / "cost.md"):
        written[page] = counted(page.read_text())
    return written


def _with(page: str, name: str, text: str, comment: str = "<!-- {} -->") -> str:
    """The page with this text between the markers of that name."""
    begin, end = (comment.format(f"{name}: {what}") for what in ("written by scripts/write_reference.py", "end"))
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text)
