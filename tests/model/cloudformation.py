"""CloudFormation's side: which requests a resource gets, in which order, and what becomes of their responses.

What another resource of the stack does (it fails, the user cancels) is a `cancel` here. Between two requests of a resource
CloudFormation needs GAP seconds.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from tests.model.promises import Promises
from tests.model.who_waits import SECRET, LifecycleRequest, Resource, State, Waiter
from tests.simulation.clock import VirtualClock

GAP = 2.0


class CloudFormation:
    """Sends requests, takes responses and signals. `send` delivers an event."""

    def __init__(self, clock: VirtualClock, promises: Promises, send: Callable[[LifecycleRequest], None]) -> None:
        self._clock, self._promises, self._send = clock, promises, send
        self.requests: list[LifecycleRequest] = []
        self.resources = [
            Resource(f"arn:aws:cloudformation:us-east-1:123456789012:stack/my-stack/{n}", logical_id)
            for n, logical_id in ((1, "Gate"), (1, "GateWithALongNameOne"), (1, "GateWithALongNameTwo"), (2, "Gate"))
        ]

    # what a user, or another resource, does

    def create(self, resource: Resource, properties: dict[str, Any], *, keeps_failed: bool) -> None:
        resource.state, resource.keeps_failed, resource.properties = State.CREATING, keeps_failed, properties
        self._request(resource, "Create", properties, None)

    def create_anew(self, resource: Resource, properties: dict[str, Any]) -> None:
        """An update of a stack that kept a resource whose Create had failed."""
        resource.left = (resource.physical_id, resource.properties)
        self.create(resource, properties, keeps_failed=True)

    def retry_create(self, resource: Resource) -> None:
        """The deployment is tried again: the same RequestId, a new URL."""
        assert resource.current
        resource.state = State.CREATING
        self._request(resource, "Create", resource.properties, None, again=resource.current)

    def update(self, resource: Resource, properties: dict[str, Any], *, then_fails: bool, undo_by_delete: bool) -> None:
        resource.state, resource.then_fails, resource.undo_by_delete = State.UPDATING, then_fails, undo_by_delete
        self._request(resource, "Update", properties, resource.physical_id, old=resource.properties)

    def cancel(self, resource: Resource) -> None:
        """The response is not waited for any more: a created resource is deleted, an updated one rolled back."""
        request = resource.current
        assert request
        request.open = False
        if resource.state is State.CREATING:
            self._soon(resource, lambda: self.delete(resource, resource.made_up_id()))
        else:
            self._soon(resource, lambda: self._roll_back(resource, resource.physical_id, request.properties))

    def continue_rollback(self, resource: Resource, *, same_request_id: bool) -> None:
        request = resource.current
        assert request
        assert request.old_properties
        again = request if same_request_id else None
        self._roll_back(resource, str(request.physical_id), request.old_properties, again)

    def delete(self, resource: Resource, physical_id: str | None = None) -> None:
        resource.state, resource.physical_id = State.DELETING, physical_id or resource.physical_id
        self._request(resource, "Delete", resource.properties, resource.physical_id)

    # what follows

    def _soon(self, resource: Resource, what: Callable[[], None]) -> None:
        """The next step of a stack operation; nothing else happens to the resource until then."""
        resource.generation += 1
        generation = resource.generation

        def go_on() -> None:
            if resource.generation == generation:
                what()

        self._clock.after(GAP, go_on)

    def _roll_back(
        self, resource: Resource, physical_id: str, failed: dict[str, Any], again: LifecycleRequest | None = None
    ) -> None:
        resource.state = State.ROLLING_BACK
        self._request(resource, "Update", resource.properties, physical_id, old=failed, again=again)

    def _clean_up(self, resource: Resource, physical_id: str, properties: dict[str, Any]) -> None:
        resource.state = State.CLEANING_UP
        self._soon(resource, lambda: self._request(resource, "Delete", properties, physical_id))

    def _request(
        self, resource: Resource, kind: str, properties: dict[str, Any], physical_id: str | None, *,
        old: dict[str, Any] | None = None, again: LifecycleRequest | None = None,
    ) -> None:  # fmt: skip
        resource.generation += 1
        number = len(self.requests) + 1
        signature = f"X-Amz-Date={self._clock.utc():%Y%m%dT%H%M%SZ}&X-Amz-Expires=7200&X-Amz-Signature={SECRET}{number}"
        request = LifecycleRequest(
            resource=resource, number=number, kind=kind, physical_id=physical_id, properties=properties, old_properties=old,
            request_id=again.request_id if again else f"request-{number}", requested=self._clock.now,
            url=f"https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com/r{number}?{signature}",
        )  # fmt: skip
        self.requests.append(request)
        resource.current = request
        self._clock.after(request.service_timeout, lambda: self._expire(request))
        self._send(request)

    def _expire(self, request: LifecycleRequest) -> None:
        if request.open:
            request.open = False
            self._promises.without_response(request)
            self._responded(request, "FAILED", None)

    # responses

    def taken(self, address: str, body: str, sender: Waiter | None) -> None:
        """A PUT has arrived."""
        path = urlsplit(address).path
        if path.startswith("/h"):
            self._promises.signalled(path, body, sender)
            return
        request = self.requests[int(path[2:]) - 1]
        self._promises.responds(request, body, sender)
        if request.open:
            said = json.loads(body)
            request.open, request.response = False, said
            self._responded(request, said["Status"], said["PhysicalResourceId"])

    def _responded(self, request: LifecycleRequest, status: str, physical_id: str | None) -> None:
        resource, succeeds = request.resource, status == "SUCCESS"
        match resource.state:
            case State.CREATING if succeeds:
                left, resource.left = resource.left, None
                resource.state, resource.physical_id = State.READY, str(physical_id)
                if left and left[0] != physical_id:
                    self._clean_up(resource, *left)
            case State.CREATING if resource.keeps_failed and physical_id:
                resource.state, resource.physical_id = State.CREATE_FAILED, physical_id
            case State.CREATING:
                self._soon(resource, lambda: self.delete(resource, physical_id or resource.made_up_id()))
            case State.UPDATING if succeeds:
                self._updated(request, str(physical_id))
            case State.UPDATING:
                self._soon(resource, lambda: self._roll_back(resource, resource.physical_id, request.properties))
            case State.ROLLING_BACK if succeeds:
                resource.state, resource.physical_id = State.READY, str(physical_id)
                if physical_id != request.physical_id:
                    self._clean_up(resource, str(request.physical_id), request.old_properties or {})
            case State.ROLLING_BACK:
                resource.state, resource.physical_id = State.ROLLBACK_FAILED, str(request.physical_id)
            case State.CLEANING_UP:
                resource.state = State.READY
            case State.DELETING:
                resource.state = State.ABSENT if succeeds else State.DELETE_FAILED

    def _updated(self, request: LifecycleRequest, physical_id: str) -> None:
        resource, old_id = request.resource, str(request.physical_id)
        replaced = physical_id != old_id
        if resource.then_fails and replaced and resource.undo_by_delete:
            self._clean_up(resource, physical_id, request.properties)
        elif resource.then_fails:
            self._soon(resource, lambda: self._roll_back(resource, physical_id, request.properties))
        else:
            old, resource.properties = resource.properties, request.properties
            resource.state, resource.physical_id = State.READY, physical_id
            if replaced:
                self._clean_up(resource, old_id, old)


def next_handle(number: int) -> str:
    host = "https://cloudformation-waitcondition-us-east-1.s3.amazonaws.com"
    return f"{host}/h{number}?X-Amz-Signature={SECRET}h{number}"
