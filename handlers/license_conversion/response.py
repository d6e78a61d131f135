"""A response that always fits, sent until it is taken. The standard library alone: the responder has no layer."""

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from typing import Any, TypeGuard
from urllib.parse import parse_qs, urlsplit

from license_conversion.errors import RecipientGone, ResponseNotTaken
from license_conversion.text import shorten, size

RESPONSE_BYTES = 4096
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html"""
ATTRIBUTE_BYTES = 256
"""More than any attribute but StatusMessage has; one that is longer gives way before the messages do."""
SERVICE_TIMEOUT = 3600
"""Seconds that CloudFormation waits for a response when a template says nothing: the default and the most it allows.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html"""
URL_LIVES = timedelta(hours=2)
RESERVE_SECONDS = 1.5
"""What an invocation keeps of its time, to say that a response was not taken."""
PUT_SECONDS = 5.0
"""One attempt's time-out, for the connection and for the reply each."""
NO_ID = "license-conversion-gate-refused"
"""The physical id of a resource that never came to be. Its Delete finds nothing to do."""
SIGNED_URL = r'https://[A-Za-z0-9.-]+(:[0-9]+)?/[!"$->@-~]*\?([!"$-~]*&)?(X-Amz-)?Signature=[!"$-~]+'
"""The form of CloudFormation's own URLs, in either version of the signature: to no other one is anything sent."""


def response(
    event: Mapping[str, Any], *, status: str, reason: str, physical_id: str | None, data: Mapping[str, str]
) -> bytes:
    """The response to `event` as UTF-8 JSON of at most 4,096 bytes.

    A FAILED response keeps the physical id that the resource has: a new one on a failed Update breaks the stack.
    """
    known = event.get("PhysicalResourceId")
    body: dict[str, Any] = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": (known if status == "FAILED" else None) or physical_id or known or NO_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "NoEcho": False,
        "Data": dict(data) if status == "SUCCESS" else {},
    }
    return fit(body, body["Data"])


def bare(status: str, reason: str = "", physical_id: str | None = None) -> dict[str, Any]:
    """A response without attributes."""
    return {"Status": status, "Reason": reason, "PhysicalResourceId": physical_id, "Data": {}}


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


def is_signed(url: Any) -> TypeGuard[str]:
    return isinstance(url, str) and bool(re.fullmatch(SIGNED_URL, url))


def unusable(event: Mapping[str, Any]) -> list[str]:
    """The members without which an event is none of CloudFormation's, so that nothing can be responded."""
    wrong = [name for name in ("StackId", "RequestId", "LogicalResourceId") if not isinstance(event.get(name), str)]
    wrong += ["RequestType"] if event.get("RequestType") not in ("Create", "Update", "Delete") else []
    return wrong + ([] if is_signed(event.get("ResponseURL")) else ["ResponseURL"])


def send(
    event: Mapping[str, Any], said: Mapping[str, Any], *, to_handle: bool, seconds: float, requested: datetime, now: datetime,
    deliver_: Callable[[str, bytes, float], int] | None = None,
) -> int:  # fmt: skip
    """Send what is `said` (Status, Reason, PhysicalResourceId and Data) as the response to `event`, or as the signal to the wait
    condition handle that it names. For at most `seconds`, and no longer than CloudFormation waits. Returns the attempts.

    Raises ResponseNotTaken; RecipientGone where CloudFormation has given the request up by then: trying again would not
    help. A wait condition's own time-out is not in the event: a signal is sent for as long as the sender tries.
    """
    parts = {"status": said["Status"], "reason": said["Reason"], "data": said["Data"]}
    physical_id, waits = said["PhysicalResourceId"], float("inf")
    url = event.get("ResourceProperties", {}).get("WaitConditionHandle") if to_handle else event.get("ResponseURL")
    if not is_signed(url):
        raise RecipientGone("The URL is none that CloudFormation has signed")
    if to_handle:
        body = signal(**parts, unique_id=physical_id or NO_ID)
    else:
        body = response(event, **parts, physical_id=physical_id)
        waits = (requested + timedelta(seconds=service_timeout(event)) - now).total_seconds()
    try:
        return (deliver_ or deliver)(url, body, min(seconds, max(0.0, waits)))
    except ResponseNotTaken as error:
        if waits > seconds:
            raise
        raise RecipientGone(f"{error}; CloudFormation has given the request up") from error


def seconds_left(context: Any) -> float:
    """Seconds that an invocation can still spend on its response."""
    return float(context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)


def service_timeout(event: Mapping[str, Any]) -> int:
    """Seconds from the request until CloudFormation gives it up, also for properties that were not checked."""
    properties = event.get("ResourceProperties")
    said = str(properties.get("ServiceTimeout")) if isinstance(properties, Mapping) else ""
    return int(said) if re.fullmatch(r"[0-9]{1,4}", said) and 1 <= int(said) <= SERVICE_TIMEOUT else SERVICE_TIMEOUT


def deliver(
    url: str, body: bytes, seconds: float, *, sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:  # fmt: skip
    """PUT `body` to the presigned `url` until it is taken (2xx), for at most about `seconds`. Returns the attempts.

    Raises ResponseNotTaken. Everything but 2xx is tried again, a 403 too: S3 gives one while a clock is off.
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
            raise ResponseNotTaken(f"{attempts} attempts in {seconds:.0f} s, the last one: {said}") from None
        sleep(pause)
        pause = min(8.0, pause * 2)


def _put(url: str, body: bytes, timeout: float) -> str:
    """Empty when the response was taken, else what went wrong. Never the URL. TLS always, whatever the URL says."""
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

    The event does not say it, but its URL was signed then: X-Amz-Date, or two hours before the `Expires` of the older
    signature. So a delivery that Lambda repeats a minute later keeps the first one's deadline. A date that cannot be true counts
    for nothing.
    """
    try:
        query = parse_qs(urlsplit(str(event.get("ResponseURL"))).query)
        if "X-Amz-Date" in query:
            signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        else:
            signed = datetime.fromtimestamp(int(query["Expires"][0]), UTC) - URL_LIVES
    except (KeyError, ValueError, OverflowError, OSError):
        return now
    return min(signed, now) if abs(now - signed) <= URL_LIVES else now


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
