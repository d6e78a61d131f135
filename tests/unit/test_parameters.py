"""What the parameters of template.yaml take and refuse, before CloudFormation makes anything."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
TEMPLATE: Mapping[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
PARAMETERS: Mapping[str, Mapping[str, Any]] = TEMPLATE["Parameters"]


def takes(parameter: str, value: str) -> bool:
    """CloudFormation looks at each item of a list by itself."""
    return re.search(PARAMETERS[parameter]["AllowedPattern"], value) is not None


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_says_what_it_is_has_a_default_and_refuses_nonsense(name: str) -> None:
    said = PARAMETERS[name]

    assert said["Description"]
    assert "Default" in said
    assert "AllowedValues" in said or not takes(name, "no such thing !")
    assert "AllowedValues" in said or takes(name, said["Default"])


@pytest.mark.parametrize("name", PARAMETERS)
def test_readme_says_what_each_parameter_is(name: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    default = str(PARAMETERS[name]["Default"])

    assert dict(rows)[name] == (f"`{default}`" if default else "none")


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "arn:aws:iam::123456789012:role/reader",
        "arn:aws-cn:iam::123456789012:role/a/path/reader",
        "arn:aws:iam::*:role/reader",
        "arn:aws-us-gov:iam::*:role/a/path/reader",
    ],
)
def test_roles_to_assume_are_named_in_an_account_or_in_every_one(arn: str) -> None:
    assert takes("AssumableRoleArns", arn)


@pytest.mark.parametrize(
    "arn",
    [
        "*",
        "arn:*:iam::123456789012:role/reader",
        "arn:aws:iam::1234*:role/reader",
        "arn:aws:iam::**:role/reader",
        "arn:aws:iam::?:role/reader",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::123456789012:role/*",
        "arn:aws:iam::123456789012:role/read*",
        "arn:aws:iam::123456789012:role/reade?",
        "arn:aws:iam::123456789012:user/reader",
        "arn:aws:iam::*:*",
    ],
)
def test_no_other_part_of_a_role_is_a_wildcard(arn: str) -> None:
    assert not takes("AssumableRoleArns", arn)
