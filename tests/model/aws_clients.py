"""Stand where boto3's clients would: Step Functions with AWS's documented semantics, and License Manager."""

import json
from collections.abc import Callable
from types import SimpleNamespace

from botocore.exceptions import ClientError, ReadTimeoutError

from tests.model.faults import Fault, Faults
from tests.simulation.clock import VirtualClock
from tests.simulation.interpreter import Execution
from tests.simulation.license_manager.client import Client, error
from tests.simulation.license_manager.conversion_task import Task
from tests.simulation.license_manager.service import ConversionService, Json
from tests.simulation.token_bucket import TokenBucket

STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LicenseConversionGate"
CONSISTENT_AFTER = 2.0
PAGE = 2
UNLIMITED = 1e9
MOST_RESULTS = 1000
UNKNOWN = "PENDING_APPROVAL"
NOWHERE = "the region of tasks that no list has"
CALLS = {"GetLicenseConversionTask": "GetTask", "ListLicenseConversionTasks": "ListTasks"}
"""License Manager's operations by what faults call them."""


EXCEPTIONS: dict[str, type[ClientError]] = {
    name: type(name, (ClientError,), {})
    for name in ("ExecutionAlreadyExists", "ExecutionDoesNotExist", "TaskTimedOut", "TaskDoesNotExist", "InvalidToken")
}
"""As botocore makes them from the service's model. A token that is used up is answered with TaskTimedOut."""


def refusal(name: str, call: str) -> Exception:
    return error(name, call, kind=EXCEPTIONS[name])


class Quota:
    """Of calls; without a limit at first."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.limit(UNLIMITED)

    def limit(self, rate: float, size: float | None = None) -> None:
        """From now on, with a full bucket."""
        self._bucket = TokenBucket(self._clock.monotonic, rate, size)

    def is_empty(self) -> bool:
        """Takes one call, or has none left."""
        return not self._bucket.take()


def perform(faults: Faults, call: str, what: Callable[[Fault | None], Json], quota: Quota | None = None) -> Json:
    """One call as its caller sees it, botocore's own retries behind it."""

    def within_quota(fault: Fault | None) -> Json:
        if quota and quota.is_empty():
            faults.met(call, Fault.THROTTLED)
            raise failure(Fault.THROTTLED)
        return what(fault)

    def failure(fault: Fault) -> Exception:
        if fault is Fault.LOST:
            return ReadTimeoutError(endpoint_url="https://aws")
        throttled = fault is Fault.THROTTLED
        return error("ThrottlingException", call) if throttled else error("InternalFailure", call, status=500)

    return faults.meets(call, within_quota, failure)


