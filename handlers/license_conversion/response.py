"""A response that always fits, sent until somebody takes it. The standard library alone: the last resort needs it too."""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import parse_qs, urlsplit

from license_conversion.errors import AnswerNotDelivered, NobodyListens
from license_conversion.text import shorten, size

RESPONSE_BYTES = 4096
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""
ATTRIBUTE_BYTES = 256
"""More than any attribute but StatusMessage has; one that is longer gives way before the messages do."""
SERVICE_TIMEOUT = 3600
"""Seconds that CloudFormation waits for an answer when a template says nothing: the default and the most it allows.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html"""
RESERVE_SECONDS = 1.5
"""What an invocation keeps of its time, to say that an answer was not delivered."""
PUT_SECONDS = 5.0
"""One attempt's time-out, for the connection and for the reply each."""
NO_ID = "license-conversion-gate-refused"
"""The physical id of a resource that never came to be. Its Delete finds nothing to do."""


def response(
    event: Mapping[str, Any], *, status: str, reason: str, physical_id: str | None, data: Mapping[str, str]
) -> bytes:
    """The response to `event` as UTF-8 JSON of at most 4,096 bytes.

    A FAILED response keeps the physical id that the resource has: a new one on a failed Update breaks the stack.
    """
    known = event.get("PhysicalResourceId")
    answer: dict[str, Any] = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": (known if status == "FAILED" else None) or physical_id or known or NO_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": False,
        "Data": dict(data) if status == "SUCCESS" else {},
    }
    return fit(answer, answer["Data"])


def bare(status: str, reason: str = "", physical_id: str | None = None) -> dict[str, Any]:
    """An answer without attributes."""
    return {"Status": status, "Reason": reason, "PhysicalResourceId": physical_id, "Data": {}}


def message(event: Mapping[str, Any], answer: Mapping[str, Any], waiter: str) -> tuple[str, bytes]:
    """Where an end goes, and what: for the `waiter` HANDLE a signal to the one that the request names, else the response."""
    status, reason, physical_id = answer["Status"], answer["Reason"], answer["PhysicalResourceId"]
    if waiter == "HANDLE":
        body = signal(status=status, reason=reason, unique_id=physical_id or NO_ID, data=answer["Data"])
        return event["ResourceProperties"]["WaitConditionHandle"], body
    body = response(event, status=status, reason=reason, physical_id=physical_id, data=answer["Data"])
    return event["ResponseURL"], body


def signal(*, status: str, reason: str, unique_id: str, data: Mapping[str, str]) -> bytes:
    """The signal to a wait condition as UTF-8 JSON of at most 4,096 bytes. Its Data is the attributes as one JSON string.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-waitcondition.html
    """
    limit = RESPONSE_BYTES
    while True:
        kept, said = dict(data), reason
        fit(kept, kept, limit)
        body = _encode(
            {
                "Status": "SUCCESS" if status == "SUCCESS" else "FAILURE",
                "Reason": shorten(said, limit),
                "UniqueId": unique_id,
                "Data": json.dumps(kept, ensure_ascii=False),
            }
        )
        if len(body) <= RESPONSE_BYTES or limit <= 0:
            return body
        limit -= max(
            64, (len(body) - RESPONSE_BYTES) // 2
        )  # quotes in Data are escaped twice: by how much is seen only now


def fit(message: dict[str, Any], data: dict[str, Any], limit: int = RESPONSE_BYTES) -> bytes:
    """`message` as JSON of at most `limit` bytes; `data` is the part of it whose values may give way.

    Overlong attributes are cut first, then StatusMessage, then Reason; each with a mark, none inside a character.
    """
    others = sorted(data.keys() - {"StatusMessage"}, key=lambda name: -len(str(data[name])))
    steps: list[tuple[dict[str, Any], str, int]] = [
        *((data, name, ATTRIBUTE_BYTES) for name in others),
        (data, "StatusMessage", 0),
        (message, "Reason", 0),
        *((data, name, 0) for name in others),
    ]
    for holder, key, floor in steps:
        excess = len(_encode(message)) - limit
        if excess <= 0:
            break
        if text := holder.get(key):
            holder[key] = shorten(text, max(floor, size(text) - excess))
    return _encode(message)


