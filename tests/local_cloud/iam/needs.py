"""What an AWS call asks for: actions, each on a resource and in a context.

Nearly always that is the operation itself, on what its parameters name: an ARN among them that has the form of one of the
action's resource types, or such a form filled in by the parameters' names. The tables hold what is otherwise.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.local_cloud.iam.engine import Engine

Parameters = Mapping[str, Any]

_PREFIXES = {"monitoring": "cloudwatch"}
_ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
}
"""Operations whose action has another name."""

_FREE = {"sts:GetCallerIdentity"}
"""Operations that no policy can deny."""

_PARAMETERS = {
    "BucketName": ("Bucket",),
    "ObjectName": ("Key",),
    "ParameterNameWithoutLeadingSlash": ("Name",),
    "RoleNameWithPath": ("RoleName",),
    "LayerVersion": ("VersionNumber",),
    "StateMachineName": ("name",),
    "AlarmName": ("AlarmNames",),
    "RuleName": ("Name", "Rule"),
    "DashboardName": ("DashboardNames",),
}
"""Parameters that name what the placeholder of an ARN means, where the two names differ."""

_UNKNOWN = {"Id": "00000000-0000-0000-0000-000000000000"}
"""What stands for the part of an ARN that a call with a stack's name does not know."""


@dataclass(frozen=True)
class Need:
    """One action on one resource. ``context`` has what the call itself brings to conditions."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class AwsCall:
    """An AWS call: ``service`` is the name that it is signed with, ``account`` and ``region`` whose it is."""

    service: str
    operation: str
    parameters: Parameters
    account: str
    region: str


def needs_of(call: AwsCall, engine: Engine) -> Iterator[Need]:
    """All that the caller needs. Raise LookupError for an operation of which neither IAM nor the tables know an action."""
    named = f"{_PREFIXES.get(call.service, call.service)}:{call.operation}"
    if named in _FREE:
        return
    action = _ACTIONS.get(named, named)
    for resource in _resources(action, call, engine):
        yield Need(action, resource, _context(action, call.parameters, engine))
        if named in _TAGGING and _tags(call.parameters):
            yield Need(_TAGGING[named], resource, _context(_TAGGING[named], call.parameters, engine))
    for more, resource, context in _more(named, call):
        yield Need(more, resource, context)


def _resources(action: str, call: AwsCall, engine: Engine) -> list[str]:
    described = engine.describe(action)
    if described is None:
        raise LookupError(
            f"IAM knows no action {action}: tests/local_cloud/iam/needs.py has to name the one that is meant."
        )
    parameters = {**call.parameters, **_derived(call)}
    named = [
        value for value in _texts(parameters) if value.startswith("arn:")
    ]  # not deeper: a variable may hold one too
    for form in described["resourceTypes"]:
        if fitting := [arn for arn in named if re.fullmatch(_as_pattern(form), arn)]:
            return list(dict.fromkeys(fitting))
    for form in described["resourceTypes"]:
        if filled := _filled(form, parameters, call):
            return filled
    return ["*"]


def _texts(parameters: Parameters) -> Iterator[str]:
    for value in parameters.values():
        yield from (one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str))


def _as_pattern(form: str) -> str:
    return re.sub(r"\\\$\\\{\w+\\\}", ".+", re.escape(form))


def _filled(form: str, parameters: Parameters, call: AwsCall) -> list[str]:
    """The form with its placeholders filled in, once for each value of a list; empty where a parameter is missing."""
    known = {"Partition": "aws", "Region": call.region, "Account": call.account}
    lowered = {name.lower(): value for name, value in parameters.items()}
    arns = [form]
    for placeholder in re.findall(r"\$\{(\w+)\}", form):
        names = (placeholder, *_PARAMETERS.get(placeholder, ()))
        value = known.get(placeholder) or next(
            (lowered[one.lower()] for one in names if lowered.get(one.lower())), None
        )
        if value is None:
            value = _UNKNOWN.get(placeholder)
        if value is None:
            return []
        values = [one for one in value if isinstance(one, str)] if isinstance(value, list) else [str(value)]
        arns = [arn.replace(f"${{{placeholder}}}", one.lstrip("/") if "Slash" in placeholder else one)
                for arn in arns for one in values]  # fmt: skip
    return arns


def _derived(call: AwsCall) -> Parameters:
    """Names that a call has in another form than an ARN's."""
    given = call.parameters
    if "QueueUrl" in given:
        return {"QueueName": urlsplit(given["QueueUrl"]).path.rpartition("/")[2]}
    if call.service == "events" and call.operation == "PutEvents":
        buses = [entry.get("EventBusName") or "default" for entry in given.get("Entries", [])]
        return {"EventBusName": list(dict.fromkeys(buses))}
    if call.service == "events" and call.operation == "DescribeEventBus":
        return {"EventBusName": given.get("Name") or "default"}
    return {}


