"""Hands the event of a gate that its first invocation ended to the function that puts it on the bus."""

import json
import logging
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from license_conversion import aws

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

logger = logging.getLogger(__name__)
ATTEMPTS = 3


class Announcer:
    """Invokes the function with this ARN, without waiting for it: Lambda's queue repeats what fails."""

    def __init__(self, function_arn: str) -> None:
        self._function_arn = function_arn

    @cached_property
    def _client(self) -> "LambdaClient":
        client: LambdaClient = aws.client("lambda", attempts=ATTEMPTS)
        return client

    def announce(self, announcement: Mapping[str, Any]) -> None:
        """Never raises: the answer is out already."""
        payload = json.dumps(announcement, ensure_ascii=False).encode("utf-8", "replace")
        try:
            self._client.invoke(FunctionName=self._function_arn, InvocationType="Event", Payload=payload)
        except aws.failures() as error:
            logger.warning("The end of the gate could not be announced: %s", error)
