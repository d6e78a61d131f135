"""What the application may do: the template against the list in docs/permissions.md, which has a reason for each action."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.iam.person import policy_of
from tests.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
DEPLOYER = json.loads(policy_of("Who deploys the application"))
ROLES = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::IAM::Role"}

WITHOUT_RESOURCE_LEVEL = {
    "license-manager:GetLicenseConversionTask",
    "license-manager:ListLicenseConversionTasks",
    "states:SendTaskSuccess",
    "states:SendTaskFailure",
    "cloudwatch:PutMetricData",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
}
"""Actions for which IAM knows no resource, or none that is known beforehand: the token of any caller's state machine, and
what AWS itself asks for to set up a state machine's log delivery.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html"""

Grant = tuple[str, str, str]


def granted() -> set[Grant]:
    """(role, action, resource) of every statement in the template."""
    found = set()
    for role, statement in statements():
        if statement["Effect"] == "Deny":
            continue
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                found |= {(role, action, one) for one in _rendered(resource)}
    return found


def documented() -> dict[Grant, str]:
    """The same from the document's tables, each with its reason."""
    found: dict[Grant, str] = {}
    roles: list[str] = []
    for line in (ROOT / "docs" / "permissions.md").read_text().splitlines():
        if line.startswith("## "):
            roles = re.findall(r"`(\w+)`", line)
        if roles and (row := re.fullmatch(r"\| `([\w:, `-]+)` \| (.+?) \| (.+) \|", line)):
            for action in row[1].split("`, `"):
                for role, resource in product(roles, re.findall(r"`([^`]+)`", row[2])):
                    assert (role, action, resource) not in found
                    found[role, action, resource] = row[3]
    return found


def statements() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for role, properties in ROLES.items():
        for policy in map(_chosen, properties.get("Policies", [])):
            for statement in policy["PolicyDocument"]["Statement"]:
                yield role, _chosen(statement)
    for policy in (one for one in RESOURCES.values() if one["Type"] == "AWS::IAM::Policy"):
        (role,) = (one["Ref"] for one in policy["Properties"]["Roles"])
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            yield role, _chosen(statement)


def _chosen(statement: Mapping[str, Any]) -> Mapping[str, Any]:
    """A statement, or a policy, that stands under a condition is or is not there, as it is."""
    if "Fn::If" not in statement:
        return statement
    _, given, otherwise = statement["Fn::If"]
    assert otherwise == {"Ref": "AWS::NoValue"}
    return given  # type: ignore[no-any-return]


def _rendered(resource: Any) -> set[str]:
    """A resource as a person writes it: a logical id, a parameter, or the end of an ARN."""
    if isinstance(resource, str):
        return {resource}
    ((function, argument),) = resource.items()
    if function == "Ref":
        return {argument}
    if function == "Fn::GetAtt":
        return {(argument if isinstance(argument, list) else argument.split("."))[0]}
    if function == "Fn::If":
        return _rendered(argument[1]) | _rendered(argument[2])
    assert function == "Fn::Sub"
    arn = argument if isinstance(argument, str) else argument[0]
    return {re.split(r"\$\{AWS::AccountId\}:|:\*:", arn)[-1]}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_every_permission_has_its_reason_and_every_reason_its_permission() -> None:
    assert granted() == documented().keys()
    assert all(documented().values())


def test_no_action_is_a_pattern() -> None:
    assert not [action for _, action, _ in granted() if "*" in action]


def test_every_resource_is_meant_only_where_iam_knows_no_other() -> None:
    assert {action for _, action, resource in granted() if resource == "*"} <= WITHOUT_RESOURCE_LEVEL


def test_a_pattern_in_a_resource_is_what_nobody_can_name_beforehand() -> None:
    patterns = {resource for _, _, resource in granted() if "*" in resource and resource != "*"}

    assert patterns == {
        "execution:${LicenseConversionGate.Name}:*",
        "execution:LicenseConversionGate-${Part}:*",
        # in a VPC: of the subnets and security groups that are given, and interfaces that Lambda makes
        "subnet/*",
        "security-group/*",
        "network-interface/*",
    }


