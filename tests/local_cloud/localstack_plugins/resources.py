"""Custom resources, wait conditions and their handles, as CloudFormation's protocol has them; dashboards and saved queries.

Open LocalStack has no custom resources, and its wait condition succeeds at once. These block the stack's own thread
until the answer, the signal or the time-out; LocalStack works through a stack's resources one after the other, where
CloudFormation creates independent ones at the same time.
"""

import contextlib
import json
import random
import string
import threading
import uuid
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

from tests.local_cloud.answers import Answer, AnswersReceiver
from tests.local_cloud.localstack_plugins.cloud_settings import CloudSettings

RESPONSE_BYTES = 4096
PHYSICAL_ID_CHARACTERS = 1024
_LONGEST_SERVICE_TIMEOUT = 3600

cancelled: defaultdict[str, threading.Event] = defaultdict(threading.Event)
"""Set under its id, a stack stops waiting for what is in flight: it is being deleted."""


@cache
def answers() -> AnswersReceiver:
    return AnswersReceiver(CloudSettings.from_environment().certificate)


class CustomResource(ResourceProvider):  # type: ignore[misc]
    """``Custom::*``. Its model keeps what was sent apart from what came back: the two may use the same names."""

    SCHEMA = {"primaryIdentifier": ["/properties/PhysicalResourceId"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        properties = _as_strings(request.desired_state)
        return _ask_function(request, "Create", properties, made_up_id(request))

    def update(self, request: ResourceRequest) -> ProgressEvent:
        before, properties = request.previous_state, _as_strings(request.desired_state)
        return _ask_function(request, "Update", properties, before["PhysicalResourceId"], before["ResourceProperties"])

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        before = request.previous_state
        return _ask_function(request, "Delete", before["ResourceProperties"], before["PhysicalResourceId"])

    @staticmethod
    def attribute(resource: Mapping[str, Any], name: str) -> Any:
        """What Fn::GetAtt gets: one key of Data, dots and all."""
        data = resource["Properties"]["Data"]
        if name not in data:
            raise ValueError(
                f"CustomResource attribute error: Vendor response doesn't contain {name} attribute"
                f" in object {resource['LogicalResourceId']}"
            )
        return data[name]


class _Kept(ResourceProvider):  # type: ignore[misc]
    """What there is nothing to update or to delete of."""

    def delete(self, _: ResourceRequest) -> ProgressEvent:
        return ProgressEvent(OperationStatus.SUCCESS, {})


class WaitConditionHandle(_Kept):
    SCHEMA = {"primaryIdentifier": ["/properties/Id"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        key = f"{request.stack_id}|{request.logical_resource_id}|{uuid.uuid4()}"
        return ProgressEvent(OperationStatus.SUCCESS, {"Id": answers().issue(key, handle=True)})


class WaitCondition(_Kept):
    """Waits for one signal, or ``Timeout`` seconds since its own creation."""

    SCHEMA = {"primaryIdentifier": ["/properties/Id"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        properties = dict(request.desired_state)
        model = {**properties, "Id": f"{request.stack_id}/{request.logical_resource_id}"}
        key = next((one.key for one in answers().issued() if one.url == properties["Handle"]), "")
        stop = cancelled[request.stack_id]
        for signal in _signals(answers().wait_for(key, int(properties["Timeout"]), stop, _signals)):
            told, unique_id = signal.get("Reason"), signal["UniqueId"]
            if signal["Status"] == "FAILURE":
                return _failed(f"WaitCondition received failed message: '{told}' for uniqueId: {unique_id}", model)
            data = json.dumps({unique_id: signal.get("Data")})
            return ProgressEvent(OperationStatus.SUCCESS, {**model, "Data": data})
        timed_out = "WaitCondition timed out. Received 0 conditions when expecting 1"
        return _failed("Resource creation cancelled" if stop.is_set() else timed_out, model)


class Dashboard(ResourceProvider):  # type: ignore[misc]
    SCHEMA = {"primaryIdentifier": ["/properties/DashboardName"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        model = {"DashboardName": made_up_id(request), **request.desired_state}
        request.aws_client_factory.cloudwatch.put_dashboard(**model)
        return ProgressEvent(OperationStatus.SUCCESS, model)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        name = request.previous_state["DashboardName"]
        request.aws_client_factory.cloudwatch.delete_dashboards(DashboardNames=[name])
        return ProgressEvent(OperationStatus.SUCCESS, {})


class QueryDefinition(_Kept):
    """LocalStack knows no saved query at all: it only has an id."""

    SCHEMA = {"primaryIdentifier": ["/properties/QueryDefinitionId"]}  # noqa: RUF012

    def create(self, request: ResourceRequest) -> ProgressEvent:
        return ProgressEvent(OperationStatus.SUCCESS, {**request.desired_state, "QueryDefinitionId": str(uuid.uuid4())})


def made_up_id(request: ResourceRequest) -> str:
    """The physical id that CloudFormation gives a resource whose Create has not answered with one."""
    end = "".join(random.choices(string.ascii_uppercase + string.digits, k=13))  # noqa: S311  (no secret)
    return f"{request.stack_name}-{request.logical_resource_id}-{end}"


def _ask_function(
    request: ResourceRequest,
    request_type: str,
    properties: dict[str, Any],
    physical_id: str,
    old_properties: dict[str, Any] | None = None,
) -> ProgressEvent:
    """Send one lifecycle event and wait for its answer. What comes back always has a physical id to delete by."""
    request_id = str(uuid.uuid4())
    key = f"{request.stack_id}|{request.logical_resource_id}|{request_id}"
    event = {
        "RequestType": request_type,
        "ServiceToken": properties["ServiceToken"],
        "StackId": request.stack_id,
        "RequestId": request_id,
        "LogicalResourceId": request.logical_resource_id,
        "ResourceType": request.resource_type,
        "ResourceProperties": properties,
        **({} if request_type == "Create" else {"PhysicalResourceId": physical_id}),
        **({} if old_properties is None else {"OldResourceProperties": old_properties}),
    }
    model = {"ResourceProperties": properties, "PhysicalResourceId": physical_id, "Data": {}}
    payload = json.dumps({**event, "ResponseURL": answers().issue(key, event)})
    try:
        request.aws_client_factory.lambda_.invoke(
            FunctionName=properties["ServiceToken"], InvocationType="Event", Payload=payload.encode()
        )
    except ClientError as error:
        return _failed(f"Custom resource could not be reached: {error.response['Error'].get('Message')}", model)
    seconds = min(int(properties.get("ServiceTimeout", _LONGEST_SERVICE_TIMEOUT)), _LONGEST_SERVICE_TIMEOUT)
    stop = None if request_type == "Delete" else cancelled[request.stack_id]
    taken = answers().wait_for(key, seconds, stop)
    if not taken and stop and stop.is_set():
        return _failed("Resource creation cancelled", model)
    if not taken:
        return _failed(
            "CloudFormation did not receive a response from your Custom Resource."
            f" Please check your logs for requestId [{request_id}].",
            model,
        )
    try:
        response = _read_response(taken[0], event)
    except ValueError as error:
        return _failed(f"Invalid response object: {error} (RequestId: {request_id})", model)
    model = {**model, "PhysicalResourceId": response["PhysicalResourceId"], "Data": response.get("Data") or {}}
    if response["Status"] == "FAILED":
        return _failed(
            "Received response status [FAILED] from custom resource."
            f" Message returned: {response['Reason']} (RequestId: {request_id})",
            model,
        )
    return ProgressEvent(OperationStatus.SUCCESS, model)


def _read_response(answer: Answer, event: Mapping[str, Any]) -> dict[str, Any]:
    """The first answer's content. Raise ValueError for what CloudFormation does not take."""
    if len(answer.body.encode()) > RESPONSE_BYTES:
        raise ValueError(f"Response is longer than {RESPONSE_BYTES} bytes.")
    response = answer.json
    if not isinstance(response, dict):
        raise ValueError("Response is no JSON object.")  # noqa: TRY004  (like any other answer that is refused)
    for name in ("StackId", "RequestId", "LogicalResourceId"):
        if response.get(name) != event[name]:
            raise ValueError(f"Value of property {name} must be the request's.")
    if response.get("Status") not in {"SUCCESS", "FAILED"}:
        raise ValueError("Value of property Status must be SUCCESS or FAILED.")
    if response["Status"] == "FAILED" and not (isinstance(response.get("Reason"), str) and response["Reason"]):
        raise ValueError("Value of property Reason must be of type String.")
    physical_id = response.get("PhysicalResourceId")
    if not isinstance(physical_id, str) or not 1 <= len(physical_id) <= PHYSICAL_ID_CHARACTERS:
        raise ValueError(f"PhysicalResourceId must have 1 to {PHYSICAL_ID_CHARACTERS} characters.")
    if not isinstance(response.get("Data") or {}, dict):
        raise ValueError("Value of property Data must be an object.")  # noqa: TRY004
    return response


def _signals(taken: list[Answer]) -> list[dict[str, Any]]:
    """Oldest first; what is no signal is passed over."""
    signals = []
    for answer in taken:
        with contextlib.suppress(ValueError):
            signal = answer.json
            if isinstance(signal, dict) and signal.get("Status") in {"SUCCESS", "FAILURE"} and "UniqueId" in signal:
                signals.append(signal)
    return signals


def _failed(message: str, model: dict[str, Any]) -> ProgressEvent:
    return ProgressEvent(OperationStatus.FAILED, model, message=message)


def _as_strings(value: Any) -> Any:
    """Properties as they go over the wire: CloudFormation makes a string of every scalar, and drops nulls."""
    if isinstance(value, Mapping):
        return {name: _as_strings(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_as_strings(one) for one in value if one is not None]
    return str(value).lower() if isinstance(value, bool) else str(value)
