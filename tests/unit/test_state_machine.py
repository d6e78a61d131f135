"""What the definition of the state machine promises, read from the file itself."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from license_conversion.errors import AccessDenied, CheckBroken, GateError, InvalidRequest, NobodyListens
from tests.template import RESOURCES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "statemachine" / "gate.asl.json").read_text()
STATES: Mapping[str, Mapping[str, Any]] = json.loads(TEXT)["States"]
OURS = [
    "LicenseConversion.CheckBroken",
    "Runtime.ImportModuleError",
    "Runtime.HandlerNotFound",
    "Runtime.UserCodeSyntaxError",
]
"""The errors that the function's own code or package makes: waiting mends none of them."""
SDK_ERRORS = [
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
]
"""https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception"""
INVOKES = [name for name, one in STATES.items() if str(one.get("Resource", "")).endswith(":lambda:invoke")]
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


def caught_by(state: str, error: str) -> str:
    rule = rule_for(state, "Catch", error)
    assert rule, f"{state} does not catch {error}"
    return str(rule["Next"])


def pauses(rule: Mapping[str, Any]) -> Iterator[float]:
    """The longest that each retry of a retrier is put off, in seconds."""
    for number in range(rule["MaxAttempts"]):
        yield min(rule["IntervalSeconds"] * rule["BackoffRate"] ** number, rule.get("MaxDelaySeconds", float("inf")))


# Whatever Lambda says


@pytest.mark.parametrize("error", [*lambdas_errors(), *SDK_ERRORS, "States.Timeout"])
def test_every_error_that_is_lambdas_is_waited_out_until_the_deadline(error: str) -> None:
    assert error not in OURS
    assert rule_for("Check Task", "Retry", error) is None, "a wait of ours follows: no pause that nobody counts"
    assert caught_by("Check Task", error) == "Time for Another Check?"
    assert STATES["Time for Another Check?"]["Default"] == "Wait for Lambda"
    assert STATES["Wait for Lambda"]["Next"] == "Check Task"


def test_botocores_model_still_knows_the_errors_that_were_seen_to_end_gates() -> None:
    seen = {
        "ResourceNotReadyException",
        "ResourceConflictException",
        "KMSAccessDeniedException",
        "EC2ThrottledException",
    }

    assert {f"Lambda.{name}" for name in seen} <= set(lambdas_errors())


@pytest.mark.parametrize("error", OURS)
@pytest.mark.parametrize("state", ["First Check", "Check Task"])
def test_the_functions_own_errors_end_the_gate_after_two_more_tries(state: str, error: str) -> None:
    rule = rule_for(state, "Retry", error)

    assert rule
    assert list(pauses(rule)) == [1, 2]
    assert caught_by(state, error) == "Check Broken"


def test_the_check_functions_own_error_has_the_name_that_the_state_machine_knows() -> None:
    assert CheckBroken.__name__ in OURS
    for error in (GateError, InvalidRequest, AccessDenied):
        assert error.__name__ not in OURS, "none of them leaves a check of the state machine's"


@pytest.mark.parametrize("error", [*lambdas_errors(), *SDK_ERRORS, "States.Timeout"])
def test_a_crowd_that_lambda_throttles_has_a_quarter_of_an_hour_to_begin(error: str) -> None:
    rule = rule_for("First Check", "Retry", error)

    assert rule
    assert rule["JitterStrategy"] == "FULL", "each pause is anything up to the whole: half of it on average"
    assert sum(pauses(rule)) / 2 >= 15 * 60


def test_a_first_check_that_is_tried_again_and_again_fits_into_an_executions_history() -> None:
    attempts = sum(1 + rule["MaxAttempts"] for rule in STATES["First Check"]["Retry"])

    assert attempts * 3 < 1000


@pytest.mark.parametrize("state", INVOKES)
def test_every_state_that_invokes_a_function_catches_whatever_happens(state: str) -> None:
    assert caught_by(state, "Lambda.Unknown")
    assert caught_by(state, "States.Timeout")


