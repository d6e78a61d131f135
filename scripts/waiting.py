"""Which gates wait at a deployed application. `make delete` asks, because a stack that waits would get no answer any more.

    python -m scripts.waiting [stack name]

Exits with 1 and their names when there are any. It needs the right to describe the stack and to list executions.
"""

import sys
from typing import Any

import boto3

STATE_MACHINE = "LicenseConversionGate"


def executions(stack_name: str, client: Any) -> list[str]:
    """Names of the executions that run; `client` makes a boto3 client of a service."""
    found = client("cloudformation").describe_stack_resource(StackName=stack_name, LogicalResourceId=STATE_MACHINE)
    pages = client("stepfunctions").get_paginator("list_executions").paginate(
        stateMachineArn=found["StackResourceDetail"]["PhysicalResourceId"], statusFilter="RUNNING"
    )  # fmt: skip
    return [execution["name"] for page in pages for execution in page["executions"]]


if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "license-conversion-gate"
    if names := executions(name, boto3.client):
        sys.exit(f"Gates wait at {name}, and would get no answer any more: " + ", ".join(names))