class ModelledStepFunctions:
    """What our functions call. Reads are eventually consistent where a fault says so: what began or ended less than
    CONSISTENT_AFTER seconds ago is not seen yet. `call_back` takes a task token's call: whether its caller still waits.

    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
    """

    exceptions = SimpleNamespace(**EXCEPTIONS)

    def __init__(
        self, clock: VirtualClock, faults: Faults, *, start: Callable[[str, str, str], Execution],
        stopping: Callable[[Execution], None], hurt: Callable[[str], None], call_back: Callable[[str, Json], bool],
    ) -> None:  # fmt: skip
        self._clock, self._faults = clock, faults
        self._start, self._stopping, self._hurt, self._called_back = start, stopping, hurt, call_back
        self.executions: dict[str, Execution] = {}
        self.quotas = {call: Quota(clock) for call in ("StartExecution", "DescribeExecution", "ListExecutions")}
        self.page = PAGE

    def begin(self, execution: Execution) -> None:
        self.executions[execution.name] = execution
        self._clock.after(0, execution.begin)

    def start_execution(self, *, stateMachineArn: str, name: str, input: str) -> Json:  # noqa: A002, N803
        assert stateMachineArn == STATE_MACHINE
        assert 1 <= len(name) <= 80

        def start(_fault: Fault | None) -> Json:
            found = self.executions.get(name)
            if not found:
                arn = f"{STATE_MACHINE.replace('stateMachine', 'execution')}:{name}"
                found = self._start(name, arn, input)
                self.begin(found)
            elif found.status != "RUNNING" or found.input != input:
                raise refusal("ExecutionAlreadyExists", "StartExecution")
            return {"executionArn": found.arn, "startDate": found.start_date}

        return self._perform("StartExecution", start, "ExecutionAlreadyExists")

    def _perform(self, call: str, what: Callable[[Fault | None], Json], foreseen: str = "") -> Json:
        """What does not do what it should, or does not say that it did, has hurt its caller; not so what is `foreseen`."""
        try:
            return perform(self._faults, call, what, self.quotas.get(call))
        except (ClientError, ReadTimeoutError) as failed:
            if type(failed).__name__ != foreseen:
                self._hurt(call)
            raise

    def describe_execution(self, *, executionArn: str) -> Json:  # noqa: N803

        def describe(fault: Fault | None) -> Json:
            found = self._found(executionArn)
            if fault is Fault.STALE and self._clock.now - found.started < CONSISTENT_AFTER:
                self._hurt("DescribeExecution")
                raise refusal("ExecutionDoesNotExist", "DescribeExecution")
            said = {"executionArn": found.arn, "name": found.name, "status": found.status, "input": found.input}
            if fault is Fault.STALE and self._has_just_ended(found):
                self._hurt("DescribeExecution")
                return {**said, "status": "RUNNING"}
            # Of one that was stopped AWS documents them in the history alone.
            has_error = found.error and found.status != "ABORTED"
            return {**said, "error": found.error, "cause": found.cause} if has_error else said

        return self._perform("DescribeExecution", describe, "ExecutionDoesNotExist")

    def stop_execution(self, *, executionArn: str, error: str, cause: str) -> Json:  # noqa: N803

        def stop(_fault: Fault | None) -> Json:
            found = self._found(executionArn)
            if found.status == "RUNNING":
                self._stopping(found)
                found.end("ABORTED", error=error, cause=cause)
            return {}

        return self._perform("StopExecution", stop)

    def _has_just_ended(self, execution: Execution) -> bool:
        return execution.status != "RUNNING" and self._clock.now - execution.stopped < CONSISTENT_AFTER

    def _found(self, arn: str) -> Execution:
        found = self.executions.get(arn.rsplit(":", 1)[1])
        if not found:
            raise refusal("ExecutionDoesNotExist", "DescribeExecution")
        return found

    def list_executions(
        self, *, stateMachineArn: str, statusFilter: str, maxResults: int, nextToken: str = "inf"  # noqa: N803
    ) -> Json:  # fmt: skip
        """Newest first, few a page: what is listed is read page by page, while the world goes on. A page goes on after the last
        execution of the one before, whatever has ended meanwhile.
        """
        assert stateMachineArn == STATE_MACHINE
        assert maxResults <= MOST_RESULTS
        stale = self._perform("ListExecutions", lambda fault: {"stale": fault is Fault.STALE})["stale"]
        listed = [
            (number, e)
            for number, e in reversed([*enumerate(self.executions.values())])
            if number < float(nextToken) and (e.status == statusFilter or (stale and self._has_just_ended(e)))
        ]
        more = {"nextToken": str(listed[self.page - 1][0])} if len(listed) > self.page else {}
        page = [e for _, e in listed[: self.page]]
        if stale:
            page = [e for e in page if self._clock.now - e.started >= CONSISTENT_AFTER]
            self._hurt("ListExecutions, stale")
        said = [{"name": e.name, "startDate": e.start_date, "status": e.status, "executionArn": e.arn} for e in page]
        return {"executions": said, **more}

    def get_execution_history(
        self, *, executionArn: str, reverseOrder: bool, maxResults: int, includeExecutionData: bool,  # noqa: N803
        nextToken: str = "0",  # noqa: N803
    ) -> Json:  # fmt: skip
        """Few events a page, and what a state assigned where it was left."""
        assert reverseOrder
        assert includeExecutionData
        assert maxResults <= MOST_RESULTS

        def history(_fault: Fault | None) -> Json:
            found, first = self._found(executionArn), int(nextToken)
            details = {"error": found.error, "cause": found.cause}
            aborted = {"type": "ExecutionAborted", "executionAbortedEventDetails": details}
            left = (
                event
                for name, assigned in reversed(found.assigned)
                for event in (
                    {"type": "StateEntered", "stateEnteredEventDetails": {"name": name, "input": "{}"}},
                    {"type": "StateExited", "stateExitedEventDetails": {"name": name, "assignedVariables": assigned}},
                )
            )
            events = [*([aborted] if found.status == "ABORTED" else []), *left][first:]
            more = {"nextToken": str(first + PAGE)} if len(events) > PAGE else {}
            return {"events": events[:PAGE], **more}

        return self._perform("GetExecutionHistory", history)

    def send_task_success(self, *, taskToken: str, output: str) -> Json:  # noqa: N803
        return self._call_back("SendTaskSuccess", taskToken, {"Output": json.loads(output)})

    def send_task_failure(self, *, taskToken: str, error: str, cause: str) -> Json:  # noqa: N803
        return self._call_back("SendTaskFailure", taskToken, {"Error": error, "Cause": cause})

    def _call_back(self, call: str, token: str, verdict: Json) -> Json:
        def take(_fault: Fault | None) -> Json:
            if not self._called_back(token, verdict):
                raise refusal("TaskTimedOut", call)
            return {}

        return self._perform("CallBack", take, "TaskTimedOut")


