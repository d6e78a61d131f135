"""What docs/operations.md says. Alarms, dashboard and saved queries are one list, of metrics that the application or AWS puts;
and how long each way to a response takes is added up from the definition and the template.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest

from license_conversion.plain_telemetry import NAMESPACE
from license_conversion.request import ATTEMPT_SECONDS
from license_conversion.telemetry import ENDED_METRIC
from tests.template import FUNCTIONS, RESOURCES, ROOT, STATES, TEMPLATE, resources

ALARMS = resources("AWS::CloudWatch::Alarm")
DASHBOARD: Mapping[str, Any] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
OF_AWS = {
    "AWS/Events": {"FailedInvocations"},
    "AWS/Lambda": {"Errors", "Throttles", "Duration", "AsyncEventAge", "DestinationDeliveryFailures"},
    "AWS/SQS": {"ApproximateNumberOfMessagesVisible"},
    "AWS/States": {
        *("ExecutionThrottled", "ExecutionsStarted", "ExecutionsSucceeded"),
        *("ExecutionsFailed", "ExecutionsAborted", "ExecutionsTimedOut"),
    },
}
"""https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""


def put() -> set[str]:
    """Metrics of ours that functions put, as their source spells them, and the state machine, in a state or in a rule of one."""
    source = "".join(path.read_text() for path in (ROOT / "handlers").rglob("*.py"))
    rules = [rule for state in STATES.values() for part in ("Choices", "Catch") for rule in state.get(part, ())]
    assigned = {one.get("Assign", {}).get("metric", "") for one in [*STATES.values(), *rules]} - {""}
    return assigned | {*re.findall(r'(?:\bcount|add_metric)\("(\w+)"', source), *ENDED_METRIC.values()}


def shown() -> set[tuple[str, str]]:
    """(namespace, metric) of each line of the dashboard. None is metric math, whose result is empty where one of its metrics was
    never put.
    """
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ())]
    assert all(isinstance(line[0], str) for line in lines)
    return {(line[0], line[1]) for line in lines}


def known() -> set[tuple[str, str]]:
    return {(NAMESPACE, name) for name in put()} | {(space, name) for space, names in OF_AWS.items() for name in names}


def rows(heading: str) -> list[list[str]]:
    """Of the table that follows, without its head."""
    table = next(part for part in OPERATIONS.split(heading)[1].split("\n\n") if part.startswith("|"))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_is_about_one_metric_that_is_put_and_notifies_the_operator_of_its_end_too(alarm: Any) -> None:
    assert (alarm["Namespace"], alarm["MetricName"]) in known()
    if alarm["Namespace"] == NAMESPACE:
        assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
    assert alarm["AlarmActions"]["Fn::If"][:2] == ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}]]
    assert alarm["OKActions"] == alarm["AlarmActions"]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "docs/operations.md" in alarm["AlarmDescription"]


def test_the_dashboard_shows_every_alarm_and_metrics_that_are_put() -> None:
    (alarms,) = (widget["properties"]["alarms"] for widget in DASHBOARD["widgets"] if widget["type"] == "alarm")

    assert alarms == [f"${{{name}.Arn}}" for name in ALARMS]
    assert shown() <= known()


def test_each_alarm_asks_something_of_its_own_of_the_operator_and_operations_says_what() -> None:
    """What two alarms have in common is one alarm."""
    names, _, asked = zip(*rows("## The alarms"), strict=True)

    assert sorted(names) == sorted(f"`{name}`" for name in ALARMS)
    assert len(set(asked)) == len(ALARMS)


def test_operations_says_what_every_metric_of_ours_counts_and_which_are_neither_shown_nor_watched() -> None:
    seen = {name for _, name in shown()} | {alarm["MetricName"] for alarm in ALARMS.values()}
    (unseen,) = re.findall(r"application's stack name\. (.+?) (?:is|are) in no\s+widget", OPERATIONS)

    assert {name for names, _ in rows("The application's metrics") for name in re.findall(r"`(\w+)`", names)} == put()
    assert set(re.findall(r"`(\w+)`", unseen)) == put() - seen


