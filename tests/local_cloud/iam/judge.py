"""Verdicts: a principal's policies, an action and a resource, asked of the engine once and remembered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.local_cloud.iam.engine import Engine
from tests.local_cloud.iam.needs import Need

_BECAUSE = {"identity": "identity-based policy", "resource": "resource-based policy"}


@dataclass(frozen=True)
class Principal:
    """Who makes a call. ``arn`` is that of the role's session or of the user, ``owner`` that of the role or the user itself."""

    arn: str
    owner: str
    policies: tuple[tuple[str, str], ...]
    """Name and JSON document of each identity-based policy."""

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


@dataclass(frozen=True)
class Verdict:
    """What was judged, and how. ``by`` has each (action, resource) of a policy, as it stands there, that allowed it."""

    principal: str
    owner: str
    action: str
    resource: str
    context: Mapping[str, str | list[str]]
    allowed: bool
    by: tuple[tuple[str, str], ...]
    reason: str
    """AWS's sentence; empty when it is allowed."""


class Judge:
    """May be asked from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[object, ...], Verdict] = {}

    def verdicts(self) -> list[Verdict]:
        """Each call that was judged, once for each principal, action, resource and context; oldest first."""
        return list(self._known.values())

    def judge(self, principal: Principal, need: Need, trust: str = "", region: str = "") -> Verdict:
        """``trust`` is the trust policy (JSON) of the role that is to be assumed; empty for any other action."""
        context = {
            "aws:PrincipalArn": principal.owner,
            "aws:PrincipalAccount": principal.account,
            "aws:RequestedRegion": region,
            **need.context,
        }
        question = (principal, need.action, need.resource, json.dumps(context), trust)
        if question not in self._known:
            self._known.setdefault(question, self._ask(principal, need, context, trust))
        return self._known[question]

    def _ask(self, principal: Principal, need: Need, context: dict[str, Any], trust: str) -> Verdict:
        answer = self._engine.simulate({
            "request": {
                "principal": principal.arn,
                "action": need.action,
                # Whose resource it is matters to resource policies alone, and a trust policy is the only one that is judged.
                "resource": {
                    "resource": need.resource,
                    "accountId": need.resource.split(":")[4] if trust else principal.account,
                },
                "contextVariables": context,
            },
            "identityPolicies": [{"name": name, "policy": json.loads(text)} for name, text in principal.policies],
            "serviceControlPolicies": [],
            "resourceControlPolicies": [],
            **({"resourcePolicy": json.loads(trust)} if trust else {}),
        })  # fmt: skip
        return Verdict(
            principal.arn, principal.owner, need.action, need.resource, dict(context), answer["allowed"],
            tuple(sorted({(action, resource) for action, resource in answer["by"]})),
            "" if answer["allowed"] else _sentence(principal, need, answer),
        )  # fmt: skip


def _sentence(principal: Principal, need: Need, answer: Mapping[str, Any]) -> str:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    policy = _BECAUSE[answer["denied"]]
    because = (
        f"with an explicit deny in a{'n' if policy[0] in 'aeiou' else ''} {policy}"
        if answer["explicit"]
        else f"because no {policy} allows the {need.action} action"
    )
    return f"User: {principal.arn} is not authorized to perform: {need.action} on resource: {need.resource} {because}"
