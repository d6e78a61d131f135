"""The application's template, read once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

TEMPLATE: Mapping[str, Any] = yaml_parse((Path(__file__).parents[1] / "template.yaml").read_text())
RESOURCES: Mapping[str, Mapping[str, Any]] = TEMPLATE["Resources"]
