"""The waits: executions of our state machine, named so that a request finds its own."""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from license_conversion.errors import GateError

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4})
"""Starting is idempotent by name, so it is tried again, throttles included: half a minute at most."""


def name(event: Mapping[str, Any], physical_id: str) -> str:
    """The name of the wait of a request: at most 80 characters, the same for every delivery of the request.

    `<logical id>-<stack and logical id>-<physical id>-<request and its URL>`, each part but the first a hash.
    CloudFormation reuses a RequestId when a deployment is tried again, with a new ResponseURL, and a name stays taken for
    90 days: so the URL is part of what is hashed.
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    """
    logical_id = str(event["LogicalResourceId"])
    return "-".join(
        (
            logical_id[:16],
            _hash(16, event["StackId"], logical_id),
            _hash(12, physical_id),
            _hash(24, event["RequestId"], event["ResponseURL"]),
        )
    )


class Waits:
    """Starts and finds executions of the state machine with this ARN."""

    def __init__(self, state_machine_arn: str) -> None:
        self._state_machine_arn = state_machine_arn

    @cached_property
    def _client(self) -> "SFNClient":
        return boto3.client("stepfunctions", config=CONFIG)

    def begin(self, wait_name: str, execution_input: Mapping[str, Any]) -> None:
        """Start the wait, or join the one of this name. GateError when Step Functions does not let us."""
        try:
            self._client.start_execution(
                stateMachineArn=self._state_machine_arn, name=wait_name, input=json.dumps(execution_input)
            )
        except self._client.exceptions.ExecutionAlreadyExists:
            return
        except (ClientError, BotoCoreError) as error:
            raise GateError(f"The wait could not be started, Step Functions said: {error}") from error

    def exists(self, wait_name: str) -> bool:
        """Whether a wait of this name runs or ran in the last 90 days."""
        try:
            self._client.describe_execution(executionArn=self._arn(wait_name))
        except self._client.exceptions.ExecutionDoesNotExist:
            return False
        return True

    def _arn(self, wait_name: str) -> str:
        return f"{self._state_machine_arn.replace(':stateMachine:', ':execution:', 1)}:{wait_name}"


def _hash(length: int, *parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:length]
