"""`make verify` on a deployment as it should be, and on some that are broken, each in its own way: it says which."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.application import NAME, ROOT, Application, until_it_runs
from tests.local_cloud.clients import ACCOUNT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.iam.person import policy_of

VERIFIED, BUS = f"{NAME}-verified", f"{NAME}-verified-bus"
TAG = "license-conversion-gate-verify"
RIGHTS = policy_of("Who verifies the application")
TOKEN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/{NAME}-caller"
EXECUTION = "an execution for a task that does not exist"
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
    """The application once more, and a person with the rights that docs/permissions.md names, who verifies it."""

    def __init__(self, application: Application, folder: Path) -> None:
        self.cloud = application.cloud
        self.events = self.cloud.client("events")
        self.events.create_event_bus(Name=BUS)
        assert application.beside(VERIFIED, {"EventBusName": BUS}).status == "CREATE_COMPLETE"
        found = self.cloud.client("cloudformation").describe_stack_resources(StackName=VERIFIED)["StackResources"]
        self.of = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}
        self.script = Path(shutil.copy(ROOT / "scripts/verify.py", folder))  # where nothing else of the project is

    def verify(self, *options: str, until: str = "", person: str = "verifier", rights: str = RIGHTS) -> Run:
        """A run, which gets Ctrl-C once it has said `until`."""
        who = self.cloud.person(person, rights)
        own = {one: value for one, value in os.environ.items() if not one.startswith(("AWS_", "PYTHON"))}
        key = {"AWS_ACCESS_KEY_ID": who.access_key_id, "AWS_SECRET_ACCESS_KEY": who.secret_access_key}
        running = subprocess.Popen(  # noqa: S603 - our own script
            [sys.executable, str(self.script), "--stack", VERIFIED, *options],
            cwd=self.script.parent, env={**own, **self.cloud.environment, **key, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert running.stdout
        text = ""
        for line in running.stdout:
            text += line
            if until and until in line:
                running.send_signal(signal.SIGINT)
        return Run(running.wait(), text)

    def left(self) -> list[str]:
        """A verification's stacks and queues that are there. LocalStack leaves a rule of a bus that is not the default one."""
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
            until_it_runs(self.cloud, function)
            if wanted is changes:
                yield

    @contextmanager
    def missing_bus(self) -> Iterator[None]:
        self.events.delete_event_bus(Name=BUS)
        yield
        self.events.create_event_bus(Name=BUS)

    @contextmanager
    def queue_without_policy(self) -> Iterator[None]:
        sqs, queue = self.cloud.client("sqs"), {"QueueUrl": self.of["DeadLetterQueue"]}
        before = sqs.get_queue_attributes(**queue, AttributeNames=["Policy"])["Attributes"]
        sqs.set_queue_attributes(**queue, Attributes={"Policy": ""})
        yield
        sqs.set_queue_attributes(**queue, Attributes=before)

    @contextmanager
    def table_without_ttl(self) -> Iterator[None]:
        table, lives = {"TableName": self.of["RegistrationTable"]}, self.cloud.client("dynamodb").update_time_to_live
        lives(**table, TimeToLiveSpecification={"Enabled": False, "AttributeName": "Expires"})
        yield
        lives(**table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "Expires"})

    @contextmanager
    def role_without_an_action(self) -> Iterator[None]:
        """As an organization's policy takes it away."""
        role = {"RoleName": self.of["CheckTaskRole"], "PolicyName": "planted"}
        self.cloud.client("iam").put_role_policy(
            **role, PolicyDocument=denied("license-manager:GetLicenseConversionTask", "*")
        )
        yield
        self.cloud.client("iam").delete_role_policy(**role)


