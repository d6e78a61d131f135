"""IAM in LocalStack: who makes a call, and no answer but AWS's AccessDenied for one that the caller's policies do not allow.

LocalStack's open edition judges nothing, but it assumes roles as AWS does: each sandbox has a key of its own, and so have
Step Functions and Lambda when they act in a role's name. The key of a request shows the role, or the person, that is judged
(see ``tests.local_cloud.iam``). A key that belongs to neither is the account's root, which may do anything.
"""

from functools import cache
from typing import Any

from localstack.aws import handlers
from localstack.aws.api import CommonServiceException, RequestContext
from localstack.aws.chain import HandlerChain
from localstack.http import Response
from localstack.utils.aws.request_context import extract_access_key_id_from_auth_header
from localstack.utils.patch import patch
from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, STSBackend

from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.iam.engine import Engine
from tests.local_cloud.iam.judge import Judge, Principal
from tests.local_cloud.iam.needs import AwsCall, needs_of
from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings

NOT_JUDGED = {"ec2"}
"""An example converts instances; the application itself never calls EC2. The engine does not get the instances' tags, which the
conditions of that example's role ask for."""
_sessions: dict[str, AssumedRole] = {}
"""By access key. moto has them in a list, which grows with every state of every execution."""


def check() -> None:
    gatekeeper()
    handlers.serve_custom_service_request_handlers.append(_let_in)


class Gatekeeper:
    def __init__(self, settings: CloudSettings) -> None:
        self._engine = Engine(settings.node, settings.policy_engine)
        self._judge = Judge(self._engine)
        self.verdicts = self._judge.verdicts

    def denial(self, access_key: str, call: AwsCall) -> str:
        """AWS's sentence; empty for a call that is allowed, or that is not judged."""
        principal = principal_of(access_key)
        if principal is None:
            return ""
        for need in needs_of(call, self._engine):
            trust = _trust_of(need.resource) if need.action == "sts:AssumeRole" else ""
            verdict = self._judge.judge(principal, need, trust, call.region)
            if not verdict.allowed:
                return verdict.reason
        return ""

    def denial_beside(self, operation: str, parameters: Any, region: str, access_key: str) -> str:
        """Of a call of License Manager, which is not LocalStack's."""
        return self.denial(access_key, AwsCall("license-manager", operation, parameters, ACCOUNT, region))


@cache
def gatekeeper() -> Gatekeeper:
    return Gatekeeper(CloudSettings.from_environment())


def principal_of(access_key: str) -> Principal | None:
    """The role whose session has this key, or the user who has it; None for root, and for a role that was not made here."""
    if session := _sessions.get(access_key):
        role = _role(session.role_arn)
        return Principal(session.arn, role.arn, _policies(role)) if role else None
    for backend in [one for account in list(iam_backends.values()) for one in list(account.values())]:
        if user := backend.get_user_from_access_key_id(access_key):
            return Principal(user.arn, user.arn, _policies(user))
    return None


def _policies(owner: Any) -> tuple[tuple[str, str], ...]:
    attached = ((policy.name, policy.document) for policy in list(owner.managed_policies.values()))
    return (*list(owner.policies.items()), *attached)


def _trust_of(role_arn: str) -> str:
    """A role that is not there trusts nobody: AWS refuses it in the same words."""
    role = _role(role_arn)
    return role.assume_role_policy_document if role else '{"Version": "2012-10-17", "Statement": []}'


def _role(arn: str) -> Any:
    return next((one for one in list(_backend_of(arn).roles.values()) if one.arn == arn), None)


def _backend_of(role_arn: str) -> Any:
    return iam_backends[role_arn.split(":")[4]]["aws"]


@patch(STSBackend.assume_role)  # type: ignore[untyped-decorator,unused-ignore]
def _assume_role(assume_role: Any, self: STSBackend, *arguments: Any, **options: Any) -> AssumedRole:
    session: AssumedRole = assume_role(self, *arguments, **options)
    _sessions[session.access_key_id] = session
    return session


def _let_in(_: HandlerChain, context: RequestContext, __: Response) -> None:
    if not (context.service and context.operation):
        return
    service, operation = context.service.signing_name, context.operation.name
    if service in NOT_JUDGED:
        return
    access_key = extract_access_key_id_from_auth_header(context.request.headers) or ""
    if operation == "CreateLogGroup" and context.is_internal_call and access_key in _sessions:
        return  # LocalStack's own habit before each new log stream; Lambda makes a group only where there is none
    call = AwsCall(service, operation, context.service_request or {}, context.account_id, context.region)
    if denial := gatekeeper().denial(access_key, call):
        raise _as_the_service_says_it(context, denial)


def _as_the_service_says_it(context: RequestContext, denial: str) -> CommonServiceException:
    if "json" not in context.protocol or context.service.service_name == "sqs":
        return CommonServiceException("AccessDenied", denial, 403, sender_fault=True)
    status = 403 if context.protocol == "rest-json" else 400
    return CommonServiceException("AccessDeniedException", denial, status, sender_fault=True)
