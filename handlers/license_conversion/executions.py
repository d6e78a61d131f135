"""The waits: executions of our state machine, named so that a request finds its own."""

import hashlib
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

from license_conversion import aws

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

logger = logging.getLogger(__name__)
T = TypeVar("T")

OURS = "LicenseConversion."
STOPPED = f"{OURS}Stopped"
"""The error of a wait that we stopped: whoever stopped it has told, or tells, whoever waited."""
NOT_ANSWERED = f"{OURS}NotAnswered"
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 8.0
"""Seconds between two tries of a call, before full jitter."""
PAGE = 1000
LAST_EVENTS = 100
"""How far back in an execution's history its last state is looked for."""


def name(event: Mapping[str, Any]) -> str:
    """The name of the wait of a request: at most 80 characters, the same for every delivery of the request.

    `<logical id>-<stack and logical id>-<request and its URL>`, each part but the first a hash. CloudFormation reuses a
    RequestId when a deployment is tried again, with a new ResponseURL, and a name stays taken for 90 days: so the URL is part
    of what is hashed.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    return f"{_resource(event)}-{_hash(24, event['RequestId'], event['ResponseURL'])}"


def _resource(event: Mapping[str, Any]) -> str:
    logical_id = str(event["LogicalResourceId"])
    return f"{logical_id[:16]}-{_hash(16, event['StackId'], logical_id)}"


class Waits:
    """Starts, finds and stops executions of the state machine with this ARN. Clock, sleep and randomness come from outside,
    so that a test can own them.
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
    def _client(self) -> "SFNClient":
        client: SFNClient = aws.client("stepfunctions", attempts=1)
        return client

    def begin(self, event: Mapping[str, Any], execution_input: Mapping[str, Any], seconds: float) -> None:
        """Start the wait of this request, or join the one that another delivery of it has begun.

        Tried for `seconds`, whatever Step Functions says: a crowd is throttled, a role can be too new. Then raises one of
        `aws.failures`, so that Lambda delivers the request again.
        """
        text = json.dumps(execution_input, ensure_ascii=False).encode("utf-8", "replace").decode()

        def start() -> None:
            try:
                self._client.start_execution(stateMachineArn=self._state_machine_arn, name=name(event), input=text)
            except self._client.exceptions.ExecutionAlreadyExists:
                logger.info("The wait of this request had begun")

        self._until(self._monotonic() + seconds, start)

    def stop(self, event: Mapping[str, Any], requested_at: str, seconds: float) -> int:
        """Stop the waits of the event's resource that it takes the place of. Returns how many.

        An Update takes the place of whatever the resource waits for, a Delete of what belongs to the id that it names. What
        was requested later stays: an event can be delivered late, and twice. `requested_at` is ISO 8601 in UTC. After
        `seconds` it is left undone, and after an error too: a wait that is not stopped ends by itself at its deadline, and
        CloudFormation ignores what it sends.
        """
        give_up = self._monotonic() + seconds
        stopped = 0
        try:
            for arn in self._running(f"{_resource(event)}-", give_up):
                if not arn.endswith(f":{name(event)}") and self._is_superseded(arn, event, requested_at, give_up):
                    cause = f"{event['RequestType']} request {event['RequestId']} took its place"
                    self._until(give_up, self._client.stop_execution, executionArn=arn, error=STOPPED, cause=cause)
                    stopped += 1
        except aws.failures() as error:
            logger.warning("Not every wait of the resource could be looked for and stopped: %s", error)
        return stopped

    def _running(self, prefix: str, give_up: float) -> Iterator[str]:
        """The ARNs of the running executions whose names begin so."""
        more: dict[str, Any] = {
            "stateMachineArn": self._state_machine_arn,
            "statusFilter": "RUNNING",
            "maxResults": PAGE,
        }
        while True:
            page = self._until(give_up, self._client.list_executions, **more)
            yield from (one["executionArn"] for one in page["executions"] if one["name"].startswith(prefix))
            if not page.get("nextToken"):
                return
            more["nextToken"] = page["nextToken"]

    def _is_superseded(self, arn: str, event: Mapping[str, Any], requested_at: str, give_up: float) -> bool:
        found = self._until(give_up, self._client.describe_execution, executionArn=arn)
        from license_conversion.request import is_own_id  # noqa: PLC0415 - the last resort tells also where it is broken

        stack = json.loads(found["input"])["Stack"]
        if stack["RequestedAt"] > requested_at:
            return False
        physical_id = str(event.get("PhysicalResourceId", ""))
        if event["RequestType"] == "Update" or not is_own_id(
            physical_id
        ):  # made up by CloudFormation: the Create had no answer
            return True
        # The newest task of a resource is known to the checks alone.
        return physical_id == (stack["PhysicalResourceId"] or self._until(give_up, self._task_id, arn))

    def _task_id(self, arn: str) -> str:
        return str(self._last_state(arn).get("Task", {}).get("LicenseConversionTaskId", ""))

    def last_state(self, arn: str, seconds: float) -> Any:
        """The data of the last state that the execution entered; empty where that is not known. A caller's may be anything.
        Raises one of `aws.failures` after `seconds`.
        """
        return self._until(self._monotonic() + seconds, self._last_state, arn)

    def _last_state(self, arn: str) -> Any:
        return json.loads(self._last_event(arn, "stateEnteredEventDetails").get("input", "{}"))

    def _last_event(self, arn: str, details: str) -> Mapping[str, Any]:
        """The details of the last event that has such; empty where none of the last ones has."""
        history = self._client.get_execution_history(
            executionArn=arn, reverseOrder=True, maxResults=LAST_EVENTS, includeExecutionData=True
        )
        for event in cast("list[dict[str, Any]]", history["events"]):
            if details in event:
                found: Mapping[str, Any] = event[details]
                return found
        return {}

    def tell_caller(self, token: str, verdict: Mapping[str, Any], seconds: float) -> None:
        """Call a task token back: `verdict` has `Passed` and `Output`, or `Error` and `Cause`. A caller that has gone is no
        error. Raises one of `aws.failures` after `seconds`.
        """
        gone = self._client.exceptions

        def tell() -> None:
            with suppress(gone.TaskTimedOut, gone.TaskDoesNotExist, gone.InvalidToken):
                if verdict.get("Passed"):
                    self._client.send_task_success(taskToken=token, output=json.dumps(verdict["Output"]))
                else:
                    self._client.send_task_failure(taskToken=token, error=verdict["Error"], cause=verdict["Cause"])

        self._until(self._monotonic() + seconds, tell)

    def of_request(self, event: Mapping[str, Any]) -> bool:
        """Whether the request has a wait that answers or has answered. Raises one of `aws.failures` when that is not
        known."""
        try:
            found = self._described(self._arn(name(event)))
        except self._client.exceptions.ExecutionDoesNotExist:
            return False
        return found["status"] == "RUNNING" or told(found)

    def running(self, seconds: float) -> list[str]:
        """The ARNs of all that run. Raises one of `aws.failures` after `seconds`."""
        return list(self._running("", self._monotonic() + seconds))

    def described(self, arn: str, seconds: float) -> Mapping[str, Any]:
        """DescribeExecution's answer. Raises one of `aws.failures` after `seconds`."""
        return self._until(self._monotonic() + seconds, self._described, arn)

    def end(self, arn: str, cause: str, seconds: float) -> None:
        """Stop this one; whoever waited has been told. Raises one of `aws.failures` after `seconds`."""
        give_up = self._monotonic() + seconds
        self._until(give_up, self._client.stop_execution, executionArn=arn, error=STOPPED, cause=cause)

    def ended(self, arn: str, seconds: float) -> Mapping[str, Any]:
        """DescribeExecution's answer for an execution that has ended. It is eventually consistent: it may say RUNNING for a
        moment. Raises one of `aws.failures` after `seconds`, TimeoutError where it still says so.
        """
        give_up = self._monotonic() + seconds
        while (found := self._until(give_up, self._described, arn))["status"] == "RUNNING":
            self._sleep(FIRST_PAUSE)
        return found

    def _described(self, arn: str) -> Mapping[str, Any]:
        """With the Error and Cause of whoever stopped it, which AWS documents in the history alone."""
        found: Mapping[str, Any] = self._client.describe_execution(executionArn=arn)
        if found["status"] == "ABORTED" and not found.get("error"):
            return {**found, **self._last_event(arn, "executionAbortedEventDetails")}
        return found

    def _until(self, give_up: float, call: Callable[..., T], *what: Any, **named: Any) -> T:
        """The call's result; its last error once the time is up, TimeoutError where it is up before the first try. Full
        jitter, so that a crowd does not come again all at once.
        https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
        """
        pause = FIRST_PAUSE
        while True:
            if self._monotonic() >= give_up:
                raise TimeoutError("The time for it is up")
            try:
                return call(*what, **named)
            except aws.failures():
                seconds = pause * self._random()
                if self._monotonic() + seconds >= give_up:
                    raise
            self._sleep(seconds)
            pause = min(LONGEST_PAUSE, pause * 2)

    def _arn(self, wait_name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:')}:{wait_name}"


def told(ended: Mapping[str, Any]) -> bool:
    """Whether an execution that has ended has told whoever waited, or was stopped by one of us, who has. One that Step
    Functions ended, or that somebody stopped by hand, has not.
    """
    error = ended.get("error") or ""
    return ended["status"] == "SUCCEEDED" or (error.startswith(OURS) and error != NOT_ANSWERED)


def _hash(length: int, *parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:length]
