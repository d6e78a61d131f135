"""Functions that run: one sandbox of AWS's Runtime Interface Emulator for each concurrent invocation, reused when warm.

A sandbox is the emulator, and under it awslambdaric in the interpreter that has only what AWS's runtime has. It sees the
environment that Lambda would give it and nothing of the host's. It is a process on the host, not a container: the file
system is writable, memory is not limited, the time for a cold start counts into the function's time-out, and the CPU is
the host's, whatever architecture the function names.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from localstack.services.lambda_.invocation import event_manager
from localstack.services.lambda_.invocation.assignment import AssignmentService
from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment, InvalidStatusException
from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

from tests.local_cloud.localstack import free_ports
from tests.local_cloud.localstack_plugins.cloud_settings import KILLED, CloudSettings

_HERE = Path(__file__).parents[1]
_ASYNCHRONOUS_AT_ONCE = 100
_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_TIMED_OUT = re.compile(rb"Task timed out after [\d.]+ seconds")
_LOCALSTACKS_OWN = ("LOCALSTACK_", "EDGE_PORT", "_AWS_XRAY")

# The kernel ends a sandbox when the thread that started it ends (see follow.py): this one lives as long as LocalStack.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-starter")


class EmulatorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]  # LocalStack is untyped
    name = "emulator"

    def load(self, *_: object, **__: object) -> type["EmulatorExecutor"]:
        AssignmentService.get_environment = _get_environment
        ExecutionEnvironment.get_log_group_name = _log_group_name
        # LocalStack would run as few of a function's asynchronous invocations at once as this machine has CPUs, and four.
        event_manager.ThreadPoolExecutor = partial(ThreadPoolExecutor, max_workers=_ASYNCHRONOUS_AT_ONCE)
        event_manager.Poller = EventPoller
        return EmulatorExecutor


class EventPoller(event_manager.Poller):  # type: ignore[misc]
    """Takes the asynchronous events of one version of a function. LocalStack's takes them for two seconds after an update too,
    and drops them: those of each deployment that updates a function and then invokes it.
    """

    def run(self, *_: object) -> None:
        sqs = event_manager.get_sqs_client(self.version_manager.function_version)
        hidden_for = self.version_manager.function_version.config.timeout + 60
        while not self._shutdown_event.is_set():
            with contextlib.suppress(ValueError):  # the queue goes with its function
                found = sqs.receive_message(
                    QueueUrl=self.event_queue_url,
                    WaitTimeSeconds=2,
                    VisibilityTimeout=hidden_for,
                    MaxNumberOfMessages=10,
                )
                for message in found["Messages"] or ():
                    self._hand_on(sqs, message)

    def _hand_on(self, sqs: Any, message: dict[str, Any]) -> None:
        """To a thread, or to the next version's poller."""
        with contextlib.suppress(RuntimeError):
            if not self._shutdown_event.is_set():
                self.invoker_pool.submit(self.handle_message, message)
                return
        sqs.send_message(QueueUrl=self.event_queue_url, MessageBody=message["Body"])
        sqs.delete_message(QueueUrl=self.event_queue_url, ReceiptHandle=message["ReceiptHandle"])


class EmulatorExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One sandbox. LocalStack starts one for each concurrent invocation and gives each one invocation at a time."""

    def __init__(self, id: str, function_version: FunctionVersion) -> None:  # noqa: A002  (LocalStack's name)
        super().__init__(id, function_version)
        self._settings = CloudSettings.from_environment()
        self._folder = self._settings.sandboxes / id
        self._output = self._folder / "output"
        self._read = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._invoking = threading.Lock()

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        function_version.config.code.prepare_for_execution()
        for layer in function_version.config.layers:
            layer.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        """LocalStack removes the code; layers may serve other functions."""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        return ""

    def get_logs(self) -> str:
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def start(self, env_vars: dict[str, Any]) -> None:
        (self._folder / "tmp").mkdir(parents=True)
        self._port, runtime_port = free_ports(2)
        self._process = _starter.submit(self._start, env_vars, runtime_port).result()
        deadline = time.monotonic() + 10
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise LambdaRuntimeException(f"The sandbox did not start: {self.get_logs()[-2000:]}")
            time.sleep(0.01)

    def _start(self, env_vars: dict[str, Any], runtime_port: int) -> subprocess.Popen[bytes]:
        code = self.function_version.config.code.get_unzipped_code_location()
        with self._output.open("ab") as output:
            return subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_HERE / "follow.py")),
                    *(str(self._settings.emulator), "--log-level", "error"),
                    *("--runtime-interface-emulator-address", f"127.0.0.1:{self._port}"),
                    *("--runtime-api-address", f"127.0.0.1:{runtime_port}"),
                    *(str(self._settings.runtime_python), str(_HERE / "lambda_entry.py")),
                    *(self._function_arn(), str(self._folder), self.function_version.config.handler),
                ],
                cwd=code,
                env=self._environment(code, env_vars),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _function_arn(self) -> str:
        version = self.function_version.id
        return str(version.unqualified_arn() if version.qualifier == "$LATEST" else version.qualified_arn())

    def _environment(self, code: Path, env_vars: dict[str, Any]) -> dict[str, str]:
        opt = [layer.code.get_unzipped_code_location() / "python" for layer in self.function_version.config.layers]
        return {
            **{name: str(value) for name, value in env_vars.items() if not name.startswith(_LOCALSTACKS_OWN)},
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder / "tmp"),
            "SSL_CERT_FILE": str(self._settings.authority),
            "AWS_ENDPOINT_URL_LICENSE_MANAGER": self._settings.license_manager_url,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
            "LAMBDA_TASK_ROOT": str(code),
            **({"PYTHONPATH": os.pathsep.join(str(folder) for folder in opt)} if opt else {}),
        }

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        with self._invoking:
            return self._invoke(payload["invoke-id"], payload["payload"].encode())

    def _invoke(self, request_id: str, event: bytes) -> InvocationResult:
        emulator = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=self.function_version.config.timeout + 30
        )
        try:
            emulator.request("POST", _INVOCATIONS, event, {"X-Amzn-RequestId": request_id})
            reply = emulator.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            # The emulator is gone. LocalStack drops this sandbox and answers as Lambda does for a failure of its own.
            raise LambdaRuntimeException(f"The sandbox was lost: {type(error).__name__}") from None
        finally:
            emulator.close()
        result, is_error = _as_lambda_says(reply.status, body, request_id)
        return InvocationResult(request_id, result, is_error, self._new_output(request_id, body))

    def _new_output(self, request_id: str, reply: bytes) -> str:
        """What was logged since the last invocation, with the line that Lambda adds when a sandbox ends badly."""
        with self._output.open("rb") as output:
            output.seek(self._read)
            new = output.read()
        self._read += len(new)
        lines = [line for line in new.decode(errors="replace").splitlines() if "(rapid)" not in line]
        if timed_out := _TIMED_OUT.fullmatch(reply):
            lines.append(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {timed_out[0].decode()}")
        elif b"Runtime exited" in reply:
            lines.append(json.loads(reply)["errorMessage"])
        return "\n".join(lines) + "\n"

    def is_killed(self) -> bool:
        return (self._folder / KILLED).exists()

    def stop(self) -> None:
        """End the sandbox once the invocation in it has ended: an update or delete of a function interrupts none."""
        threading.Thread(target=self._stop, name="sandbox-end", daemon=True).start()

    def _stop(self) -> None:
        with self._invoking:
            process = self._process
            if process and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the runtime below follows its emulator
                process.wait(5)
        shutil.rmtree(self._folder, ignore_errors=True)


def _log_group_name(self: ExecutionEnvironment) -> str:
    """LocalStack knows a function's LoggingConfig and logs to the default group all the same."""
    configured = self.function_version.config.logging_config or {}
    return str(configured.get("LogGroup") or f"/aws/lambda/{self.function_version.id.function_name}")


@contextlib.contextmanager
def _get_environment(
    self: AssignmentService, version_manager_id: str, function_version: FunctionVersion, _: str
) -> Iterator[ExecutionEnvironment]:
    """LocalStack shows a new sandbox to the others before it has reserved it: under load, two invocations meet in one."""
    sandbox = next((one for one in list(self.environments[version_manager_id].values()) if _is_taken(self, one)), None)
    if sandbox is None:
        sandbox = self.start_environment(version_manager_id, function_version)
        sandbox.reserve()
        self.environments[version_manager_id][sandbox.id] = sandbox
    try:
        yield sandbox
    except Exception:
        self.stop_environment(sandbox)
        raise
    with contextlib.suppress(InvalidStatusException):  # stopped meanwhile, with its function
        sandbox.release()


def _is_taken(assignment: AssignmentService, sandbox: ExecutionEnvironment) -> bool:
    """One whose runtime was killed is not used again: at work it has failed that invocation, and Lambda freezes an idle one."""
    try:
        sandbox.reserve()
    except InvalidStatusException:
        return False
    if sandbox.runtime_executor.is_killed():
        assignment.stop_environment(sandbox)
        return False
    return True


def _as_lambda_says(status: int, body: bytes, request_id: str) -> tuple[bytes, bool]:
    """The payload and whether it is a function error, from an emulator that says 200 to nearly everything."""
    if timed_out := _TIMED_OUT.fullmatch(body):
        message = f"RequestId: {request_id} Error: {timed_out[0].decode()}"
        return json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}).encode(), True
    if status != HTTPStatus.OK:
        content = json.loads(body) if body else {"errorType": "Runtime.Unknown", "errorMessage": "Unknown"}
        return json.dumps({**content, **({"requestId": request_id} if "requestId" in content else {})}).encode(), True
    if b'"errorType"' in body and b'"stackTrace"' in body:
        content = json.loads(body)
        # awslambdaric puts the request's id into the errors that it reports, which no result of ours holds beside these.
        return body, isinstance(content, dict) and content.get("requestId") == request_id and "errorType" in content
    return body, False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
