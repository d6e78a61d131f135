"""When boto3 is imported, by a process of its own: what one test imports would be there for the next one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HANDLERS = Path(__file__).parents[2] / "handlers"
PROGRAM = "import sys, {module}; print('botocore.session' in sys.modules)"
MAKE_CALLS = ["announce_end", "check_task", "custom_resource", "watch_crowd"]


def brings_boto3(module: str, **environment: str) -> bool:
    told = {"PYTHONPATH": str(HANDLERS), "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", **environment}
    ran = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM.format(module=module)],
        env=os.environ | told,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return ran.stdout.strip() == "True"


@pytest.mark.parametrize("module", MAKE_CALLS)
def test_a_function_that_makes_calls_takes_over_the_cost_of_a_client_when_lambda_starts_it(module: str) -> None:
    assert brings_boto3(module, AWS_LAMBDA_FUNCTION_NAME="gate")


@pytest.mark.parametrize("module", ["answer_stack", "last_resort"])
def test_a_function_that_only_answers_starts_without_boto3(module: str) -> None:
    assert not brings_boto3(module, AWS_LAMBDA_FUNCTION_NAME="gate")


@pytest.mark.parametrize("module", MAKE_CALLS)
def test_elsewhere_than_in_lambda_no_import_brings_boto3(module: str) -> None:
    assert not brings_boto3(module)
