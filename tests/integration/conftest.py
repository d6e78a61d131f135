"""The handlers among servers on the wire, all in one process: a License Manager, an HTTPS receiver of answers, and moto's
Step Functions, whose interpreter runs the real state machine file and invokes the real handlers. Time is a fake clock:
a Wait state moves it instead of waiting.
"""

import json
import logging
import random
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property, partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from moto.awslambda_simple.models import LambdaSimpleBackend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state import state
from moto.stepfunctions.parser.asl.component.state.choice.comparison.operator.implementations.is_operator import (
    IsTimestamp,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.state_task_service_callback import (
    StateTaskServiceCallback,
)
from moto.stepfunctions.parser.asl.component.state.wait.wait_function.wait_function import WaitFunction
from moto.stepfunctions.parser.asl.eval.callback.callback import CallbackEndpoint, CallbackOutcome
from moto.stepfunctions.parser.asl.parse import asl_parser
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

import announce_end
import answer_stack
import check_task
import custom_resource
import last_resort
from check_task import TaskCheck
from custom_resource import StackGate
from license_conversion import telemetry
from license_conversion.crowd import Crowd
from license_conversion.gate import Gate
from license_conversion.license_manager import LicenseManager
from license_conversion.shared import LicenseManagers
from license_conversion.waits import Waits
from license_conversion.wake import wake
from tests.context import Context
from tests.eventually import eventually
from tests.integration.clock_of_threads import Clock, Closed
from tests.local_cloud import parse_once
from tests.local_cloud.answers import AnswersReceiver
from tests.local_cloud.license_manager import LicenseManagerServer
from tests.simulation.memory_table import MemoryTable
from watch_crowd import Watch

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:"
WATCH_SECONDS = 840.0
ROLE = f"arn:aws:iam::{ACCOUNT}:role/gate"
LONGEST_EXECUTION = 240.0
"""Seconds of a real clock, for a fleet of a thousand on a busy machine. No expectation."""

parse_once.definitions(asl_parser)
parse_once.clients(lambda_eval_utils)


@dataclass
class Cloud:
    """Everything around the gate, and the gate itself."""

    license_manager: LicenseManagerServer
    answers: AnswersReceiver
    clock: Clock
    state_machine_arn: str = ""
    table: MemoryTable = field(default_factory=MemoryTable)
    functions: dict[str, Callable[[dict[str, Any], Any], Any]] = field(default_factory=dict)
    invocations: list[str] = field(default_factory=list)
    watches: list[threading.Thread] = field(default_factory=list)

    @cached_property
    def step_functions(self) -> Any:
        return boto3.client("stepfunctions")

    def event(self, name: str, **changes: Any) -> dict[str, Any]:
        """An event file, with a ResponseURL that is really answered here."""
        event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
        event.update(changes)
        key = "|".join((event["StackId"], event["LogicalResourceId"], event["RequestId"]))
        event["ResponseURL"] = self.answers.issue(key, event)
        if "WaitConditionHandle" in event["ResourceProperties"]:
            event["ResourceProperties"]["WaitConditionHandle"] = self.answers.issue("the-handle", handle=True)
        return event

    def invoke(self, function: str, event: Mapping[str, Any]) -> Any:
        """As Lambda does: the event and the result go through JSON."""
        self.invocations.append(function)
        result = self.functions[function](json.loads(json.dumps(event)), Context(function))
        return json.loads(json.dumps(result))

    def executions(self) -> list[dict[str, Any]]:
        found = self.step_functions.list_executions(stateMachineArn=self.state_machine_arn)["executions"]
        return list(found)

    def gate(self, event: Mapping[str, Any]) -> list[Any]:
        """What CloudFormation is told after this event and the wait that it may start."""
        self.invoke("CustomResource", event)
        for execution in self.executions():
            self.finish(execution["executionArn"])
        return self.bodies()

    def checks(self, execution_input: Mapping[str, Any]) -> dict[str, Any]:
        """The last state of a gate that is checked as the state machine does it, without its interpreter."""
        state: dict[str, Any] = {"Waiter": "CALLER", "AttemptSeconds": 25, "Checks": 0}
        started_at = self.clock.now.isoformat()
        while not state.get("Ended"):
            event = {"Input": execution_input, "Gate": state, "StartedAt": started_at, "Execution": "arn:execution"}
            state = self.invoke("CheckTask", event)
            self.clock.move(state.get("SecondsUntilNextCheck", 0))
        return state

    def execute(self, execution_input: Mapping[str, Any]) -> dict[str, Any]:
        """An execution of the state machine with this input, once it has ended."""
        started = self.step_functions.start_execution(
            stateMachineArn=self.state_machine_arn, name=str(uuid.uuid4()), input=json.dumps(execution_input)
        )
        return self.finish(started["executionArn"])

    def finish(self, execution_arn: str) -> dict[str, Any]:
        """The execution once it has ended."""
        eventually(lambda: execution_arn not in self._running(), LONGEST_EXECUTION, pause=0.01)
        found: dict[str, Any] = self.step_functions.describe_execution(executionArn=execution_arn)
        return found

    def _running(self) -> list[str]:
        """Without a question on the wire, of which there would be many: moto is in this process."""
        state_machines = stepfunctions_parser_backends[ACCOUNT]["us-east-1"].state_machines
        executions: list[Any] = [execution for one in state_machines for execution in one.executions]
        return [execution.execution_arn for execution in executions if execution.exec_status == "RUNNING"]

    def threads(self) -> int:
        """The executions that run, and the watches."""
        return len(self._running()) + sum(watch.is_alive() for watch in self.watches)

    def bodies(self) -> list[Any]:
        return [answer.json for answer in self.answers.answers()]


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(
    monkeypatch: pytest.MonkeyPatch, fake_aws: None, certificates: tuple[Path, Path], moto_server: str
) -> Iterator[Cloud]:
    authority, server = certificates
    clock = Clock()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_server)
    monkeypatch.setenv("GATE_EVENT_BUS_NAME", "default")
    monkeypatch.setenv("MOTO_PORT", moto_server.rsplit(":", 1)[1])  # where its interpreter finds Lambda
    with LicenseManagerServer(clock=clock.seconds) as license_manager, AnswersReceiver(server) as answers:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LICENSE_MANAGER", license_manager.url)
        cloud = Cloud(license_manager, answers, clock)
        clock.awake_or_asleep = cloud.threads
        monkeypatch.setattr(WaitFunction, "_wait_interval", _wait_on(clock))
        monkeypatch.setattr(StateTaskServiceCallback, "_wait_for_task_token_timeout", _wait_for_token_on(clock))
        monkeypatch.setattr(retrier_decl, "time", SimpleNamespace(sleep=clock.move))
        now = SimpleNamespace(now=lambda tz: clock().astimezone(tz))
        monkeypatch.setattr(state, "datetime", SimpleNamespace(datetime=now, timezone=timezone))  # $$.State.EnteredTime
        # moto reads no fraction of a second, and so never finds that a moment has come
        monkeypatch.setattr(IsTimestamp, "string_to_timestamp", staticmethod(datetime.fromisoformat))
        monkeypatch.setattr(LambdaSimpleBackend, "invoke", _invoke_through(cloud))
        _reset(moto_server)
        cloud.state_machine_arn = _create_state_machine()
        cloud.functions = _functions(cloud)
        yield cloud
        clock.closed = True


