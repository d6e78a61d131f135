"""The only module that calls AWS License Manager."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from license_conversion import aws
from license_conversion.conversion import ConversionTask, Status
from license_conversion.errors import AccessDenied, InvalidRequest, StillUnknown
from license_conversion.properties import is_task_id
from license_conversion.request import Account
from license_conversion.text import shorten

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_license_manager import LicenseManagerClient

ATTEMPTS = 1
"""Seven seconds at most: the next check is the retry."""

MOST_PAGES = 100
"""Of one resource's tasks. More than there can be; a service that lies must not keep a check until it is killed."""
SAID_BYTES = 1000
"""How much of an error's text goes into ours: a proxy may answer with a whole page."""
EARLIEST = datetime.min.replace(tzinfo=UTC)

NEW_TASK = 10
NEW_ROLE = 30
"""Seconds for which a task, a role, a subscription or a region can be too new for the service that is asked about it.
IAM's changes take seconds to act: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html"""
REFUSED = {"InvalidParameterValueException", "ValidationException", "ValidationError"}
DENIED = {"AccessDeniedException", "AuthorizationException", "AccessDenied"}
"""`ValidationError` and `AccessDenied` are AWS STS's codes for it."""
REGION_OFF = {"RegionDisabledException"}
CREDENTIALS = {"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "SignatureDoesNotMatch",
               "IncompleteSignature", "IncompleteSignatureException", "MissingAuthenticationToken",
               "MissingAuthenticationTokenException", "ExpiredToken", "ExpiredTokenException", "NotAuthorized",
               "OptInRequired", "SubscriptionRequiredException"}  # fmt: skip
"""https://docs.aws.amazon.com/license-manager/latest/APIReference/CommonErrors.html. Which of them a region answers that the
account has not enabled differs."""
FAULTS = {"ServerInternalException", "InternalFailure", "InternalServerError", "InternalError", "ServiceUnavailable",
          "ServiceUnavailableException"}  # fmt: skip
"""The service's own, whatever the HTTP status: its model gives none to ServerInternalException."""
NO_SUCH_NAME = {getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name)}
THROTTLED = {"RateLimitExceededException", "ThrottlingException", "Throttling", "TooManyRequestsException",
             "RequestLimitExceeded", "RequestThrottled", "RequestThrottledException", "SlowDown",
             "ThrottledException", "EC2ThrottledException", "BandwidthLimitExceeded", "PriorRequestNotComplete",
             "ProvisionedThroughputExceededException", "LimitExceededException"}  # fmt: skip
"""What License Manager documents, and what the AWS front ends answer under load.
https://docs.aws.amazon.com/license-manager/latest/APIReference/API_GetLicenseConversionTask.html"""


@dataclass(frozen=True)
class Page:
    """One answer of ListLicenseConversionTasks."""

    answers: Mapping[str, Mapping[str, Any]]
    """By task id, as they came: of most of them a poll wants no more than that they are there."""
    token: str
    """Of the next page; `""` after the last."""


