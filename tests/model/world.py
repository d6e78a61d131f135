"""The real handlers in the middle of the model: Lambda runs them, each invocation a process that can be killed anywhere."""

import json
import logging
import math
import os
import random
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3

import answer_stack
import check_task
import custom_resource
import last_resort
from check_task import TaskCheck
from custom_resource import StackGate
from license_conversion import stack_response, telemetry
from license_conversion.crowd import Crowd
from license_conversion.errors import AnswerNotDelivered, TableUnavailable
from license_conversion.gate import Gate
from license_conversion.license_manager import LicenseManager as Adapter
from license_conversion.shared import LicenseManagers
from license_conversion.stack_response import deliver
from license_conversion.waits import Waits
from tests.memory_table import MemoryTable
from tests.model.aws_clients import STATE_MACHINE, LicenseManager, StepFunctions
from tests.model.cloudformation import FUNCTION, MALFORMED, SECRET, CloudFormation, Request
from tests.model.faults import LATENCY, SLOW_SECONDS, Fault, Faults
from tests.model.interpreter import Done, Execution, Failed
from tests.model.scheduler import BEGINNING, Killed, Process, Scheduler
from watch_crowd import LAST_SECONDS, Watch

WATCH_SECONDS = 900.0
TIMEOUTS = {"CustomResource": 60, "CheckTask": 30, "AnswerStack": 30, "LastResort": 60}
RETRY_SECONDS = 60.0
LAST_RESORT_ATTEMPTS = 3
ORDINARY_SECONDS = 2.0
"""What one look, or one answer, takes at most when nothing goes wrong."""
LONGEST_WAIT = 100_000.0
SLOW_FAILURE = 20.0

Handler = Callable[[dict[str, Any], Any], Any]


class Context:
    """What the Lambda runtime hands to a handler."""

    def __init__(self, scheduler: Scheduler, function: str, request_id: str) -> None:
        self._scheduler = scheduler
        self._expires = scheduler.now + TIMEOUTS[function]
        self.function_name = function
        self.invoked_function_arn = FUNCTION if function == "CustomResource" else function
        self.aws_request_id = request_id
        self.log_group_name = f"/license-conversion-gate/{function}"
        self.memory_limit_in_mb = 256

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * (self._expires - self._scheduler.now))


@dataclass
class Invocation:
    """One that runs. `hindered`: it has met a fault that takes time."""

    request: Request
    function: str
    began: float
    hindered: bool = False
    hurt: bool = False
    """A call of Step Functions did not do what it should."""