_CONTEXT: dict[str, Callable[[Parameters], Any]] = {
    "events:source": lambda given: [one.get("Source", "") for one in given.get("Entries", [])],
    "events:detail-type": lambda given: [one.get("DetailType", "") for one in given.get("Entries", [])],
    "cloudwatch:namespace": lambda given: given.get("Namespace"),
    "sts:ExternalId": lambda given: given.get("ExternalId"),
    "sts:RoleSessionName": lambda given: given.get("RoleSessionName"),
    "iam:PermissionsBoundary": lambda given: given.get("PermissionsBoundary"),
    "aws:TagKeys": lambda given: list(_tags(given)),
}


def _context(action: str, parameters: Parameters, engine: Engine) -> dict[str, Any]:
    keys = (engine.describe(action) or {})["conditionKeys"]
    found = {key: value for key in keys if key in _CONTEXT and (value := _CONTEXT[key](parameters))}
    if "aws:RequestTag/${TagKey}" in keys:
        found |= {f"aws:RequestTag/{name}": value for name, value in _tags(parameters).items()}
    return found


def _tags(given: Parameters) -> dict[str, str]:
    tags = given.get("Tags") or given.get("tags") or {}
    if isinstance(tags, Mapping):
        return dict(tags)
    return {one.get("Key", one.get("key")): one.get("Value", one.get("value", "")) for one in tags}


_TAGGING = {
    "lambda:CreateFunction": "lambda:TagResource",
    "iam:CreateRole": "iam:TagRole",
    "sqs:CreateQueue": "sqs:TagQueue",
    "logs:CreateLogGroup": "logs:TagResource",
    "states:CreateStateMachine": "states:TagResource",
    "cloudwatch:PutMetricAlarm": "cloudwatch:TagResource",
    "ssm:PutParameter": "ssm:AddTagsToResource",
    "dynamodb:CreateTable": "dynamodb:TagResource",
    "cloudformation:CreateStack": "cloudformation:TagResource",
    "cloudformation:CreateChangeSet": "cloudformation:TagResource",
}
"""What it takes besides to make a thing that has tags."""

_PASSES = {
    "lambda:CreateFunction": ("Role", "lambda.amazonaws.com"),
    "lambda:UpdateFunctionConfiguration": ("Role", "lambda.amazonaws.com"),
    "states:CreateStateMachine": ("roleArn", "states.amazonaws.com"),
    "states:UpdateStateMachine": ("roleArn", "states.amazonaws.com"),
    "events:PutTargets": ("RoleArn", "events.amazonaws.com"),
    "cloudformation:CreateStack": ("RoleARN", "cloudformation.amazonaws.com"),
    "cloudformation:CreateChangeSet": ("RoleARN", "cloudformation.amazonaws.com"),
}
"""Parameters that hand a role over to a service: iam:PassRole."""


def _more(operation: str, call: AwsCall) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """What an operation needs beyond its own action: AWS does it in the caller's name."""
    given = call.parameters
    if operation in _PASSES:
        name, service = _PASSES[operation]
        if role := given.get(name):
            yield "iam:PassRole", role, {"iam:PassedToService": service}
    if operation in {"lambda:CreateFunction", "lambda:UpdateFunctionConfiguration"}:
        for layer in given.get("Layers") or []:
            yield "lambda:GetLayerVersion", layer, {}
    if operation in {"lambda:CreateFunction", "lambda:UpdateFunctionCode", "lambda:PublishLayerVersion"}:
        code = given.get("Code") or given.get("Content") or given
        if code.get("S3Bucket"):
            yield "s3:GetObject", f"arn:aws:s3:::{code['S3Bucket']}/{code['S3Key']}", {}
    if url := given.get("TemplateURL"):
        yield "s3:GetObject", f"arn:aws:s3:::{_object_of(url)}", {}


def _object_of(url: str) -> str:
    """``bucket/key`` of an S3 URL, whichever of the two places names the bucket."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    bucket = host.partition(".s3")[0] + "/" if ".s3" in host else ""
    return bucket + parts.path.lstrip("/")
