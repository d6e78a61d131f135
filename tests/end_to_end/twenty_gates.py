"""Twenty gates and all that can happen to them: a run in which every metric of the application is written.

Most succeed, some fail, one has an undocumented status, some run out of time, one is deleted, one is stopped by hand, one
response is not taken, one caller's token is none here, one gate meets a table that is away, one as many pollers as may run; in
the end the check function loses its layer, and the bus takes no event.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from license_conversion.plain_telemetry import NAMESPACE
from license_conversion.registrations import MOST_POLLERS, SLOTS
from tests.end_to_end.application import EXAMPLES, Application, end_of, until_it_runs
from tests.eventually import eventually

FOREVER = float("inf")
SECONDS = 400
"""For something of the run to happen, on the slowest machine."""


class Point(NamedTuple):
    """One value of a metric."""

    name: str
    dimensions: tuple[tuple[str, str], ...]
    value: float


class TwentyGates:
    """Use once; it leaves the application as it was, and its stacks."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._cloud = application.cloud
        self._lambda = application.cloud.client("lambda")
        self._add_task = application.cloud.license_manager.add_task
        self._executions: list[str] = []
        self._stacks: dict[str, str] = {}
        self._endless: list[str] = []

    def run(self) -> None:
        self._meet_a_throttle_and_a_table_that_is_away()
        self._find_as_many_pollers_as_may_run()
        self._succeed()
        self._come_to_another_end()
        self._ended()
        self._meet_what_is_broken()
        self._strangers()
        for (
            task_id
        ) in self._endless:  # or a poller goes on until the gates that were stopped would have woken by themselves
            self._cloud.license_manager.finish_task(task_id)
        self._says("The poller has polled")  # known once that poller has ended
        assert len(self._executions) + len(self._stacks) == 20

    def _meet_a_throttle_and_a_table_that_is_away(self) -> None:
        task_id = self._add_task(duration=12)
        self._cloud.license_manager.faults.queue("RateLimitExceededException", task_id=task_id)
        self._cloud.tables_are_away.set()
        self._start(task_id, TimeoutSeconds=20)
        self._says("The gate asks by itself")
        self._cloud.tables_are_away.clear()

    def _find_as_many_pollers_as_may_run(self) -> None:
        """In a region of which no gate has waited for a task: its first gate starts a poller."""
        dynamodb, table = self._cloud.client("dynamodb"), self._application.physical_id("RegistrationTable")
        taken = {f"Slot{number}": {"N": f"{time.time() + SECONDS}"} for number in range(MOST_POLLERS)}
        dynamodb.put_item(TableName=table, Item={**SLOTS, **taken})
        self._start(self._endless_task(), TimeoutSeconds=20, Region="us-west-2")
        self._says("As many pollers run as may")
        dynamodb.delete_item(TableName=table, Key=SLOTS)

    def _succeed(self) -> None:
        for seconds in (3, 4, 5, 6, 8, 10):
            self._start(self._add_task(duration=seconds))
        self._create("goes-on", self._add_task(duration=9))

    def _come_to_another_end(self) -> None:
        self._start(self._add_task(duration=5, end_status="FAILED"), TaskToken="of-another-account")
        self._create("fails", self._add_task(duration=7, end_status="FAILED"))
        self._start(self._endless_task(), TimeoutSeconds=20)
        self._start(self._add_task(duration=0, end_status="PAUSED"), TimeoutSeconds=20)
        self._start("lct-0123456789abcdef0", OnFailur="FAIL")
        self._cloud.misbehave(*[503] * 100, stack="twenty-not-taken")
        self._create("not-taken", self._add_task(duration=3), ServiceTimeout="20")
        for name in ("deleted", "stopped"):
            task_id = self._endless_task()
            self._create(name, task_id)
            eventually(lambda task_id=task_id: self._cloud.license_manager.calls_for(task_id), SECONDS)  # type: ignore[misc]
        self._cloud.stacks.delete(self._stacks["deleted"], wait=False)
        steps = self._cloud.client("stepfunctions")  # the responder stands in for an execution that is stopped by hand
        for arn in (str(one["executionArn"]) for one in self._application.executions("RUNNING")):
            if self._stacks["stopped"] in steps.describe_execution(executionArn=arn)["input"]:
                steps.stop_execution(executionArn=arn, error="Operator")

    def _meet_what_is_broken(self) -> None:
        with self._without_layers("CheckTaskFunction"):
            self._create("broken", self._endless_task(), ServiceTimeout="15")
            self._start(self._endless_task(), TimeoutSeconds=5)
            self._ended()
        with self._denied("events:PutEvents"):
            self._start(self._add_task(duration=0))
            self._ended()

    def _strangers(self) -> None:
        """No gates: callers and events that the functions refuse, or cannot use."""
        for function, event in (
            ("CheckTaskFunction", {"LicenseConversionTaskIdd": "lct-0123456789abcdef0"}),
            ("CustomResourceFunction", {"RequestType": "Create"}),
        ):
            self._lambda.invoke(FunctionName=self._application.physical_id(function), Payload=json.dumps(event))

    def _endless_task(self) -> str:
        self._endless.append(self._add_task(duration=FOREVER))
        return self._endless[-1]

    def _start(self, task_id: str, **given: Any) -> None:
        self._executions.append(self._application.start({"LicenseConversionTaskId": task_id, **given}))

    def _create(self, name: str, task_id: str, **parameters: str) -> None:
        """A stack that stays as it is when its gate fails: a rollback's Delete would stop an execution on its way to its end."""
        given = {"LicenseConversionTaskId": task_id, **parameters}
        self._stacks[name] = self._cloud.stacks.create(
            f"twenty-{name}", EXAMPLES / "stack-gate.yaml", given, wait=False, OnFailure="DO_NOTHING"
        ).id

    def _says(self, words: str) -> None:
        eventually(lambda: any(words in line for line in self._cloud.log_lines()), SECONDS, pause=1)

    def _ended(self) -> None:
        for stack_id in self._stacks.values():
            self._cloud.stacks.wait_for(stack_id, SECONDS)
        for one in self._application.executions("RUNNING"):
            end_of(self._cloud, str(one["executionArn"]), SECONDS)

    @contextmanager
    def _without_layers(self, logical_id: str) -> Iterator[None]:
        name = self._application.physical_id(logical_id)
        layers = [one["Arn"] for one in self._lambda.get_function_configuration(FunctionName=name)["Layers"]]
        for given in ([], layers):
            self._lambda.update_function_configuration(FunctionName=name, Layers=given)
            until_it_runs(self._cloud, name)
            if not given:
                yield

    @contextmanager
    def _denied(self, action: str) -> Iterator[None]:
        """To the state machine."""
        policy = {"RoleName": self._application.physical_id("StateMachineRole"), "PolicyName": "denied"}
        statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self._cloud.client("iam").put_role_policy(**policy, PolicyDocument=document)
        yield
        self._cloud.client("iam").delete_role_policy(**policy)

    def points(self) -> Iterator[Point]:
        """What CloudWatch would make of the functions' logs, and what the state machine has put."""
        for line in self._cloud.log_lines():
            if line.startswith('{"_aws"'):
                yield from _embedded(json.loads(line))
        cloudwatch, today = self._cloud.client("cloudwatch"), datetime.now(UTC)
        for metric in cloudwatch.list_metrics(Namespace=NAMESPACE)["Metrics"]:
            found = cloudwatch.get_metric_statistics(
                Namespace=NAMESPACE, MetricName=metric["MetricName"], Dimensions=metric["Dimensions"],
                StartTime=today - timedelta(days=1), EndTime=today, Period=24 * 3600, Statistics=["Sum"],
            )  # fmt: skip
            dimensions = tuple((one["Name"], one["Value"]) for one in metric["Dimensions"])
            for one in found["Datapoints"]:
                yield Point(metric["MetricName"], dimensions, one["Sum"])


def _embedded(line: Mapping[str, Any]) -> Iterator[Point]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html"""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert directive["Namespace"] == NAMESPACE
        for names in directive["Dimensions"]:
            dimensions = tuple((name, line[name]) for name in names)
            for metric in directive["Metrics"]:
                values = line[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    yield Point(metric["Name"], dimensions, value)
