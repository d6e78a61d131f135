"""Properties of a stack, or input of a state machine -> one frozen, validated request."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from license_conversion.errors import InvalidRequest
from license_conversion.properties import Integer, OneOf, Property, Text, parse_all

SERVICE_TIMEOUT = 3600
"""Seconds that CloudFormation waits for an answer when a template says nothing: the default and the most it allows.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html"""

TASK_ID = Text(r"lct-[A-Za-z0-9]+", "a task id of the form lct-… (at most 50 letters and digits)", 50)
ARN = Text(r"arn:[^:\s]+:[^:\s]+:[^:\s]*:[^:\s]*:\S+", "an ARN", 2048)

SERVICE_TOKEN = Property("ServiceToken", ARN, "The exported ARN of the gate's function.", "required")
SERVICE_TIMEOUT_SECONDS = Property(
    "ServiceTimeout",
    Integer(1, SERVICE_TIMEOUT),
    "CloudFormation's own: seconds until it gives the resource up. The gate answers before it runs out.",
    str(SERVICE_TIMEOUT),
)
TASK = Property("LicenseConversionTaskId", TASK_ID, "The task to wait for.", "required")
ON_FAILURE = Property(
    "OnFailure",
    OneOf(("FAIL", "CONTINUE")),
    "What a FAILED conversion does: fail the gate, or let it pass with `Status` FAILED.",
    "FAIL",
)

HANDLE_TIMEOUT = 43000
"""Seconds to wait when a handle is signalled: the signal must come before a wait condition of 43,200 s gives up.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-waitcondition.html"""

STACK_PROPERTIES = (
    SERVICE_TOKEN,
    TASK,
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
)
EXECUTION_INPUT = (
    TASK,
    ON_FAILURE,
    Property("TimeoutSeconds", Integer(1, 86400), "Seconds to wait for the conversion.", str(SERVICE_TIMEOUT)),
    Property(
        "TaskToken",
        Text(r"\S+", "the task token that `.waitForTaskToken` gives", 2048),
        "Call this token back at the end.",
        secret=True,
    ),
    Property(
        "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID",
        ARN,
        "Step Functions' own: links the executions in its console. The gate makes nothing of it.",
    ),
)


def answer_margin(service_timeout: int) -> int:
    """Seconds at the end of `service_timeout` that the gate keeps for the answer itself.

    One last check, a function that has to be retried and a response that has to be sent again all fit in a minute; a
    short time-out keeps a fifth.
    """
    return min(60, math.ceil(service_timeout / 5))


@dataclass(frozen=True)
class Request:
    """What to wait for, for how long, and what a failure means. Times are in seconds."""

    task_id: str
    timeout: int
    fails_on_failure: bool = True
    wait_condition_handle: str = field(default="", repr=False)

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
        return cls._of(given, timeout)

    @classmethod
    def from_input(cls, execution_input: Any) -> Self:
        """The input of an execution, or of a direct call of the task function. Raises InvalidRequest."""
        given = parse_all(EXECUTION_INPUT, execution_input, "input member")
        return cls._of(given, given.get("TimeoutSeconds", SERVICE_TIMEOUT))

    @classmethod
    def _of(cls, given: Mapping[str, Any], timeout: int) -> Self:
        if "LicenseConversionTaskId" not in given:
            raise InvalidRequest(f"LicenseConversionTaskId is missing: it must be {TASK_ID.allowed}.")
        return cls(
            task_id=given["LicenseConversionTaskId"],
            timeout=timeout,
            fails_on_failure=given.get("OnFailure", "FAIL") == "FAIL",
            wait_condition_handle=given.get("WaitConditionHandle", ""),
        )