def test_two_stacks_of_the_application_do_not_ring_each_others_alarms() -> None:
    """Each metric of ours has the stack's name as its one dimension, where it is put and where it is looked at."""
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ()) if line[0] == NAMESPACE]
    (put,) = (one["Arguments"] for one in STATES.values() if "MetricData" in one.get("Arguments", {}))
    (metric,) = put["MetricData"]
    substitutions = RESOURCES["LicenseConversionGate"]["Properties"]["DefinitionSubstitutions"]
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert {tuple(line[2:4]) for line in lines} == {("service", "${AWS::StackName}")}
    assert metric["Dimensions"] == [{"Name": "service", "Value": "${Service}"}]
    assert (put["Namespace"], metric["Value"]) == (NAMESPACE, 1)
    assert substitutions["Service"] == variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_no_alarm_counts_the_errors_of_the_check_function_because_a_refusal_is_one() -> None:
    """The state machine counts the checks that it gets no result of."""
    watched = [one["Dimensions"][0]["Value"] for one in ALARMS.values() if one["MetricName"] == "Errors"]

    assert watched == [{"Ref": f"{name}Function"} for name in ("CustomResource", "Respond", "PollTasks")]


def test_a_request_that_waits_for_its_function_is_seen_before_it_is_given_up() -> None:
    (late,) = (one for one in ALARMS.values() if one["MetricName"] == "AsyncEventAge")
    function = FUNCTIONS[late["Dimensions"][0]["Value"]["Ref"]]

    assert late["Threshold"] == function["EventInvokeConfig"]["MaximumEventAgeInSeconds"] * 1000 / 3


def test_what_the_metrics_cost_is_counted() -> None:
    assert (
        f"| {len(put())} metrics of $0.30, each for the hours in which it was put | up to ${len(put()) * 0.3:.2f} |"
        in (ROOT / "docs" / "cost.md").read_text()
    )


def test_the_saved_query_is_the_one_that_operations_explains() -> None:
    query = RESOURCES["StoryQuery"]["Properties"]["QueryString"].strip()

    assert f"```\n{query}\n```" in OPERATIONS


# How long each way to a response takes

TABLE = OPERATIONS.split("## What breaks, and who responds")[1].split("\n#")[0]
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LAMBDA_PAUSES = (60, 120)
"""Seconds before Lambda's second and third try of an asynchronous invocation.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""


def tries(function: str) -> int:
    return 1 + int(FUNCTIONS[function]["EventInvokeConfig"]["MaximumRetryAttempts"])


def minutes(function: str) -> int:
    """How old Lambda lets an event become."""
    return int(FUNCTIONS[function]["EventInvokeConfig"]["MaximumEventAgeInSeconds"]) // 60


def worst(function: str) -> float:
    """Seconds until Lambda gives up an event whose every try takes the whole of the function's time."""
    return tries(function) * int(FUNCTIONS[function]["Timeout"]) + sum(LAMBDA_PAUSES[: tries(function) - 1])


def hours_of_the_responder() -> float:
    """With full jitter each pause is anything up to the longest, and half of it on average."""
    rule = STATES["Respond"]["Retry"][-1]
    assert (rule["ErrorEquals"], rule["JitterStrategy"]) == (["States.ALL"], "FULL")
    pauses = (rule["IntervalSeconds"] * rule["BackoffRate"] ** number for number in range(rule["MaxAttempts"]))
    return float(sum(min(pause, rule["MaxDelaySeconds"]) for pause in pauses)) / 2 / 3600


ONE, TWO = "CustomResourceFunction", "RespondFunction"
CLAIMS = [
    ("the custom resource function cannot be imported", "Lambda tries once more after a minute", 1),
    ("Step Functions does not start", "as long as its invocation lasts, a minute", 1),
    ("Step Functions does not start", f"about {WORDS[round(worst(ONE) / 60)]} minutes", 1),
    ("Lambda throttles the custom", f"{minutes(ONE)} minutes", 2),
    ("a check fails", f"each check {ATTEMPT_SECONDS} seconds at most", 1),
    ("the responder fails", "the state machine tries it for an hour", 1),
    ("the responder, invoked by Lambda", f"tries it {WORDS[tries(TWO)]} times", 1),
    ("the responder, invoked by Lambda", f"{minutes(TWO)} minutes", 2),
]


@pytest.mark.parametrize(("begins", "claim", "times"), CLAIMS)
def test_how_long_each_way_to_a_response_takes_is_said(begins: str, claim: str, times: int) -> None:
    (row,) = (line for line in TABLE.splitlines() if line.startswith(f"| {begins}"))

    assert row.count(claim) == times


def test_what_is_said_in_words_alone_is_so_and_cloudformation_waits_for_each_attempt_of_the_responder() -> None:
    assert (tries(ONE), LAMBDA_PAUSES[0], FUNCTIONS[ONE]["Timeout"]) == (2, 60, 60)
    assert hours_of_the_responder() == pytest.approx(1, abs=2 / 60)
    assert worst(TWO) <= 60 * minutes(TWO)
    assert RESOURCES["Responder"]["Properties"]["ServiceTimeout"] >= worst(TWO)
