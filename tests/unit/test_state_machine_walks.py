"""The walks through the definition: which function is called when, and with what. The real file, interpreted."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from license_conversion.errors import NobodyListens
from tests.model.interpreter import Done, Execution, Failed
from tests.simulation.clock import BEGINNING, VirtualClock
from tests.simulation.definition import definition

EVENT = {"RequestType": "Create", "ResponseURL": "https://answer.example/", "ResourceProperties": {}}
HANDLE = {**EVENT, "ResourceProperties": {"WaitConditionHandle": "https://handle.example/"}}
SAID = {"Status": "SUCCESS", "Reason": "", "PhysicalResourceId": "lct-1", "Data": {}}
ANNOUNCED = {"DetailType": "License Conversion Succeeded", "Detail": {}}
TASK = {"Status": "SUCCEEDED"}
ENDED = {
    "Ended": True, "Passed": True, "Outcome": "SUCCEEDED", "Output": TASK, "Error": "", "Cause": "", "Answer": SAID,
    "Announcement": ANNOUNCED,
}  # fmt: skip
FAILED = {**ENDED, "Passed": False, "Outcome": "FAILED", "Error": "LicenseConversion.Failed", "Cause": "{}"}
REFUSED = {**FAILED, "Outcome": "REFUSED", "Error": "LicenseConversion.InvalidRequest"}
del REFUSED["Announcement"]
WAITS = {"Ended": False, "SecondsUntilNextCheck": 7}
THROTTLED = "Lambda.TooManyRequestsException"
GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")
PAUSE, ATTEMPT, GIVE_UP = 10, 25, 100


class Walk:
    """An execution whose functions give one result after the other, the last one for ever. An error is a string; None hangs.
    What is not said of a function, it does at once.
    """

    def __init__(self, execution_input: Mapping[str, Any], *checks: Any, waiter: str = "", **said: Any) -> None:
        self.calls: list[tuple[float, str]] = []
        self.payloads: list[dict[str, Any]] = []
        self._said = {"CheckTask": list(checks), **{name: [result] for name, result in said.items()}}
        self._waiter = waiter
        self.clock = VirtualClock()
        self.execution = Execution(
            self.clock,
            self._invoke,
            name="one",
            arn="arn:one",
            text=json.dumps(execution_input),
            lost=lambda *_: None,
        )
        self.execution.begin()

    def _invoke(self, function: str, payload: str, done: Done, failed: Failed) -> None:
        self.calls.append((self.clock.now, function))
        told = json.loads(payload) or {}
        self.payloads.append(told)
        said = self._said.get(function, [{}])
        result = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(result, str):
            self.clock.after(0, lambda: failed(result, "a cause"))
        elif result is not None:
            if function == "CheckTask":
                kept = {"Waiter": told["Gate"]["Waiter"], "AttemptSeconds": ATTEMPT, "PauseSeconds": PAUSE}
                result = {**kept, "GiveUpAt": told["Gate"].get("GiveUpAt", gives_up()), **result}
            self.clock.after(0, lambda: done(result))

    def out(self) -> "Walk":
        self.clock.run_for(2 * 86400)
        assert self.execution.status != "RUNNING"
        return self

    def told(self, function: str) -> dict[str, Any]:
        """What the function's only call was given."""
        (number,) = (number for number, (_, called) in enumerate(self.calls) if called == function)
        return self.payloads[number]

    def times(self, function: str) -> list[float]:
        return [when for when, called in self.calls if called == function]

    @property
    def functions(self) -> list[str]:
        return [called for _, called in self.calls]


def gives_up() -> str:
    return (BEGINNING + timedelta(seconds=GIVE_UP)).isoformat()


def stack(*checks: Any, event: Mapping[str, Any] = EVENT, **said: Any) -> Walk:
    gate = {
        "Waiter": "STACK", "Checks": 0, "GiveUpAt": gives_up(), "AttemptSeconds": ATTEMPT, "PauseSeconds": PAUSE,
    }  # fmt: skip
    return Walk({"Stack": {"Event": event}, "Gate": gate}, *checks, **said)


def caller(*checks: Any, **said: Any) -> Walk:
    return Walk({"LicenseConversionTaskId": "lct-1"}, *checks, **said)


def token(*checks: Any, **said: Any) -> Walk:
    return Walk({"LicenseConversionTaskId": "lct-1", "TaskToken": "of-a-caller"}, *checks, **said)


