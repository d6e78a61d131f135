"""The one place that talks to AWS License Manager."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials
from botocore.exceptions import ClientError

from license_conversion.errors import AccessDenied, InvalidRequest, StillUnknown
from license_conversion.request import Account
from license_conversion.task import ConversionTask, Status
from license_conversion.text import shorten

if TYPE_CHECKING:
    from mypy_boto3_license_manager import LicenseManagerClient

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
"""One attempt, seven seconds at most: the next check is the retry, and it comes at the gate's own pace."""

SAID_BYTES = 1000
"""How much of an error's text goes into ours: a proxy may answer with a whole page."""
EARLIEST = datetime.min.replace(tzinfo=UTC)

REFUSED = {"InvalidParameterValueException", "ValidationException"}
DENIED = {"AccessDeniedException", "AuthorizationException"}
THROTTLED = {"RateLimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException",
             "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown",
             "ThrottledException", "EC2ThrottledException", "BandwidthLimitExceeded", "PriorRequestNotComplete",
             "ProvisionedThroughputExceededException"}  # fmt: skip
"""What License Manager documents, and what the AWS front ends answer under load.
https://docs.aws.amazon.com/license-manager/latest/APIReference/API_GetLicenseConversionTask.html"""


class LicenseManager:
    """License Manager of one account and region: tasks, a refusal, or nothing to be known yet.

    Every method raises InvalidRequest or AccessDenied, which end the gate, or StillUnknown, which does not. `role` is the
    ARN of the function's own role, for the sentence that a denial becomes.
    """

    def __init__(self, role: str, account: Account = Account()) -> None:  # noqa: B008 - frozen
        self._role = role
        self._account = account

    @cached_property
    def _client(self) -> "LicenseManagerClient":
        region = self._account.region or None
        return _session(self._account).client("license-manager", region_name=region, config=CONFIG)

    def get_task(self, task_id: str) -> ConversionTask:
        """One look at one task."""
        with self._errors("GetLicenseConversionTask", f"the task id {task_id}"):
            answer = self._client.get_license_conversion_task(LicenseConversionTaskId=task_id)
        return ConversionTask.from_answer(task_id, answer)

    def newest_task(self, resource_arn: str) -> ConversionTask:
        """The conversion task of the resource that started last. InvalidRequest when it has none."""
        tasks = list(self._list("ResourceArns", resource_arn))
        if not tasks:
            raise InvalidRequest(f"ResourceArn: License Manager has no conversion task of {resource_arn}.")
        return max(tasks, key=lambda task: task.start_time or EARLIEST)

    def tasks_in_progress(self, most_calls: int) -> dict[str, ConversionTask] | None:
        """Every task of the account and region that is IN_PROGRESS, by id; None when that takes more calls."""
        tasks = {}
        for calls, page in enumerate(self._pages("Status", Status.IN_PROGRESS)):
            if calls >= most_calls:
                return None
            tasks.update({task.task_id: task for task in page})
        return tasks

    def _list(self, name: str, value: str) -> Iterator[ConversionTask]:
        for page in self._pages(name, value):
            yield from page

    def _pages(self, name: str, value: str) -> Iterator[list[ConversionTask]]:
        """botocore has no paginator for this operation; page size and order are the service's secret."""
        more: dict[str, Any] = {}
        while True:
            with self._errors("ListLicenseConversionTasks", f"the filter {name} {value}"):
                page = self._client.list_license_conversion_tasks(Filters=[{"Name": name, "Values": [value]}], **more)
            tasks = page.get("LicenseConversionTasks", [])
            yield [
                ConversionTask.from_answer(task["LicenseConversionTaskId"], task)
                for task in tasks
                if "LicenseConversionTaskId" in task
            ]
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    @contextmanager
    def _errors(self, operation: str, what: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._meaning(error, operation, what) from error
        except Exception as error:  # the network, or a body that botocore's parser has no answer to
            raise StillUnknown(f"License Manager could not be asked: {type(error).__name__}") from error

    def _meaning(self, error: ClientError, operation: str, what: str) -> Exception:
        details: dict[str, Any] = dict(error.response.get("Error", {}))
        code, said = str(details.get("Code", "")), shorten(str(details.get("Message", "")), SAID_BYTES)
        http_status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if error.operation_name == "AssumeRole" and code in DENIED:
            return AccessDenied(
                f"sts:AssumeRole on {self._account.role_arn} is denied to {self._role}: {said} ({code})."
            )
        if code in REFUSED:
            return InvalidRequest(f"License Manager refuses {what}: {said} ({code}).")
        if code in DENIED:
            role = self._account.role_arn or self._role
            return AccessDenied(f"license-manager:{operation} is denied to {role}: {said} ({code}).")
        throttled = code in THROTTLED or http_status == HTTPStatus.TOO_MANY_REQUESTS
        return StillUnknown(f"License Manager answered {code or http_status}: {said}", throttled=throttled)


class LicenseManagers:
    """A License Manager for each account and region, kept for as long as the function is warm."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._known: dict[Account, LicenseManager] = {}

    def __call__(self, account: Account) -> LicenseManager:
        return self._known.setdefault(account, LicenseManager(self._role, account))


def _session(account: Account) -> boto3.Session:
    """A session with the credentials of the account's role: botocore renews them shortly before they expire."""
    if not account.role_arn:
        return boto3.Session()
    own = botocore.session.get_session()
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=partial(own.create_client, config=CONFIG),
        source_credentials=own.get_credentials(),
        role_arn=account.role_arn,
        extra_args={
            "RoleSessionName": "license-conversion-gate",
            **({"ExternalId": account.external_id} if account.external_id else {}),
        },
    )
    assumed = botocore.session.get_session()
    # botocore has no public way to hand a session credentials that renew themselves
    assumed._credentials = DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")  # type: ignore[attr-defined]
    return boto3.Session(botocore_session=assumed)