class World:
    """Everything. A promise that is broken is kept in `broken`, and raised by whoever runs the world."""

    def __init__(self, seed: int) -> None:
        self.scheduler = Scheduler()
        self.faults = Faults(self.scheduler, self._met)
        self.license_manager = LicenseManager(self.scheduler, self.faults, self._license_manager_is_asked)
        self.step_functions = StepFunctions(self.scheduler, self.faults, self._start, self._stopping, self._hurt)
        self.cloudformation = CloudFormation(
            self.scheduler, self.license_manager, self._deliver, self._in_flight, self.fail
        )
        self.table = MemoryTable(self._table_is_called)
        self.watches: list[Process] = []
        self.broken: list[str] = []
        self.log = StringIO()
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._invocations: dict[Process, Invocation] = {}
        self._idle: dict[str, list[Handler]] = {function: [] for function in TIMEOUTS}
        self._request_of: dict[str, Request] = {}
        self.lateness: list[float] = []

    def fail(self, what: str) -> None:
        self.broken.append(f"at {self.scheduler.now:.2f}: {what}")

    # the seams

    @contextmanager
    def at_the_seams(self) -> Iterator[None]:
        """The outside of the handlers: connections, sleep, standard output and the log."""
        sleep, now = self.scheduler.sleep, self._monotonic
        watcher = Watcher(self.log)
        powertools = telemetry.logger.registered_handler
        assert isinstance(powertools, logging.StreamHandler)
        with ExitStack() as stack:
            stack.enter_context(patch.object(stack_response, "HTTPSConnection", partial(Connection, self)))
            clock = SimpleNamespace(sleep=sleep, time=now, monotonic=now)
            stack.enter_context(patch.object(stack_response, "deliver", partial(deliver, sleep=sleep, monotonic=now)))
            stack.enter_context(patch.object(last_resort, "time", clock))
            stack.enter_context(patch.object(last_resort, "datetime", SimpleNamespace(now=self._now)))
            stack.enter_context(patch.object(boto3, "client", self._client))
            stack.enter_context(patch.object(boto3, "Session", lambda: SimpleNamespace(client=self._client)))
            stack.enter_context(patch.dict(os.environ, {"GATE_STATE_MACHINE_ARN": STATE_MACHINE}))
            stack.enter_context(redirect_stdout(self.log))
            before = powertools.setStream(self.log)
            logging.getLogger().addHandler(watcher)
            try:
                yield
            finally:
                logging.getLogger().removeHandler(watcher)
                powertools.setStream(before)

    def _container(self, function: str) -> Handler:
        """A new instance of a function, as Lambda makes one when no warm one is idle."""
        if function == "LastResort":
            return last_resort.handler
        now, clock, sleep = self._monotonic, self.scheduler.clock, self.scheduler.sleep
        send = partial(deliver, sleep=sleep, monotonic=now)
        if function == "CheckTask":
            managers = LicenseManagers("arn:aws:iam::123456789012:role/gate", now)
            crowd = Crowd(self.table, self._start_watch, self._wake, self._seconds)
            gate = Gate(managers, clock, self._random.random, crowds=lambda _: crowd, sleep=sleep, region="us-east-1")
            return partial(check_task.handle, TaskCheck(gate, clock))
        if function == "AnswerStack":
            return partial(answer_stack.handle, clock=clock, deliver_=send)
        waits = Waits(STATE_MACHINE, now, sleep, self._random.random)
        return partial(custom_resource.handle, StackGate(waits, clock, send))

    # The crowd

    def _seconds(self) -> float:
        return BEGINNING.timestamp() + self.scheduler.now

    def _table_is_called(self, call: str) -> None:
        """A call that is killed, fails or takes its time does so before it is performed, or after it."""
        fault = self.faults.before("Table")
        if fault in (Fault.REFUSED, Fault.THROTTLED, Fault.SLOW_FAILURE):
            raise TableUnavailable(call)
        if fault is Fault.SLOW_REPLY:
            self.scheduler.sleep(SLOW_SECONDS)

    def _wake(self, tokens: Collection[str]) -> None:
        for token in tokens:
            fault = self.faults.before("SendTaskSuccess")
            if fault in (None, Fault.SLOW, Fault.LOST, Fault.SLOW_REPLY, Fault.CRASH_AFTER):
                self.step_functions.executions[token.split("|")[1]].call_back(token)
            self.faults.after(fault)

    def _start_watch(self) -> None:
        """An asynchronous invocation, which may be lost."""
        fault = self.faults.before("Invoke WatchCrowd")
        if fault in (None, Fault.SLOW, Fault.LOST, Fault.SLOW_REPLY, Fault.CRASH_AFTER):
            self.scheduler.after(LATENCY, self._run_watch)
        self.faults.after(fault)

    def _run_watch(self) -> None:
        def main() -> None:
            watch = Watch(self.table, Adapter("arn:role"), self._wake, self._seconds, self.scheduler.sleep)
            try:
                watch.run(self._seconds() + WATCH_SECONDS - LAST_SECONDS)
            except TableUnavailable:
                pass
            except Killed:
                pass
            except Exception as unforeseen:
                self.fail(f"the watch raises {unforeseen!r}")

        self.watches.append(self.scheduler.spawn(main, WATCH_SECONDS))

    def kill_watches(self) -> None:
        """Wherever they are."""
        for watch in self.watches:
            if not watch.ended:
                watch.expires = self.scheduler.now
        self.watches.clear()

    def _now(self, zone: tzinfo) -> datetime:
        return self.scheduler.clock().astimezone(zone)

    def _monotonic(self) -> float:
        return self.scheduler.now

    def _client(self, service: str, **_: Any) -> Any:
        """In place of boto3's."""
        match service:
            case "stepfunctions":
                return self.step_functions
            case "license-manager":
                return self.license_manager
        raise NotImplementedError(service)

    # Lambda

    def _deliver(self, request: Request) -> None:
        """An asynchronous invocation, retried once a minute after an error."""
        late = self.lateness.pop() if self.lateness else 0.0
        self.deliver(request, late)

    def deliver(self, request: Request, late: float) -> None:
        self.scheduler.after(late, lambda: self._attempt(request, 1))

    def malform(self, event: Any) -> None:
        """An event that is none of CloudFormation's comes to the function. Nobody else's request may be answered."""
        stranger = Request(self.cloudformation.resources[0], 0, "", "", None, {}, None, self.scheduler.now, MALFORMED)
        self._run("CustomResource", json.dumps(event), stranger, lambda *_: None)

    def _attempt(self, request: Request, attempt: int) -> None:
        began = self.scheduler.now
        noted: list[Any] = [began, False, math.inf]
        request.attempts.append(noted)

        def ended(result: Any, error: str) -> None:
            noted[2] = self.scheduler.now
            if not error:
                before = request.good_attempt
                request.good_attempt = began if before is None else min(began, before)
                return
            noted[1] = True
            if attempt == 1:
                request.lost.append((began, self.scheduler.now + RETRY_SECONDS))
                self.scheduler.after(RETRY_SECONDS, lambda: self._attempt(request, 2))
            else:
                self._give_up(request, error)

        self._run("CustomResource", json.dumps(request.event()), request, ended)

    def _give_up(self, request: Request, error: str, attempt: int = 1) -> None:
        """Lambda hands an event that has failed twice over to the last resort, which it tries three times."""
        record = {
            "version": "1.0",
            "requestContext": {
                "requestId": f"{request.number}",
                "functionArn": f"{FUNCTION}:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 2,
            },
            "requestPayload": request.event(),
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {"errorType": "Error", "errorMessage": error},
        }

        def ended(_: Any, failure: str) -> None:
            if failure and attempt < LAST_RESORT_ATTEMPTS:
                pause = RETRY_SECONDS * attempt
                request.lost.append((self.scheduler.now, self.scheduler.now + pause))
                self.scheduler.after(pause, lambda: self._give_up(request, error, attempt + 1))
            elif not failure and request.last_resort is None:
                request.last_resort = self.scheduler.now

        self.scheduler.after(1.0, lambda: self._run("LastResort", json.dumps(record), request, ended))

    def _run(
        self, function: str, payload: str, request: Request, ended: Callable[[Any, str], None], *, hangs: bool = False
    ) -> None:
        """One invocation. `ended(result, error)` is called in the scheduler's own turn."""
        scheduler, began = self.scheduler, self.scheduler.now

        def main() -> None:
            process = scheduler.process
            assert process
            invocation = self._invocations[process] = Invocation(request, function, began, hindered=hangs)
            idle, result, error = self._idle[function], None, ""
            handler = idle.pop() if idle else self._container(function)
            try:
                if hangs:
                    scheduler.sleep(LONGEST_WAIT)
                event = json.loads(payload)
                result = json.loads(json.dumps(handler(event, Context(scheduler, function, f"{request.number}"))))
                idle.append(handler)
            except (AnswerNotDelivered, TableUnavailable) as undelivered:
                error = f"{type(undelivered).__name__}: {undelivered}"
                idle.append(handler)
            except Killed:
                error = "RequestId: 1 Error: Runtime exited with error: signal: killed"
            except Exception as unforeseen:
                error = repr(unforeseen)
                if not self._invocations[process].hurt:
                    self.fail(f"{function} raises {error} for {request}")
            del self._invocations[process]
            request.hard_faults += bool(error)
            if error or invocation.hindered:
                self._lost_to(function, request).append((began, scheduler.now))
            scheduler.after(0, lambda: ended(result, error))

        scheduler.spawn(main, TIMEOUTS[function])

    def _in_flight(self, request: Request) -> None:
        """Notes what running invocations have taken until now."""
        for invocation in self._invocations.values():
            if invocation.request is request and invocation.hindered:
                self._lost_to(invocation.function, request).append((invocation.began, self.scheduler.now))

    @staticmethod
    def _lost_to(function: str, request: Request) -> list[tuple[float, float]]:
        return request.lost_to_checks if function == "CheckTask" else request.lost

    def _met(self, call: str, fault: Fault) -> None:
        """A call meets a fault, which takes the time of its invocation unless it is an error at once."""
        slow = (Fault.SLOW, Fault.SLOW_REPLY, Fault.SLOW_FAILURE)
        if self._invocation and (call not in ("GetTask", "ListTasks") or fault in slow):
            self._invocation.hindered = True

    @property
    def _invocation(self) -> Invocation | None:
        return self._invocations.get(self.scheduler.process) if self.scheduler.process else None

    # Step Functions

    def _start(self, name: str, arn: str, text: str) -> Execution:
        url = json.loads(text)["Stack"]["Event"]["ResponseURL"]
        request = next(r for r in self.cloudformation.requests if r.url == url)
        self._request_of[name] = request

        def lost(state: str, begin: float, end: float) -> None:
            checks = state in ("Check Task", "Wait for Lambda")
            (request.lost_to_checks if checks else request.lost).append((begin, end))
            request.hard_faults += 1

        invoke, random = partial(self._invoke, request), self._random.random
        return Execution(self.scheduler, invoke, name=name, arn=arn, text=text, lost=lost, random=random)

    def _invoke(self, request: Request, function: str, payload: str, done: Done, failed: Failed) -> None:
        if function in ("PutMetricData", "AnnounceEnd:Event"):
            return self._call(function, payload, done, failed)
        function, _, waits_for_token = function.partition(":")
        fault = self.faults.next("TakePlace" if waits_for_token else f"Invoke {function}")
        request.given_up_by += bool(fault) and function == "LastResort"
        if fault is Fault.THROTTLED:
            return self.scheduler.after(LATENCY, lambda: failed("Lambda.TooManyRequestsException", "Rate Exceeded."))
        if fault is Fault.REFUSED:
            return self.scheduler.after(LATENCY, lambda: failed("Lambda.ServiceException", "Internal."))

        if fault is Fault.SLOW_FAILURE:
            self._lost_to(function, request).append((self.scheduler.now, self.scheduler.now + SLOW_FAILURE))
            return self.scheduler.after(SLOW_FAILURE, lambda: failed("Lambda.ServiceException", "Internal."))

        def ended(result: Any, error: str) -> None:
            if fault is Fault.LOST:
                failed("Lambda.SdkClientException", "Read timed out.")
            elif error:
                request.given_up_by += function == "LastResort" and not fault
                name = error.split(":", maxsplit=1)[0]
                failed(name if name in ("AnswerNotDelivered", "NobodyListens") else "Lambda.Unknown", error)
            else:
                done(result)

        hangs = fault is Fault.SLOW
        self.scheduler.after(LATENCY, lambda: self._run(function, payload, request, ended, hangs=hangs))
        return None

    def _call(self, function: str, payload: str, done: Done, failed: Failed) -> None:
        """What an execution does itself: one that hangs has no reply."""
        fault = self.faults.next(function.removesuffix(":Event"))
        if function == "AnnounceEnd:Event":
            self._announced(payload)
        if fault is Fault.SLOW:
            return
        seconds = SLOW_FAILURE if fault is Fault.SLOW_FAILURE else LATENCY
        reply = (lambda: failed("Internal", "Internal.")) if fault else (lambda: done({}))
        self.scheduler.after(seconds, reply)

    def _stopping(self, execution: Execution) -> None:
        """Somebody stops a wait: only a later request may, or its own that could not be told that it had begun."""
        invocation, stopped = self._invocation, self._request_of[execution.name]
        assert invocation
        request = invocation.request
        stopped.stopped = True
        if request is not stopped and (request.resource is not stopped.resource or request.number < stopped.number):
            self.fail(f"{request} stops the wait of {stopped}")
        deletes = request.kind == "Delete" and is_own_id(str(request.physical_id))
        if deletes and request.physical_id != wait_id(execution):
            self.fail(f"{request} stops the wait of {stopped}, whose id is {wait_id(execution)}")

    def _hurt(self, call: str) -> None:
        """A call did not do what it should, or did not say that it did."""
        assert self._invocation
        self._invocation.hurt = True
        request = self._invocation.request
        if self._invocation.function == "LastResort" and call == "DescribeExecution":
            request.blind = True
        if call == "StartExecution":
            request.hard_faults += 1
        elif call != "DescribeExecution" or request.kind != "Create":
            request.stop_faults += 1

    def _license_manager_is_asked(self) -> None:
        if self._invocation and self._invocation.function != "CheckTask":
            self.fail(f"{self._invocation.function} asks License Manager for {self._invocation.request}")

    def _announced(self, payload: str) -> None:
        if SECRET in payload:
            self.fail(f"an event shows a credential: {payload}")

    # the answers

    def put(self, address: str, body: str, timeout: float) -> int:
        """One PUT. Returns the HTTP status, or raises what a connection raises."""
        fault = self.faults.next("Put")
        sender = self._invocation.request if self._invocation else None
        if fault and sender:
            sender.hard_faults += 1
            sender.faulty_puts.append(self.scheduler.now)
        self.scheduler.sleep(LATENCY)
        match fault:
            case Fault.CRASH_BEFORE:
                raise Killed
            case Fault.REFUSED:
                return 403
            case Fault.THROTTLED:
                return 503
            case Fault.SLOW:
                self.scheduler.sleep(timeout)
                raise TimeoutError
        self.cloudformation.taken(address, body, sender)
        match fault:
            case Fault.CRASH_AFTER:
                raise Killed
            case Fault.LOST:
                raise ConnectionResetError
            case Fault.SLOW_REPLY:
                self.scheduler.sleep(timeout)
                raise TimeoutError
        self.scheduler.sleep(LATENCY)
        return 200

    # what must hold

    def run_for(self, seconds: float) -> None:
        self.scheduler.run_for(seconds)
        self.check()

    def check(self) -> None:
        for execution in self.step_functions.executions.values():
            if execution.status == "RUNNING":
                self._check_running(execution)
        assert not self.broken, "\n".join(self.broken)

    def _check_running(self, execution: Execution) -> None:
        """A wait that began before a later request of its resource ends with the answer to that request."""
        request = self._request_of[execution.name]
        for later in self.cloudformation.requests[request.number :]:
            if (
                later.resource is request.resource
                and later.answer
                and later.valid
                and not later.stop_faults
                and "before it could answer" not in later.answer["Reason"]  # the last resort looks for no other wait
                and execution.started <= later.requested
                and supersedes(later, execution)
            ):
                self.fail(f"the wait of {request} still runs after {later} was answered")

    def settle(self) -> None:
        """No more faults: everything comes to its end."""
        self.faults.clear()
        self.license_manager.rate = math.inf
        self.scheduler.run_out(LONGEST_WAIT)
        self.check()
        assert self.scheduler.idle
        for execution in self.step_functions.executions.values():
            self._check_ended(execution)
        for request in self.cloudformation.requests:
            if request.open:
                self.fail(f"{request} is open for ever")
        if SECRET in self.log.getvalue():
            line = next(line for line in self.log.getvalue().splitlines() if SECRET in line)
            self.fail(f"a credential is in the log: {line}")
        assert not self.broken, "\n".join(self.broken)

    def _check_ended(self, execution: Execution) -> None:
        request = self._request_of[execution.name]
        if execution.status not in ("SUCCEEDED", "FAILED", "ABORTED"):
            self.fail(f"the wait of {request} ends {execution.status}")
        if SECRET in f"{execution.output}{execution.error}{execution.cause}":
            self.fail(f"the wait of {request} ends with a credential: {execution.cause}")
        unanswered = execution.error == "LicenseConversion.NotAnswered"
        signals = request.handle and (request.answer or {}).get("Status") == "SUCCESS"
        if signals and execution.status != "ABORTED" and not unanswered and not request.signals:
            self.fail(f"{request} never signals its handle")
        lasted = execution.stopped - max(request.deadline, execution.started)
        if lasted > ORDINARY_SECONDS + request.lost_in(request.requested, execution.stopped) + 60:
            self.fail(f"the wait of {request} ends {lasted} s after its deadline")

    def close(self) -> None:
        self.scheduler.close()


