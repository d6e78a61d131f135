"""The real handlers in the middle of the model: Lambda runs them, each invocation a process that can be killed anywhere.

What must hold is in promises.py; here is only what happens.
"""

import json
import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import StringIO
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import boto3
from aws_lambda_powertools.metrics import EphemeralMetrics

import check_task
import custom_resource
import respond
from check_task import TaskCheck
from custom_resource import provider
from license_conversion import aws, plain_telemetry, response, telemetry
from license_conversion.errors import GateError, ResponseNotTaken, TableUnavailable
from license_conversion.executions import Executions
from license_conversion.license_manager import LicenseManager
from license_conversion.poll import Poll
from license_conversion.request import SHORTEST_ATTEMPT
from license_conversion.response import deliver
from license_conversion.settings import Settings
from poll_tasks import LAST_SECONDS, Poller
from tests.context import Context
from tests.model.aws_clients import STATE_MACHINE, UNLIMITED, LicenseManagerClient, ModelledStepFunctions, perform
from tests.model.cloudformation import CloudFormation
from tests.model.faults import LATENCY, SLOW_SECONDS, Fault, Faults
from tests.model.promises import Promises
from tests.model.who_waits import SECRET, Caller, LifecycleRequest, Waiter
from tests.simulation.clock import Killed, Process, VirtualClock
from tests.simulation.interpreter import OWN_CALLS, Done, Execution, Failed, Machine, gate
from tests.simulation.memory_registrations import MemoryRegistrations

POLL_SECONDS = 900.0
TIMEOUTS = {"CustomResource": 60, "CheckTask": 30, "Respond": 150}
RETRY_SECONDS = 60.0
OLDEST_EVENT = {"CustomResource": 900.0, "Respond": 2700.0}
"""Seconds for which Lambda keeps an event that it throttles (template.yaml)."""
ATTEMPTS = {"CustomResource": 2, "Respond": 3}
LONGEST_PAUSE = 300.0
LONGEST_WAIT = 100_000.0
SLOW_FAILURE = 20.0
QUICK_SECONDS = 1.0
"""A check gives the table no more."""
REFUSALS = {
    Fault.THROTTLED: (LATENCY, "Lambda.TooManyRequestsException", "Rate Exceeded."),
    Fault.REFUSED: (LATENCY, "Lambda.ServiceException", "Internal."),
    Fault.SLOW_FAILURE: (SLOW_FAILURE, "Lambda.ServiceException", "Internal."),
}
"""What Step Functions gets for an invocation that Lambda does not take, and after how many seconds."""
STATUSES = {Fault.REFUSED: 403, Fault.THROTTLED: 503}
ROLE = "arn:aws:iam::123456789012:role/gate"

Handler = Callable[[dict[str, Any], Any], Any]


class ContextInTime(Context):
    """Whose seconds pass with the virtual clock."""

    def __init__(self, clock: VirtualClock, function: str, request_id: str) -> None:
        super().__init__()
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


@dataclass
class Event:
    """An asynchronous one, `sent` at that time; the `end` of an execution may be its reason. `arrived` is called when
    Lambda begins with it, `ended` when the attempt began that had no error; `given_up` after how many attempts, why, and with
    which error.
    """

    function: str
    payload: str
    waiter: Waiter
    sent: float
    ended: Callable[[float], None]
    given_up: Callable[[int, str, str], None]
    arrived: Callable[[float], None] = lambda _: None
    end: Execution | None = None


