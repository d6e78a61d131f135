"""A state machine does the whole job for one instance: it stops it, begins its conversion, waits at the gate, starts it again.

License Manager asks EC2 of the local cloud whether an instance is stopped, and EC2 reports the license that License Manager has
changed. No conversion ends by itself here: `end` ends it. A page of License Manager's list has one task.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.application import EXAMPLES, Application, NamedExecutions
from tests.eventually import eventually
from tests.local_cloud.clients import ACCOUNT, REGION

SAID = 'Instance [i-0123456789abcdef0] is launched "from" an Amazon owned AMI.'
BYOL, INCLUDED, SQL = "RunInstances:0800", "RunInstances:0002", "RunInstances:0102"
RHEL = "RunInstances:0010"
TEMPLATE = (EXAMPLES / "convert-and-gate.yaml").read_text()
UNKNOWN = "i-0000000000000dead"
SHARED = {"duration": 5.0, "page_size": 50}
"""What this module changes of License Manager, as the other modules have it."""

Json = dict[str, Any]


def _quickly(template: str) -> str:
    """The same with short pauses, so that a retry that a test has asked for comes soon."""
    for long, short in (
        ("Seconds: 15\n", "Seconds: 1\n"),
        ("Seconds: 2,", "Seconds: 1,"),
        ("Seconds: 60,", "Seconds: 2,"),
    ):
        assert long in template
        template = template.replace(long, short)
    return template


def license_of(usage_operation: str, *product_codes: str) -> Json:
    """A license context as on the wire."""
    codes = [{"ProductCodeId": code, "ProductCodeType": "marketplace"} for code in product_codes]
    return {"UsageOperation": usage_operation} | ({"ProductCodes": codes} if codes else {})


def arn(instance_id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"


class Conversions(NamedExecutions):
    """The instances that they are about have the same names."""

    def __init__(self, application: Application) -> None:
        super().__init__(application)
        self.license_manager = application.cloud.license_manager
        self.ec2, self.steps = application.cloud.client("ec2"), application.cloud.client("stepfunctions")
        self.instances: dict[str, str] = {}
        stack = application.cloud.stacks.create("the-whole-job", _quickly(TEMPLATE))
        assert stack.status == "CREATE_COMPLETE", stack.failures
        self.state_machine_arn = stack.outputs["StateMachineArn"]

    def run_instance(self, name: str, *tags: str, stopped: bool = False, billed_as: Json | None = None) -> str:
        keys = [{"Key": key, "Value": "yes"} for key in ("LicenseConversion", *tags)]
        (started,) = self.ec2.run_instances(
            ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": keys}],
        )["Instances"]  # fmt: skip
        self.instances[name] = instance = str(started["InstanceId"])
        if billed_as:
            self.add(name, billed_as, duration=0)
        if stopped:
            self.ec2.stop_instances(InstanceIds=[instance])
            eventually(lambda: self.state(name) == "stopped")
        return instance

    def add(self, name: str, destination: str | Json, **members: Any) -> str:
        """A conversion that another principal has begun."""
        return self.license_manager.add_task(resource_arn=arn(self.instances[name]), destination=destination, **members)

    def start(self, name: str, to: Any = None, *, again: str = "", **more: Any) -> None:
        given = {
            "InstanceId": self.instances.get(name, UNKNOWN),
            "DestinationLicenseContext": to or license_of(INCLUDED),
            "TimeoutSeconds": 300,
        }
        self.begin(again or name, {**given, **more}, self.state_machine_arn)

    def state(self, name: str) -> str:
        found = self.ec2.describe_instance_status(InstanceIds=[self.instances[name]], IncludeAllInstances=True)
        return str(found["InstanceStatuses"][0]["InstanceState"]["Name"])

    def tasks(self, name: str) -> list[Json]:
        return [task for task in self.license_manager.tasks if task["ResourceArn"] == arn(self.instances[name])]

    def task(self, name: str) -> str:
        """The id of the instance's task that runs, once there is one. An execution that has ended will begin none."""

        def running() -> list[Json]:
            execution = self.steps.describe_execution(executionArn=self.arns[name])
            found = [task for task in self.tasks(name) if task["Status"] == "IN_PROGRESS"]
            assert found or execution["status"] == "RUNNING", execution
            return found

        return str(eventually(running)[0]["LicenseConversionTaskId"])

    def end(self, name: str, status: str = "SUCCEEDED", said: str | None = None) -> str:
        """Its conversion ends. That it began is the proof that the instance was stopped then."""
        task = self.task(name)
        self.license_manager.finish_task(task, status, said)
        return task

    def calls(self, name: str, operation: str) -> list[Json]:
        """What License Manager was asked about this instance: List…, Create…."""
        return [
            call.parameters
            for call in self.license_manager.calls
            if call.operation.startswith(operation) and arn(self.instances[name]) in json.dumps(call.parameters)
        ]


