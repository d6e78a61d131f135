"""crhelper's lifecycle with Step Functions in place of its polling, and with its known faults closed.

crhelper 2.0.12 calls the function of the request type, decides who answers, and builds the response. What is overridden
here, and why:

- start-up: it imports boto3 and makes three clients, for its own polling alone, and sets the root logger to DEBUG;
- its logger writes the event, ResponseURL and all;
- its watchdog thread answers FAILED half a second before a time-out, whatever the main thread is doing;
- its polling makes an EventBridge rule, a target and a Lambda permission for each wait;
- an unknown request type is an AttributeError;
- it sends without a look at the HTTP status, without an end, and cuts a Reason to its last 240 characters;
- an error becomes a FAILED of its own words, sent to whoever made the request that it knows: after an event that it cannot
  read that is the one before;
- the id that it makes up is random, so that a request which is delivered twice has two different answers.

Of what it keeps from one request to the next (`NoEcho`), and takes from an event (`CrHelperData`), nothing is in a response.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from license_conversion.errors import InvalidRequest
from license_conversion.stack_response import response, seconds_left


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


class Lifecycle(CfnResource):  # type: ignore[misc]
    """One provider of a custom resource: a Create or an Update is left to a wait, a Delete is answered.

    `begin(event, context)` begins the wait that answers; `delete(event, context)` makes way for the answer to a Delete.
    InvalidRequest from either is answered FAILED; any other exception leaves the invocation, so that Lambda delivers the
    event again. `deliver(url, body, seconds)` sends a response.
    """

    def __init__(
        self,
        begin: Callable[[Event, Any], None],
        delete: Callable[[Event, Any], None],
        deliver: Callable[[str, bytes, float], int],
    ) -> None:
        with _without_start_up():
            super().__init__(sleep_on_delete=0)
        self._deliver = deliver
        self.create(begin)
        self.delete(delete)

    def _log_setup(self, event: Event, context: Any) -> None:
        """Logging is the entry point's, not crhelper's."""

    def _set_timeout(self) -> None:
        """No watchdog: an invocation that times out is delivered again by Lambda, and joins its own wait."""

    def _get_func(self) -> Callable[[Event, Any], None]:
        """An Update is begun as a Create is. What is not known is no Delete: `begin` refuses it."""
        function: Callable[[Event, Any], None] = (
            self._delete_func if self.RequestType == "Delete" else self._create_func
        )
        return function

    def _wrap_function(self, func: Callable[[Event, Any], None]) -> None:
        try:
            func(self._event, self._context)
        except InvalidRequest as error:
            self.Status, self.Reason = resource_helper.FAILED, str(error)

    def _poll_enabled(self) -> bool:
        return bool(self.RequestType != "Delete")

    def _setup_polling(self) -> None:
        """The wait has begun: nothing answers now."""

    def _remove_polling(self) -> None:
        """There is nothing of crhelper's to remove after a refusal."""

    def generate_physical_id(self, _event: Event) -> str:
        """None: every delivery of a request has the same answer, for which `response` knows the id."""
        return ""

    def _send(self, status: str | None = None, _reason: str = "") -> None:
        if status:  # crhelper's own words for the exception that it is handling
            raise  # noqa: PLE0704 - that one
        body = response(self._event, status=self.Status, reason=self.Reason, physical_id=None, data={})
        self._deliver(self._response_url, body, seconds_left(self._context))


@contextmanager
def _without_start_up() -> Iterator[None]:
    """crhelper's constructor sets up logging through this name."""
    setup = log_helper.setup
    log_helper.setup = lambda *_args, **_options: None
    try:
        yield
    finally:
        log_helper.setup = setup
