"""A state machine does the whole job around the gate: it stops instances, begins their conversions, waits, starts them again.

License Manager asks EC2 of the local cloud whether an instance is stopped, and EC2 tells the usage operation that License
Manager has changed. No conversion ends by itself here: `end` ends it. All executions are started at once.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.application import EXAMPLES, Application
from tests.eventually import eventually
from tests.local_cloud.clients import ACCOUNT, REGION

SAID = 'Instance [i-0123456789abcdef0] is launched "from" an Amazon owned AMI.'
BYOL, INCLUDED, SQL = "RunInstances:0800", "RunInstances:0002", "RunInstances:0102"
TEMPLATE = (EXAMPLES / "convert-and-gate.yaml").read_text()
IMPORTED = "!ImportValue license-conversion-gate-StateMachineArn"
START_AGAIN = "LicenseConversionStartAgain"
UNKNOWN = "i-0000000000000dead"

Json = dict[str, Any]


def _quickly(template: str) -> str:
    """The same with short pauses, so that nobody waits for a retry that a test has asked for."""
    for long, short in (("Seconds: 15\n", "Seconds: 1\n"), ("IntervalSeconds: 2", "IntervalSeconds: 1")):
        assert long in template
        template = template.replace(long, short)
    return template.replace("IntervalSeconds: 5", "IntervalSeconds: 1").replace("BackoffRate: 2", "BackoffRate: 1")


class Conversions:
    """Executions by the name of what happens to them, and the instances that they are about."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.license_manager = application.cloud.license_manager
        self.ec2 = application.cloud.client("ec2")
        self.step_functions = application.cloud.client("stepfunctions")
        self.instances: dict[str, list[str]] = {}
        self.arns: dict[str, str] = {}
        stack = application.cloud.stacks.create("convert-and-gate", _quickly(TEMPLATE))
        assert stack.status == "CREATE_COMPLETE", stack.failures
        self.state_machine_arn = stack.outputs["StateMachineArn"]

    def run_instances(self, name: str, count: int = 1, tag: str = "yes") -> list[str]:
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "LicenseConversion", "Value": tag}]}]
        started = self.ec2.run_instances(
            ImageId="ami-0123456789abcdef0", MinCount=count, MaxCount=count, TagSpecifications=tags
        )["Instances"]
        self.instances[name] = [instance["InstanceId"] for instance in started]
        return self.instances[name]

    def stop(self, instance_id: str, *, remember: bool = False) -> None:
        """As somebody else does it, or, to remember, an execution of another state machine like this one."""
        if remember:
            self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": START_AGAIN, "Value": "yes"}])
        self.ec2.stop_instances(InstanceIds=[instance_id])
        eventually(lambda: self.state(instance_id) == "stopped")

    def start(self, name: str, instances: Any = None, state_machine_arn: str = "", **more: Any) -> None:
        given = {"InstanceIds": instances or self.instances[name], "UsageOperation": INCLUDED, "TimeoutSeconds": 300}
        self.arns[name] = self.application.start({**given, **more}, state_machine_arn or self.state_machine_arn)

    def state(self, instance_id: str) -> str:
        found = self.ec2.describe_instance_status(InstanceIds=[instance_id], IncludeAllInstances=True)
        return str(found["InstanceStatuses"][0]["InstanceState"]["Name"])

    def remembered(self, instance_id: str) -> bool:
        filters = [{"Name": "resource-id", "Values": [instance_id]}, {"Name": "key", "Values": [START_AGAIN]}]
        return bool(self.ec2.describe_tags(Filters=filters)["Tags"])

    def tasks(self, instance_id: str) -> list[Json]:
        return [task for task in self.license_manager.tasks if task["ResourceArn"] == arn(instance_id)]

    def task(self, instance_id: str) -> str:
        """The id of the instance's task, once it has been begun."""
        return str(eventually(lambda: self.tasks(instance_id))[-1]["LicenseConversionTaskId"])

    def end(self, instance_id: str, status: str = "SUCCEEDED", said: str | None = None) -> None:
        """Its conversion ends. That it began is the proof that the instance was stopped then."""
        self.license_manager.finish_task(self.task(instance_id), status, said)

    def asked_for(self, instance_id: str, *, after: float) -> float:
        """The time when License Manager was asked for this instance's task by its id, once it was, after another time."""
        task = self.task(instance_id)
        return eventually(lambda: next((c.time for c in self.license_manager.calls_for(task) if c.time > after), 0.0))

    def begun(self, instance_id: str) -> list[str]:
        """License Manager's answers to whoever began a conversion of this instance."""
        calls = self.license_manager.calls
        return [
            call.answer
            for call in calls
            if call.operation.startswith("Create") and call.parameters["ResourceArn"] == arn(instance_id)
        ]

    def output(self, name: str) -> list[Json]:
        ended = self.application.finish(self.arns[name])
        assert ended["status"] == "SUCCEEDED", (ended.get("error"), ended.get("cause"))
        found: list[Json] = json.loads(ended["output"])
        return found

    def said(self, name: str) -> list[str]:
        """What an execution that failed says of each instance that was not converted."""
        ended = self.application.finish(self.arns[name])
        assert (ended["status"], ended["error"]) == ("FAILED", "NotAllConverted"), (
            ended.get("cause"),
            ended.get("output"),
        )
        sentences: list[str] = json.loads(ended["cause"])
        return sentences

    def gates(self, name: str) -> list[Json]:
        """The inputs of the gates that an execution has started."""
        found = [
            self.step_functions.describe_execution(executionArn=one["executionArn"])
            for one in self.application.executions()
        ]
        inputs = [json.loads(one["input"]) for one in found]
        by = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"
        return [one for one in inputs if isinstance(one, dict) and one.get(by) == self.arns[name]]


