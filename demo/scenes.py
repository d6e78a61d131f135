"""What ``make demo`` shows: three stacks that wait for a conversion, each in its own way, on the local cloud."""

import contextlib
import time
from collections.abc import Mapping

from demo.screen import Screen
from demo.watch import Narrator
from tests.local_cloud import ROOT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

BUILT = ROOT / ".aws-sam" / "build" / "template.yaml"
NAME = "license-conversion-gate"
"""The stack name whose exports the examples import."""
_LONGEST_SCENE = 120


class UnexpectedError(RuntimeError):
    """The demo did not show what it is meant to show. The message is a sentence for a person."""


def run(screen: Screen) -> None:
    """Raise UnexpectedError, or what the cloud raises, unless everything went as announced."""
    began = time.monotonic()
    screen.heading(
        "License Conversion Gate",
        "Changing how an EC2 instance is licensed (a license type conversion) takes its time, and CloudFormation "
        "does not wait for it. The gate is the resource that does. Here three stacks meet it, on a cloud inside this "
        "machine: no AWS account, no Docker, about a minute from here.",
    )
    with contextlib.ExitStack() as running:
        cloud, application = started(screen, running)
        demo = Demo(screen, cloud, application)
        demo.a_stack_waits()
        demo.a_conversion_fails()
        demo.a_long_conversion()
        demo.nothing_stays()
    screen.say(f"The local cloud is gone too. All of it took {time.monotonic() - began:.0f} s.")


def started(screen: Screen, running: contextlib.ExitStack) -> tuple[LocalCloud, Stack]:
    """The local cloud and the application on it, for as long as `running` lasts."""
    with screen.step("Starting the local cloud", "The local cloud runs"):
        cloud = running.enter_context(LocalCloud())
    screen.say(cloud.on_this_machine())
    with screen.step("Deploying the application", "sam deploy has deployed the application"):
        return cloud, cloud.stacks.deploy(NAME, BUILT)