class LicenseManager:
    """License Manager of one account and region.

    Every method raises InvalidRequest or AccessDenied, which end a gate that they go on for, or StillUnknown, which does not.
    `role` is the ARN of the function's own role, for the sentence that a denial becomes.
    """

    def __init__(self, role: str, account: Account = Account()) -> None:  # noqa: B008 - frozen
        self._role = role
        self._account = account

    @cached_property
    def _client(self) -> "LicenseManagerClient":
        client: LicenseManagerClient = aws.client("license-manager", attempts=ATTEMPTS, account=self._account)
        return client

    def get_task(self, task_id: str) -> ConversionTask:
        """How one task stands."""
        with self._errors("GetLicenseConversionTask", f"the task id {task_id}"):
            answer = self._client.get_license_conversion_task(LicenseConversionTaskId=task_id)
        return ConversionTask.from_answer(task_id, answer)

    def newest_task(self, resource_arn: str) -> ConversionTask:
        """The newest conversion task of the resource: the one that runs, else the one that started last. InvalidRequest when it
        has none.
        """
        tasks: list[ConversionTask] = []
        token = ""
        for _ in range(MOST_PAGES):
            page = self._page("ResourceArns", resource_arn, token)
            tasks += (ConversionTask.from_answer(task_id, answer) for task_id, answer in page.answers.items())
            token = page.token
            if not token:
                break
        else:
            raise StillUnknown(f"License Manager lists tasks of {resource_arn} without an end")
        tasks = [task for task in tasks if task.shape.get("ResourceArn", resource_arn) == resource_arn]
        if not tasks:
            sentence = f"ResourceArn: License Manager has no conversion task of {resource_arn}."
            raise InvalidRequest(sentence, grace=NEW_TASK)
        return max(tasks, key=lambda task: (not task.terminal, task.start_time or EARLIEST))

    def page_of(self, status: Status, token: str = "") -> Page:
        """A page of the tasks that say this status: the first one, or the one that `token` names. The filter is not believed."""
        page = self._page("Status", status, token)
        return Page({i: task for i, task in page.answers.items() if task.get("Status") == status}, page.token)

    def _page(self, name: str, value: str, token: str) -> Page:
        """botocore has no paginator for this operation; the service documents neither page size nor order."""
        more: dict[str, Any] = {"NextToken": token} if token else {}
        with self._errors("ListLicenseConversionTasks", f"the filter {name} {value}"):
            answer = self._client.list_license_conversion_tasks(Filters=[{"Name": name, "Values": [value]}], **more)
        listed = [task for task in answer.get("LicenseConversionTasks", []) if isinstance(task, Mapping)]
        named = {task_id: task for task in listed if is_task_id(task_id := task.get("LicenseConversionTaskId", ""))}
        return Page(named, answer.get("NextToken") or "")

    @contextmanager
    def _errors(self, operation: str, what: str) -> Iterator[None]:
        try:
            yield
        except aws.refusal() as error:
            raise self._meaning(cast("ClientError", error), operation, what) from error
        except Exception as error:  # the network, or a body that botocore's parser has no answer to
            if _is_no_name(error):
                raise InvalidRequest(self._no_endpoint(), grace=NEW_ROLE) from error
            raise StillUnknown(f"License Manager could not be asked: {type(error).__name__}") from error

    def _meaning(self, error: "ClientError", operation: str, what: str) -> Exception:  # noqa: PLR0911 - one for each row
        details: dict[str, Any] = dict(error.response.get("Error", {}))
        http_status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        code, said = str(details.get("Code") or http_status), shorten(str(details.get("Message", "")), SAID_BYTES)
        action, role = f"license-manager:{operation}", self._account.role_arn or self._role
        service = "License Manager"
        if error.operation_name == "AssumeRole":
            action, role, service = f"sts:AssumeRole on {self._account.role_arn}", self._role, "AWS STS"
            what = f"the role {self._account.role_arn}"
        if code in REFUSED:
            return InvalidRequest(f"{service} refuses {what}: {said} ({code}).", grace=NEW_TASK)
        if code in DENIED:
            return AccessDenied(f"{action} is denied to {role}: {said} ({code}).", grace=NEW_ROLE)
        if code in THROTTLED or http_status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
            return StillUnknown(f"{service} answered {code}: {said}", throttled=True)
        where = f"region {self._account.region}" if self._account.region else "the function's own region"
        if code in REGION_OFF:
            sentence = (
                f"Region: {service} is not available in {where}: {said} ({code}). Enable the region for the account."
            )
            return InvalidRequest(sentence, grace=NEW_ROLE)
        if code in CREDENTIALS or http_status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return AccessDenied(
                f"{service} does not take the credentials of {role} in {where}: {said} ({code}). Is the region enabled for the "
                "account, and is License Manager set up there?",
                grace=NEW_ROLE,
            )
        if code not in FAULTS and HTTPStatus.BAD_REQUEST <= http_status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return InvalidRequest(f"{service} refuses {operation} in {where}: {said} ({code}).", grace=NEW_ROLE)
        return StillUnknown(f"{service} answered {code}: {said}")

    def _no_endpoint(self) -> str:
        region = self._client.meta.region_name
        known = aws.regions_of("license-manager")
        # Two, because a letter that is lost is as near to us-west-1 as to us-east-1.
        near = [] if region in known else get_close_matches(region, known, n=2)
        meant = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"Region: no endpoint of License Manager has a name that exists in {region}.{meant}"


def _is_no_name(error: BaseException | None) -> bool:
    """Whether the name of the endpoint does not exist, as opposed to a name service that does not answer now.

    botocore hands on what urllib3 said, which hands on what the resolver said.
    """
    for _ in range(8):
        if error is None:
            return False
        if isinstance(error, socket.gaierror):
            return error.errno in NO_SUCH_NAME
        error = error.__cause__ or error.__context__
    return False