class World:
    """Everything. A promise that is broken is kept in `broken`, and raised by what runs the world."""

    def __init__(self, seed: int, machine: Machine | None = None) -> None:
        self.clock = VirtualClock()
        self.machine = machine or gate()
        self.faults = Faults(self.clock, self._met)
        self.license_manager = LicenseManagerClient(
            self.clock, self.faults, self._license_manager_is_asked, self._throttled, self._denied
        )
        self.table = MemoryRegistrations(self._start_poller)
        self.step_functions = ModelledStepFunctions(
            self.clock,
            self.faults,
            start=self._start,
            stopping=self._stopping,
            hurt=self._hurt,
            call_back=self._called_back,
        )
        self.promises = Promises(self.clock, self.license_manager, self._in_flight, self.fail)
        self.cloudformation = CloudFormation(self.clock, self.promises, self.deliver)
        self.callers: list[Caller] = []
        self.pollers: list[Process] = []
        self.end_events: Sequence[Sequence[float]] = ((0.5,),)
        """How late EventBridge says that an execution has ended: once, or more than once."""
        self.lacks = ""
        """The member that each result lacks which a function, or the poller, hands over."""
        self.broken: list[str] = []
        self.log = Log(self._counted)
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
        powertools = telemetry.logger.registered_handler
        assert isinstance(powertools, logging.StreamHandler)
        with ExitStack() as stack:
            stack.enter_context(patch.object(response, "HTTPSConnection", partial(Connection, self)))
            clock = SimpleNamespace(sleep=sleep, time=now, monotonic=now)
            stack.enter_context(patch.object(response, "deliver", partial(deliver, sleep=sleep, monotonic=now)))
            stack.enter_context(patch.object(respond, "time", clock))
            now_in = SimpleNamespace(now=lambda zone: self.clock.utc().astimezone(zone))
            stack.enter_context(patch.object(respond, "datetime", now_in))
            stack.enter_context(patch.object(telemetry, "metrics", MetricsOfEach(self.clock, self.log)))
            stack.enter_context(patch.object(plain_telemetry, "sys", SimpleNamespace(stdout=self.log)))
            stack.enter_context(patch.object(boto3, "client", self._client))
            stack.enter_context(patch.dict(os.environ, {"GATE_STATE_MACHINE_ARN": STATE_MACHINE}))
            before = powertools.setStream(self.log)
            # In place of pytest's own, which would keep every line of every order.
            stack.enter_context(patch.object(logging.getLogger(), "handlers", [logging.StreamHandler(self.log)]))
            try:
                yield
            finally:
                powertools.setStream(before)

    def _container(self, function: str) -> Handler:
        """A new instance of a function, as Lambda makes one when no warm one is idle."""
        if function == "Respond":
            return respond.handler
        now, clock, sleep = self.clock.monotonic, self.clock.utc, self.clock.sleep
        if function == "CheckTask":
            poll = Poll(LicenseManager(ROLE), self.clock.timestamp, sleep)
            settings = Settings(ROLE, "us-east-1", "", "", "")
            table: Any = FaultyTable(self, quick=True)
            check = TaskCheck(settings, lambda _: poll, lambda _: table, clock, self._random.random)
            return partial(check_task.handle, check)
        executions = Executions(STATE_MACHINE, now, sleep, self._random.random)
        helper = provider(executions, clock, partial(deliver, sleep=sleep, monotonic=now))
        return partial(custom_resource.handle, helper)

    # The poller

    def _start_poller(self, owner: str) -> None:
        """An asynchronous invocation, which may be lost."""

        def start(_: Fault | None) -> None:
            self.clock.after(LATENCY, lambda: self._run_poller(owner))

        with suppress(TableUnavailable):
            self.faults.meets("Invoke PollTasks", start, TableUnavailable, patience=QUICK_SECONDS, gives_up=True)

    def _run_poller(self, owner: str) -> None:
        def main() -> None:
            table: Any = FaultyTable(self, quick=False)
            license_manager, now, sleep = LicenseManager(ROLE), self.clock.timestamp, self.clock.sleep
            try:
                poller = Poller(table, license_manager, self._call_gate_back, owner, clock=now, sleep=sleep)
                poller.run(now() + POLL_SECONDS - LAST_SECONDS)
            except (TableUnavailable, Killed):
                pass
            except Exception as unforeseen:
                self.fail(f"the poller raises {unforeseen!r}")

        self.pollers = [poller for poller in self.pollers if not poller.dead]
        poller = self.clock.after(0, main, lives=POLL_SECONDS)
        self.pollers.append(poller)
        self.promises.begins_to_poll(poller)

    def _call_gate_back(self, token: str, output: str) -> bool:
        def call(_fault: Fault | None) -> dict[str, Any]:
            results = [self._without(result) for result in json.loads(output)]
            return {"taken": self.step_functions.executions[token.split("|")[1]].call_back(token, results)}

        return bool(perform(self.faults, "SendTaskSuccess", call)["taken"])

    def _without(self, result: Any) -> Any:
        if not isinstance(result, dict):
            return result
        return {name: value for name, value in result.items() if name != self.lacks}

    def kill_pollers(self) -> None:
        """Wherever they are."""
        self.promises.meets("Poll")
        for poller in self.pollers:
            if not poller.dead:
                poller.expires = self.clock.now
        self.pollers.clear()

    def _client(self, service: str, **_: Any) -> Any:
        """In place of boto3's."""
        return {"stepfunctions": self.step_functions, "license-manager": self.license_manager}[service]

    # Lambda

    def deliver(self, request: LifecycleRequest) -> None:
        """An asynchronous invocation, retried once a minute after an error."""
        late, sent = self.lateness.pop() if self.lateness else 0.0, self.clock.now
        request.deliveries += 1
        request.counts_lost |= request.deliveries > 1

        def arrived(began: float) -> None:
            request.arrived = began if request.arrived is None else request.arrived

        def ended(began: float) -> None:
            request.good_attempt = min(began, request.good_attempt or began)

        given_up = partial(self._give_up, request)
        event = Event("CustomResource", json.dumps(request.event()), request, sent, ended, given_up, arrived)
        self.clock.after(late, lambda: self._attempt(event))

    def _attempt(self, event: Event, attempt: int = 1, throttles: int = 0) -> None:
        """It waits in Lambda's queue while it is throttled, until it is too old, and is tried again after an error.
        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        began, waiter = self.clock.now, event.waiter

        def again(seconds: float, attempt: int, throttles: int) -> None:
            waiter.lost.append((began, self.clock.now + seconds))
            self.clock.after(seconds, lambda: self._attempt(event, attempt, throttles))

        if self.faults.next(f"Invoke {event.function}") is Fault.THROTTLED:
            pause = min(LONGEST_PAUSE, 2.0**throttles)
            if began + pause > event.sent + OLDEST_EVENT[event.function]:
                event.given_up(attempt - 1, "EventAgeExceeded", "")
            else:
                again(pause, attempt, throttles + 1)
            return
        event.arrived(began)

        def done(_: Any, error: str) -> None:
            if not error:
                event.ended(began)
                return
            waiter.counts_lost = True
            if attempt < ATTEMPTS[event.function]:
                again(RETRY_SECONDS * attempt, attempt + 1, 0)
            else:
                event.given_up(attempt, "RetriesExhausted", error)

        self._run(event.function, event.payload, waiter, done, end=event.end)

    def _give_up(self, request: LifecycleRequest, attempts: int, condition: str, error: str) -> None:
        """Lambda hands an event that has failed twice, or was throttled for too long, over to the responder."""
        request.hard_faults += condition == "EventAgeExceeded"
        request.arrived = self.clock.now if request.arrived is None else request.arrived
        request.counts_lost = True

        def done(_: float) -> None:
            request.responder = request.responder or self.clock.now

        record = {
            "requestContext": {"condition": condition, "approximateInvokeCount": attempts},
            "requestPayload": request.event(),
            "responsePayload": {"errorType": "Error", "errorMessage": error} if error else None,
        }
        self.clock.after(1.0, lambda: self._respond(record, request, done))

    def _respond(
        self, event: dict[str, Any], waiter: Waiter, done: Callable[[float], None], *, end: Execution | None = None
    ) -> None:
        """An event for the responder. What it cannot do in three attempts goes to the dead-letter queue."""

        def given_up(_attempts: int, _condition: str, _error: str) -> None:
            waiter.dead_letters += 1

        self._attempt(Event("Respond", json.dumps(event), waiter, self.clock.now, done, given_up, end=end))

    def _run(
        self, function: str, payload: str, waiter: Waiter, ended: Callable[[Any, str], None], *, hangs: bool = False,
        end: Execution | None = None,
    ) -> None:  # fmt: skip
        """One invocation. `ended(result, error)` is called afterwards, by no process of a function."""
        clock, began = self.clock, self.clock.now

        def main() -> None:
            process = clock.process
            assert process
            invocation = self._invocations[process] = Invocation(waiter, function, began, end, hindered=hangs)
            idle, result, error, refused = self._idle[function], None, "", False
            handler = idle.pop() if idle else self._container(function)
            try:
                if hangs:
                    clock.sleep(LONGEST_WAIT)
                event = json.loads(payload)
                result = json.loads(json.dumps(handler(event, ContextInTime(clock, function, f"{waiter.number}"))))
                idle.append(handler)
            except (ResponseNotTaken, GateError) as foreseen:
                error = f"{type(foreseen).__name__}: {foreseen}"
                refused = isinstance(foreseen, GateError)
                idle.append(handler)
            except Killed:
                error = "RequestId: 1 Error: Runtime exited with error: signal: killed"
            except Exception as unforeseen:
                error = repr(unforeseen)
                if not (invocation.hurt and isinstance(unforeseen, aws.failures())):
                    self.fail(f"{function} raises {error} for {waiter}")
            del self._invocations[process]
            if not refused:
                waiter.hard_faults += bool(error)
                waiter.counts_lost |= bool(error)
            if (error and not refused) or invocation.hindered:
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
        self.promises.meets(call)
        slow = (Fault.SLOW, Fault.SLOW_REPLY, Fault.SLOW_FAILURE)
        if self._invocation and (call not in ("GetTask", "ListTasks") or fault in slow):
            self._invocation.hindered = True
        if fault is Fault.THROTTLED and call in ("GetTask", "ListTasks"):
            self._throttled()
        if self._invocation and call == "Put":
            self._invocation.waiter.hard_faults += 1
            self._invocation.waiter.faulty_puts.append(self.clock.now)

    def _throttled(self) -> None:
        self.promises.meets("GetTask")
        if self._invocation:
            self._invocation.waiter.throttled = self.clock.now

    def _denied(self) -> None:
        if self._invocation:
            self._invocation.waiter.denied.append(self.clock.now)

    @property
    def _invocation(self) -> Invocation | None:
        return self._invocations.get(self.clock.process)

    # Step Functions

    def _start(self, name: str, arn: str, text: str) -> Execution:
        url = json.loads(text)["Stack"]["Event"]["ResponseURL"]
        request = next(r for r in self.cloudformation.requests if r.url == url)
        if request.execution:
            self.fail(f"{request} has two executions")
        return self._execution(request, name, arn, text)

    def call(self, properties: dict[str, Any], *, token: bool) -> Caller:
        """A state machine starts an execution."""
        number = len(self.callers) + 1
        caller = Caller(number=number, properties=properties, requested=self.clock.now)
        self.callers.append(caller)
        if token:
            caller.token = f"{SECRET}-token-{number}"
        given = properties | ({"TaskToken": caller.token} if token else {})
        arn = f"{STATE_MACHINE.replace('stateMachine', 'execution')}:caller-{number}"
        self.step_functions.begin(self._execution(caller, f"caller-{number}", arn, json.dumps(given)))
        return caller

    def _execution(self, waiter: Waiter, name: str, arn: str, text: str) -> Execution:
        self._waiter_of[name] = waiter

        def lost(state: str, begin: float, end: float) -> None:
            if state == "Back Off" and not execution.variable("failed"):
                return  # the gate's own pause
            if state == "Check Task" and waiter.refused_at >= begin:
                return  # and no fault either
            if state in ("Check Task", "Back Off"):
                waiter.lost_to_checks.append((begin, end))
                waiter.hard_faults += 1
                # An attempt that is given up goes on.
                waiter.counts_lost |= state == "Check Task" and end - begin >= SHORTEST_ATTEMPT
            elif state != "Wait for Result":
                waiter.lost.append((begin, end))

        execution = waiter.execution = Execution(
            self.clock, partial(self._invoke, waiter), machine=self.machine, name=name, arn=arn, text=text, lost=lost,
            random=self._random.random, ended=self._ended,
        )  # fmt: skip
        return execution

    def end_from_outside(self, execution: Execution, status: str, error: str) -> None:
        """Step Functions ends it past every Catch, or an operator stops it."""
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

        def came_through(_began: float) -> None:
            self.promises.net_came_through(waiter)

        events = self._random.choice(self.end_events)
        waiter.counts_lost |= len(events) > 1
        for late in events:
            self.clock.after(late, lambda: self._respond(event, waiter, came_through, end=execution))

    def _called_back(self, token: str, outcome: dict[str, Any]) -> bool:
        """SendTaskSuccess or SendTaskFailure for a caller's token."""
        caller = next(caller for caller in self.callers if caller.token == token)
        self._net_may_respond()
        first = not caller.calls
        self.promises.caller_is_called_back(caller, outcome)
        return first

    def _net_may_respond(self) -> None:
        if self._invocation and self._invocation.end:
            self.promises.net_responds(self._invocation.waiter, self._invocation.end)

    def _invoke(self, waiter: Waiter, function: str, payload: str, done: Done, failed: Failed) -> None:
        if function == "UpdateItem:Token":
            return self._register(payload, failed)
        if function in OWN_CALLS:
            return self._call(waiter, function, payload, done, failed)
        fault = self.faults.next(f"Invoke {function}")
        if fault:
            waiter.hard_faults += 1
        if fault is Fault.SLOW_FAILURE:
            self._lost_to(function, waiter).append((self.clock.now, self.clock.now + SLOW_FAILURE))
        if fault in REFUSALS:
            seconds, error, cause = REFUSALS[fault]
            self.clock.after(seconds, lambda: failed(error, cause))
            return None

        def ended(result: Any, error: str) -> None:
            if fault is Fault.LOST:
                waiter.counts_lost = True
                failed("Lambda.SdkClientException", "Read timed out.")
            elif error:
                name = error.split(":", maxsplit=1)[0]
                waiter.refused_at = self.clock.now if name.startswith("LicenseConversion.") else waiter.refused_at
                known = name in ("ResponseNotTaken", "RecipientGone") or name.startswith("LicenseConversion.")
                failed(name if known else "Lambda.Unknown", error)
            else:
                done(self._without(result))

        hangs = fault is Fault.SLOW
        self.clock.after(LATENCY, lambda: self._run(function, payload, waiter, ended, hangs=hangs))
        return None

    def _register(self, payload: str, failed: Failed) -> None:
        """The execution writes its registration."""
        fault = self.faults.next("Register")
        if fault in (Fault.REFUSED, Fault.THROTTLED, Fault.SLOW_FAILURE):
            seconds = SLOW_FAILURE if fault is Fault.SLOW_FAILURE else LATENCY
            self.clock.after(seconds, lambda: failed("DynamoDb.ProvisionedThroughputExceededException", str(fault)))
            return

        def write() -> None:
            self.table.register(json.loads(payload), self.clock.timestamp())
            if fault is Fault.LOST:
                failed("DynamoDb.SdkClientException", "Read timed out")

        self.clock.after(SLOW_SECONDS if fault is Fault.SLOW else LATENCY, write)

    def _call(self, waiter: Waiter, call: str, payload: str, done: Done, failed: Failed) -> None:
        """What an execution does itself: one that hangs has no reply."""
        fault = self.faults.next(call)
        waiter.counts_lost |= bool(fault) and call == "PutMetricData"
        if SECRET in payload:
            self.fail(f"{call} shows a credential: {payload}")
        if fault is Fault.SLOW:
            return
        if not fault and call == "PutMetricData":
            for metric in json.loads(payload)["MetricData"]:
                waiter.metrics[metric["MetricName"]] += metric["Value"]
        seconds = SLOW_FAILURE if fault is Fault.SLOW_FAILURE else LATENCY
        self.clock.after(seconds, (lambda: failed("Internal", "Internal.")) if fault else (lambda: done({})))

    def _stopping(self, execution: Execution) -> None:
        assert self._invocation
        assert isinstance(self._invocation.waiter, LifecycleRequest)
        stopped = self._waiter_of[execution.name]
        stopped.stopped = True
        self.promises.stops(self._invocation.waiter, stopped, execution)

    def _hurt(self, call: str) -> None:
        """A call did not do what it should, or did not say that it did."""
        assert self._invocation
        self._invocation.hurt = True
        waiter = self._invocation.waiter
        blind = self._invocation.function == "Respond" and not self._invocation.end
        if isinstance(waiter, LifecycleRequest) and blind and call == "DescribeExecution":
            waiter.blind = True
        if call in ("StartExecution", "CallBack"):
            waiter.hard_faults += 1
        elif call != "DescribeExecution" or waiter.kind != "Create":
            waiter.stop_faults += 1

    def _license_manager_is_asked(self) -> bool:
        """Whether a poller asks."""
        if self._invocation and self._invocation.function != "CheckTask":
            self.fail(f"{self._invocation.function} asks License Manager for {self._invocation.waiter}")
        return not self._invocation

    def _counted(self, metrics: Mapping[str, float]) -> None:
        if self._invocation:
            self._invocation.waiter.metrics.update(metrics)

    # the responses

    def put(self, address: str, body: str, timeout: float) -> int:
        """One PUT. Returns the HTTP status, or raises what a connection raises."""
        sender = self._invocation.waiter if self._invocation else None
        self._net_may_respond()

        def take(_: Fault | None) -> int:
            self.cloudformation.taken(address, body, sender)
            return 200

        try:
            return self.faults.meets("Put", take, OSError, patience=timeout, gives_up=True)
        except OSError as failure:
            if failure.args[0] in STATUSES:
                return STATUSES[failure.args[0]]
            raise

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
        for quota in (self.license_manager.quota, *self.step_functions.quotas.values()):
            quota.limit(UNLIMITED)
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