def _wait_on(clock: Clock) -> Callable[..., None]:
    """A Wait state on the fake clock."""

    def wait(_self: object, env: object, wait_seconds: int) -> None:
        clock.sleep(wait_seconds)

    return wait


def _wait_for_token_on(clock: Clock) -> Callable[..., CallbackOutcome | None]:
    """A task that waits for its token, on the fake clock."""

    def wait(_self: object, timeout_seconds: int, callback_endpoint: CallbackEndpoint) -> CallbackOutcome | None:
        clock.sleep(timeout_seconds, woken=lambda: callback_endpoint.get_outcome() is not None)
        return callback_endpoint.get_outcome()

    return wait


def _reset(moto_server: str) -> None:
    """Step Functions alone: moto is one for all tests of a process, and a local cloud has its table in it."""
    for backends in stepfunctions_parser_backends.values():
        for backend in backends.values():
            backend.reset()
    config = b'{"stepfunctions": {"execute_state_machine": true}, "lambda": {"use_docker": false}}'
    request = urllib.request.Request(f"{moto_server}/moto-api/config", data=config, method="POST")  # noqa: S310
    urllib.request.urlopen(request, timeout=5).close()  # noqa: S310


def _create_state_machine() -> str:
    definition = (ROOT / "statemachine" / "gate.asl.json").read_text()
    for function in ("CheckTask", "AnswerStack", "LastResort", "AnnounceEnd"):
        definition = definition.replace(f"${{{function}FunctionArn}}", FUNCTION_ARN + function)
    definition = definition.replace("${Partition}", "aws")
    created = boto3.client("stepfunctions").create_state_machine(
        name="LicenseConversionGate", definition=definition, roleArn=ROLE
    )
    return str(created["stateMachineArn"])


