"""Alarms, dashboard, saved queries and the pages that name them: one list, and metrics that something puts."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from license_conversion.plain_telemetry import NAMESPACE
from license_conversion.telemetry import ENDED_METRIC
from tests.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
ALARMS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
DASHBOARD: Mapping[str, Any] = json.loads(RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"])
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COST = (ROOT / "docs" / "cost.md").read_text()
AWS_METRICS = {
    ("AWS/Events", "FailedInvocations"),
    ("AWS/Lambda", "Errors"),
    ("AWS/Lambda", "Throttles"),
    ("AWS/Lambda", "Duration"),
    ("AWS/Lambda", "AsyncEventAge"),
    ("AWS/Lambda", "DestinationDeliveryFailures"),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"),
    ("AWS/States", "ExecutionsStarted"),
    ("AWS/States", "ExecutionsSucceeded"),
    ("AWS/States", "ExecutionsFailed"),
    ("AWS/States", "ExecutionsAborted"),
    ("AWS/States", "ExecutionsTimedOut"),
    ("AWS/States", "ExecutionThrottled"),
}
"""https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-monitoring.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""


DEFINITION: Mapping[str, Any] = json.loads((ROOT / "statemachine" / "gate.asl.json").read_text())["States"]
RULES = [rule for state in DEFINITION.values() for part in ("Choices", "Catch") for rule in state.get(part, ())]
"""The parts of a state that can have assignments of their own."""


def put() -> set[str]:
    """Metrics of ours that functions put, as their source spells them, and the state machine."""
    source = "".join(path.read_text() for path in (ROOT / "handlers").rglob("*.py"))
    said = {one.get("Assign", {}).get("metric", "") for one in [*DEFINITION.values(), *RULES]} - {""}
    return said | {*re.findall(r'(?:\bcount|add_metric)\("(\w+)"', source), *ENDED_METRIC.values()}


def shown() -> set[tuple[str, str]]:
    """(namespace, metric) of each line of the dashboard."""
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ())]
    return {(line[0], line[1]) for line in lines}


def rows(heading: str) -> list[list[str]]:
    """Of the table that follows, without its head."""
    table = next(part for part in OPERATIONS.split(heading)[1].split("\n\n") if part.startswith("|"))
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_at_one_metric_that_somebody_puts(name: str) -> None:
    alarm = ALARMS[name]

    assert "Metrics" not in alarm
    if alarm["Namespace"] == NAMESPACE:
        assert alarm["MetricName"] in put()
        assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]
    else:
        assert (alarm["Namespace"], alarm["MetricName"]) in AWS_METRICS


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_says_when_it_is_over_to_those_who_heard_it(name: str) -> None:
    alarm = ALARMS[name]

    assert alarm["AlarmActions"]["Fn::If"][:2] == ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}]]
    assert alarm["OKActions"] == alarm["AlarmActions"]
    assert alarm["TreatMissingData"] == "notBreaching"
    assert "docs/operations.md" in alarm["AlarmDescription"]


def test_the_dashboard_shows_every_alarm() -> None:
    (alarms,) = (widget["properties"]["alarms"] for widget in DASHBOARD["widgets"] if widget["type"] == "alarm")

    assert alarms == [f"${{{name}.Arn}}" for name in ALARMS]


def test_each_alarm_asks_something_of_its_own_of_the_operator_and_operations_says_what() -> None:
    """What two alarms have in common is one alarm."""
    names, _, asked = zip(*rows("## The alarms"), strict=True)

    assert sorted(names) == sorted(f"`{name}`" for name in ALARMS)
    assert len(set(asked)) == len(ALARMS) == 16


def test_operations_says_what_every_metric_of_ours_counts() -> None:
    assert {name for names, _ in rows("The application's metrics") for name in re.findall(r"`(\w+)`", names)} == put()


def test_operations_says_which_metrics_are_neither_shown_nor_watched() -> None:
    seen = {name for _, name in shown()} | {alarm["MetricName"] for alarm in ALARMS.values()}
    (said,) = re.findall(r"application's stack name\. (.+?) (?:is|are) in no\s+widget", OPERATIONS)

    assert set(re.findall(r"`(\w+)`", said)) == put() - seen


def test_the_dashboard_shows_metrics_that_somebody_puts() -> None:
    assert shown() <= {(NAMESPACE, name) for name in put()} | AWS_METRICS


def test_the_dashboard_shows_what_is_counted_and_calculates_nothing() -> None:
    """Gates begun less gates ended would go below zero, and a sum is empty where one of its metrics was never put."""
    lines = [line for widget in DASHBOARD["widgets"] for line in widget["properties"].get("metrics", ())]

    assert lines
    assert not [line for line in lines if isinstance(line[0], dict)]


def test_two_stacks_of_the_application_do_not_ring_each_others_alarms() -> None:
    """Each metric of ours has the stack's name as its one dimension, where it is put and where it is looked at."""
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ()) if line[0] == NAMESPACE]
    data = [one["Arguments"]["MetricData"] for one in DEFINITION.values() if "MetricData" in one.get("Arguments", {})]
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert {tuple(line[2:4]) for line in lines} == {("service", "${AWS::StackName}")}
    assert [one["Dimensions"] for metrics in data for one in metrics] == [[{"Name": "service", "Value": "${Service}"}]]
    assert RESOURCES["LicenseConversionGate"]["Properties"]["DefinitionSubstitutions"]["Service"] == {
        "Ref": "AWS::StackName"
    }
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_no_alarm_counts_the_errors_of_the_check_function_because_a_refusal_is_one() -> None:
    """The state machine counts the checks that it gets no result of."""
    watched = [one["Dimensions"][0]["Value"] for one in ALARMS.values() if one["MetricName"] == "Errors"]

    assert watched == [{"Ref": f"{name}Function"} for name in ("CustomResource", "Respond", "PollTasks")]


def test_a_request_that_waits_for_its_function_is_seen_before_it_is_given_up() -> None:
    (late,) = (one for one in ALARMS.values() if one["MetricName"] == "AsyncEventAge")
    function = RESOURCES[late["Dimensions"][0]["Value"]["Ref"]]["Properties"]

    assert late["Threshold"] == function["EventInvokeConfig"]["MaximumEventAgeInSeconds"] * 1000 / 3


def test_what_the_alarms_and_the_metrics_cost_is_counted() -> None:
    assert f"| {len(put())} metrics of $0.30" in COST
    assert f"up to ${len(put()) * 0.3:.2f} |" in COST
    assert f"| {len(ALARMS)} alarms, $0.10 each | ${len(ALARMS) * 0.1:.2f} |" in COST


def test_the_saved_query_is_the_one_that_operations_explains() -> None:
    query = RESOURCES["StoryQuery"]["Properties"]["QueryString"].strip()

    assert f"```\n{query}\n```" in OPERATIONS