def arn(instance_id: str) -> str:
    return f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{instance_id}"


@pytest.fixture(scope="module")
def conversions(application: Application) -> Iterator[Conversions]:
    run = Conversions(application)
    run.license_manager.configure(duration=float("inf"))
    add = run.license_manager.add_task

    for name in ("runs", "fails", "protected", "twice", "times-out", "gate-breaks"):
        run.run_instances(name)
    run.run_instances("wave", 3, tag="first wave")
    run.run_instances("some-fail", 2)
    (stopped,) = run.run_instances("stopped")
    run.stop(stopped)
    (joined,) = run.run_instances("joined")
    add(resource_arn=arn(joined), destination=INCLUDED)
    (other,) = run.run_instances("other")
    run.stop(other, remember=True)
    add(resource_arn=arn(other), destination=SQL)
    (converted,) = run.run_instances("converted")
    add(resource_arn=arn(converted), destination=INCLUDED, duration=0)
    (gone,) = run.run_instances("gone")
    run.ec2.terminate_instances(InstanceIds=[gone])
    (protected,) = run.instances["protected"]
    run.ec2.modify_instance_attribute(InstanceId=protected, DisableApiStop={"Value": True})

    for name in ("runs", "stopped", "fails", "some-fail", "joined", "other", "converted", "gone", "protected", "twice"):
        run.start(name)
    run.instances["twice-again"] = run.instances["twice"]
    run.start("twice-again")
    run.start("times-out", TimeoutSeconds=5)
    run.start("gate-breaks", state_machine_arn=_with_a_gate_that_breaks(run))
    run.start("unknown", [UNKNOWN])
    run.start("too-many", [f"i-{number:017x}" for number in range(101)])
    for name, tag in (("wave", "first wave"), ("nobody", "a tag that nobody has")):
        given = {"Tag": tag, "UsageOperation": INCLUDED, "TimeoutSeconds": 300}
        run.arns[name] = application.start(given, run.state_machine_arn)

    for name in ("runs", "stopped", "wave", "joined", "twice"):
        for instance in run.instances[name]:
            run.end(instance)
    run.end(run.instances["fails"][0], "FAILED", SAID)
    run.end(run.instances["some-fail"][0], "FAILED")
    yield run
    run.license_manager.reset()