@pytest.mark.parametrize("state", [name for name in INVOKES if name != "Answer as Last Resort"])
def test_no_function_is_waited_for_without_an_end(state: str) -> None:
    assert STATES[state].keys() & {"TimeoutSeconds", "TimeoutSecondsPath"}


# Whoever waits is told


@pytest.mark.parametrize("state", ["Answer Stack", "Answer Stack at Once", "Signal Handle"])
def test_an_answer_that_cannot_be_sent_is_sent_by_the_last_resort(state: str) -> None:
    for error in ("NobodyListens", "AnswerNotDelivered", "Runtime.ImportModuleError", *lambdas_errors()):
        assert caught_by(state, error) == "Answer as Last Resort"
        assert rule_for(state, "Retry", error) is None, "the last resort is the retry: there is no time for both"


def test_sending_ends_when_cloudformation_has_given_up() -> None:
    rule = rule_for("Answer as Last Resort", "Retry", NobodyListens.__name__)

    assert rule
    assert rule["MaxAttempts"] == 0
    assert caught_by("Answer as Last Resort", NobodyListens.__name__) == "Count Not Answered"


def test_whoever_waits_is_told_first_and_then_it_is_counted() -> None:
    leads_to = {name: [one for one in STATES if name in json.dumps(STATES[one])] for name in STATES}

    assert leads_to["Count Broken Gate"] == ["Gate Passed?"]
    told = ["Answer Stack", "Signal Handle", "Answer as Last Resort", "Report Success", "Report Failure"]
    assert STATES["Check Broken"]["Next"] == "Who Waits?"
    assert set(leads_to["Gate Passed?"]) <= {*told, "Who Waits?", "Handle Too?"}


def test_an_empty_cause_is_never_given() -> None:
    """Lambda gives an empty one for an attempt that hangs."""
    cause = STATES["Check Broken"]["Parameters"]["Cause.$"]

    assert cause.startswith("States.Format('The check of the task failed, the conversion is not affected. Look further")
    assert cause.endswith("Lambda said {}: {}', $.Broken.Error, $.Broken.Cause)")


def test_a_callers_input_that_is_too_large_is_refused_and_told() -> None:
    assert caught_by("First Check", "States.DataLimitExceeded") == "Input Too Large"
    refused = STATES["Input Too Large"]
    told = refused["Parameters"]
    assert refused["Next"] == "Who Waits?"
    assert (told["Ended"], told["Passed"], told["Error"]) == (True, False, "LicenseConversion.InvalidRequest")
    assert "262,144" in told["Cause"]
    assert "Waiter.$" in told
    assert told["Outcome"] != "BROKEN", "no alarm for a fault of the caller's"


def test_only_what_nobody_has_read_yet_comes_to_the_first_check() -> None:
    """What is too large there has no stack to be answered: custom_resource.py begins no such wait."""
    assert {name for name, one in STATES.items() if one.get("Next") == "First Check"} == {
        "Open Gate to Task Token",
        "Open Gate to Caller",
    }


# Everywhere


def strings(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        for one in part.values():
            yield from strings(one)
    elif isinstance(part, list):
        for one in part:
            yield from strings(one)
    elif isinstance(part, str):
        yield part


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_the_definition_names_no_partition_but_the_one_that_it_is_rendered_for(partition: str) -> None:
    rendered = json.loads(TEXT.replace("${Partition}", partition))

    arns = [one for one in strings(rendered) if one.startswith("arn:")]
    assert len(arns) >= 8
    assert {arn.split(":")[1] for arn in arns} == {partition}
    assert "amazonaws" not in TEXT


def test_the_template_says_which_partition_and_which_functions() -> None:
    gate = RESOURCES["LicenseConversionGate"]["Properties"]
    substitutions = gate["DefinitionSubstitutions"]

    assert substitutions["Partition"] == {"Ref": "AWS::Partition"}
    for name in substitutions:
        assert f"${{{name}}}" in TEXT
    assert TEXT.count("${") == sum(TEXT.count(f"${{{name}}}") for name in substitutions)
