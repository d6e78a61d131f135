"""What the parameters of template.yaml take and refuse, before CloudFormation makes anything."""

import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]
from samcli.commands.deploy.deploy_context import DeployContext  # type: ignore[import-untyped]

from tests.template import TEMPLATE

ROOT = Path(__file__).parents[2]
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
    ("kind", "name"),
    [
        ("AWS::Serverless::Function", "functions"),
        ("AWS::IAM::Role", "roles"),
        ("AWS::Logs::LogGroup", "log groups"),
        ("AWS::CloudWatch::Alarm", "alarms"),
        ("AWS::Logs::QueryDefinition", "saved queries"),
    ],
)
def test_getting_started_counts_what_is_made(kind: str, name: str) -> None:
    made = sum(one["Type"] == kind for one in TEMPLATE["Resources"].values())

    assert re.search(rf"\b{made} {name}", (ROOT / "docs" / "getting-started.md").read_text())


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


@pytest.mark.parametrize(
    ("subnets", "groups", "right"),
    [("", "", True), ("subnet-1", "sg-1", True), ("subnet-1", "", False), ("", "sg-1", False)],
)
def test_subnets_come_with_security_groups(subnets: str, groups: str, right: bool) -> None:
    (assertion,) = TEMPLATE["Rules"]["SubnetsWithSecurityGroups"]["Assertions"]

    assert evaluated(assertion["Assert"], {"SubnetIds": subnets, "SecurityGroupIds": groups}) is right


def evaluated(function: Any, parameters: Mapping[str, str]) -> Any:
    """What CloudFormation makes of a rule's function."""
    if isinstance(function, str):
        return function
    ((name, arguments),) = function.items()
    if name == "Ref":
        return parameters[arguments]
    values = [evaluated(argument, parameters) for argument in arguments]
    if name == "Fn::Equals":
        return values[0] == values[1]
    if name == "Fn::Not":
        return not values[0]
    return {"Fn::And": all, "Fn::Or": any}[name](values)


@pytest.mark.parametrize("ids", ["subnet-0123abcd", "subnet-0123456789abcdef0,subnet-0123456789abcdef1"])
def test_subnets_are_a_list_without_spaces(ids: str) -> None:
    assert takes("SubnetIds", ids)
    assert takes("SecurityGroupIds", ids.replace("subnet-", "sg-"))
    assert not takes("SubnetIds", ids.replace("subnet-", "sg-"))
    assert not takes("SubnetIds", f"{ids}, {ids}")
    assert not takes("SubnetIds", f"{ids},")


def test_functions_and_layer_are_of_the_architecture_that_is_asked_for() -> None:
    (layer,) = (one for one in TEMPLATE["Resources"].values() if one["Type"] == "AWS::Serverless::LayerVersion")
    functions = [one for one in TEMPLATE["Resources"].values() if one["Type"] == "AWS::Serverless::Function"]

    assert TEMPLATE["Globals"]["Function"]["Architectures"] == [{"Ref": "Architecture"}]
    assert not [one for one in functions if "Architectures" in one["Properties"]]
    assert "CompatibleArchitectures" not in layer["Properties"], "a region without arm64 refuses a layer that names it"


OFF_IS_EMPTY = [name for name, said in PARAMETERS.items() if said["Default"] == ""]


@pytest.mark.parametrize("name", OFF_IS_EMPTY)
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
