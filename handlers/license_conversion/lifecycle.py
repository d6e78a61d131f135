"""crhelper's lifecycle, with what is unsafe in it closed. crhelper 2.0.12

- imports boto3 and makes three clients for its own polling, and sets the root logger to DEBUG;
- logs the event, ResponseURL and all;
- responds FAILED half a second before a time-out, whatever the main thread is doing;
- sends without reading the HTTP status, without an end, and cuts a Reason to its last 240 characters;
- makes a FAILED of any exception, and sends it to the request that it knows: after an event that it cannot read that is the
  one before;
- makes up a random physical id, so that a request which is delivered twice has two different responses.
"""

import logging
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, cast

from license_conversion.errors import InvalidRequest
from license_conversion.response import response, seconds_left

_boto3 = sys.modules.get("boto3")
sys.modules["boto3"] = cast("ModuleType", SimpleNamespace(client=lambda *_, **__: None))  # most of a cold start
try:
    from crhelper import CfnResource, log_helper, resource_helper
finally:
    del sys.modules["boto3"]
    sys.modules.update({"boto3": _boto3} if _boto3 else {})

log_helper.setup = lambda *_, **__: None
logging.getLogger("crhelper").setLevel(logging.CRITICAL)


class Lifecycle(CfnResource):  # type: ignore[misc]
    """A Create or an Update is left to the execution that its function begins; a Delete gets its response when its function
    returns. An InvalidRequest is responded FAILED; any other exception leaves the invocation, so that Lambda delivers the
    event again. `deliver(url, body, seconds)` sends.
    """

    def __init__(self, deliver: Callable[[str, bytes, float], int]) -> None:
        super().__init__(sleep_on_delete=0)
        self._deliver = deliver

    def _set_timeout(self) -> None:
        """No watchdog: an invocation that times out is delivered again, and joins its own execution."""

    def _wrap_function(self, func: Callable[[dict[str, Any], Any], None]) -> None:
        try:
            func(self._event, self._context)
        except InvalidRequest as error:
            self.Status, self.Reason = resource_helper.FAILED, str(error)

    def _poll_enabled(self) -> bool:
        """crhelper's way to respond later."""
        return bool(self.RequestType != "Delete")

    def _setup_polling(self) -> None:
        """Step Functions waits, instead of a rule, a target and a permission for each gate."""

    def _remove_polling(self) -> None:
        """After a refusal: nothing was set up."""

    def generate_physical_id(self, _event: dict[str, Any]) -> str:
        """None: `response` knows the id."""
        return ""

    def _send(self, status: str | None = None, _reason: str = "") -> None:
        if status:  # crhelper has caught an exception, and would respond with it
            raise cast("BaseException", sys.exception())
        body = response(self._event, status=self.Status, reason=self.Reason, physical_id=None, data={})
        self._deliver(self._response_url, body, seconds_left(self._context))
