"""The application's template and its state machine, read once."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
TEMPLATE: Mapping[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES: Mapping[str, Mapping[str, Any]] = TEMPLATE["Resources"]
STATES: Mapping[str, Any] = json.loads((ROOT / "statemachine" / "gate.asl.json").read_text())["States"]


def resources(kind: str) -> dict[str, Mapping[str, Any]]:
    """The properties of the template's resources of a type, by logical id."""
    return {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == kind}


FUNCTIONS = resources("AWS::Serverless::Function")
