"""Properties of a stack, or input of a state machine -> one frozen, validated request."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

from license_conversion.conversion import iso
from license_conversion.errors import InvalidRequest
from license_conversion.fleet import fleet_id
from license_conversion.properties import (
    TASK_ID,
    Integer,
    ListOf,
    OneOf,
    Property,
    ScalarOrList,
    Text,
    parse_all,
)
from license_conversion.response import SERVICE_TIMEOUT, SIGNED_URL

MOST_TASKS = 1000
ARN = Text(r"arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:\S+", "an ARN", 2048)

SERVICE_TOKEN = Property("ServiceToken", ARN, "The ARN that the application exports.", "required")
SERVICE_TIMEOUT_SECONDS = Property(
    "ServiceTimeout",
    Integer(1, SERVICE_TIMEOUT),
    "CloudFormation's time-out for this resource, in seconds. The gate responds before it is over.",
    str(SERVICE_TIMEOUT),
)
TASK = Property("LicenseConversionTaskId", TASK_ID, "The task to wait for.", "exactly one of these three")
TASKS = Property(
    "LicenseConversionTaskIds",
    ListOf(TASK_ID, MOST_TASKS),
    "A fleet: wait for all of them. With `OnFailure` FAIL the gate fails as soon as one task has FAILED.",
    "exactly one of these three",
)
RESOURCE = Property(
    "ResourceArn",
    ARN,
    "Wait for the newest conversion task of this resource: the one that runs, else the one that started last.",
    "exactly one of these three",
)
WAYS = (TASK, TASKS, RESOURCE)
ROLE = Property(
    "RoleArn",
    Text(r"arn:[^:\s]+:iam::[0-9]{12}:role/\S+", "the ARN of an IAM role", 2048),
    "The role to assume to read a task of another account. The application must list it in `AssumableRoleArns`.",
    "the function's own",
)
EXTERNAL_ID = Property(
    "ExternalId",
    Text(r"[A-Za-z0-9_+=,.@:/-]{2,1224}", "an external id of 2 to 1,224 letters, digits and +=,.@:/-_", 1224),
    "The external id that the role's trust policy requires. Only with `RoleArn`.",
)
REGION = Property(
    "Region",
    Text(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}", "the name of a region, such as eu-central-1", 30),
    "The region of the task.",
    "the function's own",
)
ON_FAILURE = Property(
    "OnFailure",
    OneOf(("FAIL", "CONTINUE")),
    "What a FAILED conversion does: fail the gate, or let it pass with `Status` FAILED.",
    "FAIL",
)

TRIGGER = Property(
    "Trigger",
    ScalarOrList(1024),
    "Ignored by the gate. A change of it makes CloudFormation send an Update, so that a gate on a `ResourceArn` waits for the "
    "newest conversion again.",
)

HANDLE_TIMEOUT = 43000
"""Seconds to wait when a handle is signalled: the signal must come before a wait condition of 43,200 s gives up.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-waitcondition.html"""

STACK_PROPERTIES = (
    SERVICE_TOKEN,
    *WAYS,
    ON_FAILURE,
    SERVICE_TIMEOUT_SECONDS,
    Property(
        "TimeoutSeconds",
        Integer(1, 43200),
        "Seconds to wait for the conversion.",
        f"what `ServiceTimeout` leaves, or {HANDLE_TIMEOUT} with a `WaitConditionHandle`",
    ),
    Property(
        "WaitConditionHandle",
        Text(SIGNED_URL, "the URL that Ref gives of an AWS::CloudFormation::WaitConditionHandle", 4096),
        "Respond to CloudFormation at once, and signal this wait condition handle at the end: a gate of up to 12 hours.",
        secret=True,
    ),
    ROLE,
    EXTERNAL_ID,
    REGION,
    TRIGGER,
)
EXECUTION_INPUT = (
    *WAYS,
    ON_FAILURE,
    Property("TimeoutSeconds", Integer(1, 86400), "Seconds to wait for the conversion.", str(SERVICE_TIMEOUT)),
    Property(
        "TaskToken",
        Text(r"\S+", "the task token that `.waitForTaskToken` gives", 2048),
        "The token to call back at the end.",
        secret=True,
    ),
    ROLE,
    EXTERNAL_ID,
    REGION,
    TRIGGER,
    Property(
        "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID",
        ARN,
        "Set by Step Functions, which links the two executions in its console. Ignored by the gate.",
    ),
)


MARGIN = 60
"""Seconds from the deadline until the recipient gives up, at most: a last check that is repeated, one that hangs, the event and
the response all fit in."""
ATTEMPT_SECONDS = 25
SHORTEST_ATTEMPT = 5
"""How long the state machine waits for a function, at most and at least: one that has to start, and a call of License Manager
that is not answered, take a few seconds. statemachine/gate.asl.json has the first number for callers whose request no check has
read yet."""
RESPOND_SECONDS = 8
"""What a last check that hangs leaves for the response."""
PAUSE_SECONDS = 15
"""How long the state machine waits for Lambda to recover."""
MOST_PAUSES = 1500
"""In a whole wait. A turn of the state machine with a check that fails is 9 events of the 25,000 that an execution can have.
https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html"""


def response_margin(service_timeout: int) -> int:
    """Seconds at the end of `service_timeout` that the gate keeps for the response: a fifth of a short one."""
    return min(MARGIN, math.ceil(service_timeout / 5))


@dataclass(frozen=True)
class Times:
    """When a wait ends, and what fits between that and the moment at which the recipient gives up:

        began ...... give_up_at .... deadline ......... checks_until ............................. recipient gives up
                     <-- pause --------------------------> <-- an attempt that hangs --> <-- respond -->

    The last check begins at the `deadline`. While License Manager throttles it, it is repeated until `checks_until`: after
    that, an attempt that hangs and the response would not fit. A check that Lambda fails after `give_up_at` is not tried again,
    because the pause comes before the next try.
    """

    deadline: datetime
    checks_until: datetime
    give_up_at: datetime
    attempt_seconds: int
    pause_seconds: int

    @classmethod
    def of(cls, begin: datetime, timeout: int, margin: int) -> Self:
        deadline = begin + timedelta(seconds=timeout)
        respond = min(RESPOND_SECONDS, max(2, margin // 3))
        attempt = min(ATTEMPT_SECONDS, max(SHORTEST_ATTEMPT, (margin - respond) // 2))
        pause = max(1, min(PAUSE_SECONDS, margin // 4), math.ceil(timeout / MOST_PAUSES))
        checks_until = deadline + timedelta(seconds=margin - respond - attempt)
        return cls(deadline, checks_until, checks_until - timedelta(seconds=pause), attempt, pause)

    def state(self) -> dict[str, Any]:
        """What the state machine has to know of them."""
        return {
            "GiveUpAt": iso(self.give_up_at),
            "AttemptSeconds": self.attempt_seconds,
            "PauseSeconds": self.pause_seconds,
        }


@dataclass(frozen=True)
class Account:
    """Where the tasks are: `""` is the function's own role and region."""

    role_arn: str = ""
    external_id: str = ""
    region: str = ""