class FaultyTable:
    """What a check, which is `quick`, or a poller sees of the registrations: each call meets its faults before
    it is performed or after it.
    """

    def __init__(self, world: World, *, quick: bool) -> None:
        self._world, self._table, self._quick = world, world.table, quick

    def __getattr__(self, call: str) -> Any:
        what = getattr(self._table, call)
        return what if call == "key" else partial(self._call, what)

    def _call(self, what: Callable[..., Any], *arguments: Any) -> Any:
        patience = QUICK_SECONDS if self._quick else SLOW_SECONDS
        return self._world.faults.meets(
            "Table", lambda _: what(*arguments), TableUnavailable, patience=patience, gives_up=self._quick
        )


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


class MetricsOfEach:
    """Stands where Powertools' one Metrics of a process would: each process here has its own, which dies with it."""

    def __init__(self, clock: VirtualClock, log: StringIO) -> None:
        self._clock, self._log = clock, log
        self._of: WeakKeyDictionary[Process, EphemeralMetrics] = WeakKeyDictionary()

    def __getattr__(self, name: str) -> Any:
        process = self._clock.process
        assert process
        if process not in self._of:
            self._of[process] = EphemeralMetrics(namespace=plain_telemetry.NAMESPACE, service=plain_telemetry.SERVICE)
        return getattr(self._of[process], name)

    def flush_metrics(self) -> None:
        self._log.write(f"{json.dumps(self.serialize_metric_set())}\n")
        self.clear_metrics()


class Log(StringIO):
    """What the functions print and log. `counted` gets the metrics."""

    def __init__(self, counted: Callable[[Mapping[str, float]], None]) -> None:
        super().__init__()
        self._counted = counted

    def write(self, text: str) -> int:
        if '"_aws"' in text:
            line = json.loads(text)
            names = [metric["Name"] for one in line["_aws"]["CloudWatchMetrics"] for metric in one["Metrics"]]
            self._counted({name: sum(line[name]) if isinstance(line[name], list) else line[name] for name in names})
        return super().write(text)
