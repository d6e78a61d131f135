"""Executions of our state machine: each is one gate, named so that a request finds its own."""

import hashlib
import json
import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from license_conversion import aws
from license_conversion.response import NO_ID

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

logger = logging.getLogger(__name__)
T = TypeVar("T")

OURS = "LicenseConversion."
STOPPED = f"{OURS}Stopped"
"""The error of an execution that one of our functions stopped: that function has sent the response."""
NO_RESPONSE = f"{OURS}NoResponse"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 8.0
"""Seconds between two tries of a call, before full jitter."""
PAGE = 1000
EVENTS = 100
"""One page of an execution's history."""
OWN_ID = re.compile(rf"lct-[A-Za-z0-9]{{1,46}}|license-conversion-fleet-[0-9a-f]{{24}}|{NO_ID}")
"""A physical id that the gate made, and not CloudFormation for a Create that had no response yet."""


def name(event: Mapping[str, Any]) -> str:
    """The name of a request's execution: at most 80 characters, the same for every delivery of the request.

    `<logical id>-<stack and logical id>-<request and its URL>`, each part but the first a hash. CloudFormation reuses a
    RequestId when a deployment is tried again, with a new ResponseURL, and a name stays taken for 90 days: so the URL is part
    of what is hashed.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    return f"{_resource(event)}-{_hash(24, event['RequestId'], event['ResponseURL'])}"


def _resource(event: Mapping[str, Any]) -> str:
    logical_id = str(event["LogicalResourceId"])
    return f"{logical_id[:16]}-{_hash(16, event['StackId'], logical_id)}"


class Executions:
    """Starts, finds, reads and stops executions of the state machine with this ARN. Clock, sleep and randomness come from
    outside, so that a test can own them. A method that is given `seconds` tries for so long, whatever Step Functions says, and
    then raises one of `aws.failures`.
    """

    def __init__(
        self,
        state_machine_arn: str,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self._state_machine_arn = state_machine_arn
        self._monotonic, self._sleep, self._random = monotonic, sleep, random_

    @cached_property
    def client(self) -> "SFNClient":
        client: SFNClient = aws.client("stepfunctions", attempts=1)
        return client

    def begin(self, event: Mapping[str, Any], execution_input: Mapping[str, Any], seconds: float) -> None:
        """Start the execution of this request, or join the one that another delivery of it has begun."""
        text = json.dumps(execution_input, ensure_ascii=False).encode("utf-8", "replace").decode()

        def start() -> None:
            try:
                self.client.start_execution(stateMachineArn=self._state_machine_arn, name=name(event), input=text)
            except self.client.exceptions.ExecutionAlreadyExists:
                logger.info("The execution of this request had begun")

        self.within(seconds, start)

    def stop_superseded(self, event: Mapping[str, Any], requested_at: str, seconds: float) -> int:
        """Stop the executions of the event's resource that the request replaces. Returns how many.

        An Update replaces whatever the resource waits for, a Delete what belongs to the id that it names. What
        was requested later stays: an event can be delivered late, and twice. `requested_at` is ISO 8601 in UTC. After
        `seconds`, or after any error, the executions are left: such a one ends by itself at its deadline, and CloudFormation
        ignores what it sends.
        """
        give_up = self._monotonic() + seconds
        stopped = 0
        try:
            for arn in self._running(f"{_resource(event)}-", give_up):
                if not arn.endswith(f":{name(event)}") and self._is_superseded(arn, event, requested_at, give_up):
                    cause = f"{event['RequestType']} request {event['RequestId']} stopped it"
                    self._until(give_up, self.client.stop_execution, executionArn=arn, error=STOPPED, cause=cause)
                    stopped += 1
        except Exception as error:  # an input that another caller or a later release wrote, among them
            logger.warning("Not every execution of the resource could be looked for and stopped: %r", error)
        return stopped

    def _running(self, prefix: str, give_up: float) -> Iterator[str]:
        """The ARNs of the running executions whose names begin so."""
        more: dict[str, Any] = {
            "stateMachineArn": self._state_machine_arn,
            "statusFilter": "RUNNING",
            "maxResults": PAGE,
        }
        while True:
            page = self._until(give_up, self.client.list_executions, **more)
            yield from (one["executionArn"] for one in page["executions"] if one["name"].startswith(prefix))
            if not page.get("nextToken"):
                return
            more["nextToken"] = page["nextToken"]

    def _is_superseded(self, arn: str, event: Mapping[str, Any], requested_at: str, give_up: float) -> bool:
        stack = json.loads(self._until(give_up, self.client.describe_execution, executionArn=arn)["input"])["Stack"]
        if stack["RequestedAt"] > requested_at:
            return False
        physical_id = str(event.get("PhysicalResourceId", ""))
        if event["RequestType"] == "Update" or not OWN_ID.fullmatch(physical_id):  # the Create had no response
            return True
        # The newest task of a resource is known to the checks alone.
        return physical_id == (stack["PhysicalResourceId"] or self._until(give_up, self._task_id, arn))

    def _task_id(self, arn: str) -> str:
        return str(self._gate(arn).get("Task", {}).get("LicenseConversionTaskId", ""))

    def gate(self, arn: str, seconds: float) -> Mapping[str, Any]:
        """The gate's state as the execution assigned it last; empty where it has none yet."""
        return self.within(seconds, self._gate, arn)

    def _gate(self, arn: str) -> Mapping[str, Any]:
        for event in self._history(arn):
            assigned = event.get("stateExitedEventDetails", {}).get("assignedVariables", {})
            if "gate" in assigned:
                gate = json.loads(assigned["gate"])
                return gate if isinstance(gate, dict) else {}
        return {}

    def _history(self, arn: str) -> Iterator[Mapping[str, Any]]:
        """The newest event first."""
        more: dict[str, Any] = {
            "executionArn": arn,
            "reverseOrder": True,
            "maxResults": EVENTS,
            "includeExecutionData": True,
        }
        while True:
            page = self.client.get_execution_history(**more)
            yield from page["events"]
            if not page.get("nextToken"):
                return
            more["nextToken"] = page["nextToken"]

    def has_begun(self, event: Mapping[str, Any], seconds: float) -> bool:
        """Whether the request has an execution that responds or has responded."""
        arn = f"{self._state_machine_arn.replace(':stateMachine:', ':execution:')}:{name(event)}"
        try:
            found = self.described(arn, seconds)
        except self.client.exceptions.ExecutionDoesNotExist:
            return False
        return found["status"] == "RUNNING" or has_responded(found)

    def running(self, seconds: float) -> list[str]:
        return list(self._running("", self._monotonic() + seconds))

    def described(self, arn: str, seconds: float) -> Mapping[str, Any]:
        return self.within(seconds, self._described, arn)

    def end(self, arn: str, cause: str, seconds: float) -> None:
        """Stop this one; the recipient has its response."""
        self.within(seconds, self.client.stop_execution, executionArn=arn, error=STOPPED, cause=cause)

    def ended(self, arn: str, seconds: float) -> Mapping[str, Any]:
        """DescribeExecution's answer for an execution that has ended. It is eventually consistent: it may say RUNNING for a
        moment. TimeoutError where it still says so.
        """
        give_up = self._monotonic() + seconds
        while (found := self._until(give_up, self._described, arn))["status"] == "RUNNING":
            self._sleep(FIRST_PAUSE)
        return found

    def _described(self, arn: str) -> Mapping[str, Any]:
        """With the Error and Cause that it was stopped with, which AWS documents in the history alone."""
        found: Mapping[str, Any] = self.client.describe_execution(executionArn=arn)
        if found["status"] == "ABORTED" and not found.get("error"):
            return {**found, **next(self._history(arn), {}).get("executionAbortedEventDetails", {})}
        return found

    def within(self, seconds: float, call: Callable[..., T], *what: Any, **named: Any) -> T:
        return self._until(self._monotonic() + seconds, call, *what, **named)

    def _until(self, give_up: float, call: Callable[..., T], *what: Any, **named: Any) -> T:
        """The call's result; its last error once the time is up, TimeoutError where it is up before the first try. Full
        jitter, so that many at once do not come again all at once. That there is no such execution is no failure to try again.
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        pause = FIRST_PAUSE
        while True:
            if self._monotonic() >= give_up:
                raise TimeoutError("The time for it is up")
            try:
                return call(*what, **named)
            except aws.failures() as error:
                seconds = pause * self._random()
                if aws.code(error) == "ExecutionDoesNotExist" or self._monotonic() + seconds >= give_up:
                    raise
            self._sleep(seconds)
            pause = min(LONGEST_PAUSE, pause * 2)


def has_responded(ended: Mapping[str, Any]) -> bool:
    """Whether an execution that has ended has responded to its recipient, or was stopped by one of our functions, which has. One
    that Step Functions ended, or that an operator stopped, has not.
    """
    error = ended.get("error") or ""
    return ended["status"] == "SUCCEEDED" or (error.startswith(OURS) and error != NO_RESPONSE)


def _hash(length: int, *parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:length]
