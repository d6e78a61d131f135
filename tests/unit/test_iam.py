"""The local cloud's judgement, where a mistake would let end-to-end tests pass: what the policy engine says, in AWS's words."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.iam.engine import Engine
from tests.local_cloud.iam.judge import Judge, Principal
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


def role(*policies: str) -> Principal:
    return Principal(SESSION, ROLE, tuple((str(number), text) for number, text in enumerate(policies)))


def needs(engine: Engine, service: str, operation: str, **parameters: Any) -> list[Need]:
    return list(needs_of(AwsCall(service, operation, parameters, "000000000000", "us-east-1"), engine))


def test_an_unknown_operation_is_an_error(engine: Engine) -> None:
    with pytest.raises(LookupError, match="IAM knows no action lambda:Dance"):
        needs(engine, "lambda", "Dance")


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
        ],
    )
    def test_that_denies_says_who_may_not_do_what_and_why(
        self, engine: Engine, principal: Principal, reason: str
    ) -> None:
        verdict = Judge(engine).judge(principal, Need("lambda:InvokeFunction", FUNCTION))

        assert not verdict.allowed
        who = f"User: {SESSION} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION} "
        assert verdict.reason.startswith(who + reason)

    @pytest.mark.parametrize(("source", "allowed"), [("ours", True), ("theirs", False)])
    def test_looks_at_the_source_of_an_event(self, engine: Engine, source: str, allowed: bool) -> None:
        condition = {"ForAllValues:StringEquals": {"events:source": "ours"}, "Null": {"events:source": "false"}}
        principal = role(policy("events:PutEvents", BUS, Condition=condition))
        (need,) = needs(engine, "events", "PutEvents", Entries=[{"Source": source}])

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
        (need,) = needs(engine, "sts", "AssumeRole", RoleArn=READER, ExternalId=external_id)

        verdict = Judge(engine).judge(role(policy("sts:AssumeRole", READER)), need, trust)

        assert verdict.allowed is allowed
        assert allowed or "because no resource-based policy allows the sts:AssumeRole action" in verdict.reason
