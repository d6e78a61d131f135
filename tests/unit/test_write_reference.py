"""What is generated is current, the drawing shows every state and every way, and the schemas agree with the code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from license_conversion.conversion import ATTRIBUTES
from license_conversion.errors import InvalidRequest
from license_conversion.fleet import Fleet
from license_conversion.request import Request
from license_conversion.response import is_signed
from scripts.draw_state_machine import flowchart
from scripts.write_reference import DEFINITION, ROOT, files

EVENTS = ROOT / "events"
REQUESTS = sorted(path for path in EVENTS.glob("*.json") if "RequestType" in path.read_text())
GATE = {"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:gate"}
OF_A_TASK = {**GATE, "LicenseConversionTaskId": "lct-0123456789abcdef0"}


def fits(name: str, given: Any) -> bool:
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return bool(jsonschema.Draft202012Validator(schema).is_valid(given))


def fit(properties: dict[str, Any]) -> list[bool]:
    """Whether a gate's properties fit their own schema, and a template with such a gate its."""
    template = {"Resources": {"Gate": {"Type": "Custom::LicenseConversionTask", "Properties": properties}}}
    return [fits("stack-properties", properties), fits("template", template)]


def is_taken(properties: dict[str, Any]) -> bool:
    """By the code."""
    try:
        Request.from_properties(properties)
    except InvalidRequest:
        return False
    return True


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_every_generated_file_is_current(path: Path) -> None:
    assert path.read_text() == files()[path], "run `make reference`"


def test_every_state_and_every_way_between_two_is_drawn_an_error_dotted_and_a_choice_with_its_rule() -> None:
    definition = json.loads(DEFINITION.read_text())
    ids = {name: f"s{number}" for number, name in enumerate(definition["States"])}
    ways, drawing = {("start((", "-->", ids[definition["StartAt"]])}, flowchart(definition)
    for name, state in definition["States"].items():
        straight = [*state.get("Choices", ()), state, {"Next": state.get("Default")}]
        ways |= {(ids[name], "-->", ids[way["Next"]]) for way in straight if way.get("Next")}
        ways |= {(ids[name], ".->", ids[way["Next"]]) for way in state.get("Catch", ())}
        assert all(rule["Comment"] in drawing for rule in state.get("Choices", ()))

    _, *lines = (line.strip() for line in drawing.splitlines())

    assert {(line.split()[0], *line.split()[-2:]) for line in lines if "->" in line} == ways
    assert [line.split('"')[1] for line in lines if "->" not in line] == list(ids)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"OnFailure": "CONTINUE"},
        {"OnFailure": "continue"},
        {"TimeoutSeconds": "600"},
        {"TimeoutSeconds": 600},
        {"TimeoutSeconds": 0},
        {"TimeoutSeconds": 43201, "WaitConditionHandle": "https://s3.amazonaws.com/handle"},
        {"WaitConditionHandle": "http://s3.amazonaws.com/handle"},
        {"LicenseConversionTaskId": "lct-"},
        {"Trigger": ["1", 2, True]},
        {"Trigger": "x" * 1025},
        {"RoleArn": None, "OnFailure": None, "TimeoutSeconds": None, "Trigger": None},
        {"TaskId": "lct-1"},
    ],
    ids=str,
)
def test_the_schema_of_a_stacks_properties_takes_what_the_code_takes(given: dict[str, Any]) -> None:
    properties = {**OF_A_TASK, **given}

    assert fits("stack-properties", properties) == is_taken(properties)


GATES = [
    pytest.param(resource["Properties"], id=f"{path.stem}.{name}")
    for path in sorted((ROOT / "examples").glob("*.yaml"))
    for name, resource in yaml_parse(path.read_text()).get("Resources", {}).items()
    if resource["Type"] == "Custom::LicenseConversionTask"
]
"""The gates of the examples, functions in their long form."""


@pytest.mark.parametrize("properties", GATES)
def test_the_schemas_take_the_gates_of_the_examples_and_no_misspelt_property(properties: dict[str, Any]) -> None:
    assert fit(properties) == [True, True]
    assert fit({**properties, "OnFailur": "FAIL"}) == [False, False]


def test_every_property_can_be_a_function_or_a_dynamic_reference() -> None:
    names = json.loads((ROOT / "schemas" / "stack-properties.schema.json").read_text())["properties"]

    for computed in ({"Ref": "Given"}, {"Fn::If": ["A", 1, 2]}, "{{resolve:ssm:/a/b}}"):
        assert not [name for name in names if fit({**GATE, name: computed}) != [True, True]]


@pytest.mark.parametrize(
    ("name", "wrong"), [("ServiceTimeout", 0), ("TimeoutSeconds", True), ("OnFailure", {"A": "B"})]
)
def test_the_schemas_refuse_a_wrong_literal(name: str, wrong: Any) -> None:
    assert fit({**OF_A_TASK, name: wrong}) == [False, False]


@pytest.mark.parametrize("path", sorted(EVENTS.glob("execution-input*.json")), ids=lambda path: path.stem)
def test_the_schema_of_an_execution_input_judges_the_event_files_right(path: Path) -> None:
    assert fits("execution-input", json.loads(path.read_text())) == ("misspelt" not in path.stem)


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_an_event_file_of_a_request_is_one_that_the_code_responds_to(path: Path) -> None:
    event = json.loads(path.read_text())
    properties = event["ResourceProperties"]

    assert is_signed(event["ResponseURL"])
    assert is_signed(properties.get("WaitConditionHandle", event["ResponseURL"]))
    assert is_taken(properties) == ("misspelt" not in path.stem)


def test_cfn_lint_marks_an_attribute_that_no_gate_has_and_no_other(tmp_path: Path) -> None:
    pytest.importorskip("cfnlint", reason="it is among what lints, and not among what tests")
    names = dict.fromkeys([*ATTRIBUTES, *Fleet((), (), {}).attributes()])
    read = {
        "All": {"Fn::Join": [",", [{"Fn::GetAtt": ["Gate", name]} for name in (*names, "Statuses", "Z")]]},
        "Sub": {"Fn::Sub": "${Gate.EndTim}"},
    }
    gate = {"Type": "Custom::LicenseConversionTask", "Properties": OF_A_TASK}
    template = tmp_path / "template.json"
    outputs = {name: {"Value": value} for name, value in read.items()}
    template.write_text(json.dumps({"Resources": {"Gate": gate}, "Outputs": outputs}))

    lint = [
        f"{Path(sys.executable).parent}/cfn-lint",
        "--append-rules",
        f"{ROOT}/schemas/cfn-lint",
        "--",
        f"{template}",
    ]
    said = subprocess.run(lint, stdout=subprocess.PIPE, text=True, check=False).stdout  # noqa: S603 - our own

    assert [line.split(". ")[1] for line in said.splitlines() if line.startswith("E")] == [
        "Did you mean Status?", f"It has {', '.join(names)}.", "Did you mean EndTime?",
    ]  # fmt: skip