def denied(action: str, resource: str, beside: str = '{"Statement": []}') -> str:
    """A policy that denies this, and has what is in the one beside it."""
    denial = {"Effect": "Deny", "Action": action, "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [denial, *json.loads(beside)["Statement"]]})


@pytest.fixture(scope="module")
def deployment(application: Application, tmp_path_factory: pytest.TempPathFactory) -> VerifiedGate:
    return VerifiedGate(application, tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def good(deployment: VerifiedGate) -> Run:
    return deployment.verify("--yes", "--task-token-role", TOKEN_ROLE)


def test_a_good_deployment_passes_and_leaves_nothing_behind(good: Run, deployment: VerifiedGate) -> None:
    assert good.lines("FAILED") == {}
    assert set(good.lines("not tried")) == {"metrics"}  # LocalStack makes no metrics of what is logged
    assert good.status == 0, good.text
    assert "All that was tried works." in good.text
    assert "Signature" not in good.text
    assert deployment.left() == []


def test_a_line_says_what_was_seen(good: Run) -> None:
    for what, part in (
        ("the stack", "release 0.1.0, us-east-1, partition aws"),
        ("alarms", "16, they notify no topic"),
        ("event bus", BUS),
        (EXECUTION, "LicenseConversion.InvalidRequest: License Manager refuses"),
        ("an execution stopped by hand", "stopped by an operator"),
        ("a gate that is refused", "License Manager refuses the task id lct-"),
        ("its story in the log", "'The gate ends: REFUSED'"),
        ("the moment of a request", "in the response URL"),
        ("an event on the bus", "through a throw-away rule"),
        ("a task token", "License Manager refuses"),
    ):
        assert part in good.lines("ok")[what]


@judged
def test_the_documented_rights_are_enough(good: Run, deployment: VerifiedGate) -> None:
    denied = [one.reason for one in deployment.cloud.verdicts() if "verifier" in one.owner and not one.allowed]

    assert denied == []


def test_each_defect_is_named_before_anything_is_made(deployment: VerifiedGate) -> None:
    with ExitStack() as defects:
        defects.enter_context(deployment.disabled_rule())
        defects.enter_context(deployment.function("PollTasksFunction", Handler="nowhere.handler"))
        defects.enter_context(deployment.missing_bus())
        defects.enter_context(deployment.queue_without_policy())
        defects.enter_context(deployment.table_without_ttl())
        run = deployment.verify()

    failed = run.lines("FAILED")
    assert "is DISABLED" in failed.pop("rule on executions that end")
    assert "PollTasksFunction has the handler nowhere.handler" in failed.pop("functions")
    assert "there is no bus" in failed.pop("event bus")
    assert "no policy" in failed.pop("dead-letter queue")
    assert "TTL" in failed.pop("table of registrations")
    assert failed == {}
    assert run.status == 2
    assert "Nothing was made." in run.text


@judged
def test_a_denial_names_the_role_and_the_action_and_what_cannot_be_deleted_is_listed(deployment: VerifiedGate) -> None:
    rights = denied("cloudformation:DeleteStack", "arn:aws:cloudformation:*:*:stack/*-refused/*", RIGHTS)

    with deployment.role_without_an_action():
        run = deployment.verify("--yes", until="throw-away stacks", person="may-not-delete", rights=rights)

    assert run.status == 130
    said = run.lines("FAILED")[EXECUTION]
    assert "LicenseConversion.AccessDenied: license-manager:GetLicenseConversionTask is denied to" in said
    assert "CheckTaskRole" in said
    assert "Let that role do it" in run.text
    (name,) = deployment.left()
    assert f":stack/{name}/" in run.text.partition("LEFT BEHIND")[2]
    deployment.cloud.stacks.delete(name)


def test_a_broken_responder_is_named(deployment: VerifiedGate) -> None:
    """It does not know its state machine. Its throw-away gates are given up sooner than after two minutes."""
    before = deployment.script.read_text()
    deployment.script.write_text(before.replace("SERVICE_TIMEOUT = 120", "SERVICE_TIMEOUT = 15"))
    with deployment.function("RespondFunction", Environment={"Variables": {}}):
        run = deployment.verify("--yes")
    deployment.script.write_text(before)

    assert run.status == 1
    assert EXECUTION in run.lines("ok")
    assert "not receive a response" in run.lines("FAILED")["a gate that is refused"]
    assert f"The responder has not responded ({deployment.of['RespondFunction']})" in run.text
    assert deployment.left() == []


def test_where_there_is_no_application_it_says_where_it_looked(deployment: VerifiedGate) -> None:
    run = deployment.verify("--stack", f"{NAME}-nowhere")

    assert run.status == 1
    assert f"{NAME}-nowhere cannot be seen" in run.text