def _functions(cloud: Cloud) -> dict[str, Callable[[dict[str, Any], Any], Any]]:
    """The handlers, with the fake clock where their entry points have the real one."""
    crowd = Crowd(cloud.table, partial(_start_watch, cloud), wake, cloud.clock.seconds)
    gate = Gate(
        LicenseManagers(ROLE, cloud.clock.seconds),
        cloud.clock,
        random.Random(0).random,  # noqa: S311 - jitter
        crowds=lambda _: crowd,
        sleep=cloud.clock.move,
        region="us-east-1",
    )
    waits = Waits(cloud.state_machine_arn, cloud.clock.seconds, cloud.clock.move)
    stack_gate = StackGate(waits, cloud.clock)
    task_check = TaskCheck(gate, cloud.clock)
    return {
        "CustomResource": partial(custom_resource.handle, stack_gate),
        "CheckTask": partial(check_task.handle, task_check),
        "AnswerStack": partial(answer_stack.handle, clock=cloud.clock),
        "LastResort": last_resort.handler,
        "AnnounceEnd": announce_end.handler,
    }


def _start_watch(cloud: Cloud) -> None:
    """An asynchronous invocation."""
    watch = Watch(cloud.table, LicenseManager(ROLE), wake, cloud.clock.seconds, cloud.clock.sleep)

    def run() -> None:
        with suppress(Closed):
            watch.run(cloud.clock.seconds() + WATCH_SECONDS, lambda *_: None)

    cloud.watches.append(threading.Thread(target=run, daemon=True))
    cloud.watches[-1].start()


def _invoke_through(cloud: Cloud) -> Callable[..., bytes]:
    """Lambda's Invoke, as moto's back end has it: a function error is a header and a payload, not an exception."""

    def invoke(
        _self: object, function_name: str, _qualifier: object, body: Any, _headers: object, response_headers: Any
    ) -> bytes:
        try:
            result = cloud.invoke(unquote(function_name).rsplit(":", 1)[-1], json.loads(body))
        except Exception as error:
            response_headers["x-amz-function-error"] = "Unhandled"
            result = {"errorType": type(error).__name__, "errorMessage": str(error)}
        return json.dumps(result).encode()

    return invoke


@pytest.fixture
def log(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that the functions have printed and logged: log lines and metrics."""
    lines = StringIO()
    handler = telemetry.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(lines)
    yield lambda: lines.getvalue() + "".join(capsys.readouterr())
    handler.setStream(before)


@pytest.fixture
def gate_through_checks(cloud: Cloud) -> Callable[[str], dict[str, Any]]:
    """A gate of an hour, check by check as the state machine does it, without the interpreter."""

    def gate(task_id: str) -> dict[str, Any]:
        return cloud.checks({"LicenseConversionTaskId": task_id, "OnFailure": "CONTINUE", "TimeoutSeconds": 3600})

    return gate
