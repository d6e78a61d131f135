"""`make verify` on a deployment as it should be, and on eight that are broken, each in its own way: it says which."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.application import BUILT, NAME, ROOT, Application
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.iam.person import policy_of

VERIFIED, BUS = f"{NAME}-verified", f"{NAME}-verified-bus"
TAG = "license-conversion-gate-verify"
TOKEN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}-caller"
RIGHTS = policy_of("Who verifies the application")
judged = pytest.mark.skipif(not LocalCloud.can_check_permissions(), reason="nothing judges permissions without Node")


@dataclass(frozen=True)
class Run:
    """What a run has said."""

    status: int
    text: str

    def lines(self, mark: str) -> dict[str, str]:
        """What was seen, by what was tried."""
        return dict(re.findall(rf"^{mark} +[\d.]+ s  ([^:]+): (.+)$", self.text, re.MULTILINE))


class VerifiedGate:
    """The application, and a person with the rights that docs/permissions.md names, who verifies it."""

    def __init__(self, cloud: LocalCloud) -> None:
        self.cloud = cloud
        self.events = cloud.client("events")
        self.events.create_event_bus(Name=BUS)
        self.application = Application(cloud, cloud.stacks.deploy(VERIFIED, BUILT, {"EventBusName": BUS}))
        found = cloud.client("cloudformation").describe_stack_resources(StackName=VERIFIED)["StackResources"]
        self.of = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def start(
        self, *options: str, folder: Path = ROOT, name: str = "verifier", rights: str = RIGHTS
    ) -> "subprocess.Popen[str]":
        person = self.cloud.person(name, rights)
        own = {one: value for one, value in os.environ.items() if not one.startswith(("AWS_", "PYTHON"))}
        key = {"AWS_ACCESS_KEY_ID": person.access_key_id, "AWS_SECRET_ACCESS_KEY": person.secret_access_key}
        return subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, "scripts/verify.py", "--stack", VERIFIED, *options],
            cwd=folder, env={**own, **self.cloud.environment, **key, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def verify(self, *options: str, folder: Path = ROOT) -> Run:
        running = self.start(*options, folder=folder)
        text, _ = running.communicate(timeout=600)
        return Run(running.returncode, text)

    def interrupted(self, after: str, name: str = "verifier", rights: str = RIGHTS) -> Run:
        """A run that gets Ctrl-C once it has said something."""
        running = self.start("--yes", name=name, rights=rights)
        assert running.stdout
        text = ""
        for line in running.stdout:
            text += line
            if after in line:
                running.send_signal(signal.SIGINT)
        return Run(running.wait(), text)

    def left(self) -> list[str]:
        """The stacks and queues that a verification has made, and that are there. LocalStack's CloudFormation leaves a rule of a
        bus that is not the default one.
        """
        stacks = self.cloud.client("cloudformation").list_stacks()["StackSummaries"]
        names = [one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"]
        names += self.cloud.client("sqs").list_queues().get("QueueUrls", [])
        return [name for name in names if TAG in name]

    # Defects, planted for as long as a block lasts

    @contextmanager
    def disabled_rule(self) -> Iterator[None]:
        self.events.disable_rule(Name=self.of["ExecutionEndedRule"])
        yield
        self.events.enable_rule(Name=self.of["ExecutionEndedRule"])

    @contextmanager
    def function(self, name: str, **changes: Any) -> Iterator[None]:
        functions, function = self.cloud.client("lambda"), self.of[name]
        before = functions.get_function_configuration(FunctionName=function)
        for wanted in (changes, {one: before[one] for one in changes}):
            functions.update_function_configuration(FunctionName=function, **wanted)
            functions.get_waiter("function_updated_v2").wait(FunctionName=function)
            if wanted is changes:
                yield

    @contextmanager
    def wrong_handler(self) -> Iterator[None]:
        with self.function("PollTasksFunction", Handler="nowhere.handler"):
            yield

    @contextmanager
    def broken_responder(self) -> Iterator[None]:
        """It does not know its state machine."""
        with self.function("RespondFunction", Environment={"Variables": {}}):
            yield

    @contextmanager
    def missing_bus(self) -> Iterator[None]:
        self.events.delete_event_bus(Name=BUS)
        yield
        self.events.create_event_bus(Name=BUS)

    @contextmanager
    def queue_without_policy(self) -> Iterator[None]:
        queue = {"QueueUrl": self.of["DeadLetterQueue"]}
        sqs = self.cloud.client("sqs")
        before = sqs.get_queue_attributes(**queue, AttributeNames=["Policy"])["Attributes"]
        sqs.set_queue_attributes(**queue, Attributes={"Policy": ""})
        yield
        sqs.set_queue_attributes(**queue, Attributes=before)

    @contextmanager
    def table_without_ttl(self) -> Iterator[None]:
        for enabled in (False, True):
            self.cloud.client("dynamodb").update_time_to_live(
                TableName=self.of["RegistrationTable"],
                TimeToLiveSpecification={"Enabled": enabled, "AttributeName": "Expires"},
            )
            if not enabled:
                yield

    @contextmanager
    def denying_license_manager(self) -> Iterator[None]:
        faults = self.cloud.license_manager.faults
        faults.queue("AccessDeniedException", times=100)
        yield
        faults.clear()

    @contextmanager
    def role_without_an_action(self) -> Iterator[None]:
        """As an organization's policy takes it away."""
        statement = {"Effect": "Deny", "Action": "license-manager:GetLicenseConversionTask", "Resource": "*"}
        role = {"RoleName": self.of["CheckTaskRole"], "PolicyName": "planted"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.cloud.client("iam").put_role_policy(**role, PolicyDocument=document)
        yield
        self.cloud.client("iam").delete_role_policy(**role)


@pytest.fixture(scope="module")
def deployment(cloud: LocalCloud) -> Iterator[VerifiedGate]:
    made = VerifiedGate(cloud)
    yield made
    cloud.stacks.delete(VERIFIED)


@pytest.fixture(scope="module")
def good(deployment: VerifiedGate, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """From a folder in which nothing else of the project is."""
    folder = tmp_path_factory.mktemp("released")
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/verify.py", folder / "scripts")
    return deployment.verify("--yes", "--task-token-role", TOKEN_ROLE, folder=folder)


def test_a_good_deployment_passes(good: Run) -> None:
    assert good.lines("FAILED") == {}
    assert good.status == 0, good.text
    assert set(good.lines("not tried")) == {"metrics"}  # LocalStack makes no metrics of what is logged
    assert "All that was tried works." in good.text


@pytest.mark.parametrize(
    ("what", "part"),
    [
        ("the stack", "release 0.1.0, us-east-1, partition aws"),
        ("alarms", "16, they notify nobody"),
        ("event bus", BUS),
        ("an execution for a task that does not exist", "LicenseConversion.InvalidRequest: License Manager refuses"),
        ("an execution stopped by hand", "stopped by an operator"),
        ("a gate that is refused", "License Manager refuses the task id lct-"),
        ("its story in the log", "'The gate ends: REFUSED'"),
        ("the moment of a request", "in the response URL"),
        ("an event on the bus", "through a throw-away rule"),
        ("a task token", "License Manager refuses"),
    ],
)
def test_a_line_says_what_was_seen(good: Run, what: str, part: str) -> None:
    assert part in good.lines("ok")[what]


def test_it_leaves_nothing_behind(good: Run, deployment: VerifiedGate) -> None:
    assert deployment.left() == []
    assert "LEFT BEHIND" not in good.text


def test_no_credential_is_said(good: Run) -> None:
    assert "Signature" not in good.text


@judged
def test_the_documented_rights_are_enough(good: Run, deployment: VerifiedGate) -> None:
    denied = [one.reason for one in deployment.cloud.verdicts() if "verifier" in one.owner and not one.allowed]

    assert denied == []


@pytest.mark.parametrize(
    ("defect", "what", "part"),
    [
        (VerifiedGate.disabled_rule, "rule on executions that end", "is DISABLED"),
        (VerifiedGate.wrong_handler, "functions", "PollTasksFunction has the handler nowhere.handler"),
        (VerifiedGate.missing_bus, "event bus", "there is no bus"),
        (VerifiedGate.queue_without_policy, "dead-letter queue", "no policy"),
        (VerifiedGate.table_without_ttl, "table of registrations", "TTL"),
    ],
)
def test_a_defect_is_named_before_anything_is_made(
    deployment: VerifiedGate, defect: Callable[[VerifiedGate], Any], what: str, part: str
) -> None:
    with defect(deployment):
        run = deployment.verify()

    assert set(run.lines("FAILED")) == {what}
    assert part in run.lines("FAILED")[what]
    assert run.status == 2
    assert "Nothing was made." in run.text


@pytest.mark.parametrize(
    "defect",
    [VerifiedGate.denying_license_manager, pytest.param(VerifiedGate.role_without_an_action, marks=judged)],
)
def test_a_denial_names_the_role_and_the_action(
    deployment: VerifiedGate, defect: Callable[[VerifiedGate], Any]
) -> None:
    with defect(deployment):
        run = deployment.interrupted("an execution for a task that does not exist")

    said = run.lines("FAILED")["an execution for a task that does not exist"]
    assert "LicenseConversion.AccessDenied: license-manager:GetLicenseConversionTask is denied to" in said
    assert "CheckTaskRole" in said
    assert "Let that role do it" in run.text
    assert deployment.left() == []


def test_a_broken_responder_is_named(deployment: VerifiedGate) -> None:
    with deployment.broken_responder():
        run = deployment.verify("--yes")

    assert run.status == 1
    assert "an execution for a task that does not exist" in run.lines("ok")
    assert "not receive a response" in run.lines("FAILED")["a gate that is refused"]
    assert f"The responder has not responded ({deployment.of['RespondFunction']})" in run.text
    assert deployment.left() == []


def test_ctrl_c_leaves_nothing_behind(deployment: VerifiedGate) -> None:
    run = deployment.interrupted("throw-away stacks")

    assert run.status == 130
    assert deployment.left() == []


@judged
def test_what_cannot_be_deleted_is_listed(deployment: VerifiedGate) -> None:
    rights = RIGHTS.replace('"cloudformation:DeleteStack"', '"cloudformation:DetectStackDrift"')

    run = deployment.interrupted("throw-away stacks", name="may-not-delete", rights=rights)

    stacks = {name for name in deployment.left() if "/" not in name and re.search(r"-(stopped|refused|beside)$", name)}
    assert len(stacks) == 3
    for name in stacks:
        assert f":stack/{name}/" in run.text.partition("LEFT BEHIND")[2]
        deployment.cloud.stacks.delete(name)


def test_where_there_is_no_application_it_says_where_it_looked(deployment: VerifiedGate) -> None:
    run = deployment.verify("--stack", f"{NAME}-nowhere")

    assert run.status == 1
    assert f"{NAME}-nowhere cannot be seen" in run.text
