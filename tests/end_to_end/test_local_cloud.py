"""The local cloud keeps the promises of AWS's that the product's own tests build on."""

import contextlib
import io
import json
import socket
import time
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.application import end_of
from tests.eventually import eventually
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

RESPONDER = Path(__file__).with_name("responder.yaml")
LONG_SLEEP = {"do": "sleep", "seconds": 30}
"""The responder has three seconds."""


@pytest.fixture(scope="module")
def responder(cloud: LocalCloud) -> Stack:
    return cloud.stacks.create("responder", RESPONDER)


@pytest.fixture
def name() -> str:
    return f"stack-{uuid.uuid4().hex[:8]}"


def invoke(cloud: LocalCloud, function: str, event: object) -> tuple[str | None, Any]:
    reply = cloud.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event))
    return reply.get("FunctionError"), json.load(reply["Payload"])


def zipped(path: str, content: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writing:
        writing.writestr(path, content)
    return archive.getvalue()


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


def lifecycle(cloud: LocalCloud, stack: Stack) -> list[tuple[str, str | None]]:
    """Request type and physical id of each event that the function got."""
    return [(one.request["RequestType"], one.request.get("PhysicalResourceId")) for one in cloud.requests(stack.id)]


def test_the_local_cloud_listens_on_loopback_alone(cloud: LocalCloud, responder: Stack) -> None:
    assert invoke(cloud, responder.outputs["Responder"], {"do": "look"})[0] is None
    listening = {address for pid in cloud.localstack.processes() for address in listening_addresses(pid)}
    assert f"127.0.0.1:{urlsplit(cloud.localstack.endpoint_url).port}" in listening
    assert [one for one in listening if not one.startswith("127.0.0.1:")] == []


def listening_addresses(pid: int) -> Iterator[str]:
    """From the kernel's tables: which of a process's sockets listen, and where."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):
            sockets.add(str(descriptor.readlink()))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                address, port = local.split(":")
                packed = bytes.fromhex(address)[::-1]
                yield f"{socket.inet_ntoa(packed) if table == 'tcp' else address}:{int(port, 16)}"


class TestFunctions:
    def test_see_lambdas_environment_and_nothing_of_the_hosts(self, cloud: LocalCloud, responder: Stack) -> None:
        error, said = invoke(cloud, responder.outputs["Responder"], {"do": "look"})
        assert error is None
        environment = said["environment"]
        assert environment["OWN"] == "1"
        assert environment["AWS_ENDPOINT_URL"] == cloud.localstack.endpoint_url
        assert environment["AWS_ENDPOINT_URL_LICENSE_MANAGER"] == cloud.license_manager.url
        assert not {name for name in environment if name.startswith(("LOCAL_CLOUD", "LOCALSTACK"))}
        assert said["arn"] == responder.outputs["Responder"]
        assert 0 < said["left"] <= 3000

    def test_that_raise_are_function_errors(self, cloud: LocalCloud, responder: Stack) -> None:
        error, said = invoke(cloud, responder.outputs["Responder"], {"do": "raise"})
        assert (error, said["errorType"], said["errorMessage"]) == ("Unhandled", "ValueError", "no such thing")

    def test_that_cannot_be_imported_are_function_errors(self, cloud: LocalCloud, responder: Stack) -> None:
        for _ in range(2):
            error, said = invoke(cloud, responder.outputs["Unimportable"], {})
            assert (error, said["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")
            assert "nowhere_to_be_found" in said["errorMessage"]

    def test_that_take_too_long_are_stopped_and_leave_a_fresh_sandbox(
        self, cloud: LocalCloud, responder: Stack
    ) -> None:
        function = responder.outputs["Responder"]
        error, said = invoke(cloud, function, LONG_SLEEP)
        assert (error, said["errorType"]) == ("Unhandled", "Sandbox.Timedout")
        assert said["errorMessage"].endswith("Task timed out after 3.00 seconds")
        assert invoke(cloud, function, {"do": "look"})[0] is None

    def test_whose_process_is_killed_are_function_errors(self, cloud: LocalCloud, responder: Stack) -> None:
        function = responder.outputs["Responder"]
        with ThreadPoolExecutor() as pool:
            sleeping = pool.submit(invoke, cloud, function, {"do": "sleep", "seconds": 2.5})

            def is_over() -> bool:
                cloud.localstack.kill_runtimes(function)
                return sleeping.done()

            eventually(is_over)
            error, said = sleeping.result()
        # Unknown where the kill met the runtime between two steps of the emulator.
        assert (error, said["errorType"] in ("Runtime.ExitError", "Runtime.Unknown")) == ("Unhandled", True)
        assert invoke(cloud, function, {"do": "look"})[0] is None

    def test_that_are_killed_while_they_are_idle_fail_nobody(self, cloud: LocalCloud, responder: Stack) -> None:
        function = responder.outputs["Responder"]
        assert invoke(cloud, function, {"do": "look"})[0] is None
        assert cloud.localstack.kill_runtimes(function)
        assert invoke(cloud, function, {"do": "look"})[0] is None

    def test_see_their_layers_and_log_where_they_are_told(self, cloud: LocalCloud, name: str) -> None:
        functions = cloud.client("lambda")
        layer = functions.publish_layer_version(
            LayerName=name, Content={"ZipFile": zipped("python/laid.py", "WORD = 'from the layer'")}
        )
        functions.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="index.handler",
            Code={"ZipFile": zipped("index.py", "import laid\ndef handler(*_): print(laid.WORD); return laid.WORD")},
            Layers=[layer["LayerVersionArn"]],
            LoggingConfig={"LogGroup": f"/elsewhere/{name}"},
        )
        functions.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
        assert invoke(cloud, name, {}) == (None, "from the layer")
        logs = cloud.client("logs")
        eventually(lambda: logs.describe_log_groups(logGroupNamePrefix=f"/elsewhere/{name}")["logGroups"])
        assert "from the layer" in cloud.log_lines()

    def test_run_each_concurrent_invocation_in_a_sandbox_of_its_own(self, cloud: LocalCloud, responder: Stack) -> None:
        event = {"do": "sleep", "seconds": 0.5}
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: invoke(cloud, responder.outputs["Responder"], event), range(4)))
        assert [error for error, _ in results] == [None] * 4
        assert len({said["process"] for _, said in results}) == 4


def test_an_execution_that_was_stopped_is_aborted_though_its_state_fails_meanwhile(
    cloud: LocalCloud, responder: Stack, name: str
) -> None:
    steps = cloud.client("stepfunctions")
    state = {"Type": "Task", "Resource": responder.outputs["Responder"], "Parameters": LONG_SLEEP, "End": True}
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
    history = cloud.client("stepfunctions").get_execution_history(executionArn=execution)
    return [one["type"] for one in history["events"]]


class TestStateMachines:
    """In JSONata, with variables."""

    STATES: Mapping[str, Any] = {
        "Sleep": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
            "Arguments": {
                "TableName": "{% $states.input.name %}",
                "Key": {"Place": {"S": "{% $states.context.Execution.Name %}"}},
                "UpdateExpression": "SET Retries = :retries, Entered = :entered, #token = :token",
                "ExpressionAttributeNames": {"#token": "Token"},
                "ExpressionAttributeValues": {
                    ":retries": {"N": "{% $string($states.context.State.RetryCount) %}"},
                    ":entered": {"N": "{% $string($toMillis($states.context.State.EnteredTime)) %}"},
                    ":token": {"S": "{% $states.context.Task.Token %}"},
                },
            },
            "TimeoutSeconds": "{% 2 * 60 %}",
            "Assign": {"said": "{% $states.result %}", "name": "{% $states.input.name %}"},
            "Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"said": "{% $states.errorOutput %}"}, "Next": "Done"}],
            "Next": "Announce",
        },
        "Announce": {
            "Type": "Task",
            "Resource": "arn:aws:states:::events:putEvents",
            "Arguments": {
                "Entries": [{"Source": "{% $name %}", "DetailType": "Woken", "Detail": {"said": "{% $said %}"}}]
            },
            "Catch": [{"ErrorEquals": ["States.ALL"], "Assign": {"said": "{% $states.errorOutput %}"}, "Next": "Done"}],
            "Next": "Count",
        },
        "Count": {
            "Type": "Task",
            "Resource": "arn:aws:states:::aws-sdk:cloudwatch:putMetricData",
            "Arguments": {
                "Namespace": "{% $name %}",
                "MetricData": [{"MetricName": "Woken", "Value": "{% $count($said) %}", "Unit": "Count"}],
            },
            "Next": "Done",
        },
        "Done": {"Type": "Succeed", "Output": "{% $said %}"},
    }

    def start(self, cloud: LocalCloud, name: str, *actions: str) -> str:
        """The execution of a machine whose role may do this."""
        cloud.client("dynamodb").create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "Place", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Place", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        trusts = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
        allows = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        roles = cloud.client("iam")
        role = roles.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trusts]}))["Role"][
            "Arn"
        ]
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allows]})
        roles.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=policy)
        definition = {"QueryLanguage": "JSONata", "StartAt": "Sleep", "States": self.STATES}
        steps = cloud.client("stepfunctions")
        machine = steps.create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)[
            "stateMachineArn"
        ]
        started = steps.start_execution(stateMachineArn=machine, name=name, input=json.dumps({"name": name}))
        return str(started["executionArn"])

    @staticmethod
    def item(cloud: LocalCloud, name: str) -> Any:
        """What the state that sleeps has written."""
        table = cloud.client("dynamodb")
        return eventually(lambda: table.get_item(TableName=name, Key={"Place": {"S": name}}).get("Item"))

    def test_reach_the_table_the_bus_and_the_metrics(self, cloud: LocalCloud, name: str) -> None:
        arn = self.start(cloud, name, "dynamodb:UpdateItem", "events:PutEvents", "cloudwatch:PutMetricData")
        item = self.item(cloud, name)
        assert item["Retries"] == {"N": "0"}
        assert abs(float(item["Entered"]["N"]) / 1000 - time.time()) < 600
        said = ['a "quotation"', "and more"]

        cloud.client("stepfunctions").send_task_success(taskToken=item["Token"]["S"], output=json.dumps(said))

        ended = end_of(cloud, arn)
        assert (ended["status"], json.loads(ended.get("output", "null"))) == ("SUCCEEDED", said)
        history = cloud.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
        left = [one["stateExitedEventDetails"] for one in history if "stateExitedEventDetails" in one]
        assigned = {one["name"]: one.get("assignedVariables", {}) for one in left}
        assert {variable: json.loads(text) for variable, text in assigned["Sleep"].items()} == {
            "said": said,
            "name": name,
        }
        assert not assigned["Announce"]
        metrics = cloud.client("cloudwatch").list_metrics(Namespace=name)["Metrics"]
        assert [one["MetricName"] for one in metrics] == ["Woken"]

    def test_reach_a_table_in_the_name_of_their_role(self, cloud: LocalCloud, name: str) -> None:
        if not cloud.can_check_permissions():
            pytest.skip("permissions are not checked")
        ended = end_of(cloud, self.start(cloud, name, "dynamodb:GetItem"))
        said = json.loads(ended["output"])
        assert said["Error"] == "DynamoDb.DynamoDbException"
        assert f"assumed-role/{name}/" in said["Cause"]
        assert "is not authorized to perform: dynamodb:UpdateItem" in said["Cause"]

    def test_catch_what_a_bus_refuses(self, cloud: LocalCloud, name: str) -> None:
        if not cloud.can_check_permissions():
            pytest.skip("permissions are not checked")
        arn = self.start(cloud, name, "dynamodb:UpdateItem")
        cloud.client("stepfunctions").send_task_success(taskToken=self.item(cloud, name)["Token"]["S"], output="[]")
        assert json.loads(end_of(cloud, arn)["output"])["Error"] == "EventBridge.AccessDeniedException"

    def test_that_wait_for_a_token_are_over_when_they_are_stopped(self, cloud: LocalCloud, name: str) -> None:
        """And not when the state's two minutes are."""
        arn = self.start(cloud, name, "dynamodb:UpdateItem")
        self.item(cloud, name)
        cloud.client("stepfunctions").stop_execution(executionArn=arn, error="Operator")
        assert end_of(cloud, arn, 60)["status"] == "ABORTED"


@pytest.mark.usefixtures("responder")
class TestCustomResources:
    def test_are_created_updated_replaced_and_deleted(self, cloud: LocalCloud, name: str) -> None:
        outputs = {
            "Id": {"Ref": "Asked"},
            "Dotted": {"Fn::GetAtt": ["Asked", "A.B"]},
            "Own": {"Fn::Sub": "${Asked.Reason}"},
        }
        data = {"A.B": "deep", "Reason": "the attribute, not the property"}
        created = cloud.stacks.create(name, template(outputs, Id="one", Data=data, Reason="x", Number=1, Yes=True))
        assert created.status == "CREATE_COMPLETE"
        assert created.outputs == {"Id": "one", "Dotted": "deep", "Own": "the attribute, not the property"}
        sent = cloud.requests(created.id)[0].request["ResourceProperties"]
        assert (sent["Number"], sent["Yes"], sent["ServiceTimeout"]) == ("1", "true", "10")

        updated = cloud.stacks.update(name, template(outputs, Id="one", Data=data | {"A.B": "deeper"}))
        assert (updated.status, updated.outputs["Dotted"]) == ("UPDATE_COMPLETE", "deeper")
        replaced = cloud.stacks.update(name, template(Id="two"))
        assert (replaced.status, replaced.outputs) == ("UPDATE_COMPLETE", {"Id": "two"})
        assert cloud.stacks.delete(name).status == "DELETE_COMPLETE"
        assert lifecycle(cloud, created) == [
            ("Create", None), ("Update", "one"), ("Update", "one"), ("Delete", "one"), ("Delete", "two"),
        ]  # fmt: skip
        assert cloud.requests(created.id)[2].request["OldResourceProperties"]["Data"]["A.B"] == "deeper"

    def test_that_fail_are_rolled_back_by_the_id_they_answered(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, template(Id="broken", Create="FAILED", Reason="It cannot be."))
        assert stack.status == "ROLLBACK_COMPLETE"
        request_id = cloud.requests(stack.id)[0].request["RequestId"]
        assert stack.failures == [
            "Asked: Received response status [FAILED] from custom resource."
            f" Message returned: It cannot be. (RequestId: {request_id})"
        ]
        assert lifecycle(cloud, stack) == [("Create", None), ("Delete", "broken")]

    def test_that_never_answer_time_out_and_are_deleted_by_a_made_up_id(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, template(Create="SILENCE", ServiceTimeout=1))
        assert stack.status == "ROLLBACK_COMPLETE"
        assert "did not receive a response" in stack.failures[0]
        (_, (request_type, made_up)) = lifecycle(cloud, stack)
        assert request_type == "Delete"
        assert made_up is not None
        assert made_up.startswith(f"{name}-Asked-")

    def test_whose_update_fails_are_updated_back(self, cloud: LocalCloud, name: str) -> None:
        created = cloud.stacks.create(name, template(Id="one", Note="old"))
        stack = cloud.stacks.update(name, template(Id="one", Note="new", Update="FAILED", Reason="no"))
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        back = cloud.requests(created.id)[-1].request
        assert (back["RequestType"], back["PhysicalResourceId"]) == ("Update", "one")
        assert back["ResourceProperties"]["Note"] == "old"
        assert back["OldResourceProperties"]["Note"] == "new"
        assert cloud.stacks.update(name, template(Id="one", Note="newer")).status == "UPDATE_COMPLETE"

    def test_replaced_before_another_resource_failed_are_replaced_back(self, cloud: LocalCloud, name: str) -> None:
        created = cloud.stacks.create(name, template(Id="one"))
        other = json.loads(template(Create="FAILED", Reason="no"))["Resources"]["Asked"]
        stack = cloud.stacks.update(name, template(Id="two", more={"Other": {**other, "DependsOn": "Asked"}}))
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        asked = [one.request for one in cloud.requests(created.id) if one.request["LogicalResourceId"] == "Asked"]
        assert [(one["RequestType"], one.get("PhysicalResourceId")) for one in asked] == [
            ("Create", None), ("Update", "one"), ("Update", "two"), ("Delete", "two"),
        ]  # fmt: skip

    def test_are_deleted_while_their_create_is_in_flight(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, template(Create="SILENCE", ServiceTimeout=60), wait=False)
        eventually(lambda: cloud.requests(stack.id))
        assert cloud.stacks.delete(stack.id).status == "DELETE_COMPLETE"
        (_, (request_type, made_up)) = lifecycle(cloud, stack)
        assert request_type == "Delete"
        assert made_up is not None
        assert made_up.startswith(f"{name}-Asked-")

    def test_that_fail_to_delete_keep_the_stack(self, cloud: LocalCloud, name: str) -> None:
        cloud.stacks.create(name, template(Delete="FAILED", Reason="no"))
        assert cloud.stacks.delete(name).status == "DELETE_FAILED"

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
        stack = cloud.stacks.create(name, template(Times=3, Id="one"))
        assert stack.status == "CREATE_COMPLETE"
        assert [one.json["Reason"] for one in cloud.answers(stack.id)][:1] == [""]

    def test_are_not_answered_by_a_put_that_was_refused(self, cloud: LocalCloud, name: str) -> None:
        cloud.misbehave(503, stack=name)
        stack = cloud.stacks.create(name, template(Id="one"))  # the function raises, and Lambda tries again
        assert stack.status == "CREATE_COMPLETE"
        assert [(one.outcome, one.taken) for one in cloud.answers(stack.id)] == [("503", False), ("200", True)]

    def test_leave_no_credential_in_localstacks_log(self, cloud: LocalCloud) -> None:
        log = cloud.localstack.log.read_text()
        own = [one for one in cloud.requests() if one.request["LogicalResourceId"] == "Asked"]
        assert own
        assert not [one.key for one in own if one.signature in log]


class TestWaitConditions:
    @staticmethod
    def waiting(timeout: int) -> str:
        condition = {
            "Type": "AWS::CloudFormation::WaitCondition",
            "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": str(timeout)},
        }
        handle = {"Type": "AWS::CloudFormation::WaitConditionHandle"}
        outputs = {"Data": {"Value": {"Fn::GetAtt": "Condition.Data"}}}
        return json.dumps({"Resources": {"Handle": handle, "Condition": condition}, "Outputs": outputs})

    @staticmethod
    def signal(cloud: LocalCloud, responder: Stack, stack: Stack, status: str) -> None:
        (handle,) = eventually(lambda: cloud.handles(stack.id))
        signal = {"Status": status, "UniqueId": "one", "Data": "all done", "Reason": "because"}
        event = {"do": "signal", "url": handle.url, "signal": signal}
        assert invoke(cloud, responder.outputs["Responder"], event)[0] is None

    def test_wait_for_their_signal(self, cloud: LocalCloud, name: str, responder: Stack) -> None:
        stack = cloud.stacks.create(name, self.waiting(60), wait=False)
        self.signal(cloud, responder, stack, "SUCCESS")
        stack = cloud.stacks.wait_for(name)
        assert stack.status == "CREATE_COMPLETE"
        assert json.loads(stack.outputs["Data"]) == {"one": "all done"}

    def test_wait_while_what_does_not_depend_on_them_begins(
        self, cloud: LocalCloud, name: str, responder: Stack
    ) -> None:
        body = json.loads(self.waiting(60))
        body["Resources"]["Other"] = json.loads(template())["Resources"]["Asked"]
        stack = cloud.stacks.create(name, json.dumps(body), wait=False)
        eventually(lambda: [one for one in cloud.requests(stack.id) if one.request["LogicalResourceId"] == "Other"])
        self.signal(cloud, responder, stack, "SUCCESS")
        assert cloud.stacks.wait_for(name).status == "CREATE_COMPLETE"

    def test_fail_with_the_signals_reason(self, cloud: LocalCloud, name: str, responder: Stack) -> None:
        stack = cloud.stacks.create(name, self.waiting(60), wait=False)
        self.signal(cloud, responder, stack, "FAILURE")
        stack = cloud.stacks.wait_for(name)
        assert stack.status == "ROLLBACK_COMPLETE"
        assert "because" in stack.failures[0]

    def test_time_out(self, cloud: LocalCloud, name: str) -> None:
        stack = cloud.stacks.create(name, self.waiting(1))
        assert stack.status == "ROLLBACK_COMPLETE"
        assert "timed out" in stack.failures[0]