def wait_id(execution: Execution) -> str:
    """The physical id of what the execution waits for; `""` while no check has said which task is the newest of a resource."""
    known = str(json.loads(execution.input)["Stack"]["PhysicalResourceId"])
    state = json.loads(execution.entered[-1][1]) if execution.entered else {}
    return known or str(state.get("Task", {}).get("LicenseConversionTaskId", ""))


def supersedes(later: Request, execution: Execution) -> bool:
    """An Update takes the place of every wait of the resource, a Delete of those for the id that it names."""
    match later.kind:
        case "Update":
            return True
        case "Create":
            return False
    return not is_own_id(str(later.physical_id)) or later.physical_id == wait_id(execution)


def is_own_id(physical_id: str) -> bool:
    return physical_id.startswith(("lct-", "license-conversion-"))


class Connection:
    """Stands where `http.client.HTTPSConnection` would."""

    def __init__(self, world: World, _host: str, timeout: float) -> None:
        self._world, self._timeout = world, timeout
        self._sent = ("", "")

    def request(self, method: str, address: str, body: bytes, headers: dict[str, str]) -> None:
        assert method == "PUT"
        assert headers == {"Content-Type": ""}
        self._sent = (address, body.decode())

    def getresponse(self) -> "Connection":
        self.status = self._world.put(*self._sent, self._timeout)
        return self

    def close(self) -> None:
        pass


class Watcher(logging.Handler):
    """Writes every record of every logger down, with what it carries."""

    def __init__(self, log: StringIO) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(f"{self.format(record)}\n")
