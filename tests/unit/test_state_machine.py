"""What the definition of the state machine promises, read from the file itself."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from license_conversion.errors import AccessDenied, InvalidRequest
from license_conversion.gate import RETRY_SECONDS
from license_conversion.license_manager import NEW_ROLE
from license_conversion.request import ATTEMPT_SECONDS, MOST_PAUSES, PAUSE_SECONDS
from tests.template import RESOURCES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "statemachine" / "gate.asl.json").read_text()
STATES: Mapping[str, Mapping[str, Any]] = json.loads(TEXT)["States"]
SDK_ERRORS = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
]
"""https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception"""
# Of a function that is Inactive; botocore's model does not know it: https://github.com/boto/boto3/issues/3788
INACTIVE = ["Lambda.CodeArtifactUserPendingException", "Lambda.ResourceNotReadyException"]
CODE_ERRORS = ["Runtime.ImportModuleError", "Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown"]
NOT_ALL = {"States.DataLimitExceeded", "States.Runtime"}
"""What States.ALL does not stand for.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html"""


@cache
def lambdas_errors() -> list[str]:
    """Every error that botocore's model of Invoke knows, by the name that Step Functions gives it."""
    model = botocore.session.get_session().get_service_model("lambda")
    return [f"Lambda.{shape.name}" for shape in model.operation_model("Invoke").error_shapes]


def rule_for(state: str, kind: str, error: str) -> Mapping[str, Any] | None:
    """The first retrier (`Retry`) or catcher (`Catch`) of the state that names the error."""
    for rule in STATES[state].get(kind, ()):
        if error in rule["ErrorEquals"] or ("States.ALL" in rule["ErrorEquals"] and error not in NOT_ALL):
            return rule  # type: ignore[no-any-return]
    return None


def pauses(rule: Mapping[str, Any]) -> Iterator[float]:
    """The longest that each retry of a retrier is put off, in seconds."""
    for number in range(rule["MaxAttempts"]):
        yield min(rule["IntervalSeconds"] * rule["BackoffRate"] ** number, rule.get("MaxDelaySeconds", float("inf")))


@pytest.mark.parametrize("error", [*lambdas_errors(), *SDK_ERRORS, *INACTIVE, *CODE_ERRORS, "States.Timeout"])
def test_a_check_that_fails_is_left_to_the_router_whatever_the_error(error: str) -> None:
    caught = rule_for("Check Task", "Catch", error)

    assert rule_for("Check Task", "Retry", error) is None, "a pause of ours follows, and none that nobody counts"
    assert caught
    assert caught["Next"] == "Route"


def test_botocores_model_still_knows_the_errors_that_were_seen_to_end_gates() -> None:
    seen = {
        "ResourceNotReadyException",
        "ResourceConflictException",
        "KMSAccessDeniedException",
        "EC2ThrottledException",
    }

    assert {f"Lambda.{name}" for name in seen} <= set(lambdas_errors())


@pytest.mark.parametrize("error", [InvalidRequest, AccessDenied])
def test_a_refusal_is_tried_again_for_as_long_as_its_grace(error: type[Exception]) -> None:
    rule = rule_for("Check Task", "Retry", error.__name__)

    assert rule
    assert rule["IntervalSeconds"] == RETRY_SECONDS
    assert rule["BackoffRate"] == 1
    assert sum(pauses(rule)) >= NEW_ROLE + RETRY_SECONDS


@pytest.mark.parametrize("error", ["ResponseNotTaken", *lambdas_errors(), *SDK_ERRORS, *INACTIVE, *CODE_ERRORS])
def test_the_responder_is_tried_for_an_hour_whatever_the_error(error: str) -> None:
    rule = rule_for("Respond", "Retry", error)

    assert rule
    assert rule["JitterStrategy"] == "FULL", "half of each pause on average"
    assert sum(pauses(rule)) / 2 >= 3600


@pytest.mark.parametrize("state", [name for name, one in STATES.items() if one["Type"] == "Task"])
def test_every_call_has_an_end_and_none_ends_the_execution(state: str) -> None:
    assert "TimeoutSeconds" in STATES[state]
    for error in ("Lambda.Unknown", "States.Timeout"):
        assert rule_for(state, "Catch", error)


def test_a_caller_whose_request_no_check_has_read_has_the_times_of_any_other() -> None:
    opened = STATES["Open Gate"]["Assign"]["gate"]

    assert f"'AttemptSeconds': {ATTEMPT_SECONDS}," in opened
    assert f"$max([{PAUSE_SECONDS}, $ceil($seconds / {MOST_PAUSES})])" in opened


def test_an_execution_outlives_the_longest_wait_by_less_than_an_hour() -> None:
    """Step Functions' own end of it responds to nobody, the safety net has to."""
    assert 86400 + 600 <= json.loads(TEXT)["TimeoutSeconds"] <= 86400 + 3600


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_definition_names_no_partition_but_the_one_that_it_is_rendered_for(partition: str) -> None:
    arns = [one.get("Resource", "") for one in json.loads(TEXT.replace("${Partition}", partition))["States"].values()]

    assert {arn.split(":")[1] for arn in arns if arn} == {partition}
    assert "amazonaws" not in TEXT


def test_the_template_says_what_a_deployment_fills_in() -> None:
    substitutions = RESOURCES["LicenseConversionGate"]["Properties"]["DefinitionSubstitutions"]

    assert substitutions["Partition"] == {"Ref": "AWS::Partition"}
    for name in substitutions:
        assert f"${{{name}}}" in TEXT
    assert TEXT.count("${") == sum(TEXT.count(f"${{{name}}}") for name in substitutions)
