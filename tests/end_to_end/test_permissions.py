"""Who needs what, both ways: nothing is denied that should work, and no permission is there that nothing uses.

A local cloud of its own, because what was judged is counted: the application is deployed, updated and deleted by a person with
the rights that docs/permissions.md gives a deployer, and each way through it is gone once, the broken ones too.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scripts import waiting
from tests.end_to_end.application import EXAMPLES, NAME, cloud_for_tests, end_of, until_it_runs
from tests.eventually import eventually
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.iam.judge import Verdict
from tests.local_cloud.iam.person import policy_of
from tests.local_cloud.stacks import Stack

pytestmark = pytest.mark.skipif(
    not LocalCloud.can_check_permissions(), reason="the policy engine is not installed: it needs Node, and `make setup`"
)

STACK_GATE = EXAMPLES / "stack-gate.yaml"
BY_RESOURCE = STACK_GATE.read_text().replace("      LicenseConversionTaskId: !Ref", "      ResourceArn: !Ref").replace(
    "    AllowedPattern: ^lct-[A-Za-z0-9]+$\n", ""
)  # fmt: skip
NOWHERE = "nowhere.handler"
"""A handler that no module has: the function cannot even be imported."""
FOREVER = float("inf")

Grant = tuple[str, str, str]
"""Role or person, action and resource, as a policy has them."""


@dataclass(frozen=True)
class AllWaysGone:
    """What is left when all has been done."""

    granted: set[Grant]
    """Of the application's roles, by their logical ids."""
    names: Mapping[str, str]
    """Logical id by role name."""
    verdicts: list[Verdict]

    def owner(self, verdict: Verdict) -> str:
        """The logical id of the role, or the name of who else it was."""
        name = verdict.owner.rpartition("/")[2]
        return self.names.get(name, name)

    def used(self) -> set[Grant]:
        return {(self.owner(one), *grant) for one in self.verdicts for grant in one.by}