def resource_arn(task_id: str) -> str:
    """Two tasks have the same resource."""
    return f"arn:aws:ec2:us-east-1:123456789012:instance/i-{(int(task_id[-1], 36) + 1) // 2}"


class LicenseManagerClient(Client):
    """License Manager of one account and region, its lists one task a page. `asked` is called each time, and returns whether
    it is the poller's call; `throttled` and `denied` are called at each one that is.
    """

    def __init__(
        self, clock: VirtualClock, faults: Faults, asked: Callable[[], bool], throttled: Callable[[], None],
        denied: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(ConversionService(clock=clock.monotonic, page_size=1, seed=None))
        self._clock, self._faults, self._asked = clock, faults, asked
        self._throttled, self._denied = throttled, denied
        self.quota = Quota(clock)

    def add(self, task_id: str, *, began: float = 0, seconds: float, end: str) -> None:
        """A conversion: when it began and ends, and how. DENIED is one that may not be read."""
        self.service.add_task(
            task_id, start_time=began, duration=seconds, end_status=end, status_message=f"It {end}.",
            resource_arn=resource_arn(task_id), region=NOWHERE if end == "DENIED" else None,
        )  # fmt: skip

    def _call(self, operation: str, parameters: Json) -> Json:
        polls, call = self._asked(), CALLS[operation]
        if self.quota.is_empty():
            self._throttled()
            raise error("RateLimitExceededException", operation)
        if polls and Fault.DENIED in (self._faults.next("Poll"), call == "ListTasks" and self._faults.next("PollList")):
            raise error("AccessDeniedException", operation)
        if any(by["Name"] == "ResourceArns" and self.denies(*by["Values"]) for by in parameters.get("Filters", ())):
            raise error("AccessDeniedException", operation)

        def answer(fault: Fault | None) -> Json:
            if fault is Fault.DENIED:
                self._denied()
            if fault is Fault.DENIED or self._is_denied(parameters.get("LicenseConversionTaskId", "")):
                raise error("AccessDeniedException", operation)
            found = super(LicenseManagerClient, self)._call(operation, parameters)
            for task in found.get("LicenseConversionTasks", [found]):
                task.update({"Status": UNKNOWN} if fault is Fault.STALE else {})
            return found

        return perform(self._faults, call, answer)

    def _is_denied(self, task_id: str) -> bool:
        return task_id in self.service.known and self.service.known[task_id].end_status == "DENIED"

    def denies(self, arn: str) -> bool:
        """Whether the tasks of the resource may not be listed."""
        return any(self._is_denied(task.task_id) for task in self.begun(arn, self._clock.now))

    def begun(self, arn: str, at: float) -> list[Task]:
        """The resource's tasks that had begun."""
        return [task for task in self.service.known.values() if task.start_time <= at and task.resource_arn == arn]

    def status(self, task_id: str) -> str:
        task = self.service.known.get(task_id)
        return "REFUSED" if not task or self._is_denied(task_id) else task.status(self._clock.now)
