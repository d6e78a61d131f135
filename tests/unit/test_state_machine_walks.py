"""The walks through the definition: which function is called when, and with what. The real file, interpreted."""

import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any

import botocore.session
import pytest

from license_conversion.errors import AccessDenied, GateError, InvalidRequest, RecipientGone
from license_conversion.gate import RETRY_SECONDS
from license_conversion.license_manager import NEW_ROLE
from license_conversion.request import MARGIN, Times
from tests.simulation.clock import BEGINNING
from tests.simulation.interpreter import FILE, gate, stamp
from tests.template import RESOURCES
from tests.unit.walk import Walk

URL = "https://answer.example/r?X-Amz-Signature=s"
EVENT = {"RequestType": "Create", "ResponseURL": URL, "ResourceProperties": {}}
HANDLE = {**EVENT, "ResourceProperties": {"WaitConditionHandle": "https://handle.example/h?X-Amz-Signature=s"}}
SAID = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": "lct-1", "Data": {}}
TOLD = {"DetailType": "License Conversion Succeeded", "Detail": {"a": 1}, "Resources": []}
TASK = {"Status": "SUCCEEDED"}
ENDED = {
    "Ended": True, "Passed": True, "Output": TASK, "Error": "", "Cause": "", "Response": SAID, "Event": TOLD,
}  # fmt: skip
FAILED = {**ENDED, "Passed": False, "Error": "LicenseConversion.Failed", "Cause": "{}"}
REFUSED = {**FAILED, "Error": "LicenseConversion.InvalidRequest"}
del REFUSED["Event"]
PAUSE, ATTEMPT, GIVE_UP = 10, 25, 100
SLEEPS = {"Ended": False, "NextCheckAt": "in 7", "Pending": "lct-1"}
"""`NextCheckAt` is so many seconds after the check."""
KEY = {"Account": {"S": "a"}, "Gate": {"S": "g"}}
REGISTERS = {**SLEEPS, "NextCheckAt": "in 110", "Registration": KEY}
NAMED = {"Response": SAID}
THROTTLED = "Lambda.TooManyRequestsException"


class GateWalk(Walk):
    """Of the real file."""

    def __init__(self, execution_input: Any, *checks: Any, **said: Any) -> None:
        others = {name: result if isinstance(result, list) else [result] for name, result in said.items()}
        super().__init__(gate(), execution_input, {"CheckTask": checks, **others})

    def result(self, said: Any) -> Any:
        sleeps = said.get("NextCheckAt", "").removeprefix("in ")
        return {**said, "NextCheckAt": at(self.clock.now + float(sleeps))} if sleeps else said


def stack(*checks: Any, event: Mapping[str, Any] = EVENT, **said: Any) -> Walk:
    times = {"GiveUpAt": at(GIVE_UP), "AttemptSeconds": ATTEMPT, "PauseSeconds": PAUSE}
    return GateWalk({"Stack": {"Event": event, "Gate": {"Waiter": "STACK", "Ended": False, **times}}}, *checks, **said)


def caller(*checks: Any, **said: Any) -> Walk:
    return GateWalk({"LicenseConversionTaskId": "lct-1"}, *checks, **said)


def token(*checks: Any, **said: Any) -> Walk:
    return GateWalk({"LicenseConversionTaskId": "lct-1", "TaskToken": "of-a-caller"}, *checks, **said)


def at(seconds: float) -> str:
    return stamp(BEGINNING + timedelta(seconds=seconds))


# How a gate ends


@pytest.mark.parametrize("begin", [stack, token, caller], ids=["stack", "token", "sync"])
@pytest.mark.parametrize("check", [ENDED, FAILED, REFUSED], ids=["passes", "fails", "is refused"])
def test_a_gate_that_ends_puts_its_event_and_responds_and_its_execution_ends_so(
    begin: Callable[..., Walk], check: Mapping[str, Any]
) -> None:
    walk = begin(check).out()

    event = [] if check is REFUSED else ["PutEvents"]
    assert walk.functions == ["CheckTask", *event, *([] if begin is caller else ["Respond"])]
    assert walk.execution.status == ("SUCCEEDED" if check["Passed"] else "FAILED")
    if check["Passed"]:
        assert walk.execution.output == TASK
    else:
        assert (walk.execution.error, walk.execution.cause) == (check["Error"], "{}")