def test_who_begins_executions_calls_no_token_and_who_checks_touches_none() -> None:
    may = {(role, action) for role, action, _ in granted() if action.startswith("states:")}

    assert {role for role, action in may if action == "states:StartExecution"} == {"CustomResourceRole"}
    assert {role for role, action in may if action == "states:SendTaskFailure"} == {"RespondRole"}
    assert {role for role, action in may if action == "states:SendTaskSuccess"} == {"RespondRole", "PollTasksRole"}
    assert not [role for role, _ in may if role in ("CheckTaskRole", "StateMachineRole")]


def test_metrics_are_ours_by_condition() -> None:
    (statement,) = (one for _, one in statements() if one["Action"] == "cloudwatch:PutMetricData")

    assert statement["Condition"] == {"StringEquals": {"cloudwatch:namespace": "LicenseConversionGate"}}


def test_events_are_ours_by_a_condition_that_says_the_same_of_a_list_and_of_one_value() -> None:
    (statement,) = (one for _, one in statements() if one["Action"] == "events:PutEvents")

    assert statement["Condition"] == {
        "ForAllValues:StringEquals": {"events:source": "license-conversion-gate"},
        "Null": {"events:source": "false"},
    }


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_the_permissions_boundary_and_no_managed_policy(role: str) -> None:
    assert ROLES[role]["PermissionsBoundary"] == {
        "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
    }
    assert "ManagedPolicyArns" not in ROLES[role]


@pytest.mark.parametrize("role", ROLES)
def test_every_role_trusts_one_service(role: str) -> None:
    (statement,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]

    service = "states" if role == "StateMachineRole" else "lambda"
    assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_the_state_machines_role_trusts_our_state_machine_alone() -> None:
    (statement,) = ROLES["StateMachineRole"]["AssumeRolePolicyDocument"]["Statement"]
    source: Any = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]

    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert source[0].endswith(":stateMachine:LicenseConversionGate-${Part}")
    name = RESOURCES["LicenseConversionGate"]["Properties"]["StateMachineName"]["Fn::Sub"]
    assert (name[0], name[1]) == ("LicenseConversionGate-${Part}", source[1])


def test_each_function_has_a_role_of_its_own() -> None:
    functions = {n: one for n, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}
    roles = [str(one["Properties"]["Role"]["Fn::GetAtt"]) for one in functions.values()]

    assert len(set(roles)) == len(functions) == len(ROLES) - 1


@pytest.mark.parametrize(
    "kind", ["AWS::Logs::LogGroup", "AWS::SQS::Queue", "AWS::StepFunctions::StateMachine", "AWS::DynamoDB::Table"]
)
def test_what_keeps_data_takes_the_customers_key(kind: str) -> None:
    keeping = [one["Properties"] for one in RESOURCES.values() if one["Type"] == kind]

    assert keeping
    assert all("KmsKeyArn" in str(properties) for properties in keeping)


@pytest.mark.parametrize("role", ["CheckTaskRole", "PollTasksRole"])
def test_a_wildcard_for_the_account_ends_at_the_organization(role: str) -> None:
    (assume,) = (one for name, one in statements() if name == role and one["Action"] == "sts:AssumeRole")
    condition, given, otherwise = assume["Condition"]["Fn::If"]

    assert given == {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}
    assert otherwise == {"Ref": "AWS::NoValue"}
    assert '"*"' in json.dumps(TEMPLATE["Conditions"][condition])


