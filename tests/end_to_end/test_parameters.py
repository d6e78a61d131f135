"""The application with every parameter set, beside the one of the other tests."""

import json
import platform

import pytest
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from tests.end_to_end.application import NAME, Application
from tests.local_cloud.clients import ACCOUNT, REGION
from tests.local_cloud.cloud import LocalCloud

WITH_EVERYTHING = f"{NAME}-with-everything"
READER = "reader-of-any-account"
READERS = f"arn:aws:iam::*:role/{READER}"
OTHERS_BUS = f"arn:aws:events:{REGION}:444455556666:event-bus/ops"


@pytest.fixture(scope="module")
def parameters(cloud: LocalCloud) -> dict[str, str]:
    """What an organisation has before it deploys."""
    network, keys, users, topics = (cloud.client(service) for service in ("ec2", "kms", "iam", "sns"))
    vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        network.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{number}.0/24")["Subnet"]["SubnetId"] for number in (1, 2)
    ]
    group = network.create_security_group(GroupName="gate", Description="The gate", VpcId=vpc)["GroupId"]
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    boundary = users.create_policy(
        PolicyName="boundary", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
    return {
        "LogLevel": "DEBUG",
        "LogRetentionDays": "7",
        "Tracing": "PassThrough",
        "EventBusName": OTHERS_BUS,
        "PermissionsBoundaryArn": boundary["Policy"]["Arn"],
        "AlarmTopicArn": topics.create_topic(Name="alarms")["TopicArn"],
        "KmsKeyArn": keys.create_key()["KeyMetadata"]["Arn"],
        "AssumableRoleArns": READERS,
        "SubnetIds": ",".join(subnets),
        "SecurityGroupIds": group,
        "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
    }


@pytest.fixture(scope="module")
def organisations(application: Application, parameters: dict[str, str]) -> Application:
    stack = application.beside(WITH_EVERYTHING, parameters)
    assert stack.status == "CREATE_COMPLETE", stack.failures
    return Application(application.cloud, stack)


def test_every_parameter_of_the_template_is_set(application: Application, parameters: dict[str, str]) -> None:
    assert set(parameters) == set(yaml_parse(application.template)["Parameters"])


def test_a_gate_there_waits_for_a_task_and_a_role_in_any_account_is_one_of_the_own_organization(
    organisations: Application,
) -> None:
    """This account is in none. The role itself would let everybody in who comes from it."""
    cloud = organisations.cloud
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = cloud.client("iam").create_role(RoleName=READER, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    task = {"LicenseConversionTaskId": cloud.license_manager.add_task(duration=2)}
    waits, refused = organisations.start(task), organisations.start({**task, "RoleArn": role})

    ended = organisations.finish(waits)
    assert ended["status"] == "SUCCEEDED", ended["cause"]
    assert json.loads(ended["output"])["Status"] == "SUCCEEDED"
    ended = organisations.finish(refused)
    assert (ended["status"], ended["error"]) == ("FAILED", "LicenseConversion.AccessDenied")
    assert "sts:AssumeRole" in ended["cause"]


def test_its_functions_are_in_the_network_and_under_the_boundary(
    organisations: Application, parameters: dict[str, str]
) -> None:
    cloud = organisations.cloud
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=WITH_EVERYTHING)["StackResources"]
    named = [(one["ResourceType"], one["PhysicalResourceId"]) for one in resources]
    functions = [
        cloud.client("lambda").get_function_configuration(FunctionName=name)
        for kind, name in named
        if kind == "AWS::Lambda::Function"
    ]
    roles = [cloud.client("iam").get_role(RoleName=name)["Role"] for kind, name in named if kind == "AWS::IAM::Role"]

    assert len(functions) == 4
    for function in functions:
        assert sorted(function["VpcConfig"]["SubnetIds"]) == sorted(parameters["SubnetIds"].split(","))
        assert function["VpcConfig"]["SecurityGroupIds"] == [parameters["SecurityGroupIds"]]
    boundaries = {role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn") for role in roles}
    assert boundaries == {parameters["PermissionsBoundaryArn"]}