def test_the_responder_is_given_the_input_and_the_gate_word_for_word_and_the_bus_the_event() -> None:
    walk = stack(ENDED).out()

    (given,), (put,) = walk.given("Respond"), walk.given("PutEvents")
    assert given["Input"] == json.loads(walk.execution.input)
    assert given["Execution"] == "arn:one"
    assert {name: given["Gate"][name] for name in ENDED} == ENDED
    assert given["Gate"]["Waiter"] == "STACK"
    (entry,) = put["Entries"]
    assert entry == {"Source": "license-conversion-gate", "EventBusName": "EventBusName", **TOLD}


def test_a_check_gets_what_the_last_one_left_and_the_request_as_it_came() -> None:
    walk = stack({**SLEEPS, "Task": {"a": 1}}, ENDED).out()

    first, second = walk.given("CheckTask")
    assert first["Gate"] == first["Input"]["Stack"]["Gate"]
    assert second["Gate"]["Task"] == {"a": 1}
    for given, seconds in ((first, 0), (second, 7)):
        assert given["Input"] == json.loads(walk.execution.input)
        assert (given["Execution"], given["StartedAt"], given["EnteredAt"]) == ("arn:one", at(0), at(seconds))
        assert (given["Results"], given["RegisteredAt"], given["Tries"]) == ([], "", 0)


@pytest.mark.parametrize("trouble", ["Events.InternalException", None], ids=["fails", "hangs"])
def test_an_event_that_the_bus_does_not_take_keeps_no_response_for_longer_than_five_seconds_and_is_counted(
    trouble: str | None,
) -> None:
    walk = stack(ENDED, PutEvents=trouble).out()

    assert walk.functions == ["CheckTask", "PutEvents", "PutEvents", "PutMetricData", "Respond"]
    assert walk.times("Respond")[0] <= 5
    assert walk.metrics == ["EventsNotTaken"]
    assert walk.execution.status == "SUCCEEDED"


@pytest.mark.parametrize(("said", "counted"), [({}, []), (RecipientGone.__name__, ["PutMetricData"])], ids=str)
def test_where_time_is_short_the_response_goes_first_and_the_event_whether_it_is_taken_or_not(
    said: Any, counted: list[str]
) -> None:
    """Where its recipient no longer waits, it is not sent again."""
    walk = stack({**ENDED, "GiveUpAt": at(-1)}, Respond=said).out()

    assert walk.functions == ["CheckTask", "Respond", *counted, "PutEvents"]
    assert walk.execution.error == ("LicenseConversion.NoResponse" if counted else "")


# A handle


def test_a_stack_with_a_handle_has_its_response_once_the_task_has_a_name_and_the_handle_its_signal_at_the_end() -> None:
    walk = stack(SLEEPS, {**SLEEPS, **NAMED}, SLEEPS, ENDED, event=HANDLE).out()

    assert walk.calls == [
        (0, "CheckTask"),
        (7, "CheckTask"),
        (7, "Respond"),
        (14, "CheckTask"),
        (21, "CheckTask"),
        (21, "PutEvents"),
        (21, "Respond"),
    ]
    assert [given["Gate"]["Waiter"] for given in walk.given("Respond")] == ["STACK", "HANDLE"]
    assert walk.given("CheckTask")[2]["Gate"]["Waiter"] == "HANDLE"


@pytest.mark.parametrize(
    ("check", "recipients"),
    [(ENDED, ["STACK", "HANDLE"]), (FAILED, ["STACK"]), (THROTTLED, ["STACK"])],
    ids=["had ended", "had failed", "broke"],
)
def test_a_stack_with_a_handle_that_ends_at_its_first_response(check: Any, recipients: list[str]) -> None:
    walk = stack(check, event=HANDLE).out()

    assert [given["Gate"]["Waiter"] for given in walk.given("Respond")] == recipients


