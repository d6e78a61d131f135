"""What the application may do: the template against the list in docs/permissions.md, which has a reason for each action."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import pytest

from tests.local_cloud.iam.person import policy_of
from tests.template import FUNCTIONS, RESOURCES, ROOT, TEMPLATE, resources

DEPLOYER = json.loads(policy_of("Who deploys the application"))
ROLES = resources("AWS::IAM::Role")

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
    for policy in resources("AWS::IAM::Policy").values():
        (role,) = (one["Ref"] for one in policy["Roles"])
        for statement in policy["PolicyDocument"]["Statement"]:
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
    assert not [action for _, action, _ in granted() if "*" in action]


def test_who_begins_executions_calls_no_token_and_who_checks_touches_none() -> None:
    may = {(role, action) for role, action, _ in granted() if action.startswith("states:")}

    assert {role for role, action in may if action == "states:StartExecution"} == {"CustomResourceRole"}
    assert {role for role, action in may if action == "states:SendTaskFailure"} == {"RespondRole"}
    assert {role for role, action in may if action == "states:SendTaskSuccess"} == {"RespondRole", "PollTasksRole"}
    assert not [role for role, _ in may if role in ("CheckTaskRole", "StateMachineRole")]


CONDITIONS: Mapping[str, Any] = {
    "CountMetrics": {"StringEquals": {"cloudwatch:namespace": "LicenseConversionGate"}},
    # It says the same of a list and of one value.
    "PublishTheEvent": {
        "ForAllValues:StringEquals": {"events:source": "license-conversion-gate"},
        "Null": {"events:source": "false"},
    },
    "ReadTasksOfOtherAccounts": {
        "Fn::If": [
            "AssumesInAnyAccount",
            {"StringEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}},
            {"Ref": "AWS::NoValue"},
        ]
    },
    "InTheSubnets": {"StringEquals": {"ec2:SubnetID": {"Fn::Split": [",", {"Ref": "SubnetIds"}]}}},
    "WithTheSecurityGroups": {
        "StringEquals": {"ec2:SecurityGroupID": {"Fn::Split": [",", {"Ref": "SecurityGroupIds"}]}}
    },
    "NotFromTheCode": {"Null": {"lambda:SourceFunctionArn": "false"}},
}
"""Where the action and the resource allow more than the application needs; by the statement's Sid."""


def test_a_condition_narrows_what_action_and_resource_cannot() -> None:
    found = [(one["Sid"], one["Condition"]) for _, one in statements() if "Condition" in one]

    assert dict(found) == CONDITIONS
    assert all(condition == CONDITIONS[sid] for sid, condition in found)
    assert '"*"' in json.dumps(TEMPLATE["Conditions"]["AssumesInAnyAccount"])


@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_the_permissions_boundary_and_no_managed_policy_and_trusts_one_service(role: str) -> None:
    (trust,) = ROLES[role]["AssumeRolePolicyDocument"]["Statement"]

    assert ROLES[role]["PermissionsBoundary"] == {
        "Fn::If": ["HasPermissionsBoundary", {"Ref": "PermissionsBoundaryArn"}, {"Ref": "AWS::NoValue"}]
    }
    assert "ManagedPolicyArns" not in ROLES[role]
    service = "states" if role == "StateMachineRole" else "lambda"
    assert trust["Principal"] == {"Service": f"{service}.amazonaws.com"}


def test_the_state_machines_role_trusts_our_state_machine_alone() -> None:
    (statement,) = ROLES["StateMachineRole"]["AssumeRolePolicyDocument"]["Statement"]
    source: Any = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]

    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert source[0].endswith(":stateMachine:LicenseConversionGate-${Part}")
    name = RESOURCES["LicenseConversionGate"]["Properties"]["StateMachineName"]["Fn::Sub"]
    assert (name[0], name[1]) == ("LicenseConversionGate-${Part}", source[1])


def test_each_function_has_a_role_of_its_own() -> None:
    roles = {str(one["Role"]["Fn::GetAtt"]) for one in FUNCTIONS.values()}

    assert len(roles) == len(FUNCTIONS) == len(ROLES) - 1


@pytest.mark.parametrize(
    "kind", ["AWS::Logs::LogGroup", "AWS::SQS::Queue", "AWS::StepFunctions::StateMachine", "AWS::DynamoDB::Table"]
)
def test_what_keeps_data_takes_the_customers_key(kind: str) -> None:
    assert resources(kind)
    assert all("KmsKeyArn" in str(properties) for properties in resources(kind).values())


def test_a_function_in_a_vpc_has_the_rights_that_lambda_needs_there_and_only_there() -> None:
    conditions = [one["Fn::If"][0] for role in ROLES.values() for one in role.get("Policies", ()) if "Fn::If" in one]

    assert TEMPLATE["Globals"]["Function"]["VpcConfig"]["Fn::If"][0] == "InVpc"
    assert conditions == ["InVpc"] * len(FUNCTIONS)


def test_the_code_of_a_function_may_not_use_what_lambda_needs_for_it() -> None:
    denied = [set(one["Action"]) for _, one in statements() if one["Effect"] == "Deny"]

    assert denied == [{action for _, action, _ in granted() if action.startswith("ec2:")}] * len(FUNCTIONS)


def test_the_table_of_the_deployers_rights_is_about_statements_that_are_there() -> None:
    document = (ROOT / "docs" / "permissions.md").read_text()
    section = document.split("\n## Who deploys the application\n", 1)[1].split("\n## ", 1)[0]
    explained = re.findall(r"^\| `(\w+)` \| .+ \|$", section, re.MULTILINE)

    assert explained
    assert set(explained) <= {one["Sid"] for one in DEPLOYER["Statement"]}


def test_the_deployers_policy_can_be_a_managed_one_and_allows_nothing_on_everything_but_what_knows_no_resource() -> (
    None
):
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 6,144 characters, white space aside."""
    (everywhere,) = (one for one in DEPLOYER["Statement"] if "*" in _as_list(one["Resource"]))

    assert len(json.dumps(DEPLOYER, separators=(",", ":"))) <= 6144
    assert everywhere["Sid"] == "MakeQueries"
    assert not [action for one in DEPLOYER["Statement"] for action in _as_list(one["Action"]) if "*" in action]
