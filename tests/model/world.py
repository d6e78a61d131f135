"""The real handlers in the middle of the model: Lambda runs them, each invocation a process that can be killed anywhere.

What must hold is in promises.py; here is only what happens.
"""

import json
import logging
import math
import os
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import boto3
import botocore.session

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
from license_conversion.request import Account
from license_conversion.shared import LicenseManagers
from license_conversion.stack_response import deliver
from license_conversion.waits import Waits
from tests.context import Context
from tests.model.aws_clients import STATE_MACHINE, LicenseManagerClient, StepFunctions
from tests.model.cloudformation import MALFORMED, CloudFormation
from tests.model.faults import LATENCY, SLOW_SECONDS, Fault, Faults
from tests.model.interpreter import Done, Execution, Failed
from tests.model.promises import Promises
from tests.model.who_waits import FUNCTION, SECRET, Caller, LifecycleRequest, Waiter
from tests.simulation.clock import Killed, Process, VirtualClock
from tests.simulation.memory_table import MemoryTable
from watch_crowd import LAST_SECONDS, Watch

WATCH_SECONDS = 900.0
TIMEOUTS = {"CustomResource": 60, "CheckTask": 30, "AnswerStack": 30, "LastResort": 60}
RETRY_SECONDS = 60.0
OLDEST_EVENT = 900.0
"""Seconds for which Lambda keeps an event of CloudFormation's that it throttles (template.yaml)."""
LONGEST_PAUSE = 300.0
LAST_RESORT_ATTEMPTS = 3
LONGEST_WAIT = 100_000.0
SLOW_FAILURE = 20.0
REFUSALS = {
    Fault.THROTTLED: (LATENCY, "Lambda.TooManyRequestsException", "Rate Exceeded."),
    Fault.REFUSED: (LATENCY, "Lambda.ServiceException", "Internal."),
    Fault.SLOW_FAILURE: (SLOW_FAILURE, "Lambda.ServiceException", "Internal."),
}
"""What Step Functions is told of an invocation that Lambda does not take, and after how many seconds."""
ROLE = "arn:aws:iam::123456789012:role/gate"
OWN = Account()
OTHER = Account("arn:aws:iam::210987654321:role/gate-reads", "an-external-id", "eu-central-1")
"""The account and region of the other License Manager."""

Handler = Callable[[dict[str, Any], Any], Any]


class ContextInTime(Context):
    """Whose seconds pass with the virtual clock."""

    def __init__(self, clock: VirtualClock, function: str, request_id: str) -> None:
        super().__init__(function)
        self._clock = clock
        self._expires = clock.now + TIMEOUTS[function]
        self.aws_request_id = request_id

    def get_remaining_time_in_millis(self) -> int:
        return round(1000 * (self._expires - self._clock.now))


@dataclass
class Invocation:
    """One that runs. `hindered`: it has met a fault that takes time. `end`: it is there because this execution has ended."""

    waiter: Waiter
    function: str
    began: float
    end: Execution | None = None
    hindered: bool = False
    hurt: bool = False
    """A call of Step Functions did not do what it should."""