@pytest.mark.parametrize(
    ("results", "then"), [([], THROTTLED), (["x" * 262_000], ENDED)], ids=["broke", "grew too large"]
)
def test_a_handle_never_gets_the_response_that_its_stack_has_had(results: list[str], then: Any) -> None:
    """It says SUCCESS."""
    walk = stack({**REGISTERS, **NAMED}, then, event=HANDLE)
    walk.clock.run_for(1)
    walk.execution.call_back(walk.execution.token, results)
    walk.out()

    _, of_handle = walk.given("Respond")
    assert (of_handle["Gate"]["Waiter"], "Response" in of_handle["Gate"]) == ("HANDLE", False)


# Waiting


@pytest.mark.parametrize("event", [EVENT, HANDLE], ids=["stack", "handle"])
@pytest.mark.parametrize(
    "results", [[{"Status": "SUCCEEDED"}], ["lct-1", "lct-2"], [], None, 5, {"a": 1}, "lct-1"], ids=str
)
def test_a_gate_registers_and_wakes_with_the_results_that_it_is_called_back_with(
    event: Mapping[str, Any], results: Any
) -> None:
    walk = stack({**REGISTERS, **NAMED} if event is HANDLE else REGISTERS, ENDED, event=event)
    walk.clock.run_for(30)
    (registers,) = walk.given("UpdateItem:Token")
    values = registers["ExpressionAttributeValues"]
    assert walk.execution.call_back(values[":token"]["S"], results)
    walk.out()

    since = int(BEGINNING.timestamp())
    assert (registers["TableName"], registers["Key"]) == ("RegistrationTable", KEY)
    assert values[":tasks"] == {"S": "lct-1"}
    assert (values[":since"], values[":expires"]) == ({"N": f"{since}"}, {"N": f"{since + 115}"})
    second = walk.given("CheckTask")[1]
    assert (second["Results"], second["RegisteredAt"]) == (results if isinstance(results, list) else [], at(0))
    assert walk.times("CheckTask") == [0, 30]


@pytest.mark.parametrize(("seconds", "registers"), [(110, [0]), (7, [])])
def test_a_gate_that_is_not_called_back_wakes_by_itself_and_has_registered_where_it_sleeps_longer_than_that_may_take(
    seconds: int, registers: list[float]
) -> None:
    walk = stack({**REGISTERS, "NextCheckAt": f"in {seconds}"}, ENDED).out()

    assert (walk.times("UpdateItem:Token"), walk.times("CheckTask")) == (registers, [0, seconds])
    assert walk.given("CheckTask")[1]["RegisteredAt"] == (at(0) if registers else "")


def test_results_and_a_registration_are_those_of_one_check_and_not_of_the_next() -> None:
    walk = stack(REGISTERS, {**SLEEPS, "NextCheckAt": "in 110"}, ENDED)
    walk.clock.run_for(1)
    walk.execution.call_back(walk.execution.token, ["lct-1"])
    walk.out()

    assert [given["Results"] for given in walk.given("CheckTask")] == [[], ["lct-1"], []]
    assert [given["RegisteredAt"] for given in walk.given("CheckTask")] == ["", at(0), ""], (
        "a gate trusts polls since then"
    )
    assert walk.times("UpdateItem:Token") == [0]


@pytest.mark.parametrize("seconds", [110, 8])
def test_a_gate_that_cannot_register_checks_when_it_would_have_and_is_not_registered(seconds: int) -> None:
    registers = {**REGISTERS, "NextCheckAt": f"in {seconds}"}
    refuses: Any = {"UpdateItem:Token": "DynamoDb.ProvisionedThroughputExceededException"}
    walk = stack(registers, ENDED, **refuses).out()

    assert len(walk.times("UpdateItem:Token")) == 4
    assert seconds <= walk.times("CheckTask")[1] < seconds + 1
    assert walk.given("CheckTask")[1]["RegisteredAt"] == ""


def test_each_try_to_register_has_what_the_ones_before_it_have_left() -> None:
    fails_once: Any = {"UpdateItem:Token": ["DynamoDb.InternalServerError", None]}
    walk = stack(REGISTERS, ENDED, **fails_once).out()

    assert len(walk.times("UpdateItem:Token")) == 2
    assert 110 <= walk.times("CheckTask")[1] < 111


# Something is broken


