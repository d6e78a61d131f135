"""Which gates wait at a deployed application. `make delete` calls it, because the stacks of those gates would fail.

The stack is the one that samconfig.toml names; the region is AWS_REGION, which boto3 itself does not read, or else what boto3
finds. Exits with 1 and their names when there are any. It needs the right to describe the stack and to list executions.
"""

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import boto3

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"
STATE_MACHINE = "LicenseConversionGate"


def executions(stack_name: str, client: Any) -> list[str]:
    """Names of the executions that run; `client` makes a boto3 client of a service."""
    found = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId=STATE_MACHINE)
    pages = client("stepfunctions").get_paginator("list_executions").paginate(
        stateMachineArn=found["StackResourceDetail"]["PhysicalResourceId"], statusFilter="RUNNING"
    )  # fmt: skip
    return [execution["name"] for page in pages for execution in page["executions"]]


if __name__ == "__main__":
    name = tomllib.loads(SAMCONFIG.read_text())["default"]["global"]["parameters"]["stack_name"]
    session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
    if names := executions(name, session.client):
        sys.exit(f"Gates wait at {name}, and their stacks and callers would fail: " + ", ".join(names))