class Ways:
    """Each way through the application, on a cloud where nothing else happens."""

    def __init__(self, cloud: LocalCloud) -> None:
        self._cloud = cloud
        self._add = cloud.license_manager.add_task
        self._functions = cloud.client("lambda")
        self._steps = cloud.client("stepfunctions")

    def go(self, application: Stack) -> None:
        functions = physical_ids(self._cloud, "AWS::Lambda::Function")
        machine = application.outputs["StateMachineArn"]
        deleted = self._in_flight("deleted", machine)
        stacks = self._healthy()
        executions = [
            self._start(machine),
            self._start(machine, end_status="FAILED"),
            self._start(machine, of_arn=True),
        ]
        self._ended(*stacks)
        self._delete_what_is_no_more(deleted, stacks[-1], functions["CustomResourceFunction"])
        self._cloud.stacks.delete(deleted.id)
        self._finish(*executions)
        with self._broken(functions["CheckTaskFunction"]):
            self._ended(self._stack("broken-check", STACK_GATE, self._add(duration=FOREVER), ServiceTimeout="10"))
        waits = self._in_flight("waits-on", machine)
        with self._broken(functions["CustomResourceFunction"]):
            self._ended(self._stack("broken-door", STACK_GATE, self._add(duration=FOREVER)))
            self._deliver_again(waits, functions["CustomResourceFunction"], functions["RespondFunction"])
            self._cloud.stacks.delete(waits.id)
        with self._broken(*functions.values()):
            self._give_events_up(functions.values())
        self._stop_by_hand(self._in_flight("stopped-by-hand", machine), machine)

    def _delete_what_is_no_more(self, waits: Stack, later: Stack, door: str) -> None:
        """A late clean-up of another task: only the history shows that it is not the one that a resource's gate waits for. Its
        response goes where a later request had its response long ago.
        """
        (create,), elsewhere = self._cloud.requests(waits.id), self._cloud.requests(later.id)[0].url
        delete = {**create.request, "RequestType": "Delete", "PhysicalResourceId": "lct-0000000000000dead"}
        self._functions.invoke(FunctionName=door, Payload=json.dumps({**delete, "ResponseURL": elsewhere}))

    def _stop_by_hand(self, stack: Stack, machine: str) -> None:
        """The safety net responds."""
        self._steps.stop_execution(executionArn=self._execution(machine, stack), error="Operator")
        self._ended(stack)

    def _healthy(self) -> list[Stack]:
        person = self._cloud.person("owner-of-a-stack", _with_own_stacks(policy_of("Who deploys a stack with a gate")))
        waits, long = self._add(duration=3), self._add(duration=3)
        clock = {"TimeoutSeconds": "60", "WaitConditionTimeout": "90"}
        return [
            self._stack("waits", STACK_GATE, waits, by=person),
            self._stack("terminal", STACK_GATE, self._add(duration=0)),
            self._stack("long", EXAMPLES / "long-conversion.yaml", long, **clock),
        ]

    def _in_flight(self, name: str, machine: str) -> Stack:
        """A stack that waits for a resource's newest task, which does not end, once its execution has begun."""
        arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/{name}"
        self._add(duration=FOREVER, resource_arn=arn)
        stack = self._stack(name, BY_RESOURCE, arn)
        eventually(lambda: self._execution(machine, stack))
        return stack

    def _deliver_again(self, stack: Stack, door: str, responder: str) -> None:
        """Lambda delivers an event twice, the second time to a function that is broken: the responder looks for its execution."""
        (create,) = self._cloud.requests(stack.id)
        event = json.dumps({**create.request, "ResponseURL": create.url})
        self._functions.invoke(FunctionName=door, InvocationType="Event", Payload=event)
        eventually(lambda: any(
            one.action == "states:DescribeExecution" and one.principal.endswith(f"/{responder}")
            for one in self._cloud.verdicts()
        ))  # fmt: skip

    def _execution(self, machine: str, stack: Stack) -> str:
        """The stack's execution, once it runs."""
        found = self._steps.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]
        arns = (str(one["executionArn"]) for one in found)
        return next((arn for arn in arns if stack.id in self._steps.describe_execution(executionArn=arn)["input"]), "")

    def _stack(self, name: str, template: Path | str, task_id: str, *, by: Any = None, **parameters: str) -> Stack:
        given = {"LicenseConversionTaskId": task_id, **parameters}
        person = {"by": by} if by else {}
        return self._cloud.stacks.create(name, template, given, wait=False, **person)

    def _ended(self, *stacks: Stack) -> None:
        for stack in stacks:
            self._cloud.stacks.wait_for(stack.id)

    def _start(self, machine: str, *, of_arn: bool = False, **task: Any) -> str:
        """An execution whose caller never gave the token: that the responder may call back is judged before the token is."""
        arn = f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/called-back"
        task_id = self._add(duration=0, resource_arn=arn, **task)
        asked = {"ResourceArn": arn} if of_arn else {"LicenseConversionTaskId": task_id}
        started = self._steps.start_execution(
            stateMachineArn=machine, input=json.dumps({**asked, "TaskToken": "unknown"})
        )
        return str(started["executionArn"])

    def _finish(self, *executions: str) -> None:
        for arn in executions:
            end_of(self._cloud, arn)

    @contextlib.contextmanager
    def _broken(self, *functions: str) -> Iterator[None]:
        handlers = {
            name: self._functions.get_function_configuration(FunctionName=name)["Handler"] for name in functions
        }
        self._handled_by(dict.fromkeys(functions, NOWHERE))
        try:
            yield
        finally:
            self._handled_by(handlers)

    def _handled_by(self, handlers: Mapping[str, str]) -> None:
        for function, handler in handlers.items():
            self._functions.update_function_configuration(FunctionName=function, Handler=handler)
        for function in handlers:
            until_it_runs(self._cloud, function)

    def _give_events_up(self, functions: Iterable[str]) -> None:
        """Lambda hands an event on when the function has failed at it as often as it may."""
        destinations = {}
        for function in functions:
            with contextlib.suppress(self._functions.exceptions.ResourceNotFoundException):
                found = self._functions.get_function_event_invoke_config(FunctionName=function)
                self._functions.invoke(FunctionName=function, InvocationType="Event", Payload=b"{}")
                if destination := found["DestinationConfig"]["OnFailure"].get("Destination"):
                    destinations[function] = destination  # the poller has none: a gate that wakes starts the next one
        assert destinations
        roles = {name: self._functions.get_function_configuration(FunctionName=name)["Role"] for name in destinations}
        expected = {(roles[name], destination) for name, destination in destinations.items()}
        eventually(lambda: expected <= {(one.owner, one.resource) for one in self._cloud.verdicts()})