# A stack


def test_a_stack_is_looked_for_when_the_check_says_so_and_answered_at_once_when_it_has_ended() -> None:
    walk = stack(WAITS, ENDED).out()

    assert walk.calls == [(0, "CheckTask"), (7, "CheckTask"), (7, "AnnounceEnd:Event"), (7, "AnswerStack")]
    assert (walk.execution.status, walk.execution.output) == ("SUCCEEDED", TASK)


def test_a_check_gets_what_the_last_one_left_and_the_request_as_it_came() -> None:
    walk = stack({**WAITS, "Throttles": 3}, ENDED).out()

    first, second = walk.payloads[:2]
    assert first["Gate"] == walk.execution._context["Execution"]["Input"]["Gate"]
    assert second["Gate"]["Throttles"] == 3
    for payload in (first, second):
        assert payload["Input"] == {"Stack": {"Event": EVENT}, "Gate": first["Gate"]}
        assert payload["Execution"] == "arn:one"
        assert payload["StartedAt"].startswith("2026-11-22T17:39:55")


def test_whoever_answers_is_given_the_verdict_word_for_word() -> None:
    walk = stack(ENDED).out()

    assert walk.told("AnnounceEnd:Event") == ANNOUNCED
    assert walk.told("AnswerStack") == {
        "Stack": {"Event": EVENT},
        "Waiter": "STACK",
        "Answer": SAID,
        "Execution": "arn:one",
    }


def test_a_failed_conversion_fails_the_execution_after_the_stack_is_told() -> None:
    walk = stack(FAILED).out()

    assert walk.functions == ["CheckTask", "AnnounceEnd:Event", "AnswerStack"]
    assert (walk.execution.status, walk.execution.error) == ("FAILED", "LicenseConversion.Failed")
    assert walk.execution.cause == "{}"


def test_a_refused_request_is_answered_and_not_announced() -> None:
    assert stack(REFUSED).out().functions == ["CheckTask", "AnswerStack"]


@pytest.mark.parametrize("trouble", [THROTTLED, None], ids=["throttled", "hangs"])
def test_an_event_that_cannot_be_queued_keeps_no_stack_from_its_answer(trouble: str | None) -> None:
    said: dict[str, Any] = {"AnnounceEnd:Event": trouble}
    walk = stack(ENDED, **said).out()

    assert walk.functions[-1] == "AnswerStack"
    assert walk.times("AnswerStack")[0] <= 5, "a fifth of the shortest margin that is kept for the answer"
    assert walk.execution.status == "SUCCEEDED"


# A handle


def test_a_stack_with_a_handle_is_answered_as_soon_as_the_task_has_a_name_and_the_handle_at_the_end() -> None:
    walk = stack(WAITS, {**WAITS, "Answer": SAID}, WAITS, ENDED, event=HANDLE).out()

    assert walk.calls == [
        (0, "CheckTask"),
        (7, "CheckTask"),
        (7, "AnswerStack"),
        (14, "CheckTask"),
        (21, "CheckTask"),
        (21, "AnnounceEnd:Event"),
        (21, "AnswerStack"),
    ]
    told = [payload for payload, name in zip(walk.payloads, walk.functions, strict=True) if name == "AnswerStack"]
    assert [one["Waiter"] for one in told] == ["STACK", "HANDLE"]
    assert [one["Answer"] for one in told] == [SAID, SAID]
    assert {one["Execution"] for one in told} == {"arn:one"}
    assert told[0]["Stack"] == told[1]["Stack"] == {"Event": HANDLE}


def test_a_task_that_had_ended_before_answers_the_stack_and_signals_the_handle() -> None:
    walk = stack(ENDED, event=HANDLE).out()

    assert walk.functions == ["CheckTask", "AnnounceEnd:Event", "AnswerStack", "AnswerStack"]
    assert [payload["Waiter"] for payload in walk.payloads[2:]] == ["STACK", "HANDLE"]


def test_a_stack_that_has_heard_failed_waits_for_no_handle() -> None:
    assert stack(FAILED, event=HANDLE).out().functions == ["CheckTask", "AnnounceEnd:Event", "AnswerStack"]