def _with_a_gate_that_breaks(run: Conversions) -> str:
    """The example with something in the gate's place that fails with a Cause that is no JSON."""
    definition = {
        "StartAt": "Fail",
        "States": {"Fail": {"Type": "Fail", "Error": "Broken", "Cause": '{"Status": "FAI'}},
    }
    role = "arn:aws:iam::000000000000:role/gate"
    gate = run.step_functions.create_state_machine(name="breaks", definition=json.dumps(definition), roleArn=role)
    template = _quickly(TEMPLATE).replace(IMPORTED, gate["stateMachineArn"])
    return run.application.cloud.stacks.create("broken-convert-and-gate", template).outputs["StateMachineArn"]


def test_an_instance_is_stopped_converted_and_started_again(conversions: Conversions) -> None:
    (instance,) = conversions.instances["runs"]
    task = conversions.task(instance)

    assert conversions.output("runs") == [
        {
            "InstanceId": instance,
            "LicenseConversionTaskId": task,
            "Result": "DONE",
            "Said": f"{instance} was converted by {task}.",
        }
    ]
    (seen,) = conversions.tasks(instance)
    assert seen["SourceLicenseContext"] == {"UsageOperation": BYOL}
    assert seen["DestinationLicenseContext"] == {"UsageOperation": INCLUDED}
    assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)


def test_an_instance_that_was_stopped_stays_stopped(conversions: Conversions) -> None:
    (instance,) = conversions.instances["stopped"]

    assert conversions.output("stopped")[0]["Result"] == "DONE"
    assert conversions.state(instance) == "stopped"


def test_a_conversion_that_fails_is_told_in_license_managers_words_and_the_instance_runs_again(
    conversions: Conversions,
) -> None:
    (instance,) = conversions.instances["fails"]

    (sentence,) = conversions.said("fails")
    assert sentence == f"{instance} was not converted by {conversions.task(instance)}. {SAID}"
    assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)


def test_of_several_instances_those_that_failed_are_told_and_all_run_again(conversions: Conversions) -> None:
    fails, succeeds = conversions.instances["some-fail"]
    failed = conversions.asked_for(fails, after=conversions.tasks(fails)[0]["EndTime"])
    conversions.asked_for(succeeds, after=failed)  # though another one has failed
    conversions.end(succeeds)

    (sentence,) = conversions.said("some-fail")
    assert sentence.startswith(f"{fails} was not converted by ")
    assert [conversions.state(instance) for instance in (fails, succeeds)] == ["running", "running"]


def test_all_instances_with_a_tag_wait_at_one_gate(conversions: Conversions) -> None:
    wave = conversions.instances["wave"]

    output = conversions.output("wave")
    assert {entry["InstanceId"]: entry["Result"] for entry in output} == dict.fromkeys(wave, "DONE")
    (gate,) = conversions.gates("wave")
    assert sorted(gate["LicenseConversionTaskIds"]) == sorted(conversions.task(instance) for instance in wave)


def test_a_conversion_that_runs_already_is_joined_and_nothing_is_stopped(conversions: Conversions) -> None:
    (instance,) = conversions.instances["joined"]

    assert conversions.output("joined")[0]["LicenseConversionTaskId"] == conversions.task(instance)
    assert conversions.begun(instance) == []
    assert conversions.state(instance) == "running"


def test_of_two_executions_at_once_one_begins_the_conversion_and_both_wait_for_it(conversions: Conversions) -> None:
    (instance,) = conversions.instances["twice"]

    first, again = conversions.output("twice"), conversions.output("twice-again")
    assert first == again
    assert len(conversions.tasks(instance)) == 1
    assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)


def test_an_instance_that_is_billed_as_wanted_is_left_alone(conversions: Conversions) -> None:
    (instance,) = conversions.instances["converted"]

    (entry,) = conversions.output("converted")
    assert entry["Said"] == f"{instance} was billed as {INCLUDED} already."
    assert conversions.begun(instance) == []
    assert conversions.gates("converted") == []
    assert conversions.state(instance) == "running"


