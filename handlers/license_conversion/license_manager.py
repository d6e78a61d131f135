"""The one place that talks to AWS License Manager."""

from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from license_conversion.errors import AccessDenied, InvalidRequest, StillUnknown
from license_conversion.task import ConversionTask

if TYPE_CHECKING:
    from mypy_boto3_license_manager import LicenseManagerClient

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
"""One attempt, seven seconds at most: the next check is the retry, and it comes at the gate's own pace."""

REFUSED = {"InvalidParameterValueException", "ValidationException"}
DENIED = {"AccessDeniedException", "AuthorizationException"}
THROTTLED = {"RateLimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException",
             "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown"}  # fmt: skip
"""What License Manager documents, and what the AWS front ends answer under load.
https://docs.aws.amazon.com/license-manager/latest/APIReference/API_GetLicenseConversionTask.html"""


class LicenseManager:
    """License Manager as the gate sees it: a task, a refusal, or nothing to be known yet.

    `role` is the ARN of the role that asks, for the sentence that a denial becomes.
    """

    def __init__(self, role: str) -> None:
        self._role = role

    @cached_property
    def _client(self) -> "LicenseManagerClient":
        return boto3.client("license-manager", config=CONFIG)

    def get_task(self, task_id: str) -> ConversionTask:
        """One look at the task.

        Raises InvalidRequest or AccessDenied, which end the gate, and StillUnknown, which does not.
        """
        try:
            answer = self._client.get_license_conversion_task(LicenseConversionTaskId=task_id)
        except ClientError as error:
            raise self._meaning(error, task_id) from error
        except (BotoCoreError, ValueError) as error:  # ValueError: a body that is no JSON and no model of botocore's
            raise StillUnknown(f"License Manager could not be asked: {type(error).__name__}") from error
        return ConversionTask.from_answer(task_id, answer)

    def _meaning(self, error: ClientError, task_id: str) -> Exception:
        details: dict[str, Any] = dict(error.response.get("Error", {}))
        code, said = str(details.get("Code", "")), str(details.get("Message", ""))
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in REFUSED:
            return InvalidRequest(f"License Manager refuses the task id {task_id}: {said} ({code}).")
        if code in DENIED:
            return AccessDenied(f"license-manager:GetLicenseConversionTask is denied to {self._role}: {said} ({code}).")
        throttled = code in THROTTLED or http_status == HTTPStatus.TOO_MANY_REQUESTS
        return StillUnknown(f"License Manager answered {code or http_status}: {said}", throttled=throttled)