def test_a_handle_is_signalled_by_the_last_resort_when_the_signal_cannot_be_sent() -> None:
    walk = stack({**WAITS, "Answer": SAID}, ENDED, event=HANDLE)
    walk.clock.run_for(1)
    walk._said["AnswerStack"] = ["AnswerNotDelivered"]
    walk.out()

    assert walk.functions[-2:] == ["AnswerStack", "LastResort"]
    assert walk.told("LastResort")["Gate"]["Waiter"] == "HANDLE"


# A crowd


@pytest.mark.parametrize("event", [EVENT, HANDLE], ids=["stack", "handle"])
def test_a_gate_in_a_crowd_takes_a_place_and_wakes_when_it_is_called(event: Mapping[str, Any]) -> None:
    waits = {**WAITS, "SecondsUntilNextCheck": 110, "AwaitsWord": True}
    walk = stack({**waits, "Answer": SAID} if event is HANDLE else waits, ENDED, event=event)
    walk.clock.run_for(30)
    assert walk.execution.call_back(walk.told("CheckTask:Token")["Token"])
    walk.out()

    assert walk.times("CheckTask") == [0, 30]
    assert walk.execution.status == "SUCCEEDED"
    place = walk.told("CheckTask:Token")
    assert place["Gate"]["Waiter"] == ("HANDLE" if event is HANDLE else "STACK")
    assert (place["Execution"], place["Input"]["Stack"]) == ("arn:one", {"Event": event})
    assert place["StartedAt"] == walk.payloads[0]["StartedAt"]


def test_a_gate_that_nobody_calls_wakes_by_itself() -> None:
    walk = stack({**WAITS, "SecondsUntilNextCheck": 110, "AwaitsWord": True}, ENDED).out()

    assert walk.times("CheckTask") == [0, 110]


def test_a_gate_that_gets_no_place_pauses_and_asks() -> None:
    said: dict[str, Any] = {"CheckTask:Token": "TableUnavailable"}
    walk = stack({**WAITS, "AwaitsWord": True}, ENDED, **said).out()

    assert walk.times("CheckTask") == [0, PAUSE]


# Something is broken