@pytest.mark.parametrize("error", [InvalidRequest, AccessDenied])
def test_a_refusal_is_tried_again_for_as_long_as_its_grace_and_the_check_knows_how_often(
    error: type[GateError],
) -> None:
    tries = NEW_ROLE // RETRY_SECONDS + 2
    walk = stack(*[error.__name__] * tries, ENDED).out()

    assert walk.times("CheckTask") == [RETRY_SECONDS * number for number in range(tries + 1)]
    known = [(given["Tries"], given["EnteredAt"]) for given in walk.given("CheckTask")]
    assert known == [(number, at(0)) for number in range(tries + 1)]
    assert walk.metrics == []


@cache
def lambdas_errors() -> list[str]:
    """Every error that botocore's model of Invoke knows, by the name that Step Functions gives it."""
    model = botocore.session.get_session().get_service_model("lambda")
    return [f"Lambda.{shape.name}" for shape in model.operation_model("Invoke").error_shapes]


UNMODELLED = [
    # https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception
    *("Lambda.ClientExecutionTimeoutException", "Lambda.AWSLambdaException", "Lambda.SdkClientException"),
    # Of a function that is Inactive: https://github.com/boto/boto3/issues/3788
    *("Lambda.CodeArtifactUserPendingException", "Lambda.ResourceNotReadyException"),
    *("Runtime.ImportModuleError", "Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown"),
]


@pytest.mark.parametrize("error", [*lambdas_errors(), *UNMODELLED])
def test_no_error_of_lambdas_ends_a_gate_or_is_retried_without_being_counted(error: str) -> None:
    walk = token(error, ENDED, Respond=[error, {}]).out()

    assert (walk.times("CheckTask"), walk.metrics) == ([0, 14], ["ChecksFailed"])
    assert len(walk.times("Respond")) == 2
    assert (walk.execution.status, walk.execution.output) == ("SUCCEEDED", TASK)


@pytest.mark.parametrize("begin", [stack, token, caller], ids=["stack", "token", "sync"])
@pytest.mark.parametrize("error", [THROTTLED, "Runtime.ImportModuleError", None])
def test_a_check_that_fails_is_tried_until_it_is_too_late_for_another(
    begin: Callable[..., Walk], error: str | None
) -> None:
    walk = begin(error).out()

    gives_up = GIVE_UP if begin is stack else 3600
    times = walk.times("CheckTask")
    attempt = ATTEMPT if error is None else 0
    assert gives_up - 15 - attempt <= times[-1] <= gives_up + 15
    turns = {round(after - before) for before, after in itertools.pairwise(times)}
    assert turns <= {PAUSE - 1 + attempt, 14 + attempt, 11 + attempt}, "the counting takes no time here"
    assert walk.functions[-2:] == (["CheckTask", "PutMetricData"] if begin is caller else ["PutMetricData", "Respond"])
    assert walk.execution.error == "LicenseConversion.GateBroken"
    assert walk.execution.cause.startswith("The gate itself broke, the conversion is not affected. Read the log")
    assert (error or "States.Timeout") in walk.execution.cause


def test_checks_that_fail_are_counted_at_the_first_failure_and_every_ten_minutes_and_once_in_the_end() -> None:
    walk = caller(THROTTLED).out()

    assert walk.metrics == ["ChecksFailed"] * 6 + ["GatesBroken"]
    assert walk.times("PutMetricData")[0] == 0


@pytest.mark.parametrize(
    ("given", "gives_up"),
    [(60, 60), ("60", 60), (86400, 86400), *((none, 3600) for none in (10**9, "a minute", None, {"a": 1}, -5))],
    ids=str,
)
def test_a_caller_whose_request_no_check_has_read_is_given_up_at_its_own_time_out_where_it_is_one(
    given: Any, gives_up: int
) -> None:
    walk = GateWalk({"TimeoutSeconds": given}, THROTTLED).out()

    read = Times.of(BEGINNING, gives_up, MARGIN).state()
    assert walk.given("CheckTask")[0]["Gate"] == {
        "Waiter": "CALLER",
        "Ended": False,
        **read,
        "GiveUpAt": at(gives_up + 12),
    }
    assert walk.times("CheckTask")[-1] <= gives_up + 60


