"""The local cloud keeps those promises of AWS's whose breach no test of the product would see."""

import contextlib
import json
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.application import end_of, history_of
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

RESPONDER = Path(__file__).with_name("responder.yaml")


@pytest.fixture(scope="module")
def responder(cloud: LocalCloud) -> Stack:
    return cloud.stacks.create("responder", RESPONDER)


@pytest.fixture
def name() -> str:
    return f"stack-{uuid.uuid4().hex[:8]}"


def look(cloud: LocalCloud, responder: Stack) -> Any:
    """What the function sees."""
    event = json.dumps({"do": "look"})
    reply = cloud.client("lambda").invoke(FunctionName=responder.outputs["Responder"], Payload=event)
    return json.load(reply["Payload"])


def template(outputs: dict[str, Any] | None = None, more: dict[str, Any] | None = None, **properties: Any) -> str:
    asked = {
        "Type": "Custom::Asked",
        "Properties": {"ServiceToken": {"Fn::ImportValue": "responder"}, "ServiceTimeout": 10, **properties},
    }
    return json.dumps(
        {
            "Resources": {"Asked": asked, **(more or {})},
            "Outputs": {key: {"Value": value} for key, value in (outputs or {"Id": {"Ref": "Asked"}}).items()},
        }
    )


def test_the_local_cloud_listens_on_loopback_alone(cloud: LocalCloud, responder: Stack) -> None:
    assert look(cloud, responder)
    listening = {address for pid in cloud.localstack.processes() for address in listening_addresses(pid)}
    assert f"127.0.0.1:{urlsplit(cloud.localstack.endpoint_url).port}" in listening
    assert [one for one in listening if not one.startswith("127.0.0.1:")] == []


def listening_addresses(pid: int) -> Iterator[str]:
    """From the kernel's tables: which of a process's sockets listen, and where. One that has ended meanwhile has none."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_, inode = line.split()[:10]
                if state == "0A" and f"socket:[{inode}]" in sockets:
                    address, port = local.split(":")
                    packed = bytes.fromhex(address)[::-1]
                    yield f"{socket.inet_ntoa(packed) if table == 'tcp' else address}:{int(port, 16)}"


def test_a_function_sees_lambdas_environment_and_nothing_of_the_hosts(cloud: LocalCloud, responder: Stack) -> None:
    said = look(cloud, responder)
    environment = said["environment"]
    assert environment["OWN"] == "1"
    assert environment["AWS_ENDPOINT_URL"] == cloud.localstack.endpoint_url
    assert environment["AWS_ENDPOINT_URL_LICENSE_MANAGER"] == cloud.license_manager.url
    assert not {name for name in environment if name.startswith(("LOCAL_CLOUD", "LOCALSTACK"))}
    assert said["arn"] == responder.outputs["Responder"]
    assert 0 < said["left"] <= 3000


def test_an_execution_that_was_stopped_is_aborted_though_its_state_fails_meanwhile(
    cloud: LocalCloud, responder: Stack, name: str
) -> None:
    steps = cloud.client("stepfunctions")
    sleep = {"do": "sleep", "seconds": 30}  # the function has three
    state = {"Type": "Task", "Resource": responder.outputs["Responder"], "Parameters": sleep, "End": True}
    machine = steps.create_state_machine(
        name=name,
        definition=json.dumps({"StartAt": "Fail Late", "States": {"Fail Late": state}}),
        roleArn="arn:aws:iam::000000000000:role/caller",
    )["stateMachineArn"]
    arn = steps.start_execution(stateMachineArn=machine)["executionArn"]
    eventually(lambda: "LambdaFunctionStarted" in events(cloud, arn))

    steps.stop_execution(executionArn=arn, error="Operator")

    assert end_of(cloud, arn)["status"] == "ABORTED"
    assert "LambdaFunctionFailed" in events(cloud, arn)
    assert events(cloud, arn)[-1] == "ExecutionAborted"


def events(cloud: LocalCloud, execution: str) -> list[str]:
    return [one["type"] for one in history_of(cloud, execution)]


@pytest.mark.usefixtures("responder")
class TestCustomResources:
    def test_get_numbers_as_text_and_give_attributes_with_a_dot(self, cloud: LocalCloud, name: str) -> None:
        outputs = {"Dotted": {"Fn::GetAtt": ["Asked", "A.B"]}, "Own": {"Fn::Sub": "${Asked.Reason}"}}
        data = {"A.B": "deep", "Reason": "the attribute, not the property"}

        created = cloud.stacks.create(name, template(outputs, Id="one", Data=data, Reason="x", Number=1, Yes=True))

        assert created.outputs == {"Dotted": "deep", "Own": "the attribute, not the property"}
        sent = cloud.requests(created.id)[0].request["ResourceProperties"]
        assert (sent["Number"], sent["Yes"], sent["ServiceTimeout"]) == ("1", "true", "10")

    def test_replaced_before_another_resource_failed_are_replaced_back(self, cloud: LocalCloud, name: str) -> None:
        created = cloud.stacks.create(name, template(Id="one"))
        other = json.loads(template(Create="FAILED", Reason="no"))["Resources"]["Asked"]
        stack = cloud.stacks.update(name, template(Id="two", more={"Other": {**other, "DependsOn": "Asked"}}))
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        asked = [one.request for one in cloud.requests(created.id) if one.request["LogicalResourceId"] == "Asked"]
        assert [(one["RequestType"], one.get("PhysicalResourceId")) for one in asked] == [
            ("Create", None), ("Update", "one"), ("Update", "two"), ("Delete", "two"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("answer", "complaint"),
        [
            ({"PhysicalResourceId": "x" * 1025}, "PhysicalResourceId"),
            ({"StackId": "another"}, "StackId"),
            ({"Reason": "x" * 4096}, "4096 bytes"),
            ({"Status": "PERHAPS"}, "Status"),
        ],
    )
    def test_may_not_answer_what_cloudformation_refuses(
        self, cloud: LocalCloud, name: str, answer: dict[str, str], complaint: str
    ) -> None:
        stack = cloud.stacks.create(name, template(Answer=answer, Delete="SUCCESS"), OnFailure="DO_NOTHING")
        assert stack.status == "CREATE_FAILED"
        assert complaint in stack.failures[0]

    def test_must_answer_every_attribute_that_the_template_gets(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, template({"Lacking": {"Fn::GetAtt": "Asked.Lacking.One"}}))
        assert stack.status == "ROLLBACK_COMPLETE"

    def test_are_answered_once_however_many_answers_come(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, template(Again="FAILED"))

        eventually(lambda: [one["Status"] for one in cloud.received(stack.id)] == ["SUCCESS", "FAILED"])
        assert cloud.stacks.describe(stack.id).status == "CREATE_COMPLETE"