FUNCTIONS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_in_a_vpc_has_the_rights_that_lambda_needs_there_and_only_there(function: str) -> None:
    (role, _) = FUNCTIONS[function]["Role"]["Fn::GetAtt"]
    (policy,) = (one["Fn::If"] for one in ROLES[role]["Policies"] if "Fn::If" in one)
    rights = {
        action
        for statement in policy[1]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
        for action in _as_list(statement["Action"])
    }

    assert policy[0] == TEMPLATE["Globals"]["Function"]["VpcConfig"]["Fn::If"][0] == "InVpc"
    assert "VpcConfig" not in FUNCTIONS[function]
    assert rights == {  # AWSLambdaVPCAccessExecutionRole's, whose logs we have already
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
    }


@pytest.mark.parametrize(
    ("resource", "key", "parameter"),
    [("subnet/*", "ec2:SubnetID", "SubnetIds"), ("security-group/*", "ec2:SecurityGroupID", "SecurityGroupIds")],
)
def test_an_interface_is_made_only_where_the_parameters_say(resource: str, key: str, parameter: str) -> None:
    found = [one for _, one in statements() if _rendered(_as_list(one["Resource"])[0]) == {resource}]

    assert len(found) == len(FUNCTIONS)
    assert all(one["Condition"] == {"StringEquals": {key: {"Fn::Split": [",", {"Ref": parameter}]}}} for one in found)


def test_the_code_of_a_function_may_not_use_what_lambda_needs_for_it() -> None:
    denied = [one for _, one in statements() if one["Effect"] == "Deny"]

    assert len(denied) == len(FUNCTIONS)
    needed = {action for _, action, _ in granted() if action.startswith("ec2:")}
    assert all(set(one["Action"]) == needed for one in denied)
    assert all(one["Condition"] == {"Null": {"lambda:SourceFunctionArn": "false"}} for one in denied)


def test_the_table_of_the_deployers_rights_is_about_statements_that_are_there() -> None:
    document = (ROOT / "docs" / "permissions.md").read_text()
    section = document.split("\n## Who deploys the application\n", 1)[1].split("\n## ", 1)[0]
    explained = re.findall(r"^\| `(\w+)` \| .+ \|$", section, re.MULTILINE)

    assert explained
    assert set(explained) <= {one["Sid"] for one in DEPLOYER["Statement"]}


READ_HANDLERS = {
    "cloudwatch:ListTagsForResource",
    "dynamodb:DescribeContributorInsights",
    "dynamodb:DescribeKinesisStreamingDestination",
    "dynamodb:GetResourcePolicy",
    "lambda:GetFunctionRecursionConfig",
    "lambda:GetFunctionScalingConfig",
    "logs:DescribeIndexPolicies",
    "logs:DescribeResourcePolicies",
    "logs:GetDataProtectionPolicy",
}
"""What the schemas of AWS's resource types name for reading alone, and no local cloud calls.
https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html"""


def test_the_deployer_may_do_what_cloudformation_reads_with() -> None:
    assert {action for one in DEPLOYER["Statement"] for action in _as_list(one["Action"])} >= READ_HANDLERS


TAGGED = {
    *("cloudwatch:TagResource", "dynamodb:TagResource", "events:TagResource", "iam:TagRole", "lambda:TagResource"),
    *("logs:TagResource", "sqs:TagQueue", "ssm:AddTagsToResource", "states:TagResource"),
}
"""CloudFormation gives a stack's tags to whatever it makes that takes tags.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-resource-tags.html"""


def test_the_deployer_may_tag_what_a_stack_with_tags_makes() -> None:
    assert {action for one in DEPLOYER["Statement"] for action in _as_list(one["Action"])} >= TAGGED


def test_the_deployers_policy_can_be_a_managed_one() -> None:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters, white space aside."""
    assert len(json.dumps(DEPLOYER, separators=(",", ":"))) <= 6144


def test_the_deployer_may_do_nothing_to_everything_but_what_knows_no_resource() -> None:
    (everywhere,) = (one for one in DEPLOYER["Statement"] if "*" in _as_list(one["Resource"]))

    assert everywhere["Sid"] == "MakeQueries"
    assert not [action for one in DEPLOYER["Statement"] for action in _as_list(one["Action"]) if "*" in action]