def test_a_whole_day_of_checks_that_fail_fits_into_an_executions_history() -> None:
    """An event for each state that is entered and left, and three for each attempt."""
    walk = GateWalk({"TimeoutSeconds": 86400}, THROTTLED).out()

    assert 2 * len(walk.execution.entered) + 3 * len(walk.calls) < 25_000


@pytest.mark.parametrize(
    ("said", "attempt", "cause"),
    [("ResponseNotTaken", 0, "ResponseNotTaken: a cause"), (None, ATTEMPT, "States.Timeout: ")],
)
def test_a_response_that_was_not_sent_is_sent_again_for_an_hour_and_its_gate_says_so(
    said: str | None, attempt: int, cause: str
) -> None:
    walk = stack(ENDED, Respond=said).out()

    times = walk.times("Respond")
    assert len([when for when in times if when <= 30 + 4 * attempt]) >= 4
    assert times[-1] >= 3600
    assert max(after - before for before, after in itertools.pairwise(times)) <= 30 + attempt
    assert walk.metrics == ["GatesWithoutResponse"]
    assert (walk.execution.error, walk.execution.cause) == ("LicenseConversion.NoResponse", cause)


@pytest.mark.parametrize("trouble", ["CloudWatch.CloudWatchException", None], ids=["fails", "hangs"])
def test_what_cannot_be_counted_keeps_no_gate_from_its_response_for_longer_than_two_seconds(
    trouble: str | None,
) -> None:
    walk = stack(THROTTLED, PutMetricData=trouble).out()

    assert walk.times("Respond")[0] <= walk.times("CheckTask")[-1] + 2
    assert walk.execution.error == "LicenseConversion.GateBroken"


@pytest.mark.parametrize("members", [{}, {"TaskToken": "of-a-caller"}], ids=["sync", "token"])
def test_an_input_that_is_too_large_is_refused_in_words(members: Mapping[str, str]) -> None:
    walk = GateWalk({**members, "LicenseConversionTaskIds": "x" * 262_000}, ENDED).out()

    assert [given["Input"] for given in walk.given("Respond")] == [members] * len(members)
    assert walk.execution.error == "LicenseConversion.InvalidRequest"
    assert "262,144" in walk.execution.cause


# A caller's input may be anything


@pytest.mark.parametrize(
    ("execution_input", "waiter"),
    [
        ({"Stack": {"Event": EVENT}}, "CALLER"),
        ({"Stack": {"Event": {}, "Gate": {"GiveUpAt": "x"}}}, "CALLER"),
        ({"Stack": None}, "CALLER"),
        ({"TaskToken": ""}, "CALLER"),
        ({"TaskToken": 7}, "CALLER"),
        ({"TaskToken": None}, "CALLER"),
        ({"TaskToken": "of-a-caller"}, "TASK_TOKEN"),
        ([1], "CALLER"),
        ("words", "CALLER"),
        (7, "CALLER"),
        (None, "CALLER"),
    ],
    ids=str,
)
def test_an_input_that_looks_like_nothing_or_like_ours_is_left_to_the_check(execution_input: Any, waiter: str) -> None:
    walk = GateWalk(execution_input, REFUSED).out()

    assert walk.given("CheckTask")[0]["Gate"]["Waiter"] == waiter
    assert walk.functions == ["CheckTask", "Respond"][: 1 + (waiter == "TASK_TOKEN")]
    assert walk.execution.error == "LicenseConversion.InvalidRequest"


# The file itself


def test_an_execution_outlives_the_longest_wait_by_less_than_an_hour() -> None:
    """Step Functions' own end of it sends no response, the safety net has to."""
    assert 86400 + 600 <= (gate().timeout_seconds or 0) <= 86400 + 3600


def test_the_template_says_what_a_deployment_fills_in_and_the_file_names_no_partition_of_its_own() -> None:
    text = FILE.read_text()
    substitutions = RESOURCES["LicenseConversionGate"]["Properties"]["DefinitionSubstitutions"]

    assert substitutions["Partition"] == {"Ref": "AWS::Partition"}
    assert set(re.findall(r"\$\{(\w*)\}", text)) == set(substitutions)
    assert set(re.findall(r'"arn:([^:]*)', text)) == {"${Partition}"}
    assert "amazonaws" not in text
