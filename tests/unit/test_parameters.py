"""What the parameters of template.yaml take and refuse, before CloudFormation makes anything."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest
from moto.cloudformation.parsing import parse_condition
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]
from samcli.commands.deploy.deploy_context import DeployContext  # type: ignore[import-untyped]

from tests.template import ROOT, TEMPLATE

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
def test_getting_started_says_what_each_parameter_is(name: str) -> None:
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| (.+?) \|", (ROOT / "docs" / "getting-started.md").read_text(), re.MULTILINE
    )
    defaults = {one: said for names, said in rows for one in re.findall(r"\w+", names)}
    default = str(PARAMETERS[name]["Default"])

    assert defaults[name] == (f"`{default}`" if default else "none")


@pytest.mark.parametrize(
    ("right", "arn"),
    [
        (True, "arn:aws:iam::123456789012:role/reader"),
        (True, "arn:aws-cn:iam::123456789012:role/a/path/reader"),
        (True, "arn:aws-us-gov:iam::*:role/a/path/reader"),
        (False, "*"),
        (False, "arn:*:iam::123456789012:role/reader"),
        (False, "arn:aws:iam::1234*:role/reader"),
        (False, "arn:aws:iam::**:role/reader"),
        (False, "arn:aws:iam::*:role/*"),
        (False, "arn:aws:iam::123456789012:role/reade?"),
        (False, "arn:aws:iam::123456789012:user/reader"),
    ],
)
def test_of_a_role_to_assume_the_account_alone_can_be_a_wildcard(right: bool, arn: str) -> None:
    assert takes("AssumableRoleArns", arn) is right


@pytest.mark.parametrize(
    ("subnets", "groups", "right"),
    [("", "", True), ("subnet-1", "sg-1", True), ("subnet-1", "", False), ("", "sg-1", False)],
)
def test_subnets_come_with_security_groups(subnets: str, groups: str, right: bool) -> None:
    (assertion,) = TEMPLATE["Rules"]["SubnetsWithSecurityGroups"]["Assertions"]
    given: Any = {"SubnetIds": subnets, "SecurityGroupIds": groups}

    assert parse_condition(assertion["Assert"], given, {}) is right


def test_subnets_and_security_groups_are_lists_without_spaces() -> None:
    assert takes("SubnetIds", "subnet-0123abcd")
    for name, one in (("SubnetIds", "subnet-0123456789abcdef0"), ("SecurityGroupIds", "sg-0123456789abcdef0")):
        assert takes(name, f"{one},{one}")
        assert not [wrong for wrong in (f"{one}, {one}", f"{one},", "vpc-0123abcd") if takes(name, wrong)]


@pytest.mark.parametrize("name", [name for name, said in PARAMETERS.items() if said["Default"] == ""])
@pytest.mark.parametrize("given", ["{}=", "LogLevel=DEBUG {}="])
def test_a_parameter_is_put_back_to_empty(name: str, given: str) -> None:
    """SAM keeps the value that the stack has of each parameter that it gets none of."""
    command = ["make", "--dry-run", "-o", "build", "deploy", f"PARAMETERS={given.format(name)}"]
    ran = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    (called,) = (line for line in ran.stdout.splitlines() if "sam deploy" in line)
    words = shlex.split(called)
    overrides = CfnParameterOverridesType().convert(
        tuple(words[words.index("--parameter-overrides") + 1 :]), None, None
    )

    sent = DeployContext.merge_parameters({"Parameters": dict(PARAMETERS)}, overrides)

    assert {"ParameterKey": name, "ParameterValue": ""} in sent
    assert takes(name, "")
