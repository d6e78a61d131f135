"""The local cloud's judgement: what a call asks for, and what the policy engine says to it, in AWS's words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.iam.engine import Engine
from tests.local_cloud.iam.judge import Judge, Principal, Verdict
from tests.local_cloud.iam.needs import AwsCall, Need, needs_of

pytestmark = pytest.mark.skipif(
    not LocalCloud.can_check_permissions(), reason="the policy engine is not installed: it needs Node, and `make setup`"
)

ROLE = "arn:aws:iam::000000000000:role/gate"
SESSION = "arn:aws:sts::000000000000:assumed-role/gate/session"
BUS = "arn:aws:events:us-east-1:000000000000:event-bus/default"
READER = "arn:aws:iam::111122223333:role/reader"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:gate"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(LocalCloud.node(), LocalCloud.POLICY_ENGINE) as running:
        yield running


def policy(action: Any, resource: Any = "*", effect: str = "Allow", **more: Any) -> str:
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def role(*policies: str, boundary: str = "", session_policy: str = "") -> Principal:
    named = tuple((str(number), text) for number, text in enumerate(policies))
    return Principal(SESSION, ROLE, named, boundary, session_policy)


def asked(engine: Engine, service: str, operation: str, **parameters: Any) -> list[tuple[str, str]]:
    call = AwsCall(service, operation, parameters, "000000000000", "us-east-1")
    return [(need.action, need.resource) for need in needs_of(call, engine)]


class TestWhatACallAsksFor:
    @pytest.mark.parametrize(
        ("service", "operation", "parameters", "needed"),
        [
            ("lambda", "Invoke", {"FunctionName": FUNCTION}, ("lambda:InvokeFunction", FUNCTION)),
            (
                "sqs",
                "SendMessage",
                {"QueueUrl": "http://127.0.0.1:4566/queue/us-east-1/000000000000/dead"},
                ("sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000000:dead"),
            ),
            ("events", "PutEvents", {"Entries": [{}]}, ("events:PutEvents", BUS)),
            ("sts", "AssumeRole", {"RoleArn": READER}, ("sts:AssumeRole", READER)),
            (
                "dynamodb",
                "PutItem",
                {"TableName": "crowd"},
                ("dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:000000000000:table/crowd"),
            ),
            (
                "logs",
                "PutLogEvents",
                {"logGroupName": "/gate", "logStreamName": "one"},
                ("logs:PutLogEvents", "arn:aws:logs:us-east-1:000000000000:log-group:/gate:log-stream:one"),
            ),
        ],
    )
    def test_is_its_action_on_what_its_parameters_name(
        self, engine: Engine, service: str, operation: str, parameters: dict[str, Any], needed: tuple[str, str]
    ) -> None:
        assert asked(engine, service, operation, **parameters) == [needed]

    def test_of_a_new_function_is_to_tag_it_to_hand_its_role_over_and_to_read_its_code_and_layers(
        self, engine: Engine
    ) -> None:
        layer = "arn:aws:lambda:us-east-1:000000000000:layer:ours:1"
        needed = asked(
            engine, "lambda", "CreateFunction", FunctionName="gate", Role=ROLE, Layers=[layer], Tags={"by": "SAM"},
            Code={"S3Bucket": "code", "S3Key": "key"}, Environment={"Variables": {"OTHER": FUNCTION + "-other"}},
        )  # fmt: skip

        assert needed == [
            ("lambda:CreateFunction", FUNCTION),
            ("lambda:TagResource", FUNCTION),
            ("iam:PassRole", ROLE),
            ("lambda:GetLayerVersion", layer),
            ("s3:GetObject", "arn:aws:s3:::code/key"),
        ]

    def test_that_nobody_knows_is_an_error(self, engine: Engine) -> None:
        with pytest.raises(LookupError, match="IAM knows no action lambda:Dance"):
            asked(engine, "lambda", "Dance")


class TestAVerdict:
    @pytest.mark.parametrize(
        ("principal", "reason"),
        [
            (role(), "because no identity-based policy allows the lambda:InvokeFunction action"),
            (role(policy("lambda:*", FUNCTION + "-other")), "because no identity-based policy allows the"),
            (
                role(policy("lambda:*"), policy("lambda:*", effect="Deny")),
                "with an explicit deny in an identity-based policy",
            ),
            (
                role(policy("lambda:*"), boundary=policy("s3:*")),
                "because no permissions boundary allows the lambda:InvokeFunction action",
            ),
            (
                role(policy("lambda:*"), session_policy=policy("s3:*")),
                "because no session policy allows the lambda:InvokeFunction action",
            ),
        ],
    )
    def test_that_denies_says_who_may_not_do_what_and_why(
        self, engine: Engine, principal: Principal, reason: str
    ) -> None:
        verdict = Judge(engine).judge(principal, Need("lambda:InvokeFunction", FUNCTION))

        assert not verdict.allowed
        who = f"User: {SESSION} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION} "
        assert verdict.reason.startswith(who + reason)

    def test_that_allows_names_what_in_the_policies_did(self, engine: Engine) -> None:
        principal = role(policy(["lambda:InvokeFunction", "lambda:GetFunction"], [FUNCTION, FUNCTION + "-other"]))
        verdict = Judge(engine).judge(principal, Need("lambda:InvokeFunction", FUNCTION))

        assert verdict.allowed
        assert verdict.by == (("lambda:InvokeFunction", FUNCTION),)

    def test_is_kept_once(self, engine: Engine, tmp_path: Path) -> None:
        judge, need = Judge(engine, tmp_path / "verdicts"), Need("lambda:InvokeFunction", FUNCTION)
        verdicts = [judge.judge(role(policy("lambda:*")), need), judge.judge(role(), need)]
        judge.judge(role(), need)

        assert Verdict.read(tmp_path / "verdicts") == verdicts

    @pytest.mark.parametrize(("source", "allowed"), [("ours", True), ("theirs", False)])
    def test_looks_at_the_source_of_an_event(self, engine: Engine, source: str, allowed: bool) -> None:
        condition = {"ForAllValues:StringEquals": {"events:source": "ours"}, "Null": {"events:source": "false"}}
        principal = role(policy("events:PutEvents", BUS, Condition=condition))
        call = AwsCall("events", "PutEvents", {"Entries": [{"Source": source}]}, "000000000000", "us-east-1")
        (need,) = needs_of(call, engine)

        assert Judge(engine).judge(principal, need).allowed is allowed

    @pytest.mark.parametrize(("external_id", "allowed"), [("said", True), ("unsaid", False)])
    def test_to_assume_a_role_looks_at_its_trust_policy(self, engine: Engine, external_id: str, allowed: bool) -> None:
        statement = {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": "said"}, "ArnLike": {"aws:PrincipalArn": ROLE[:-1] + "*"}},
        }
        trust = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        call = AwsCall("sts", "AssumeRole", {"RoleArn": READER, "ExternalId": external_id}, "000000000000", "us-east-1")
        (need,) = needs_of(call, engine)

        verdict = Judge(engine).judge(role(policy("sts:AssumeRole", READER)), need, trust)

        assert verdict.allowed is allowed
        assert allowed or "because no resource-based policy allows the sts:AssumeRole action" in verdict.reason