WRONG: dict[str, tuple[Json, str]] = {
    "two days": ({"TimeoutSeconds": 172_800}, "TimeoutSeconds has to be"),
    "a unit": ({"TimeoutSeconds": "2h"}, "TimeoutSeconds has to be"),
    "a part of a second": ({"TimeoutSeconds": 1.5}, "TimeoutSeconds has to be"),
    "a usage operation that is none": ({"to": license_of("RunInstances:9999")}, "UsageOperation has to be"),
    "a word": ({"to": "Windows"}, "UsageOperation has to be"),
    "product codes alone": ({"to": license_of(RHEL) | {"ProductCodes": ["one"]}}, "Each product code has to have"),
    "another instance": ({"InstanceId": "my-instance"}, "InstanceId has to be"),
    "a word for true": ({"Start": "yes"}, "Start has to be true or false"),
}


@pytest.fixture(scope="module")
def conversions(application: Application) -> Iterator[Conversions]:
    run = Conversions(application)
    run.license_manager.configure(duration=float("inf"), page_size=1)
    try:
        _begin(run)
        yield run
    finally:
        run.license_manager.configure(**SHARED)


def _begin(run: Conversions) -> None:
    """What each of them waits for, they wait for at the same time."""
    for name in ("runs", "fails", "protected", "twice", "times-out", "left", "joined", "other", "wrong"):
        run.run_instance(name)
    run.run_instance("stopped", stopped=True)
    run.run_instance("never runs", "tests:never-runs")
    run.run_instance("group", "aws:autoscaling:groupName")
    run.run_instance("gone")
    run.ec2.terminate_instances(InstanceIds=[run.instances["gone"]])
    run.ec2.modify_instance_attribute(InstanceId=run.instances["protected"], DisableApiStop={"Value": True})
    run.add("other", SQL)
    for name, codes in (("joined", []), ("second-page", ["rhel"])):
        run.run_instance(name, billed_as=license_of(RHEL, "old"))
        run.add(name, SQL, duration=0, end_status="FAILED")
        run.add(name, license_of(INCLUDED, *codes))
    run.run_instance("rhel", billed_as=license_of(RHEL, "rhel"))
    run.run_instance("converted", billed_as=license_of(RHEL, "sap", "rhel"))
    run.run_instance("activation")
    run.add("activation", INCLUDED, duration=0, end_status="FAILED", status_message=SAID, fails_late=True)

    for name in ("runs", "stopped", "fails", "protected", "twice", "never runs", "group", "gone", "joined", "other"):
        run.start(name)
    run.start("twice", again="twice-again")
    run.start("second-page", license_of(INCLUDED, "rhel"))
    run.start("rhel", license_of(RHEL, "rhel", "sap"))
    run.start("converted", license_of(RHEL, "rhel", "sap"))
    run.start("activation")
    run.start("unknown")
    run.start("left", Start=False)
    run.start("times-out", TimeoutSeconds=5)
    for name, (given, _) in WRONG.items():
        run.start("wrong", again=name, **given)

    eventually(lambda: all("Wait at Gate" in run.entered(name) for name in ("twice", "twice-again")))
    for name in ("runs", "stopped", "twice", "never runs", "joined", "second-page", "rhel", "left"):
        run.end(name)
    run.end("fails", "FAILED", SAID)