def test_what_lambda_fails_is_tried_until_it_is_too_late_for_another_check() -> None:
    walk = stack(THROTTLED).out()

    assert walk.times("CheckTask") == [PAUSE * n for n in range(GIVE_UP // PAUSE + 1)]
    assert walk.times("LastResort") == [GIVE_UP]
    broken = walk.told("LastResort")
    assert broken["Stack"] == {"Event": EVENT}
    assert broken["Execution"] == "arn:one"
    assert broken["Gate"]["Outcome"] == "BROKEN"
    assert THROTTLED in broken["Gate"]["Cause"]
    assert "a cause" in broken["Gate"]["Cause"]
    assert broken["Gate"]["Broken"] == {"Error": THROTTLED, "Cause": "a cause"}


def test_a_check_that_hangs_is_given_up_after_an_attempts_time() -> None:
    walk = stack(None, ENDED).out()

    assert walk.times("CheckTask") == [0, ATTEMPT + PAUSE]


def test_a_stack_of_a_broken_gate_is_told_first_and_then_it_is_counted() -> None:
    walk = stack("LicenseConversion.CheckBroken").out()

    assert walk.calls == [
        (0, "CheckTask"),
        (1, "CheckTask"),
        (3, "CheckTask"),
        (3, "LastResort"),
        (3, "PutMetricData"),
    ]
    assert walk.execution.error == "LicenseConversion.GateBroken"


@pytest.mark.parametrize("begin", [stack, caller], ids=["stack", "caller"])
@pytest.mark.parametrize("error", ["Runtime.ExitError", "Sandbox.Timedout", "Lambda.Unknown"])
def test_a_check_function_that_dies_or_runs_out_of_its_time_is_tried_twice_more_and_then_broken(
    begin: Callable[..., Walk], error: str
) -> None:
    """That is no weather: its memory or its time-out is too small, or its code is wrong."""
    walk = begin(error).out()

    assert walk.times("CheckTask") == [0, 1, 3]
    assert walk.execution.error == "LicenseConversion.GateBroken"


def test_a_first_check_that_lambda_throttles_is_tried_often_at_first_and_a_quarter_of_an_hour_in_all() -> None:
    """Half of each longest pause on average, so that a crowd spreads."""
    times = caller(THROTTLED).out().times("CheckTask")

    assert len([when for when in times if when <= 10]) == 4
    assert 15 * 60 <= times[-1] <= 20 * 60


def test_a_broken_gate_that_signals_a_handle_tells_the_handle() -> None:
    walk = stack({**WAITS, "Answer": SAID}, "LicenseConversion.CheckBroken", event=HANDLE).out()

    assert walk.told("LastResort")["Gate"]["Waiter"] == "HANDLE"


def test_a_stack_that_was_told_of_a_broken_gate_waits_for_no_handle() -> None:
    walk = stack("LicenseConversion.CheckBroken", event=HANDLE).out()

    assert walk.functions.count("LastResort") == 1


@pytest.mark.parametrize("trouble", ["AnswerNotDelivered", "Runtime.ImportModuleError", None])
def test_an_answer_that_was_not_sent_is_sent_by_the_last_resort_without_a_pause(trouble: str | None) -> None:
    walk = stack(ENDED, AnswerStack=trouble).out()

    assert walk.times("LastResort") == [ATTEMPT if trouble is None else 0]
    resort = walk.told("LastResort")["Gate"]
    assert resort["Answer"] == SAID
    assert resort["Broken"]["Error"] == (trouble or "States.Timeout")
    assert walk.execution.status == "SUCCEEDED"


def test_an_answer_at_once_that_the_last_resort_has_sent_leaves_the_handle_to_be_signalled() -> None:
    walk = stack({**WAITS, "Answer": SAID}, ENDED, event=HANDLE, AnswerStack="AnswerNotDelivered").out()

    assert walk.functions.count("LastResort") == 2
    waiters = [
        one["Gate"]["Waiter"] for one, name in zip(walk.payloads, walk.functions, strict=True) if name == "LastResort"
    ]
    assert waiters == ["STACK", "HANDLE"]


def test_the_last_resort_is_tried_five_times_in_the_half_minute_that_every_deadline_leaves_it() -> None:
    walk = stack("LicenseConversion.CheckBroken", LastResort=THROTTLED).out()

    began, *others = walk.times("LastResort")
    assert len([when for when in others if when <= began + 30]) == 4
    assert others[-1] >= began + 5 * 60, "and for minutes after it, while somebody may listen"
    assert max(after - before for before, after in zip([began, *others], others, strict=False)) <= 60


def test_who_was_never_told_is_counted_and_the_execution_says_so() -> None:
    walk = stack(ENDED, AnswerStack="AnswerNotDelivered", LastResort="AnswerNotDelivered").out()

    assert walk.functions[-1] == "PutMetricData"
    assert walk.execution.entered[-2][0] == "Count Not Answered"
    assert (walk.execution.error, walk.execution.cause) == ("LicenseConversion.NotAnswered", "a cause")


def test_where_nobody_listens_nothing_is_sent_again() -> None:
    walk = stack(ENDED, AnswerStack=NobodyListens.__name__, LastResort=NobodyListens.__name__).out()

    assert len(walk.times("LastResort")) == 1
    assert walk.execution.error == "LicenseConversion.NotAnswered"


@pytest.mark.parametrize("trouble", ["CloudWatch.CloudWatchException", None], ids=["fails", "hangs"])
def test_an_end_that_cannot_be_counted_is_an_end_all_the_same(trouble: str | None) -> None:
    broken = stack("LicenseConversion.CheckBroken", PutMetricData=trouble)
    untold = stack(ENDED, AnswerStack=THROTTLED, LastResort="NobodyListens", PutMetricData=trouble)

    assert broken.out().execution.error == "LicenseConversion.GateBroken"
    assert untold.out().execution.error == "LicenseConversion.NotAnswered"
    for walk in (broken, untold):
        assert walk.execution.stopped <= walk.times("PutMetricData")[0] + 15


# A state machine


def test_a_caller_hears_from_the_way_the_execution_ends() -> None:
    passed, failed = caller(WAITS, ENDED).out(), caller(WAITS, FAILED).out()

    assert passed.calls == [(0, "CheckTask"), (7, "CheckTask"), (7, "AnnounceEnd:Event")]
    assert (passed.execution.status, passed.execution.output) == ("SUCCEEDED", TASK)
    assert (failed.execution.status, failed.execution.error) == ("FAILED", "LicenseConversion.Failed")
    assert passed.payloads[0] == {
        "Input": {"LicenseConversionTaskId": "lct-1"},
        "Gate": {"Waiter": "CALLER", "Checks": 0, "AttemptSeconds": ATTEMPT},
        "StartedAt": passed.payloads[1]["StartedAt"],
        "Execution": "arn:one",
    }


def test_a_callers_own_members_make_it_no_stack() -> None:
    """A caller's input may be anything, a stack's event without the gate's state too."""
    walk = Walk({"Stack": {"Event": EVENT}}, REFUSED).out()

    assert walk.payloads[0]["Gate"]["Waiter"] == "CALLER"


@pytest.mark.parametrize("said", ["", 7, None, {"a": "b"}])
def test_a_task_token_that_is_none_is_left_to_the_check_to_refuse(said: Any) -> None:
    walk = Walk({"LicenseConversionTaskId": "lct-1", "TaskToken": said}, REFUSED).out()

    assert walk.payloads[0]["Gate"]["Waiter"] == "CALLER"
    assert walk.functions == ["CheckTask"]


def test_a_task_token_is_called_back_once() -> None:
    passed, failed, refused = token(ENDED).out(), token(FAILED).out(), token(REFUSED).out()

    assert passed.functions == ["CheckTask", "AnnounceEnd:Event", "SendTaskSuccess"]
    assert failed.functions == ["CheckTask", "AnnounceEnd:Event", "SendTaskFailure"]
    assert refused.functions == ["CheckTask", "SendTaskFailure"]
    assert passed.execution.output == TASK
    assert failed.execution.error == "LicenseConversion.Failed"
    assert passed.payloads[0]["Gate"] == {"Waiter": "TASK_TOKEN", "Checks": 0, "AttemptSeconds": ATTEMPT}


def test_the_callback_says_the_verdict_to_the_callers_own_token() -> None:
    success, failure = (definition()["States"][name]["Parameters"] for name in ("Report Success", "Report Failure"))
    told = token(FAILED).execution

    assert told.filled(success, {"Output": TASK}) == {"TaskToken": "of-a-caller", "Output": json.dumps(TASK)}
    said = {"Error": "LicenseConversion.Failed", "Cause": "{}"}
    assert told.filled(failure, said) == {"TaskToken": "of-a-caller", **said}


@pytest.mark.parametrize("gone", [f"Sfn.{name}{suffix}" for name in GONE for suffix in ("", "Exception")])
@pytest.mark.parametrize(("ended", "call"), [(ENDED, "SendTaskSuccess"), (FAILED, "SendTaskFailure")])
def test_a_caller_that_has_gone_is_called_once_and_no_error(ended: Mapping[str, Any], call: str, gone: str) -> None:
    walk = token(ended, **{call: gone}).out()

    assert walk.functions[-1] == call
    assert walk.functions.count(call) == 1
    assert walk.execution.error in ("", "LicenseConversion.Failed")


@pytest.mark.parametrize(("ended", "call"), [(ENDED, "SendTaskSuccess"), (FAILED, "SendTaskFailure")])
def test_a_callback_that_fails_is_tried_for_minutes_and_then_counted(ended: Mapping[str, Any], call: str) -> None:
    walk = token(ended, **{call: "Sfn.SfnException"}).out()

    began, *others = walk.times(call)
    assert len([when for when in others if when <= began + 30]) == 4
    assert began + 4 * 60 <= others[-1]
    assert max(after - before for before, after in zip([began, *others], others, strict=False)) <= 60
    assert walk.functions[-1] == "PutMetricData"
    assert (walk.execution.error, walk.execution.cause) == ("LicenseConversion.NotAnswered", "a cause")


def test_a_caller_of_a_broken_gate_hears_that_and_an_alarm_too() -> None:
    walk = caller("LicenseConversion.CheckBroken").out()

    assert walk.calls == [(0, "CheckTask"), (1, "CheckTask"), (3, "CheckTask"), (3, "PutMetricData")]
    assert walk.execution.error == "LicenseConversion.GateBroken"


def test_a_first_check_that_hangs_is_given_up_after_an_attempts_time() -> None:
    first, second = caller(None, ENDED).out().times("CheckTask")

    assert ATTEMPT < second - first <= ATTEMPT + 2


def test_an_execution_outlives_the_longest_wait_by_less_than_an_hour() -> None:
    """Step Functions' own end of it tells nobody."""
    assert 86400 + 600 <= definition()["TimeoutSeconds"] <= 86400 + 3600