@pytest.fixture(scope="module")
def run() -> Iterator[AllWaysGone]:
    with cloud_for_tests() as cloud:
        for tracing in ("PassThrough", "Active"):
            options = ("--no-confirm-changeset", "--no-progressbar", "--parameter-overrides", f"Tracing={tracing}")
            cloud.stacks.sam("deploy", *options)
        Ways(cloud).go(cloud.stacks.describe(NAME))
        names = {name: logical_id for logical_id, name in physical_ids(cloud, "AWS::IAM::Role").items()}
        granted = {
            (role, *grant) for name, role in names.items() for text in _policies(cloud, name) for grant in grants(text)
        }
        assert waiting.executions(NAME, partial(cloud.client, of=cloud.deployer)) == []
        eventually(
            lambda: any("PollTasks" in one.owner and one.action == "logs:PutLogEvents" for one in cloud.verdicts())
        )
        before = cloud.verdicts()
        cloud.stacks.sam("delete", "--no-prompts")
        verdicts = cloud.verdicts()
        # What a function has logged is written when its role may be gone already.
        gone = [one for one in verdicts[len(before) :] if not one.allowed and one.action.startswith("logs:")]
        yield AllWaysGone(granted, names, [one for one in verdicts if one not in gone])


def physical_ids(cloud: LocalCloud, kind: str) -> dict[str, str]:
    """By logical id, of the application's resources of this type."""
    pages = cloud.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=NAME)
    return {
        one["LogicalResourceId"]: one["PhysicalResourceId"]
        for page in pages
        for one in page["StackResourceSummaries"]
        if one["ResourceType"] == kind
    }


