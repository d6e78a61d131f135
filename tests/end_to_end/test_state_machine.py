"""State machines wait at the deployed gate: by `.sync:2`, by task token, by a loop of their own, and on the event bus.

The executions of this module are all started at once, because each of them spends its time waiting.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from license_conversion.gate import JITTER, LONGEST_SLEEP
from poll_tasks import FLEET_SECONDS
from tests.end_to_end.application import EXAMPLES, Application, NamedExecutions, groups_of, run_instance, states_in
from tests.eventually import eventually
from tests.local_cloud.stacks import Stack

SAID = 'Instance [i-0123456789abcdef0] is launched "from" an Amazon owned AMI.'
UNKNOWN = "lct-0000000000000dead"
ENDED = ("License Conversion Succeeded", "License Conversion Failed", "License Conversion Wait Timed Out")
KEY = "LicenseConversionTaskId"
ANNOUNCED = [
    ("waits", 0),
    ("fails", 1),
    ("sync-waits", 0),
    ("callback-fails", 1),
    ("callback-times-out", 2),
    ("map-fails", 1),
    ("stack-waits", 0),
    ("stack-terminal", 0),
]
"""Whose end is on the bus, and which of the kinds it is."""
MANY = 600
"""Seconds: no expectation."""
EVENTS_OF_AN_EXECUTION = 25_000
"""https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""

Json = dict[str, Any]


class CallersOfTheGate(NamedExecutions):
    """`tasks` are the conversion tasks by the same name."""

    def __init__(self, application: Application) -> None:
        super().__init__(application)
        self.tasks: dict[str, str] = {}
        vpc = str(application.cloud.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"])
        self.examples = {
            path.stem: application.cloud.stacks.create(
                f"waits-{path.stem}", path, {"VpcId": vpc} if "VpcId:" in path.read_text() else {}, wait=False
            ).id
            for path in sorted(EXAMPLES.glob("*.yaml"))
            if path.stem.startswith(("state-machine-", "event-"))
        }

    def example(self, name: str) -> Stack:
        stack = self.application.cloud.stacks.wait_for(self.examples[name])
        assert stack.status == "CREATE_COMPLETE", stack.failures
        return stack

    def add(self, name: str, **members: Any) -> str:
        self.tasks[name] = self.application.cloud.license_manager.add_task(**members)
        return self.tasks[name]

    def start(self, name: str, execution_input: Json, example: str = "") -> None:
        """One execution of the gate, or of an example's state machine."""
        self.begin(name, execution_input, self.example(example).outputs["StateMachineArn"] if example else "")

    def failed_task(self, name: str) -> Json:
        (failed,) = (one["taskFailedEventDetails"] for one in self.history(name) if one["type"] == "TaskFailed")
        return dict(failed)

    def gate_of(self, name: str) -> Json:
        """The gate's own execution that a caller with a task token started, once it has ended."""
        (submitted,) = (event for event in self.history(name) if event["type"] == "TaskSubmitted")
        started = json.loads(submitted["taskSubmittedEventDetails"]["output"])
        return self.application.finish(started["ExecutionArn"])


@pytest.fixture(scope="module")
def executions(application: Application) -> CallersOfTheGate:
    run = CallersOfTheGate(application)
    add, start = run.add, run.start
    never = float("inf")
    run.example("event-to-sns")
    _subscribe(run)

    def request(name: str, **more: Any) -> Json:
        return {"LicenseConversionTaskId": run.tasks[name], "TimeoutSeconds": MANY, **more}

    def spoilt(name: str, fault: str, times: int = 1) -> Json:
        """A request for a task of its own, whose next looks meet the fault: a denial is believed after its grace."""
        run.application.cloud.license_manager.faults.queue(fault, times=times, task_id=add(name, duration=0))
        return request(name)

    add("waits", duration=never)
    add("fails", duration=3, end_status="FAILED", status_message=SAID)
    start("waits", request("waits"))
    start("fails", request("fails"))

    for caller in ("sync", "callback", "own-loop"):
        for what, members, more in (
            ("waits", {"duration": 7}, {}),
            ("fails", {"duration": 3, "end_status": "FAILED", "status_message": SAID}, {}),
            ("times-out", {"duration": never}, {"TimeoutSeconds": 6}),
        ):
            if (caller, what) != ("own-loop", "times-out"):
                add(name := f"{caller}-{what}", **members)
                given = request(name, **more, **(run_instance(application.cloud) if caller == "sync" else {}))
                start(name, given, f"state-machine-{caller}")
    refused = {"LicenseConversionTaskId": "lct_1", "TimeoutSeconds": MANY}
    start("callback-refused", refused, "state-machine-callback")
    start("own-loop-refused", refused, "state-machine-own-loop")
    start("callback-denied", spoilt("callback-denied", "AuthorizationException", 50), "state-machine-callback")
    start("own-loop-denied", spoilt("own-loop-denied", "AccessDeniedException"), "state-machine-own-loop")
    start("own-loop-throttled", spoilt("own-loop-throttled", "RateLimitExceededException"), "state-machine-own-loop")

    tasks = [add("map-waits", duration=3), add("map-fails", duration=0, end_status="FAILED", status_message=SAID)]
    start("map", {"LicenseConversionTaskIds": [*tasks, UNKNOWN], "TimeoutSeconds": MANY}, "state-machine-map")
    for name, duration in (("stack-waits", 6), ("stack-terminal", 0)):
        _create_stack(run, name, add(name, duration=duration))
    run.tasks["stack-refused"] = UNKNOWN
    _create_stack(run, "stack-refused", UNKNOWN)
    eventually(lambda: "Wait for Result" in run.entered("waits"), MANY)
    run.application.cloud.license_manager.finish_task(run.tasks["waits"])
    return run


def _groups(run: CallersOfTheGate, name: str) -> tuple[list[str], list[str]]:
    """The groups of an execution's instance as they were before, and as they are now."""
    asked = json.loads(run.ended(name)["input"])
    return asked["SecurityGroupIds"], groups_of(run.application.cloud, asked["InstanceId"])


def _subscribe(run: CallersOfTheGate) -> None:
    """A queue that gets what the example's topic gets."""
    sqs, topic = run.application.cloud.client("sqs"), run.example("event-to-sns").outputs["TopicArn"]
    queue = sqs.create_queue(QueueName="ends")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    run.application.cloud.client("sns").subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )


