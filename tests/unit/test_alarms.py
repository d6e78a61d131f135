"""Alarms, dashboard, saved queries and the pages that name them: one list, and metrics that something puts."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from license_conversion.plain_telemetry import NAMESPACE
from tests.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
ALARMS = {name: one["Properties"] for name, one in RESOURCES.items() if one["Type"] == "AWS::CloudWatch::Alarm"}
WITH_ITS_STACK = "TellWaitersFunction"
"""Invoked when the application is deployed or deleted, and at no other time: whoever does that sees it, and the alarms go too."""
FUNCTIONS = [
    name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function" and name != WITH_ITS_STACK
]
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


def put() -> set[str]:
    """Metrics of ours that functions and the state machine put, as their source spells them."""
    source = "".join(path.read_text() for path in (ROOT / "handlers").rglob("*.py"))
    said = re.findall(r'(?:\bcount|_count|add_metric)\("(\w+)"', source)
    said += re.findall(r'Outcome\.\w+: "(Gates\w+)"', source)
    definition = (ROOT / "statemachine" / "gate.asl.json").read_text()
    return {*said, *re.findall(r'"MetricName": "(\w+)"', definition)}


def shown() -> set[tuple[str, str]]:
    """(namespace, metric) of each line of the dashboard that is not an expression."""
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ())]
    return {(line[0], line[1]) for line in lines if isinstance(line[0], str)}


def rows(heading: str) -> str:
    """The first column of the table that follows."""
    table = OPERATIONS.split(heading)[1].split("\n\n")
    (found,) = [part for part in table if part.startswith("|")][:1]
    return "\n".join(line.split("|")[1] for line in found.splitlines())


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


def test_operations_says_what_to_do_about_every_alarm() -> None:
    assert set(re.findall(r"`(\w+)`", rows("## The alarms"))) == ALARMS.keys()


def test_operations_says_what_every_metric_of_ours_counts() -> None:
    assert set(re.findall(r"`(\w+)`", rows("Metrics of ours"))) == put()


def test_operations_says_which_metrics_are_neither_shown_nor_watched() -> None:
    seen = {name for _, name in shown()} | {alarm["MetricName"] for alarm in ALARMS.values()}
    (said,) = re.findall(r"have the same `service`\. (.+) are in no widget", OPERATIONS)

    assert set(re.findall(r"`(\w+)`", said)) == put() - seen


def test_the_dashboard_shows_metrics_that_somebody_puts() -> None:
    assert shown() <= {(NAMESPACE, name) for name in put()} | AWS_METRICS


def test_two_stacks_of_the_application_do_not_ring_each_others_alarms() -> None:
    """Each metric of ours has the stack's name as its one dimension, where it is put and where it is looked at."""
    widgets = [widget["properties"] for widget in DASHBOARD["widgets"]]
    lines = [line for widget in widgets for line in widget.get("metrics", ()) if line[0] == NAMESPACE]
    definition = json.loads((ROOT / "statemachine" / "gate.asl.json").read_text())["States"]
    data = [one["Parameters"]["MetricData"] for one in definition.values() if "MetricData" in one.get("Parameters", {})]
    variables = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]

    assert {tuple(line[2:4]) for line in lines} == {("service", "${AWS::StackName}")}
    assert len(data) == 2
    assert all(one["Dimensions"] == [{"Name": "service", "Value": "${Service}"}] for metrics in data for one in metrics)
    assert RESOURCES["LicenseConversionGate"]["Properties"]["DefinitionSubstitutions"]["Service"] == {
        "Ref": "AWS::StackName"
    }
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_an_alarm_for_throttles(function: str) -> None:
    watched = [one["Dimensions"][0]["Value"] for one in ALARMS.values() if one["MetricName"] == "Throttles"]

    assert {"Ref": function} in watched


@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_event_that_waits_for_its_function_is_seen_before_it_is_given_up(function: str) -> None:
    invoked = RESOURCES[function]["Properties"].get("EventInvokeConfig")
    late = [one for one in ALARMS.values() if one["MetricName"] == "AsyncEventAge"]
    thresholds = [one["Threshold"] for one in late if one["Dimensions"][0]["Value"] == {"Ref": function}]

    six_hours = 21_600  # what Lambda takes where nothing is said
    assert thresholds == ([invoked.get("MaximumEventAgeInSeconds", six_hours) * 1000 / 3] if invoked else [])


def test_what_the_alarms_and_the_metrics_cost_is_counted() -> None:
    assert f"| {len(put())} metrics of $0.30" in COST
    assert f"up to ${len(put()) * 0.3:.2f} |" in COST
    assert f"| {len(ALARMS)} alarms, $0.10 each | ${len(ALARMS) * 0.1:.2f} |" in COST


def test_the_saved_query_is_the_one_that_operations_explains() -> None:
    query = RESOURCES["StoryQuery"]["Properties"]["QueryString"].strip()

    assert f"```\n{query}\n```" in OPERATIONS