def test_an_instance_is_stopped_converted_and_started_again(conversions: Conversions) -> None:
    output = conversions.output("runs")

    (seen,) = conversions.tasks("runs")
    assert output["InstanceId"] == conversions.instances["runs"]
    told = output["LicenseConversionTask"]
    assert (told["LicenseConversionTaskId"], told["Status"]) == (seen["LicenseConversionTaskId"], "SUCCEEDED")
    assert (seen["SourceLicenseContext"], seen["DestinationLicenseContext"]) == (license_of(BYOL), license_of(INCLUDED))
    assert conversions.state("runs") == "running"


@pytest.mark.parametrize("name", ["stopped", "left"])
def test_an_instance_that_was_stopped_or_is_to_be_left_stays_stopped(conversions: Conversions, name: str) -> None:
    assert conversions.output(name)["LicenseConversionTask"]["Status"] == "SUCCEEDED"
    assert conversions.state(name) == "stopped"


# The input is wrong


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_input_is_refused_before_anything_is_touched(conversions: Conversions, name: str) -> None:
    error, cause = conversions.failure(name)

    assert error == "WrongInput"
    assert cause.startswith(f"Nothing was touched. {WRONG[name][1]}")
    assert conversions.entered(name) == ["Read Input", "Is It Right?", "Failed"]
    assert (conversions.state("wrong"), conversions.calls("wrong", "")) == ("running", [])


# A conversion runs already


@pytest.mark.parametrize("name", ["joined", "second-page"])
def test_a_conversion_that_runs_already_is_waited_for_wherever_it_is_in_the_list(
    conversions: Conversions, name: str
) -> None:
    task = conversions.output(name)["LicenseConversionTask"]["LicenseConversionTaskId"]

    assert task == conversions.tasks(name)[-1]["LicenseConversionTaskId"]
    assert conversions.entered(name).count("List Conversions") == 3
    assert conversions.calls(name, "Create") == []
    assert "Stop Instance" not in conversions.entered(name)


def test_of_two_executions_at_once_one_begins_the_conversion_and_both_wait_for_it(conversions: Conversions) -> None:
    first, again = conversions.output("twice"), conversions.output("twice-again")

    assert first == again
    assert len(conversions.tasks("twice")) == 1
    assert conversions.state("twice") == "running"


def test_a_conversion_to_something_else_is_not_disturbed(conversions: Conversions) -> None:
    error, cause = conversions.failure("other")

    assert error == "NotConverted"
    assert conversions.task("other") in cause
    assert (conversions.state("other"), conversions.calls("other", "Create")) == ("running", [])


def test_an_instance_is_not_started_in_mid_conversion_but_by_an_execution_that_is_asked_to(
    conversions: Conversions,
) -> None:
    error, cause = conversions.failure("times-out")
    assert error == "StillConverting"
    assert f"{conversions.task('times-out')} may still convert it. LicenseConversion.TimedOut: " in cause
    assert conversions.state("times-out") == "stopped"

    conversions.start("times-out", again="in time", Start=True)
    task = conversions.end("times-out")

    assert conversions.output("in time")["LicenseConversionTask"]["LicenseConversionTaskId"] == task
    assert len(conversions.tasks("times-out")) == 1
    assert conversions.state("times-out") == "running"


# The start


def test_an_instance_that_is_started_and_never_runs_is_reported_with_ec2s_reason(conversions: Conversions) -> None:
    error, cause = conversions.failure("never runs")

    assert error == "NotStarted"
    assert cause.endswith(" was started, but is stopped. Client.InternalError: Client error on launch")
    assert [task["Status"] for task in conversions.tasks("never runs")] == ["SUCCEEDED"]


# Product codes