@dataclass(frozen=True)
class Request:
    """What to wait for, and for how long. Times are in seconds: `timeout` until the last check; `service_timeout` until
    CloudFormation gives the request itself up, 0 where a state machine waits.

    Either `task_ids` has one task, or a fleet's, or it is empty and `resource_arn` says whose newest task is meant.
    """

    task_ids: tuple[str, ...]
    timeout: int
    fails_on_failure: bool = True
    wait_condition_handle: str = field(default="", repr=False)
    resource_arn: str = ""
    account: Account = Account()
    fleet: bool = False
    service_timeout: int = 0

    @property
    def task_id(self) -> str:
        """The physical id; `""` while it is not known which task is the newest of the resource."""
        return fleet_id(self.task_ids) if self.fleet else "".join(self.task_ids)

    def times(self, began: datetime, *, responds: bool) -> Times:
        """Of a wait that counts from `began`. `responds`: until CloudFormation's request has its response, which does not
        depend on how long a handle lets the gate wait.
        """
        if not (responds and self.service_timeout):
            return Times.of(began, self.timeout, MARGIN)
        timeout = min(self.timeout, self.service_timeout - response_margin(self.service_timeout))
        return Times.of(began, timeout, min(MARGIN, self.service_timeout - timeout))

    @classmethod
    def from_properties(cls, properties: Any) -> Self:
        """A stack's ResourceProperties. Raises InvalidRequest."""
        given = parse_all(STACK_PROPERTIES, properties, "property")
        service_timeout = given.get("ServiceTimeout", SERVICE_TIMEOUT)
        handle = given.get("WaitConditionHandle", "")
        longest = service_timeout - response_margin(service_timeout)
        timeout = given.get("TimeoutSeconds", HANDLE_TIMEOUT if handle else longest)
        if timeout > longest and not handle:
            raise InvalidRequest(
                f"TimeoutSeconds: {timeout} does not fit in a ServiceTimeout of {service_timeout} s: it must be at most "
                f"{longest}, so that the gate can respond in time, or a WaitConditionHandle must be named."
            )
        return cls._of(given, timeout, service_timeout)

    @classmethod
    def from_input(cls, execution_input: Any) -> Self:
        """The input of an execution, or of a direct call of the check function. Raises InvalidRequest."""
        given = parse_all(EXECUTION_INPUT, execution_input, "input member")
        return cls._of(given, given.get("TimeoutSeconds", SERVICE_TIMEOUT))

    @classmethod
    def _of(cls, given: Mapping[str, Any], timeout: int, service_timeout: int = 0) -> Self:
        ways = [way.name for way in WAYS if way.name in given]
        if len(ways) != 1:
            named = f"{' and '.join(ways)} are given at once" if ways else "No task is named"
            raise InvalidRequest(f"{named}: give exactly one of {', '.join(way.name for way in WAYS)}.")
        if "ExternalId" in given and "RoleArn" not in given:
            raise InvalidRequest(f"ExternalId: {given['ExternalId']!r} is not allowed without a RoleArn.")
        return cls(
            task_ids=given.get("LicenseConversionTaskIds") or tuple(given[way] for way in ways if way == TASK.name),
            timeout=timeout,
            fails_on_failure=given.get("OnFailure", "FAIL") == "FAIL",
            wait_condition_handle=given.get("WaitConditionHandle", ""),
            resource_arn=given.get("ResourceArn", ""),
            account=Account(given.get("RoleArn", ""), given.get("ExternalId", ""), given.get("Region", "")),
            fleet=TASKS.name in given,
            service_timeout=service_timeout,
        )
