"""Properties of a stack, or input of a state machine -> one frozen, validated request."""

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from license_conversion.errors import InvalidRequest
from license_conversion.properties import Integer, ListOf, OneOf, Property, ScalarOrList, Text, parse_all

SERVICE_TIMEOUT = 3600
"""Seconds that CloudFormation waits for an answer when a template says nothing: the default and the most it allows.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html"""

TASK_ID = Text(r"lct-[A-Za-z0-9]+", "a task id of the form lct-… (letters and digits, at most 50 characters)", 50)
MOST_TASKS = 1000
FLEET_PREFIX = "license-conversion-fleet-"
ARN = Text(r"arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:\S+", "an ARN", 2048)

SERVICE_TOKEN = Property("ServiceToken", ARN, "The exported ARN of the gate's function.", "required")
SERVICE_TIMEOUT_SECONDS = Property(
    "ServiceTimeout",
    Integer(1, SERVICE_TIMEOUT),
    "CloudFormation's own: seconds until it gives the resource up. The gate answers before it runs out.",
    str(SERVICE_TIMEOUT),
)
TASK = Property("LicenseConversionTaskId", TASK_ID, "The task to wait for.", "one of these three")
TASKS = Property(
    "LicenseConversionTaskIds",
    ListOf(TASK_ID, MOST_TASKS),
    "A fleet: wait for all of them. With `OnFailure` FAIL the gate fails as soon as one task has FAILED.",
    "one of these three",
)
RESOURCE = Property(
    "ResourceArn", ARN, "Wait for the newest conversion task of this resource, by StartTime.", "one of these three"
)
WAYS = (TASK, TASKS, RESOURCE)
ROLE = Property(
    "RoleArn",
    Text(r"arn:[^:\s]+:iam::[0-9]{12}:role/\S+", "the ARN of an IAM role", 2048),
    "The role to assume to read the task, for one of another account. The application must list it in `AssumableRoleArns`.",
    "the function's own",
)
EXTERNAL_ID = Property(
    "ExternalId",
    Text(r"[A-Za-z0-9_+=,.@:/-]{2,1224}", "an external id of 2 to 1,224 letters, digits and +=,.@:/-_", 1224),
    "What the role's trust policy asks for. Only with `RoleArn`.",
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
    "Of no meaning to the gate. A change of it makes CloudFormation send an Update, so that the gate looks again: at a "
    "`ResourceArn` whose next conversion is to be waited for.",
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
        Text(r"https://[^\s/]+/\S+", "the URL that Ref gives of an AWS::CloudFormation::WaitConditionHandle", 4096),
        "Answer CloudFormation at once, and signal this handle at the end: a gate of up to 12 hours.",
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
        "Call this token back at the end.",
        secret=True,
    ),
    ROLE,
    EXTERNAL_ID,
    REGION,
    TRIGGER,
    Property(
        "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID",
        ARN,
        "Step Functions' own: links the executions in its console. The gate makes nothing of it.",
    ),
)


ANSWER_MARGIN = 60
"""Seconds that the gate keeps for the answer itself: one last check, a function that has to be retried and a response that has
to be sent again all fit in."""


ATTEMPT_SECONDS = 27
"""How long the state machine waits for a function, and for Lambda to recover: both, and the answer after them, fit into the
margin. statemachine/gate.asl.json has the same number."""
LAST_RESORT_SECONDS = 6
SHORTEST_ATTEMPT = 5
"""A function that has to start, and one look, take a few seconds."""


def answer_margin(service_timeout: int) -> int:
    """Seconds at the end of `service_timeout` that the gate keeps for the answer: a fifth of a short one."""
    return min(ANSWER_MARGIN, math.ceil(service_timeout / 5))


@dataclass(frozen=True)
class Account:
    """Where the tasks are: `""` is the function's own role and region."""

    role_arn: str = ""
    external_id: str = ""
    region: str = ""


@dataclass(frozen=True)
class Request:
    """What to wait for, for how long, and what a failure means. Times are in seconds: `timeout` until the last look, and
    `margin` from then on until it is too late for an answer. `first_look_seconds`: from the request until the first look has to
    end, which the answer to the request itself depends on, whatever a handle gives the wait.

    Either `task_ids` has one task, or a fleet's, or it is empty and `resource_arn` says whose newest task is meant.
    """

    task_ids: tuple[str, ...]
    timeout: int
    fails_on_failure: bool = True
    wait_condition_handle: str = field(default="", repr=False)
    resource_arn: str = ""
    account: Account = Account()
    fleet: bool = False
    margin: int = ANSWER_MARGIN
    first_look_seconds: float = SERVICE_TIMEOUT

    @property
    def attempt_seconds(self) -> int:
        """How long one attempt of a check, or of an answer, may take."""
        return max(SHORTEST_ATTEMPT, min(ATTEMPT_SECONDS, (self.margin - LAST_RESORT_SECONDS) // 2))

    @property
    def key(self) -> str:
        """What the request waits for, as one string that its waits are named after: its physical id, or the ARN."""
        return self.resource_arn or (fleet_id(self.task_ids) if self.fleet else self.task_ids[0])

    @classmethod
    def from_properties(cls, properties: Any) -> Self:
        """A stack's ResourceProperties. Raises InvalidRequest."""
        given = parse_all(STACK_PROPERTIES, properties, "property")
        service_timeout = given.get("ServiceTimeout", SERVICE_TIMEOUT)
        handle = given.get("WaitConditionHandle", "")
        longest = service_timeout - answer_margin(service_timeout)
        timeout = given.get("TimeoutSeconds", HANDLE_TIMEOUT if handle else longest)
        if timeout > longest and not handle:
            raise InvalidRequest(
                f"TimeoutSeconds: {timeout} does not fit in a ServiceTimeout of {service_timeout} s: it must be at most "
                f"{longest}, so that the gate can answer in time, or a WaitConditionHandle must be named."
            )
        margin = ANSWER_MARGIN if handle else service_timeout - timeout
        first_look_seconds = service_timeout - answer_margin(service_timeout) / 2
        return cls._of(given, timeout, margin=margin, first_look_seconds=first_look_seconds)

    @classmethod
    def from_input(cls, execution_input: Any) -> Self:
        """The input of an execution, or of a direct call of the task function. Raises InvalidRequest."""
        given = parse_all(EXECUTION_INPUT, execution_input, "input member")
        return cls._of(given, given.get("TimeoutSeconds", SERVICE_TIMEOUT))

    @classmethod
    def _of(cls, given: Mapping[str, Any], timeout: int, **times: Any) -> Self:
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
            **times,
        )


def fleet_id(task_ids: Iterable[str]) -> str:
    """The physical id of a fleet: it depends on the set of tasks alone."""
    digest = hashlib.sha256("\n".join(sorted(task_ids)).encode()).hexdigest()
    return f"{FLEET_PREFIX}{digest[:24]}"


def is_own_id(physical_id: str) -> bool:
    """Whether the gate made this physical id, and not CloudFormation for a Create that had not answered."""
    return is_task_id(physical_id) or physical_id.startswith(FLEET_PREFIX)


def is_task_id(value: Any) -> bool:
    """Whether this is the id of a task: more than its form nobody can tell."""
    try:
        return bool(TASK_ID.parse(value))
    except ValueError:
        return False