def test_product_codes_are_sent_and_another_products_code_is_another_license(conversions: Conversions) -> None:
    assert conversions.output("rhel")["LicenseConversionTask"]["DestinationLicenseContext"] == license_of(
        RHEL, "rhel", "sap"
    )  # fmt: skip
    (begun,) = conversions.calls("rhel", "Create")
    assert begun["SourceLicenseContext"] == license_of(RHEL, "rhel")
    assert begun["DestinationLicenseContext"] == license_of(RHEL, "rhel", "sap")


def test_an_instance_that_has_the_license_is_left_alone_whatever_the_order_of_its_product_codes(
    conversions: Conversions,
) -> None:
    assert conversions.output("converted")["LicenseConversionTask"]["Status"] == "SUCCEEDED"
    assert not {"Begin Conversion", "Wait at Gate"} & set(conversions.entered("converted"))
    assert conversions.state("converted") == "running"


# What is not converted


@pytest.mark.parametrize(
    ("name", "words", "state"),
    [
        ("fails", SAID, "running"),
        ("activation", SAID, "running"),  # it failed after the billing had changed
        ("gone", " was not converted: it is terminated.", "terminated"),
        ("unknown", " was not converted: it is not there.", ""),
        ("protected", "'disableApiStop' instance attribute", "running"),
        ("group", " stays as it is: its Auto Scaling group would replace it.", "running"),
    ],
)
def test_what_is_not_converted_is_reported_and_left_as_it_was(
    conversions: Conversions, name: str, words: str, state: str
) -> None:
    error, cause = conversions.failure(name)

    assert error == "NotConverted"
    assert words in cause
    if state:
        assert conversions.state(name) == state
        assert len(conversions.calls(name, "Create")) == (name == "fails")


class TestAlone:
    """One after the other, when the rest has ended: License Manager's settings and faults are for the next call."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def alone(cls, conversions: Conversions) -> None:
        for execution_arn in conversions.arns.values():
            conversions.application.finish(execution_arn)

    def test_throttles_are_waited_out(self, conversions: Conversions) -> None:
        conversions.run_instance("throttled")
        for operation in ("ListLicenseConversionTasks", "CreateLicenseConversionTaskForResource"):
            conversions.license_manager.faults.queue("RateLimitExceededException", times=3, operation=operation)
        conversions.start("throttled")
        conversions.end("throttled")

        assert conversions.output("throttled")["LicenseConversionTask"]["Status"] == "SUCCEEDED"
        assert [event["type"] for event in conversions.history("throttled")].count("TaskFailed") == 6
        assert conversions.entered("throttled").count("Stop Instance") == 1

    @pytest.mark.parametrize("ends", ["after the list", "before the list"])
    def test_a_conversion_that_ends_while_it_is_looked_for_is_not_begun_again(
        self, conversions: Conversions, ends: str
    ) -> None:
        conversions.run_instance(ends, stopped=True)
        task = conversions.add(ends, INCLUDED)
        if ends == "before the list":  # the first one fails
            conversions.license_manager.faults.queue("ServerInternalException", operation="ListLicenseConversionTasks")
        conversions.start(ends)
        eventually(lambda: conversions.calls(ends, "List"))
        conversions.license_manager.finish_task(task)

        assert task in json.dumps(conversions.output(ends))
        assert conversions.calls(ends, "Create") == []

    @pytest.mark.parametrize(
        ("operation", "words"),
        [("ListLicenseConversionTasks", "stays as it is. "), ("CreateLicenseConversionTaskForResource", "")],
    )
    def test_a_denial_is_reported_and_the_instance_runs_as_before(
        self, conversions: Conversions, operation: str, words: str
    ) -> None:
        conversions.run_instance(operation)
        conversions.license_manager.faults.queue("AccessDeniedException", operation=operation)
        conversions.start(operation)

        error, cause = conversions.failure(operation)
        assert error == "NotConverted"
        assert f"{words}LicenseManager.AccessDeniedException: " in cause
        assert conversions.state(operation) == "running"