class World:
    """Everything. A promise that is broken is kept in `broken`, and raised by whoever runs the world."""

    def __init__(self, seed: int) -> None:
        self.clock = VirtualClock()
        self.faults = Faults(self.clock, self._met)
        self.license_manager, self.other_license_manager = (
            LicenseManagerClient(self.clock, self.faults, self._license_manager_is_asked, self._throttled)
            for _ in (OWN, OTHER)
        )
        self.step_functions = StepFunctions(
            self.clock,
            self.faults,
            start=self._start,
            stopping=self._stopping,
            hurt=self._hurt,
            hear=self._called_back,
        )
        self.promises = Promises(self.clock, lambda waiter: self._manager(*waiter.account), self._in_flight, self.fail)
        self.cloudformation = CloudFormation(self.clock, self.promises, self._deliver)
        self.callers: list[Caller] = []
        self.table, self._other_table = MemoryTable(self._table_is_called), MemoryTable(self._table_is_called)
        self.watches: list[Process] = []
        self.end_events: Sequence[Sequence[float]] = ((0.5,),)
        """How late EventBridge says that an execution has ended: once, or more than once."""
        self.broken: list[str] = []
        self.log = StringIO()
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._invocations: dict[Process | None, Invocation] = {}
        self._idle: dict[str, list[Handler]] = {function: [] for function in TIMEOUTS}
        self._waiter_of: dict[str, Waiter] = {}
        self.lateness: list[float] = []

    def fail(self, what: str) -> None:
        self.broken.append(f"at {self.clock.now:.2f}: {what}")

    # the seams

    @contextmanager
    def at_the_seams(self) -> Iterator[None]:
        """The outside of the handlers: connections, sleep, standard output and the log."""
        sleep, now = self.clock.sleep, self.clock.monotonic
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
            stack.enter_context(patch.object(boto3, "Session", self._session))
            stack.enter_context(patch.object(botocore.session, "get_session", self._botocore_session))
            stack.enter_context(patch.dict(os.environ, {"GATE_STATE_MACHINE_ARN": STATE_MACHINE}))
            stack.enter_context(redirect_stdout(self.log))
            before = powertools.setStream(self.log)
            # In place of pytest's own, which would keep every line of every order.
            stack.enter_context(patch.object(logging.getLogger(), "handlers", [watcher]))
            try:
                yield
            finally:
                powertools.setStream(before)

    def _container(self, function: str) -> Handler:
        """A new instance of a function, as Lambda makes one when no warm one is idle."""
        if function == "LastResort":
            return last_resort.handler
        now, clock, sleep = self.clock.monotonic, self.clock.utc, self.clock.sleep
        send = partial(deliver, sleep=sleep, monotonic=now)
        if function == "CheckTask":
            managers = LicenseManagers(ROLE, now)
            crowds = {
                account: Crowd(table, partial(self._start_watch, account, table), self._wake, self.clock.timestamp)
                for account, table in ((OWN, self.table), (OTHER, self._other_table))
            }
            gate = Gate(
                managers, clock, self._random.random, crowds=crowds.__getitem__, sleep=sleep, region="us-east-1"
            )
            return partial(check_task.handle, TaskCheck(gate, clock))
        if function == "AnswerStack":
            return partial(answer_stack.handle, clock=clock, deliver_=send)
        waits = Waits(STATE_MACHINE, now, sleep, self._random.random)
        return partial(custom_resource.handle, StackGate(waits, clock, send))

    # The crowd

    def _table_is_called(self, call: str) -> None:
        """A call that is killed, fails or takes its time does so before it is performed, or after it."""
        fault = self.faults.before("Table")
        if fault in (Fault.REFUSED, Fault.THROTTLED, Fault.SLOW_FAILURE):
            raise TableUnavailable(call)
        if fault is Fault.SLOW_REPLY:
            self.clock.sleep(SLOW_SECONDS)

    def _wake(self, tokens: Collection[str]) -> None:
        for token in tokens:
            fault = self.faults.before("SendTaskSuccess")
            if fault in (None, Fault.SLOW, Fault.LOST, Fault.SLOW_REPLY, Fault.CRASH_AFTER):
                self.step_functions.executions[token.split("|")[1]].call_back(token)
            self.faults.after(fault)

    def _start_watch(self, account: Account, table: MemoryTable) -> None:
        """An asynchronous invocation, which may be lost."""
        fault = self.faults.before("Invoke WatchCrowd")
        if fault in (None, Fault.SLOW, Fault.LOST, Fault.SLOW_REPLY, Fault.CRASH_AFTER):
            self.clock.after(LATENCY, lambda: self._run_watch(account, table))
        self.faults.after(fault)

    def _run_watch(self, account: Account, table: MemoryTable) -> None:
        def main() -> None:
            watch = Watch(table, Adapter(ROLE, account), self._wake, self.clock.timestamp, self.clock.sleep)
            try:
                watch.run(self.clock.timestamp() + WATCH_SECONDS - LAST_SECONDS)
            except TableUnavailable:
                pass
            except Killed:
                pass
            except Exception as unforeseen:
                self.fail(f"the watch raises {unforeseen!r}")

        self.watches.append(self.clock.after(0, main, lives=WATCH_SECONDS))

    def kill_watches(self) -> None:
        """Wherever they are."""
        for watch in self.watches:
            if not watch.dead:
                watch.expires = self.clock.now
        self.watches.clear()

    def _now(self, zone: tzinfo) -> datetime:
        return self.clock.utc().astimezone(zone)

    def _client(self, service: str, *, region_name: str | None = None, **_: Any) -> Any:
        """In place of boto3's."""
        return self._client_of("", "", service, region_name)

    def _client_of(self, role: str, external_id: str, service: str, region_name: str | None) -> Any:
        match service:
            case "stepfunctions":
                return self.step_functions
            case "license-manager":
                return self._manager(role, external_id, region_name or "")
        raise NotImplementedError(service)

    def _manager(self, role: str, external_id: str, region: str) -> LicenseManagerClient:
        asked = Account(role, external_id, region)
        if asked not in (OWN, OTHER):
            self.fail(f"a License Manager is asked that nobody named: {asked}")
        return self.other_license_manager if asked == OTHER else self.license_manager

    @staticmethod
    def _botocore_session() -> Any:
        return SimpleNamespace(create_client=lambda: None, get_credentials=lambda: None)

    def _session(self, *, botocore_session: Any) -> Any:
        """In place of boto3's, with a role's credentials: it is the role's account that answers."""
        assumes = botocore_session._credentials._refresh_using.__self__._assume_kwargs

        def client(service: str, *, region_name: str | None, **_: Any) -> Any:
            return self._client_of(assumes["RoleArn"], assumes.get("ExternalId", ""), service, region_name)

        return SimpleNamespace(client=client)

    # Lambda

    def _deliver(self, request: LifecycleRequest) -> None:
        """An asynchronous invocation, retried once a minute after an error."""
        late = self.lateness.pop() if self.lateness else 0.0
        self.deliver(request, late)

    def deliver(self, request: LifecycleRequest, late: float) -> None:
        sent = self.clock.now
        request.deliveries += 1
        self.clock.after(late, lambda: self._attempt(request, sent))

    def malform(self, event: Any) -> None:
        """An event that is none of CloudFormation's comes to the function. Nobody else's request may be answered."""
        resource = self.cloudformation.resources[0]
        stranger = LifecycleRequest(
            number=0, kind="", properties={}, requested=self.clock.now, resource=resource, request_id="",
            physical_id=None, old_properties=None, url=MALFORMED,
        )  # fmt: skip
        self._run("CustomResource", json.dumps(event), stranger, lambda *_: None)

    def _attempt(self, request: LifecycleRequest, sent: float, attempt: int = 1, throttles: int = 0) -> None:
        """A throttled event waits in Lambda's queue, until it is too old: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html"""
        began = self.clock.now
        if self.faults.next("Invoke CustomResource") is Fault.THROTTLED:
            pause = min(LONGEST_PAUSE, 2.0**throttles)
            if began + pause > sent + OLDEST_EVENT:
                self._give_up(request, attempt - 1, "EventAgeExceeded")
            else:
                request.lost.append((began, began + pause))
                self.clock.after(pause, lambda: self._attempt(request, sent, attempt, throttles + 1))
            return
        request.arrived = began if request.arrived is None else request.arrived

        def ended(result: Any, error: str) -> None:
            if not error:
                before = request.good_attempt
                request.good_attempt = began if before is None else min(began, before)
            elif attempt == 1:
                request.lost.append((began, self.clock.now + RETRY_SECONDS))
                self.clock.after(RETRY_SECONDS, lambda: self._attempt(request, sent, 2))
            else:
                self._give_up(request, attempt, "RetriesExhausted", error)

        self._run("CustomResource", json.dumps(request.event()), request, ended)

    def _give_up(self, request: LifecycleRequest, attempts: int, condition: str, error: str = "") -> None:
        """Lambda hands an event that has failed twice, or was throttled for too long, over to the last resort."""
        record = {
            "version": "1.0",
            "requestContext": {
                "requestId": f"{request.number}",
                "functionArn": f"{FUNCTION}:$LATEST",
                "condition": condition,
                "approximateInvokeCount": attempts,
            },
            "requestPayload": request.event(),
        }
        if error:
            record |= {
                "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
                "responsePayload": {"errorType": "Error", "errorMessage": error},
            }
        request.hard_faults += condition == "EventAgeExceeded"
        request.arrived = self.clock.now if request.arrived is None else request.arrived

        def done() -> None:
            if request.last_resort is None:
                request.last_resort = self.clock.now

        self.clock.after(1.0, lambda: self._last_resort(record, request, done))

    def _last_resort(
        self,
        event: dict[str, Any],
        waiter: Waiter,
        done: Callable[[], None],
        *,
        end: Execution | None = None,
        attempt: int = 1,
    ) -> None:
        """An asynchronous invocation, which Lambda tries three times."""

        def ended(_: Any, failure: str) -> None:
            if not failure:
                done()
            elif attempt < LAST_RESORT_ATTEMPTS:
                pause = RETRY_SECONDS * attempt
                waiter.lost.append((self.clock.now, self.clock.now + pause))
                self.clock.after(pause, lambda: self._last_resort(event, waiter, done, end=end, attempt=attempt + 1))

        self._run("LastResort", json.dumps(event), waiter, ended, end=end)

    def _run(
        self,
        function: str,
        payload: str,
        waiter: Waiter,
        ended: Callable[[Any, str], None],
        *,
        hangs: bool = False,
        end: Execution | None = None,
    ) -> None:
        """One invocation. `ended(result, error)` is called afterwards, by no process of a function."""
        clock, began = self.clock, self.clock.now

        def main() -> None:
            process = clock.process
            assert process
            invocation = self._invocations[process] = Invocation(waiter, function, began, end, hindered=hangs)
            idle, result, error = self._idle[function], None, ""
            handler = idle.pop() if idle else self._container(function)
            try:
                if hangs:
                    clock.sleep(LONGEST_WAIT)
                event = json.loads(payload)
                result = json.loads(json.dumps(handler(event, ContextInTime(clock, function, f"{waiter.number}"))))
                idle.append(handler)
            except (AnswerNotDelivered, TableUnavailable) as undelivered:
                error = f"{type(undelivered).__name__}: {undelivered}"
                idle.append(handler)
            except Killed:
                error = "RequestId: 1 Error: Runtime exited with error: signal: killed"
            except Exception as unforeseen:
                error = repr(unforeseen)
                if not invocation.hurt:
                    self.fail(f"{function} raises {error} for {waiter}")
            del self._invocations[process]
            waiter.hard_faults += bool(error)
            if error or invocation.hindered:
                self._lost_to(function, waiter).append((began, clock.now))
            clock.after(0, lambda: ended(result, error))

        clock.after(0, main, lives=TIMEOUTS[function])

    def _in_flight(self, waiter: Waiter) -> None:
        """Notes what running invocations have taken until now."""
        for invocation in self._invocations.values():
            if invocation.waiter is waiter and invocation.hindered:
                self._lost_to(invocation.function, waiter).append((invocation.began, self.clock.now))

    @staticmethod
    def _lost_to(function: str, waiter: Waiter) -> list[tuple[float, float]]:
        return waiter.lost_to_checks if function == "CheckTask" else waiter.lost

    def _met(self, call: str, fault: Fault) -> None:
        """A call meets a fault, which takes the time of its invocation unless it is an error at once."""
        slow = (Fault.SLOW, Fault.SLOW_REPLY, Fault.SLOW_FAILURE)
        if self._invocation and (call not in ("GetTask", "ListTasks") or fault in slow):
            self._invocation.hindered = True
        if fault is Fault.THROTTLED and call in ("GetTask", "ListTasks"):
            self._throttled()

    def _throttled(self) -> None:
        if self._invocation:
            self._invocation.waiter.throttled = self.clock.now

    @property
    def _invocation(self) -> Invocation | None:
        return self._invocations.get(self.clock.process)

    # Step Functions

    def _start(self, name: str, arn: str, text: str) -> Execution:
        url = json.loads(text)["Stack"]["Event"]["ResponseURL"]
        request = next(r for r in self.cloudformation.requests if r.url == url)
        if request.execution:
            self.fail(f"{request} has two waits")
        return self._execution(request, name, arn, text)

    def call(self, properties: dict[str, Any], *, token: bool, hears: float = math.inf) -> Caller:
        """A state machine starts an execution. It `hears` its token for so many seconds."""
        number = len(self.callers) + 1
        caller = Caller(number=number, properties=properties, requested=self.clock.now)
        self.callers.append(caller)
        if token:
            caller.token = f"{SECRET}-token-{number}"
        if hears < math.inf:
            self.clock.after(hears, lambda: setattr(caller, "gone", True))
        given = properties | ({"TaskToken": caller.token} if token else {})
        arn = f"{STATE_MACHINE.replace('stateMachine', 'execution')}:caller-{number}"
        self.step_functions.begin(self._execution(caller, f"caller-{number}", arn, json.dumps(given)))
        return caller

    def _execution(self, waiter: Waiter, name: str, arn: str, text: str) -> Execution:
        self._waiter_of[name] = waiter

        def lost(state: str, begin: float, end: float) -> None:
            checks = state in ("Check Task", "Wait for Lambda")
            (waiter.lost_to_checks if checks else waiter.lost).append((begin, end))
            waiter.hard_faults += 1

        waiter.execution = Execution(
            self.clock, partial(self._invoke, waiter), name=name, arn=arn, text=text, lost=lost,
            random=self._random.random, ended=self._ended,
        )  # fmt: skip
        return waiter.execution

    def end_from_outside(self, execution: Execution, status: str, error: str) -> None:
        """Step Functions ends it past every Catch, or somebody stops it by hand."""
        self._waiter_of[execution.name].ended_from_outside = status
        self._waiter_of[execution.name].hard_faults += 1
        execution.end(status, error=error, cause="")

    def _ended(self, execution: Execution) -> None:
        """EventBridge's event, at least once. With a key of one's own it has neither input nor error.
        https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html
        """
        waiter = self._waiter_of[execution.name]
        if isinstance(waiter, Caller) and not waiter.ended_from_outside:
            self.promises.caller_ended(waiter, execution)
        if execution.status == "SUCCEEDED":
            return
        detail = {
            "executionArn": execution.arn, "stateMachineArn": STATE_MACHINE, "name": execution.name,
            "status": execution.status, "input": None, "output": None,
        }  # fmt: skip
        if self._random.random() < 0.5:
            detail |= {"input": execution.input, "error": execution.error or None, "cause": execution.cause or None}
        event = {"source": "aws.states", "detail-type": "Step Functions Execution Status Change", "detail": detail}
        came_through = partial(self.promises.net_came_through, waiter)
        for late in self._random.choice(self.end_events):
            self.clock.after(late, lambda: self._last_resort(event, waiter, came_through, end=execution))

    def _called_back(self, token: str, verdict: dict[str, Any]) -> bool:
        """SendTaskSuccess or SendTaskFailure for a caller's token."""
        caller = next(caller for caller in self.callers if caller.token == token)
        self._net_may_tell()
        if caller.gone:
            return False
        first = not caller.calls
        self.promises.caller_hears(caller, verdict)
        return first

    def _net_may_tell(self) -> None:
        if self._invocation and self._invocation.end:
            self.promises.net_tells(self._invocation.waiter, self._invocation.end)

    def _invoke(self, waiter: Waiter, function: str, payload: str, done: Done, failed: Failed) -> None:
        if function in ("PutMetricData", "AnnounceEnd:Event"):
            return self._call(function, payload, done, failed)
        if function in ("SendTaskSuccess", "SendTaskFailure"):
            return self._call_back(json.loads(payload), done, failed)
        function, _, waits_for_token = function.partition(":")
        fault = self.faults.next("TakePlace" if waits_for_token else f"Invoke {function}")
        waiter.given_up_by += bool(fault) and function == "LastResort"
        if fault is Fault.SLOW_FAILURE:
            self._lost_to(function, waiter).append((self.clock.now, self.clock.now + SLOW_FAILURE))
        if fault in REFUSALS:
            seconds, error, cause = REFUSALS[fault]
            self.clock.after(seconds, lambda: failed(error, cause))
            return None

        def ended(result: Any, error: str) -> None:
            if fault is Fault.LOST:
                failed("Lambda.SdkClientException", "Read timed out.")
            elif error:
                waiter.given_up_by += function == "LastResort" and not fault
                name = error.split(":", maxsplit=1)[0]
                failed(name if name in ("AnswerNotDelivered", "NobodyListens") else "Lambda.Unknown", error)
            else:
                done(result)

        hangs = fault is Fault.SLOW
        self.clock.after(LATENCY, lambda: self._run(function, payload, waiter, ended, hangs=hangs))
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
        self.clock.after(seconds, reply)

    def _call_back(self, given: dict[str, Any], done: Done, failed: Failed) -> None:
        """The execution calls its caller's token itself."""
        fault = self.faults.next("CallBack")
        if fault in (Fault.REFUSED, Fault.THROTTLED, Fault.SLOW_FAILURE):
            seconds = SLOW_FAILURE if fault is Fault.SLOW_FAILURE else LATENCY
            self.clock.after(seconds, lambda: failed("Sfn.SfnException", str(fault)))
            return

        def tell() -> None:
            token = given["TaskToken"]
            verdict: dict[str, Any] = {name: given[name] for name in ("Error", "Cause") if name in given}
            if not self._called_back(token, verdict or {"Output": json.loads(given["Output"])}):
                failed("Sfn.TaskTimedOutException", "Task Timed Out")
            elif fault is Fault.LOST:
                failed("Sfn.SdkClientException", "Read timed out")
            else:
                done({})

        self.clock.after(SLOW_SECONDS if fault is Fault.SLOW else LATENCY, tell)

    def _stopping(self, execution: Execution) -> None:
        assert self._invocation
        assert isinstance(self._invocation.waiter, LifecycleRequest)
        self.promises.stops(self._invocation.waiter, self._waiter_of[execution.name], execution)

    def _hurt(self, call: str) -> None:
        """A call did not do what it should, or did not say that it did."""
        assert self._invocation
        self._invocation.hurt = True
        waiter = self._invocation.waiter
        blind = self._invocation.function == "LastResort" and not self._invocation.end
        if isinstance(waiter, LifecycleRequest) and blind and call == "DescribeExecution":
            waiter.blind = True
        if call in ("StartExecution", "CallBack"):
            waiter.hard_faults += 1
        elif call != "DescribeExecution" or waiter.kind != "Create":
            waiter.stop_faults += 1

    def _license_manager_is_asked(self) -> None:
        if self._invocation and self._invocation.function != "CheckTask":
            self.fail(f"{self._invocation.function} asks License Manager for {self._invocation.waiter}")

    def _announced(self, payload: str) -> None:
        if SECRET in payload:
            self.fail(f"an event shows a credential: {payload}")

    # the answers

    def put(self, address: str, body: str, timeout: float) -> int:
        """One PUT. Returns the HTTP status, or raises what a connection raises."""
        fault = self.faults.next("Put")
        sender = self._invocation.waiter if self._invocation else None
        self._net_may_tell()
        if fault and sender:
            sender.hard_faults += 1
            sender.faulty_puts.append(self.clock.now)
        self.clock.sleep(LATENCY)
        match fault:
            case Fault.CRASH_BEFORE:
                raise Killed
            case Fault.REFUSED:
                return 403
            case Fault.THROTTLED:
                return 503
            case Fault.SLOW:
                self.clock.sleep(timeout)
                raise TimeoutError
        self.cloudformation.taken(address, body, sender)
        match fault:
            case Fault.CRASH_AFTER:
                raise Killed
            case Fault.LOST:
                raise ConnectionResetError
            case Fault.SLOW_REPLY:
                self.clock.sleep(timeout)
                raise TimeoutError
        self.clock.sleep(LATENCY)
        return 200

    # what must hold

    def run_for(self, seconds: float) -> None:
        self.clock.run_for(seconds)
        self.check()

    def check(self) -> None:
        for request in self.cloudformation.requests:
            if request.execution and request.execution.status == "RUNNING":
                self.promises.running(request, self.cloudformation.requests[request.number :])
        assert not self.broken, "\n".join(self.broken)

    def settle(self) -> None:
        """No more faults: everything comes to its end."""
        self.faults.clear()
        for quota in (
            self.license_manager.quota,
            self.other_license_manager.quota,
            *self.step_functions.quotas.values(),
        ):
            quota.limit(math.inf)
        self.clock.run_out(LONGEST_WAIT)
        self.check()
        assert self.clock.idle
        for waiter in self._waiter_of.values():
            self.promises.ended(waiter)
        for request in self.cloudformation.requests:
            if request.open:
                self.fail(f"{request} is open for ever")
        if SECRET in self.log.getvalue():
            line = next(line for line in self.log.getvalue().splitlines() if SECRET in line)
            self.fail(f"a credential is in the log: {line}")
        assert not self.broken, "\n".join(self.broken)

    def close(self) -> None:
        self.clock.close()


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