def test_a_conversion_to_something_else_is_not_disturbed(conversions: Conversions) -> None:
    (instance,) = conversions.instances["other"]

    (sentence,) = conversions.said("other")
    assert sentence == f"{instance} is being converted to something else, by {conversions.task(instance)}."
    assert conversions.begun(instance) == []
    assert (conversions.state(instance), conversions.remembered(instance)) == ("stopped", True)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gone", "is terminated; it has to be running or stopped."),
        ("protected", "'disableApiStop' instance attribute"),
        ("unknown", f"'{UNKNOWN}'"),
    ],
)
def test_what_cannot_be_converted_is_told_before_anything_happens(
    conversions: Conversions, name: str, words: str
) -> None:
    (sentence,) = conversions.said(name)

    assert words in sentence
    for instance in conversions.instances.get(name, []):
        assert conversions.begun(instance) == []
        assert not conversions.remembered(instance)


@pytest.mark.parametrize(("name", "error"), [("too-many", "TooManyInstances"), ("nobody", "NoInstances")])
def test_no_instance_and_too_many_are_refused(conversions: Conversions, name: str, error: str) -> None:
    assert conversions.application.finish(conversions.arns[name])["error"] == error


def test_a_gate_that_fails_with_a_cause_that_is_no_json_ends_nothing_early(conversions: Conversions) -> None:
    (instance,) = conversions.instances["gate-breaks"]

    (sentence,) = conversions.said("gate-breaks")
    assert sentence.startswith(f"{instance} is still being converted by {conversions.task(instance)}")
    assert conversions.state(instance) == "stopped"


def test_an_instance_is_not_started_in_mid_conversion_but_by_the_execution_that_sees_the_end(
    conversions: Conversions,
) -> None:
    (instance,) = conversions.instances["times-out"]

    (sentence,) = conversions.said("times-out")
    assert sentence.startswith(f"{instance} is still being converted by {conversions.task(instance)}")
    assert (conversions.state(instance), conversions.remembered(instance)) == ("stopped", True)

    conversions.start("times-out")
    conversions.end(instance)
    assert conversions.output("times-out")[0]["Result"] == "DONE"
    assert len(conversions.tasks(instance)) == 1
    assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)


class TestLimits:
    """One after the other, when the rest has ended: License Manager's settings and faults are for whoever asks next."""

    @pytest.fixture(autouse=True)
    def alone(self, conversions: Conversions) -> None:
        for execution_arn in conversions.arns.values():
            conversions.application.finish(execution_arn)

    def test_of_a_day_are_told_and_the_instance_runs_again(self, conversions: Conversions) -> None:
        (instance,) = conversions.run_instances("limit")
        conversions.license_manager.configure(tasks_a_day=1)
        try:
            conversions.start("limit")

            (sentence,) = conversions.said("limit")
        finally:
            conversions.license_manager.configure(tasks_a_day=None)
        assert "LicenseManager.RateLimitExceededException" in sentence
        assert "No more than 1 license conversions can be begun in 24 hours." in sentence
        assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)

    def test_of_the_rate_of_calls_are_waited_out(self, conversions: Conversions) -> None:
        (instance,) = conversions.run_instances("throttled")
        conversions.license_manager.faults.queue("RateLimitExceededException", times=3)
        conversions.start("throttled")
        conversions.end(instance)

        assert conversions.output("throttled")[0]["Result"] == "DONE"

    def test_of_a_role_without_rights_leave_everything_as_it_is(self, conversions: Conversions) -> None:
        (instance, stopped) = conversions.run_instances("denied", 2)
        conversions.stop(stopped, remember=True)
        conversions.license_manager.faults.queue("AccessDeniedException", times=2)
        conversions.start("denied")

        for sentence, one in zip(conversions.said("denied"), (instance, stopped), strict=True):
            assert sentence.startswith(f"{one} was left as it is. LicenseManager.AccessDeniedException: ")
        assert (conversions.state(instance), conversions.remembered(instance)) == ("running", False)
        assert (conversions.state(stopped), conversions.remembered(stopped)) == ("stopped", True)
