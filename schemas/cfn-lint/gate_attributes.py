"""A rule for cfn-lint: an attribute of a gate that the template reads and that a gate does not have.

    cfn-lint --append-rules schemas/cfn-lint template.yaml

cfn-lint itself takes any attribute of a custom resource.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

ATTRIBUTES = (
    "LicenseConversionTaskId", "ResourceArn", "SourceLicenseContext.UsageOperation", "SourceLicenseContext.ProductCodes",
    "DestinationLicenseContext.UsageOperation", "DestinationLicenseContext.ProductCodes", "Status", "StatusMessage", "StartTime",
    "LicenseConversionTime", "EndTime", "Total", "Succeeded", "Failed", "FailedTaskIds",
)  # fmt: skip


class GateAttributes(CloudFormationLintRule):
    id = "E9101"
    shortdesc = "A gate has the attribute"
    description = "Fn::GetAtt and Fn::Sub read attributes that a license conversion gate has"

    def match(self, cfn: Template) -> list[RuleMatch]:
        gates = {
            name for name, one in cfn.get_resources().items() if one.get("Type") == "Custom::LicenseConversionTask"
        }
        return [
            RuleMatch(path, f"{gate} has no attribute {name}.{_hint(name)}")
            for path, gate, name in _read(cfn)
            if gate in gates and name not in ATTRIBUTES
        ]


def _read(cfn: Template) -> Iterator[tuple[list[Any], str, str]]:
    """Where an attribute is read, of which resource, and its name."""
    for *path, said in cfn.search_deep_keys("Fn::GetAtt"):
        gate, _, name = (said if isinstance(said, str) else ".".join(map(str, said))).partition(".")
        yield path, gate, name
    for *path, said in cfn.search_deep_keys("Fn::Sub"):
        text = said if isinstance(said, str) else said[0]
        for gate, name in re.findall(r"\$\{(\w+)\.([\w.]+)\}", str(text)):
            yield path, gate, name


def _hint(name: str) -> str:
    near = get_close_matches(name, ATTRIBUTES, n=1)
    return f" Did you mean {near[0]}?" if near else f" It has {', '.join(ATTRIBUTES)}."
