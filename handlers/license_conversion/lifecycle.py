"""crhelper's lifecycle with Step Functions in place of its polling, and with its known faults closed.

crhelper 2.0.12 calls the function of the request type, decides who answers, and builds the response. What is overridden
here, and why:

- start-up: it imports boto3 and makes three clients, for its own polling alone, and sets the root logger to DEBUG;
- its logger writes the event, ResponseURL and all;
- its watchdog thread answers FAILED half a second before a time-out, whatever the main thread is doing;
- its polling makes an EventBridge rule, a target and a Lambda permission for each wait;
- it sends without a look at the HTTP status, without an end, and cuts a Reason to its last 240 characters;
- after a failed send it sends something else, and after an early error a physical id "None";
- the id that it makes up is random, so that a request which is delivered twice has two different answers;
- what one request set (`NoEcho`) is still set in the next one.
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from license_conversion.errors import AnswerNotDelivered
from license_conversion.stack_response import response


class _NoClients(ModuleType):
    """Stands where crhelper would find boto3, and make clients for the polling that we do not use."""

    @staticmethod
    def client(*_args: Any, **_options: Any) -> None:
        return None


@contextmanager
def _without_boto3() -> Iterator[None]:
    """An import in here finds no boto3: most of a cold start, for an invocation that may need no client at all."""
    known = sys.modules.get("boto3")
    sys.modules["boto3"] = _NoClients("boto3")
    try:
        yield
    finally:
        if known:
            sys.modules["boto3"] = known
        else:
            del sys.modules["boto3"]


with _without_boto3():
    from crhelper import CfnResource, log_helper, resource_helper

logging.getLogger("crhelper").setLevel(logging.CRITICAL)

Event = dict[str, Any]
RESERVE_SECONDS = 1.5
"""What an invocation keeps of its time, to say that an answer was not delivered."""


class Lifecycle(CfnResource):  # type: ignore[misc]
    """One provider of a custom resource.

    `deliver(url, body, seconds)` sends a response. `broken(error, context)` is the Reason for an error that nobody foresaw.
    """

    begin_wait: Callable[[Event], Any] | None
    """Set by the function of a request that leaves the answer to a wait: begins the one that will send this event back,
    `CrHelperPoll` in it, when there is an answer."""

    def __init__(self, deliver: Callable[[str, bytes, float], int], broken: Callable[[Exception, Any], str]) -> None:
        with _without_start_up():
            super().__init__(sleep_on_delete=0)
        self._deliver = deliver
        self._broken = broken
        self._undelivered: AnswerNotDelivered | None = None

    def _log_setup(self, event: Event, context: Any) -> None:
        """Logging is the entry point's, not crhelper's."""

    def _set_timeout(self) -> None:
        """No watchdog: an invocation that times out is delivered again by Lambda, and joins its own wait."""

    def _crhelper_init(self, event: Event, context: Any) -> bool:
        self.begin_wait = None
        self.NoEcho = False
        return bool(super()._crhelper_init(event, context))

    def __call__(self, event: Event, context: Any) -> None:
        self._undelivered = None
        super().__call__(event, context)

    def _wrap_function(self, func: Callable[[Event, Any], str | None] | None) -> None:
        try:
            self.PhysicalResourceId = func(self._event, self._context) if func else ""
        except Exception as error:  # whatever it is, CloudFormation gets an answer
            self.begin_wait = None
            reason = self._broken(error, self._context)
            if self._event["RequestType"] != "Delete":  # which always succeeds: a failed one abandons the resource
                self.Status, self.Reason = resource_helper.FAILED, reason

    def _poll_enabled(self) -> bool:
        return self.begin_wait is not None or "CrHelperPoll" in self._event

    def _setup_polling(self) -> None:
        assert self.begin_wait  # noqa: S101 - crhelper asks `_poll_enabled` first
        self.begin_wait(poll_event(self._event, self.Data))

    def _remove_polling(self) -> None:
        self.Data.pop("PhysicalResourceId", None)

    def generate_physical_id(self, _event: Event) -> str:
        """Nothing random: every delivery of a request has the same answer, and `response` knows an id for it."""
        return ""

    def _send(self, status: str | None = None, reason: str = "") -> None:
        if self._undelivered:  # crhelper would send something else, and the first answer may have arrived
            raise self._undelivered
        body = response(
            self._event,
            status=status or self.Status,
            reason=reason or self.Reason,
            physical_id=self.PhysicalResourceId or None,
            data=self.Data,
        )
        try:
            self._deliver(self._response_url, body, seconds_left(self._context) / 2)
        except AnswerNotDelivered as error:
            self._undelivered = error
            raise


def poll_event(event: Event, data: Mapping[str, Any]) -> Event:
    """What crhelper takes for a request that it is polling for, and asks the poll functions about."""
    return {**event, "CrHelperPoll": True, "CrHelperData": data}


def seconds_left(context: Any) -> float:
    """Seconds that this invocation can still spend. Half of them go into the delivery of an answer, the other half into
    handing it over to a wait.
    """
    return float(context.get_remaining_time_in_millis() / 1000 - RESERVE_SECONDS)


@contextmanager
def _without_start_up() -> Iterator[None]:
    """crhelper's constructor sets up logging through this name."""
    setup = log_helper.setup
    log_helper.setup = lambda *_args, **_options: None
    try:
        yield
    finally:
        log_helper.setup = setup