def _policies(cloud: LocalCloud, role: str) -> Iterator[str]:
    users = cloud.client("iam")
    for name in users.list_role_policies(RoleName=role)["PolicyNames"]:
        yield json.dumps(users.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"])


def grants(policy: str) -> Iterator[tuple[str, str]]:
    """(action, resource) of each statement."""
    for statement in json.loads(policy)["Statement"]:
        for action in _as_list(statement["Action"]):
            for resource in _as_list(statement["Resource"]):
                yield action, resource


def _as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _named(text: str) -> set[str]:
    """The words of a text, without the lines that say why."""
    return {word for line in text.splitlines() if "#" not in line for word in line.split()}


ROLES_NEVER_SEEN = _named("""
    # A key encrypts nothing on the local cloud.
    kms:Decrypt kms:GenerateDataKey
    # Lambda and Step Functions call X-Ray themselves.
    xray:PutTraceSegments xray:PutTelemetryRecords xray:GetSamplingRules xray:GetSamplingTargets
    # Step Functions sets up the delivery of its log with them; LocalStack writes the log without.
    logs:CreateLogDelivery logs:GetLogDelivery logs:UpdateLogDelivery logs:DeleteLogDelivery logs:ListLogDeliveries
    logs:PutResourcePolicy logs:DescribeResourcePolicies logs:DescribeLogGroups
""")
"""What only AWS itself uses of the roles' permissions."""
DEPLOYER_NEVER_SEEN = _named("""
    # CloudFormation asks for it where a template has this transform; LocalStack transforms without.
    arn:aws:cloudformation:*:aws:transform/Serverless-2016-10-31
    # LocalStack knows no saved queries.
    logs:PutQueryDefinition logs:DescribeQueryDefinitions logs:DeleteQueryDefinition
    # Properties that LocalStack's CloudFormation leaves out.
    logs:PutRetentionPolicy s3:PutBucketPublicAccessBlock s3:PutEncryptionConfiguration
    # CloudFormation reads what it has made, by the permissions that the schemas of its resource types name.
    iam:GetRole iam:GetRolePolicy lambda:GetFunctionCodeSigningConfig lambda:GetRuntimeManagementConfig
    lambda:ListTags lambda:GetFunctionEventInvokeConfig states:DescribeStateMachine states:ListTagsForResource
    logs:ListTagsForResource events:DescribeRule cloudwatch:GetDashboard sqs:ListQueueTags ssm:GetParameters
    dynamodb:DescribeTimeToLive dynamodb:DescribeContinuousBackups
    dynamodb:ListTagsOfResource dynamodb:DescribeContributorInsights dynamodb:DescribeKinesisStreamingDestination
    dynamodb:GetResourcePolicy lambda:GetFunctionRecursionConfig lambda:GetFunctionScalingConfig
    logs:DescribeIndexPolicies logs:DescribeResourcePolicies logs:GetDataProtectionPolicy
    cloudwatch:ListTagsForResource events:ListTagsForResource ssm:ListTagsForResource
    # An update to a version whose roles, definition or table are others, or a stack with tags.
    iam:UpdateRole iam:UpdateAssumeRolePolicy lambda:UntagResource lambda:UpdateFunctionEventInvokeConfig
    states:TagResource states:UntagResource logs:TagResource dynamodb:UpdateTable
    # `sam deploy --tags`: CloudFormation gives a stack's tags to all that takes some.
    iam:TagRole iam:UntagRole logs:UntagResource cloudwatch:TagResource cloudwatch:UntagResource sqs:TagQueue
    sqs:UntagQueue dynamodb:TagResource dynamodb:UntagResource events:TagResource events:UntagResource
    ssm:AddTagsToResource ssm:RemoveTagsFromResource
    # Only where a KmsKeyArn is given later, or taken away again.
    logs:AssociateKmsKey logs:DisassociateKmsKey
    # Only where a PermissionsBoundaryArn is given, or taken away again.
    iam:PutRolePermissionsBoundary iam:DeleteRolePermissionsBoundary
""")
"""What the deployer's policy has though the local cloud never sees it used."""


def _with_own_stacks(policy: str) -> str:
    """The policy, and what the person's stacks have beside the gate."""
    document = json.loads(policy)
    own = {"Effect": "Allow", "Action": ["cloudformation:*", "ssm:*"], "Resource": "*"}
    return json.dumps({**document, "Statement": [*document["Statement"], own]})


def test_nothing_is_denied_that_should_work(run: AllWaysGone) -> None:
    assert [one.reason for one in run.verdicts if not one.allowed] == []


def test_each_role_and_the_people_were_judged(run: AllWaysGone) -> None:
    assert {run.owner(one) for one in run.verdicts} >= {*run.names.values(), "deployer", "owner-of-a-stack"}


def test_no_permission_of_a_role_stays_unused_but_those_that_only_aws_uses(run: AllWaysGone) -> None:
    unused = run.granted - run.used()

    assert {grant for grant in unused if grant[1] not in ROLES_NEVER_SEEN} == set()


def test_no_permission_is_said_to_be_never_seen_that_is_seen(run: AllWaysGone) -> None:
    of_roles = {action for owner, action, _ in run.used() if owner in run.names.values()}
    of_deployer = {action for owner, action, _ in run.used() if owner == "deployer"}

    assert of_roles & ROLES_NEVER_SEEN == set()
    assert of_deployer & DEPLOYER_NEVER_SEEN == set()


def test_the_deployers_policy_has_what_only_aws_asks_for() -> None:
    """CloudFormation tags what it makes, and reads it by the permissions that the schemas of its resource types name.
    https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
    """
    assert {word for grant in grants(policy_of("Who deploys the application")) for word in grant} >= DEPLOYER_NEVER_SEEN


def test_no_right_of_the_deployer_stays_unused_but_those_that_only_aws_asks_for(run: AllWaysGone) -> None:
    used = {(action, resource) for owner, action, resource in run.used() if owner == "deployer"}
    unused = set(grants(policy_of("Who deploys the application"))) - used

    assert {grant for grant in unused if not DEPLOYER_NEVER_SEEN & set(grant)} == set()


def test_each_permission_of_a_role_allows_something_that_no_other_does(run: AllWaysGone) -> None:
    alone = {(run.owner(one), *one.by[0]) for one in run.verdicts if len(set(one.by)) == 1}

    assert (run.granted & run.used()) - alone == set()