def send(
    event: Mapping[str, Any], answer: Mapping[str, Any], waiter: str, seconds: float, *, now: datetime,
    deliver_: Callable[[str, bytes, float], int] | None = None,
) -> int:  # fmt: skip
    """Deliver the `message`, for at most `seconds`, and no longer than somebody listens. Returns the attempts.

    Raises AnswerNotDelivered; NobodyListens where CloudFormation has given the request up by then, so that trying again is in
    vain. A wait condition's own time-out is not in the event: a signal is sent for as long as whoever calls tries.
    """
    url, body = message(event, answer, waiter)
    given_up = requested_at(event, now) + timedelta(seconds=service_timeout(event))
    listens = (given_up - now).total_seconds() if waiter == "STACK" else float("inf")
    try:
        return (deliver_ or deliver)(url, body, min(seconds, max(0.0, listens)))
    except AnswerNotDelivered as error:
        if listens > seconds:
            raise
        raise NobodyListens(f"{error}; CloudFormation has given the request up") from error


def seconds_left(context: Any) -> float:
    """Seconds that an invocation can still spend on its message."""
    return float(context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)


def service_timeout(event: Mapping[str, Any]) -> int:
    """Seconds from the request until CloudFormation gives it up, also for properties that nobody has checked."""
    properties = event.get("ResourceProperties")
    said = str(properties.get("ServiceTimeout")) if isinstance(properties, Mapping) else ""
    return int(said) if re.fullmatch(r"[0-9]{1,4}", said) and 1 <= int(said) <= SERVICE_TIMEOUT else SERVICE_TIMEOUT


def deliver(
    url: str, body: bytes, seconds: float, *, sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:  # fmt: skip
    """PUT `body` to the presigned `url` until it is taken (2xx), for at most about `seconds`. Returns the attempts.

    Raises AnswerNotDelivered. Everything but 2xx is tried again, a 403 too: S3 gives one while a clock is off.
    The signature covers an empty content type, so that is what is sent.
    """
    give_up = monotonic() + seconds
    pause, attempts = 0.5, 0
    while True:
        attempts += 1
        left = give_up - monotonic()
        said = _put(url, body, max(0.5, min(PUT_SECONDS, left)))
        if not said:
            return attempts
        if monotonic() + pause >= give_up:
            raise AnswerNotDelivered(f"{attempts} attempts in {seconds:.0f} s, the last one: {said}") from None
        sleep(pause)
        pause = min(8.0, pause * 2)


def _put(url: str, body: bytes, timeout: float) -> str:
    """Empty when the answer was taken, else what went wrong. Never the URL. TLS always, whatever the URL says."""
    try:
        parts = urlsplit(url)
        with closing(HTTPSConnection(parts.netloc, timeout=timeout)) as connection:
            connection.request("PUT", f"{parts.path}?{parts.query}", body=body, headers={"Content-Type": ""})
            status = connection.getresponse().status
    # no connection, no trust, a reset, a time-out, a reply that is no HTTP, a URL that is none
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
    return "" if status // 100 == HTTPStatus.OK // 100 else f"HTTP status {status}"


def requested_at(event: Mapping[str, Any], now: datetime) -> datetime:
    """When CloudFormation made the request: the point in time that its own time-out counts from.

    The event does not say it, but its presigned URL was signed then (X-Amz-Date). So a delivery that Lambda repeats a
    minute later keeps the first one's deadline. A date that cannot be true counts for nothing.
    """
    try:
        dates = parse_qs(urlsplit(str(event.get("ResponseURL"))).query).get("X-Amz-Date", [])
        signed = datetime.strptime(dates[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return now
    return min(signed, now) if abs(now - signed) <= timedelta(hours=2) else now


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