def _create_stack(run: CallersOfTheGate, name: str, task_id: str) -> None:
    template, parameters = EXAMPLES / "stack-gate.yaml", {"LicenseConversionTaskId": task_id}
    run.application.cloud.stacks.create(name, template, parameters, wait=False)


class TestOutput:
    def test_is_the_finished_task_in_the_shape_of_the_api(self, executions: CallersOfTheGate) -> None:
        output = executions.output("waits")

        assert output == {
            "LicenseConversionTaskId": executions.tasks["waits"],
            "ResourceArn": "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0",
            "SourceLicenseContext": {"UsageOperation": "RunInstances:0800"},
            "DestinationLicenseContext": {"UsageOperation": "RunInstances:0002"},
            "Status": "SUCCEEDED",
            **{name: output[name] for name in ("StartTime", "LicenseConversionTime", "EndTime")},
        }
        for name in ("StartTime", "LicenseConversionTime", "EndTime"):
            assert datetime.strptime(output[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


class TestErrors:
    def test_of_a_failed_conversion_has_the_task_as_its_cause(self, executions: CallersOfTheGate) -> None:
        error, cause = executions.failure("fails")

        assert error == "LicenseConversion.Failed"
        task = json.loads(cause)
        assert (task["LicenseConversionTaskId"], task["Status"]) == (executions.tasks["fails"], "FAILED")
        assert task["StatusMessage"] == SAID
        assert task["SourceLicenseContext"] == {"UsageOperation": "RunInstances:0800"}


class TestCallersThatWaitForTheExecution:
    def test_go_on_with_the_task(self, executions: CallersOfTheGate) -> None:
        assert executions.output("sync-waits")["LicenseConversionTaskId"] == executions.tasks["sync-waits"]
        before, now = _groups(executions, "sync-waits")
        assert now == before

    def test_choose_what_to_do_after_a_failure(self, executions: CallersOfTheGate) -> None:
        error, cause = executions.failure("sync-fails")

        assert error == "LicenseConversion.Failed"
        assert json.loads(cause)["StatusMessage"] == SAID
        before, now = _groups(executions, "sync-fails")
        assert now == before

    def test_choose_what_to_do_after_a_time_out(self, executions: CallersOfTheGate) -> None:
        error, cause = executions.failure("sync-times-out")

        assert error == "LicenseConversion.TimedOut"
        assert json.loads(cause)["Status"] == "IN_PROGRESS"
        closed = executions.example("state-machine-sync").outputs["ClosedGroupId"]
        assert _groups(executions, "sync-times-out")[1] == [closed]


class TestCallersWithATaskToken:
    def test_get_the_task(self, executions: CallersOfTheGate) -> None:
        output = executions.output("callback-waits")

        assert output["LicenseConversionTaskId"] == executions.tasks["callback-waits"]
        assert output == json.loads(executions.gate_of("callback-waits")["output"])

    @pytest.mark.parametrize(
        ("name", "caught", "gates"),
        [
            ("callback-fails", "ConversionFailed", "LicenseConversion.Failed"),
            ("callback-times-out", "StillConverting", "LicenseConversion.TimedOut"),
            ("callback-refused", "RequestRefused", "LicenseConversion.InvalidRequest"),
        ],
    )
    def test_catch_each_error_by_its_name(
        self, executions: CallersOfTheGate, name: str, caught: str, gates: str
    ) -> None:
        assert executions.failure(name)[0] == caught
        failed, gate = executions.failed_task(name), executions.gate_of(name)
        assert (failed["error"], failed["cause"]) == (gate["error"], gate["cause"])
        assert gate["error"] == gates

    def test_see_whose_role_was_denied_what(self, executions: CallersOfTheGate) -> None:
        error, cause = executions.failure("callback-denied")

        assert error == "GateHasNoAccess"
        assert "license-manager:GetLicenseConversionTask is denied to arn:aws:iam::" in cause
        assert "CheckTaskRole" in cause


class TestCallersWithALoopOfTheirOwn:
    def test_wait_as_long_as_the_task_function_says(self, executions: CallersOfTheGate) -> None:
        output = executions.output("own-loop-waits")

        assert output["LicenseConversionTaskId"] == executions.tasks["own-loop-waits"]
        assert "SecondsUntilNextCheck" not in output
        assert executions.entered("own-loop-waits").count("Look at Task") > 1

    def test_see_a_failure(self, executions: CallersOfTheGate) -> None:
        error, cause = executions.failure("own-loop-fails")

        assert error == "ConversionFailed"
        assert json.loads(cause)["StatusMessage"] == SAID

    @pytest.mark.parametrize(("name", "error"), [("refused", "InvalidRequest"), ("denied", "AccessDenied")])
    def test_catch_a_refusal_by_its_name(self, executions: CallersOfTheGate, name: str, error: str) -> None:
        assert executions.failure(f"own-loop-{name}")[0] == f"LicenseConversion.{error}"

    def test_wait_throttles_out(self, executions: CallersOfTheGate) -> None:
        assert executions.output("own-loop-throttled")["Status"] == "SUCCEEDED"
        looks = [
            json.loads(event["taskSucceededEventDetails"]["output"])["Payload"]
            for event in executions.history("own-loop-throttled")
            if event["type"] == "TaskSucceeded"
        ]
        assert looks[0].keys() == {"LicenseConversionTaskId", "SecondsUntilNextCheck"}


def test_a_map_reports_each_task_though_some_failed(executions: CallersOfTheGate) -> None:
    error, cause = executions.failure("map")

    assert error == "SomeNotConverted"
    told = json.loads(cause)
    failed, unknown = told["First"]
    assert (told["Tasks"], told["NotConverted"]) == (3, 2)
    assert (failed["Result"], failed["Error"]) == ("NOT CONVERTED", "LicenseConversion.Failed")
    assert failed["LicenseConversionTaskId"] == executions.tasks["map-fails"]
    assert json.loads(failed["Cause"])["StatusMessage"] == SAID
    assert (unknown["Result"], unknown["Error"]) == ("NOT CONVERTED", "LicenseConversion.InvalidRequest")


class TestEvents:
    @pytest.fixture(scope="class")
    @classmethod
    def events(cls, executions: CallersOfTheGate) -> dict[str, list[Json]]:
        """What the queue got, by the name of the task that it is about."""
        for name in executions.arns:
            executions.ended(name)
        for name in ("stack-waits", "stack-terminal", "stack-refused"):
            executions.application.cloud.stacks.wait_for(name)
        last = {"Source": "license-conversion-gate", "DetailType": ENDED[0], "Detail": f'{{"{KEY}": "the last one"}}'}
        put = executions.application.cloud.client("events").put_events(Entries=[last])
        assert not put["FailedEntryCount"]
        sqs = executions.application.cloud.client("sqs")
        queue = sqs.get_queue_url(QueueName="ends")["QueueUrl"]
        by_task: dict[str, list[Json]] = {}
        expected = {"the last one", *(executions.tasks[name] for name, _ in ANNOUNCED)}

        def all_came() -> bool:
            found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
            for message in found:
                event = json.loads(message["Body"])
                by_task.setdefault(event["detail"][KEY], []).append(event)
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return not found and expected <= by_task.keys()

        eventually(all_came)
        return {name: by_task.get(task, []) for name, task in executions.tasks.items()}

    @pytest.mark.parametrize(("name", "kind"), ANNOUNCED)
    def test_come_of_every_end(self, events: dict[str, list[Json]], name: str, kind: int) -> None:
        event, *copies = events[name]
        assert [copy["detail"] for copy in copies] == [event["detail"]] * len(copies)  # delivered at least once
        assert (event["source"], event["detail-type"]) == ("license-conversion-gate", ENDED[kind])
        resource, machine, execution = event["resources"]  # Step Functions adds the last two
        assert resource == "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0"
        assert execution.startswith(f"{machine.replace(':stateMachine:', ':execution:')}:")

    def test_carry_the_output_and_name_the_stack_that_waited(
        self, executions: CallersOfTheGate, events: dict[str, list[Json]]
    ) -> None:
        assert events["waits"][0]["detail"] == executions.output("waits")
        detail = events["stack-waits"][0]["detail"]
        assert detail["StackId"] == executions.application.cloud.stacks.describe("stack-waits").id
        assert detail["LogicalResourceId"] == "Gate"

    @pytest.mark.parametrize("name", ["stack-refused", "own-loop-waits"])
    def test_come_of_no_refused_request_and_of_no_check_of_a_callers_own_loop(
        self, events: dict[str, list[Json]], name: str
    ) -> None:
        assert events[name] == []  # other callers named the same unknown task, too


class TestHistories:
    def test_of_the_longest_wait_stay_below_the_limit(self, executions: CallersOfTheGate) -> None:
        events = executions.history("waits")
        first, *_, last = checks = [event["id"] for event in events if states_in([event]) == ["Check Task"]]
        per_turn = (last - first) // (len(checks) - 1)
        around = len(events) - (last - first)
        # A fleet of a day: a thousand ends one by one, a poller that hands over each quarter of an hour, and else no callback.
        callbacks = 1000 + 86_400 / 900
        turns = callbacks + (86_400 - 1000 * (FLEET_SECONDS + 2)) / (LONGEST_SLEEP * (1 - JITTER))

        assert per_turn == 13
        assert around + per_turn * turns < EVENTS_OF_AN_EXECUTION


def test_no_log_line_contains_a_task_token(executions: CallersOfTheGate) -> None:
    steps, tokens = executions.application.cloud.client("stepfunctions"), []
    for execution in executions.application.executions():
        given = json.loads(steps.describe_execution(executionArn=execution["executionArn"])["input"])
        if token := given.get("TaskToken"):
            tokens.append(token)

    # Step Functions' own event about each execution, on the default bus, has the input; LocalStack logs that a rule was tried.
    local_cloud = executions.application.cloud.localstack.log.read_text().splitlines()
    lines = [line for line in local_cloud if "Step Functions Execution Status Change" not in line]
    lines += executions.application.cloud.log_lines()

    assert len(tokens) >= 4
    assert any("The gate ends" in line for line in lines)
    assert not [line for line in lines for token in tokens if token in line]