class Demo:
    """The scenes, in their order."""

    def __init__(self, screen: Screen, cloud: LocalCloud, application: Stack) -> None:
        self._screen = screen
        self._cloud = cloud
        self._application = application
        self._stacks: list[Stack] = []

    def a_stack_waits(self) -> None:
        self._screen.heading(
            "1  A stack waits for a conversion",
            "The stack has two resources: Gate, and BilledAs, which needs what Gate finds out. The conversion takes "
            "11 s here. Watch BilledAs: it must not begin before the conversion has ended.",
        )
        task_id = self._cloud.license_manager.add_task(duration=11)
        stack = self._watch("one", "stack-gate.yaml", task_id, "CREATE_COMPLETE")
        response = self._cloud.answers(stack.id)[-1]
        late = response.at - self._end_of(task_id)
        _expect(late >= 0, "The gate responded before the conversion had ended.")

        self._screen.say("", "What the rest of the stack gets by Fn::GetAtt: every attribute, always, as a string:", "")
        self._screen.table((name, _attribute(stack, name)) for name in response.json["Data"])
        self._screen.say(
            "",
            f"The response came {late:.1f} s after the conversion's end. One poller asks License Manager every 5 s for all "
            "gates that wait.",
        )

    def a_conversion_fails(self) -> None:
        self._screen.heading(
            "2  A conversion that fails stops the stack",
            "This conversion fails after 4 s. The stack must not go on, and its events must say why.",
        )
        task_id = self._cloud.license_manager.add_task(duration=4, end_status="FAILED")
        stack = self._watch("two", "stack-gate.yaml", task_id, "ROLLBACK_COMPLETE")
        _expect(not stack.statuses("BilledAs"), "BilledAs began although the conversion failed.")
        reason = next((one for one in stack.failures if one.startswith("Gate: ")), "")
        _expect(task_id in reason, f"The Reason does not name the task {task_id}: {reason!r}")

        self._screen.say("", "The Reason, as the stack's events carry it:", "", reason)
        self._screen.say("", "The stack rolled back, and BilledAs was never begun.")

    def a_long_conversion(self) -> None:
        self._screen.heading(
            "3  A conversion of more than an hour",
            "CloudFormation gives a custom resource an hour at most. Here Start has its response at once, the wait condition "
            "Conversion1 holds the stack for up to 12 hours, and the gate signals its handle at the end. Gate depends on "
            "that, and has the attributes. The conversion takes 9 s here.",
        )
        task_id = self._cloud.license_manager.add_task(duration=9)
        clock = {"TimeoutSeconds": "60", "WaitConditionTimeout": "90"}
        stack = self._watch("three", "long-conversion.yaml", task_id, "CREATE_COMPLETE", clock)
        done = {
            event["LogicalResourceId"]: event["Timestamp"].timestamp() - self._end_of(task_id)
            for event in stack.events
            if event["ResourceStatus"] == "CREATE_COMPLETE"
        }
        _expect(done["Start"] < 0, "Start had its response only after the conversion's end.")
        _expect(done["Conversion1"] >= 0, "The stack went on before the end.")

        self._screen.say(
            "",
            f"Start had its response {-done['Start']:.1f} s before the conversion's end. Conversion1 held the stack until the "
            "gate signalled SUCCESS. Then Gate had the attributes at once, among them:",
            "",
        )
        names = ("Status", "DestinationLicenseContext.UsageOperation", "LicenseConversionTime")
        self._screen.table((name, _attribute(stack, name)) for name in names)

    def nothing_stays(self) -> None:
        self._screen.heading(
            "4  Cleaning up",
            "Deleting a stack never touches License Manager. What counts here: no gate is left waiting.",
        )
        with self._screen.step("Deleting the three stacks", "The three stacks are deleted"):
            for stack in self._stacks:
                self._cloud.stacks.delete(stack.id, wait=False)
            for stack in self._stacks:
                _expect_status(self._cloud.stacks.wait_for(stack.id), "DELETE_COMPLETE")

        machine = self._application.outputs["StateMachineArn"]
        found = self._cloud.client("stepfunctions").list_executions(stateMachineArn=machine)["executions"]
        # Stack two's Delete may come while the execution that has just responded to it is on its way to its end.
        gates = sorted("FAILED" if one["status"] == "ABORTED" else one["status"] for one in found)
        _expect(gates == ["FAILED"] + ["SUCCEEDED"] * 3, f"Among the executions are others: {gates}")
        self._screen.say("The gates were 4 executions of one state machine: 3 SUCCEEDED, 1 FAILED, 0 RUNNING.")

        with self._screen.step("Deleting the application", "The application is deleted"):
            _expect_status(self._cloud.stacks.delete(self._application.id), "DELETE_COMPLETE")

    def _watch(
        self, name: str, example: str, task_id: str, status: str, parameters: Mapping[str, str] | None = None
    ) -> Stack:
        """Create a stack from an example, and report what happens until it has come to rest, with that status."""
        began = time.time()
        given = {"LicenseConversionTaskId": task_id, **(parameters or {})}
        stack = self._cloud.stacks.create(name, ROOT / "examples" / example, given, wait=False)
        self._stacks.append(stack)
        watch = Narrator(self._cloud, self._application.outputs["StateMachineArn"], stack, task_id)
        while not watch.ended:
            for moment in watch.look():
                self._screen.moment(moment.at - began, moment.who, moment.what)
            late = time.time() - began > _LONGEST_SCENE
            _expect(not late, f"Stack {name} is still {watch.stack.status} after {_LONGEST_SCENE} s.")
            time.sleep(0.2)
        _expect_status(watch.stack, status)
        return watch.stack

    def _end_of(self, task_id: str) -> float:
        """The task's EndTime in epoch seconds."""
        task = self._cloud.client("license-manager").get_license_conversion_task(LicenseConversionTaskId=task_id)
        return float(task["EndTime"].timestamp())


def _attribute(stack: Stack, name: str) -> str:
    """What the gate's Fn::GetAtt gave, from the output that the examples make of it."""
    return stack.outputs[name.replace("LicenseContext.", "")] or '""'


def _expect(met: bool, otherwise: str) -> None:
    if not met:
        raise UnexpectedError(otherwise)


def _expect_status(stack: Stack, status: str) -> None:
    _expect(stack.status == status, f"Stack {stack.name} is {stack.status}, not {status}. {' '.join(stack.failures)}")
