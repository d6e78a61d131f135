"""The waits: executions of our state machine, named so that a request finds its own."""

import hashlib
import json
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from license_conversion import aws
from license_conversion.errors import GateError, InvalidRequest
from license_conversion.request import Request, is_own_id

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

logger = logging.getLogger(__name__)

SAME_SECOND = timedelta(seconds=1)
"""The time of a request is known to the second, the start of an execution to the millisecond."""
GIVEN_UP = "It was not known to have begun"
"""Why a wait was stopped by the request that began it."""
SILENT = {"ABORTED", "TIMED_OUT"}
"""How an execution ends that has told nobody."""
REFUSED, ANSWER, SIGNAL = "a refusal", "the answer of ", "the signal of "
"""Keys of waits that wait for nothing: each sends what nobody has taken. The last two stand before the request's own key."""
ATTEMPTS = 4
"""Starting is idempotent by name, so it is tried again, throttles included: half a minute at most."""


def name(event: Mapping[str, Any], key: str) -> str:
    """The name of the wait of a request: at most 80 characters, the same for every delivery of the request.

    `<logical id>-<stack and logical id>-<what is waited for>-<request and its URL>`, each part but the first a hash.
    CloudFormation reuses a RequestId when a deployment is tried again, with a new ResponseURL, and a name stays taken for
    90 days: so the URL is part of what is hashed.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    return "-".join((_resource(event), _hash(12, key), _request(event)))


def _request(event: Mapping[str, Any]) -> str:
    return _hash(24, event["RequestId"], event["ResponseURL"])


def _resource(event: Mapping[str, Any]) -> str:
    logical_id = str(event["LogicalResourceId"])
    return f"{logical_id[:16]}-{_hash(16, event['StackId'], logical_id)}"


def keys_of_deleted(event: Mapping[str, Any]) -> set[str] | None:
    """What the waits of a resource that is deleted can be for: its id, and what its properties name.

    An id that is not the gate's own was made up by CloudFormation, because a Create had not answered. None: the wait of that
    Create is whichever one the resource has.
    """
    physical_id = str(event.get("PhysicalResourceId"))
    if not is_own_id(physical_id):
        return None
    try:
        return {physical_id, Request.from_properties(event.get("ResourceProperties")).key}
    except InvalidRequest:
        return {physical_id}


class Waits:
    """Starts and finds executions of the state machine with this ARN."""

    def __init__(self, state_machine_arn: str) -> None:
        self._state_machine_arn = state_machine_arn

    @cached_property
    def _client(self) -> "SFNClient":
        client: SFNClient = aws.client("stepfunctions", attempts=ATTEMPTS)
        return client

    def begin(
        self, wait_name: str, execution_input: Mapping[str, Any], *, or_give_up: bool
    ) -> Mapping[str, Any] | None:
        """Start the wait: None. Or join the one of this name: its input, which is empty where that cannot be read.

        Raises GateError when Step Functions does not let us. `or_give_up`: the caller will answer in its place then, and
        so a wait that began all the same is stopped.
        """
        before = datetime.now(UTC)
        text = json.dumps(execution_input, ensure_ascii=False).encode("utf-8", "replace").decode()
        try:
            started = self._client.start_execution(stateMachineArn=self._state_machine_arn, name=wait_name, input=text)
        except self._client.exceptions.ExecutionAlreadyExists as error:
            found = self._described(wait_name) or {}
            if found.get("cause") == GIVEN_UP:
                raise GateError("The wait could not be started the first time, and was given up.") from error
            had_begun: Mapping[str, Any] = json.loads(found.get("input", "{}"))
            return had_begun
        except aws.failures() as error:
            if or_give_up:
                self._stop(wait_name, GIVEN_UP)
            raise GateError(f"The wait could not be started, Step Functions said: {error}") from error
        # an equal request joins the running one without an error
        return None if started["startDate"] >= before - SAME_SECOND else execution_input

    def exists(self, wait_name: str) -> bool:
        """Whether a wait of this name runs or ran in the last 90 days. False when Step Functions does not say.

        Then a request that is delivered twice may get the same answer twice, which is better than none. A wait that was
        given up answers nobody, and whoever gave it up may not have been heard: it counts for nothing.
        """
        found = self._described(wait_name)
        return found is not None and found.get("cause") != GIVEN_UP

    def _described(self, wait_name: str) -> Mapping[str, Any] | None:
        """None: there is no such wait, or Step Functions does not say."""
        try:
            return self._client.describe_execution(executionArn=self._arn(wait_name))
        except self._client.exceptions.ExecutionDoesNotExist:
            return None
        except aws.failures() as error:
            logger.warning("It is not known whether the wait %s exists: %s", wait_name, error)
            return None

    def of_request(self, event: Mapping[str, Any], since: datetime) -> Mapping[str, Any] | None:
        """The input of the request's wait, whatever it waits for, if it answers or has answered. None: there is none.

        A wait that was stopped, or that ended with nobody told, answers nobody. `since` is when the request was made.
        Raises one of `aws.failures` when Step Functions does not say.
        """
        prefix, end = f"{_resource(event)}-", f"-{_request(event)}"
        pages = self._client.get_paginator("list_executions").paginate(
            stateMachineArn=self._state_machine_arn, PaginationConfig={"PageSize": 1000}
        )
        for page in pages:  # the newest first
            for execution in page["executions"]:
                if not (execution["name"].startswith(prefix) and execution["name"].endswith(end)):
                    continue
                found = self._client.describe_execution(executionArn=execution["executionArn"])
                if found["status"] in SILENT or not _told(found.get("error", "")):
                    continue
                known: Mapping[str, Any] = json.loads(found["input"])
                return known
            if all(execution["startDate"] < since - SAME_SECOND for execution in page["executions"]):
                break
        return None

    def stop(self, event: Mapping[str, Any], keys: Collection[str] | None, requested_at: datetime) -> int:
        """Stop the waits of the event's resource that began before it was requested. Returns how many.

        `keys` narrows it to the waits for those (see `name`); None means every wait of the resource. What began later
        belongs to a later request: an event can be delivered late, and twice. Never raises: a wait that cannot be
        stopped ends by itself at its deadline, and CloudFormation ignores what it sends.

        The newest task of a ResourceArn may have changed since, and then a wait for that key can be the one of an Update to
        the id that takes this one's place: of an Update's waits only the one that would make this id is stopped.
        """
        any_key = f"{_resource(event)}-"
        of = [one for key in keys or () for one in (key, ANSWER + key, SIGNAL + key)]
        prefixes = [any_key] if keys is None else [f"{any_key}{_hash(12, one)}-" for one in (*of, REFUSED)]
        newest = any(key.startswith("arn:") for key in keys or ())
        ids = {*(keys or ()), event.get("PhysicalResourceId"), ""}
        stopped = 0
        try:
            pages = self._client.get_paginator("list_executions").paginate(
                stateMachineArn=self._state_machine_arn, statusFilter="RUNNING", PaginationConfig={"PageSize": 1000}
            )
            for execution in (execution for page in pages for execution in page["executions"]):
                found = execution["name"]
                began_before = execution["startDate"] <= requested_at + SAME_SECOND
                if not (found.startswith(tuple(prefixes)) and began_before) or found.endswith(_request(event)):
                    continue
                if not newest or self._is_wait_of(found, ids):
                    stopped += self._stop(found, f"{event['RequestType']} request {event['RequestId']} took its place")
        except aws.failures() as error:
            logger.warning("Waits of the resource could not be looked for: %s", error)
        return stopped

    def _is_wait_of(self, wait_name: str, ids: Collection[str | None]) -> bool:
        """Whether this wait is a Create's, or would make one of these physical ids (its key while License Manager has not
        said which)."""
        found = self._client.describe_execution(executionArn=self._arn(wait_name))
        event = json.loads(found["input"])["Stack"]["Event"]
        return event["RequestType"] == "Create" or event["CrHelperData"]["PhysicalResourceId"] in ids

    def _stop(self, wait_name: str, cause: str) -> bool:
        try:
            self._client.stop_execution(
                executionArn=self._arn(wait_name), error="LicenseConversion.Stopped", cause=cause
            )
        except aws.failures() as error:
            logger.warning("The wait %s could not be stopped: %s", wait_name, error)
            return False
        return True

    def _arn(self, wait_name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{wait_name}"


def _told(error: str) -> bool:
    """Whether an execution that ended with this error has told whoever waited. One that Step Functions ended has not."""
    return not error or (error.startswith("LicenseConversion.") and error != "LicenseConversion.NotAnswered")


def _hash(length: int, *parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:length]
