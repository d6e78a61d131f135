"""What dashboard, alarms and saved queries look at is what a run writes: twenty gates and all that can happen to them. No other
module comes before this one on its cloud: what it had logged would be taken for this run's.
"""

import json
import re

import pytest

from license_conversion.plain_telemetry import NAMESPACE
from tests.end_to_end.application import Application
from tests.end_to_end.twenty_gates import Point, TwentyGates
from tests.local_cloud.cloud import LocalCloud
from tests.template import RESOURCES
from tests.unit.test_operations import ALARMS, DASHBOARD, put, shown

SERVICE = (("service", "license-conversion-gate"),)


pytestmark = pytest.mark.skipif(
    not LocalCloud.can_check_permissions(), reason="the bus takes every event: denying one needs Node, and `make setup`"
)


@pytest.fixture(scope="module")
def points(application: Application) -> list[Point]:
    gates = TwentyGates(application)
    gates.run()
    return list(gates.points())


def test_the_run_writes_every_metric_that_the_code_names_and_no_other(points: list[Point]) -> None:
    assert {point.name for point in points} == put()


def test_every_metric_has_the_dimension_that_alarms_and_dashboard_ask_for(points: list[Point]) -> None:
    lines = [line for widget in DASHBOARD["widgets"] for line in widget["properties"].get("metrics", ())]

    assert {point.dimensions for point in points} == {SERVICE}
    assert {tuple(line[2:4]) for line in lines if line[0] == NAMESPACE} == {("service", "${AWS::StackName}")}


def test_the_run_writes_every_metric_that_dashboard_and_alarms_name(points: list[Point]) -> None:
    named = {name for namespace, name in shown() if namespace == NAMESPACE}
    named |= {alarm["MetricName"] for alarm in ALARMS.values() if alarm["Namespace"] == NAMESPACE}

    assert named <= {point.name for point in points}


def test_the_run_writes_every_field_that_the_queries_name(application: Application, points: list[Point]) -> None:
    queries = [one["Properties"]["QueryString"] for one in RESOURCES.values() if "QueryString" in one["Properties"]]
    queries += [widget["properties"]["query"] for widget in DASHBOARD["widgets"] if widget["type"] == "log"]
    named = {
        field for query in queries for field in re.findall(r"[\w@]+", re.findall(r"fields ([^|\n]+)", query)[0])
    }  # fmt: skip
    lines = [json.loads(line) for line in application.cloud.log_lines() if line.startswith("{")]

    assert {"task_id", "outcome", "reason"} < named
    assert {name for name in named if not name.startswith("@")} <= {key for line in lines for key in line}


def test_every_gate_is_counted_at_its_beginning_and_at_its_end(points: list[Point]) -> None:
    """At least once: what a check has counted is counted again where the state machine had given the attempt up."""
    total = {name: sum(point.value for point in points if point.name == name) for name in put()}
    ends = ("GatesSucceeded", "GatesFailed", "GatesTimedOut", "GatesRefused", "GatesStopped")
    broken_before_their_first_check = 2
    stopped_by_hand = 1

    assert total["GatesBroken"] == broken_before_their_first_check
    assert total["GatesStarted"] >= 20 - broken_before_their_first_check
    assert sum(total[end] for end in ends) >= 20 - broken_before_their_first_check - stopped_by_hand
