"""A stack's events through the real handlers and the real state machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from license_conversion.errors import AnswerNotDelivered
from license_conversion.task import ATTRIBUTES
from tests.context import Context
from tests.integration.conftest import Cloud
from tests.local_cloud.answers import LOST, RESET

TASK = "lct-0123456789abcdef0"
OTHER = "lct-0fedcba9876543210"


def test_a_task_that_runs_is_waited_for_and_its_attributes_are_answered(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=300)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"
    assert answer["PhysicalResourceId"] == TASK
    assert answer["Data"]["Status"] == "SUCCEEDED"
    assert set(answer["Data"]) == set(ATTRIBUTES)
    assert all(isinstance(value, str) for value in answer["Data"].values())


def test_the_end_is_answered_within_a_tenth_of_the_conversion(cloud: Cloud) -> None:
    started = cloud.clock.now
    cloud.license_manager.add_task(TASK, duration=300)

    cloud.gate(cloud.event("create"))

    assert 300 <= (cloud.clock.now - started).total_seconds() <= 330


def test_a_terminal_task_is_answered_by_the_first_check(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0)
    started = cloud.clock.now

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"
    assert cloud.clock.now == started
    assert cloud.invocations == ["CustomResource", "CheckTask", "AnnounceEnd", "AnswerStack"]


def test_a_request_that_is_delivered_twice_has_one_wait_and_one_answer(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=300)
    event = cloud.event("create")

    cloud.gate(event)
    cloud.gate(event)

    assert len(cloud.executions()) == 1
    assert len(cloud.bodies()) == 1


def test_a_failed_conversion_fails_the_resource_with_a_reason_that_says_it_all(cloud: Cloud) -> None:
    said = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."
    cloud.license_manager.add_task(TASK, duration=100, end_status="FAILED", status_message=said)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "FAILED"
    for part in (TASK, "arn:aws:ec2:us-east-1:", said, "after the gate waited 1 min 4", "execution arn:aws:states:"):
        assert part in answer["Reason"]


def test_a_failed_conversion_lets_the_stack_go_on_when_it_says_continue(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=10, end_status="FAILED", status_message="No.")

    (answer,) = cloud.gate(cloud.event("create-continue-on-failure"))

    assert (answer["Status"], answer["Data"]["Status"], answer["Data"]["StatusMessage"]) == ("SUCCESS", "FAILED", "No.")


def test_a_wait_that_runs_out_is_answered_before_cloudformation_gives_up(cloud: Cloud) -> None:
    started = cloud.clock.now
    cloud.license_manager.add_task(TASK, duration=float("inf"))

    (answer,) = cloud.gate(cloud.event("create-with-time-outs"))

    assert 598 <= (cloud.clock.now - started).total_seconds() <= 601
    assert answer["Status"] == "FAILED"
    for part in ("did not fail", "IN_PROGRESS", "goes on", "WaitConditionHandle", "10 min"):
        assert part in answer["Reason"]


def test_without_a_timeout_of_its_own_the_wait_takes_what_service_timeout_leaves(cloud: Cloud) -> None:
    started = cloud.clock.now
    cloud.license_manager.add_task(TASK, duration=float("inf"))

    cloud.gate(cloud.event("create"))

    assert 3538 <= (cloud.clock.now - started).total_seconds() < 3600


def test_a_misspelt_property_is_refused_at_once_with_the_name_that_was_meant(cloud: Cloud) -> None:
    (answer,) = cloud.gate(cloud.event("create-misspelt-property"))

    assert answer["Status"] == "FAILED"
    assert "Did you mean LicenseConversionTaskId?" in answer["Reason"]
    assert cloud.invocations == ["CustomResource"]
    assert cloud.executions() == []


def test_a_task_that_license_manager_does_not_know_for_ten_seconds_is_refused(cloud: Cloud) -> None:
    started = cloud.clock.now

    (answer,) = cloud.gate(cloud.event("create"))

    assert 10 <= (cloud.clock.now - started).total_seconds() <= 12
    assert answer["Status"] == "FAILED"
    assert TASK in answer["Reason"]
    assert "InvalidParameterValueException" in answer["Reason"]


def test_a_task_that_is_too_new_to_be_known_is_waited_for(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.license_manager.faults.queue("InvalidParameterValueException", times=2)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"


@pytest.mark.parametrize("at", [0, 3], ids=["at the start", "in the middle of a wait"])
def test_a_role_that_is_too_new_to_be_effective_is_waited_for(cloud: Cloud, at: int) -> None:
    cloud.license_manager.add_task(TASK, duration=600)
    for _ in range(at):
        cloud.license_manager.faults.queue("ServerInternalException")
    cloud.license_manager.faults.queue("AccessDeniedException", times=5)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"


@pytest.mark.parametrize("denial", ["AccessDeniedException", "AuthorizationException"])
def test_a_denial_for_thirty_seconds_names_the_action_and_the_role(cloud: Cloud, denial: str) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.license_manager.faults.queue(denial, times=None)
    started = cloud.clock.now

    (answer,) = cloud.gate(cloud.event("create"))

    assert 30 <= (cloud.clock.now - started).total_seconds() <= 32
    assert "license-manager:GetLicenseConversionTask" in answer["Reason"]
    assert "arn:aws:iam::123456789012:role/gate" in answer["Reason"]


@pytest.mark.parametrize(
    "fault",
    ["RateLimitExceededException", "ThrottlingException", "ServerInternalException", "html-503", "connection-reset"],
)
def test_a_fault_of_license_manager_is_waited_out(cloud: Cloud, fault: str) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.license_manager.faults.queue(fault, times=3)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"
    assert [call.answer for call in cloud.license_manager.calls][:3] == [fault] * 3


def test_a_throttled_gate_leaves_the_next_look_to_the_watch(cloud: Cloud) -> None:
    """Whoever asks again at once keeps the throttle alive: of all who wait in the account, the watch alone does."""
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.license_manager.faults.queue("RateLimitExceededException", times=1)

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"
    assert len(cloud.watches) == 1
    assert not cloud.table.items


@pytest.mark.parametrize("lies", [{"Status": "PENDING_APPROVAL"}, {"Status": None}], ids=["unknown", "none"])
def test_a_status_that_nobody_knows_is_waited_out_and_never_success(
    cloud: Cloud, lies: dict[str, object], log: Callable[[], str]
) -> None:
    cloud.license_manager.add_task(TASK, duration=0, lies=lies)

    (answer,) = cloud.gate(cloud.event("create-with-time-outs"))

    assert answer["Status"] == "FAILED"
    assert "The wait ran out" in answer["Reason"]
    assert "UnknownStatuses" in log()


def test_an_answer_about_another_task_is_no_verdict(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0, lies={"LicenseConversionTaskId": OTHER})

    (answer,) = cloud.gate(cloud.event("create-with-time-outs"))

    assert answer["Status"] == "FAILED"


@pytest.mark.parametrize("kind", [403, 500, 503, RESET, LOST], ids=str)
def test_an_answer_that_is_not_taken_is_sent_again_and_is_the_same(cloud: Cloud, kind: int | str) -> None:
    cloud.license_manager.add_task(TASK, duration=0)
    cloud.answers.misbehave(kind, kind)

    cloud.gate(cloud.event("create"))

    sent = [answer.body for answer in cloud.answers.answers()]
    assert len(sent) == 3
    assert len(set(sent)) == 1


def test_an_answer_that_nobody_takes_is_sent_by_the_last_resort_and_is_the_same(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0)
    answer_stack = cloud.functions["AnswerStack"]
    cloud.functions["AnswerStack"] = lambda event, _: answer_stack(event, Context("AnswerStack", seconds=1))
    cloud.answers.misbehave(503)

    cloud.gate(cloud.event("create"))
    (wait,) = cloud.executions()

    sent = [answer.body for answer in cloud.answers.answers()]
    assert wait["status"] == "SUCCEEDED"
    assert cloud.invocations.count("LastResort") == 1
    assert len(sent) == 2
    assert len(set(sent)) == 1


def test_a_delete_that_cannot_be_answered_is_an_error_of_the_invocation(cloud: Cloud) -> None:
    cloud.answers.misbehave(*[503] * 50)

    with pytest.raises(AnswerNotDelivered, match="HTTP status 503"):
        cloud.functions["CustomResource"](cloud.event("delete"), Context("CustomResource", seconds=4))

    assert len({answer.body for answer in cloud.answers.answers()}) == 1


def test_the_response_of_a_message_of_ten_thousand_four_byte_characters_is_valid_and_fits(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60, end_status="FAILED", status_message="\N{GRINNING FACE}" * 10_000)

    cloud.gate(cloud.event("create"))
    cloud.gate(cloud.event("create-continue-on-failure", RequestId="another"))

    for answer in cloud.answers.answers():
        assert len(answer.body.encode()) <= 4096
        assert "\N{GRINNING FACE}… (shortened)" in json.dumps(answer.json, ensure_ascii=False)


def test_an_update_to_the_same_task_keeps_the_id(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0)

    (answer,) = cloud.gate(cloud.event("update-same-task"))

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", TASK)


def test_an_update_to_another_task_gates_and_gives_a_new_id(cloud: Cloud) -> None:
    cloud.license_manager.add_task(OTHER, duration=60)

    (answer,) = cloud.gate(cloud.event("update-other-task"))

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", OTHER)


def test_an_update_that_fails_keeps_the_old_id(cloud: Cloud) -> None:
    cloud.license_manager.add_task(OTHER, duration=60, end_status="FAILED")

    (answer,) = cloud.gate(cloud.event("update-other-task"))

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", TASK)


def test_a_refused_update_keeps_the_old_id(cloud: Cloud) -> None:
    event = cloud.event("update-other-task")
    event["ResourceProperties"]["OnFailure"] = "fail"

    (answer,) = cloud.gate(event)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", TASK)


@pytest.mark.parametrize("name", ["delete", "delete-while-create-in-flight"])
def test_a_delete_succeeds_without_a_word_to_license_manager(cloud: Cloud, name: str) -> None:
    event = cloud.event(name)

    (answer,) = cloud.gate(event)

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", event["PhysicalResourceId"])
    assert cloud.license_manager.calls == []


def test_no_echo_and_attributes_of_one_request_are_not_in_the_next(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0)

    cloud.gate(cloud.event("create"))
    cloud.gate(cloud.event("delete"))

    assert [answer["NoEcho"] for answer in cloud.bodies()] == [False, False]
    assert cloud.bodies()[1]["Data"] == {}


def test_a_handle_is_signalled_at_the_end_and_its_stack_answered_at_once(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=1800)

    at_once, signalled = cloud.gate(cloud.event("create-with-wait-condition-handle"))

    assert (at_once["Status"], at_once["PhysicalResourceId"], at_once["Data"]["Status"]) == (
        "SUCCESS",
        TASK,
        "IN_PROGRESS",
    )
    assert (signalled["Status"], signalled["UniqueId"]) == ("SUCCESS", TASK)
    assert json.loads(signalled["Data"])["Status"] == "SUCCEEDED"


def test_a_task_that_had_ended_at_the_first_check_has_both_told(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0)

    answer, signal = cloud.gate(cloud.event("create-with-wait-condition-handle"))

    assert (answer["Status"], signal["Status"]) == ("SUCCESS", "SUCCESS")
    assert cloud.invocations == ["CustomResource", "CheckTask", "AnnounceEnd", "AnswerStack", "AnswerStack"]


def test_a_stack_that_has_heard_failed_does_not_wait_for_its_handle(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=0, end_status="FAILED")

    (answer,) = cloud.gate(cloud.event("create-with-wait-condition-handle"))

    assert (answer["Status"], answer["RequestId"]) == ("FAILED", "00000000-0000-4000-8000-000000000001")


def test_a_stack_whose_answer_at_once_broke_is_answered_by_the_last_resort_and_its_handle_signalled(
    cloud: Cloud,
) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.functions["AnswerStack"] = _break

    at_once, signalled = cloud.gate(cloud.event("create-with-wait-condition-handle"))

    assert (at_once["Status"], at_once["Data"]["Status"]) == ("SUCCESS", "IN_PROGRESS")
    assert (signalled["Status"], json.loads(signalled["Data"])["Status"]) == ("SUCCESS", "SUCCEEDED")


class ImportModuleError(Exception):
    """What Lambda reports of a function that cannot be imported."""


class TimedOut(Exception):  # noqa: N818 - Lambda's word
    """What Lambda reports of a function that takes too long."""


ImportModuleError.__name__ = "Runtime.ImportModuleError"
TimedOut.__name__ = "Sandbox.Timedout"


def _break(_event: object, _context: object) -> None:
    raise ImportModuleError("Unable to import module: No module named 'crhelper'")


def test_a_verdict_is_answered_as_the_last_resort_when_the_answering_function_is_broken(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.functions["AnswerStack"] = _break

    (answer,) = cloud.gate(cloud.event("create"))

    (ended,) = cloud.executions()
    assert (answer["Status"], answer["Data"]["Status"]) == ("SUCCESS", "SUCCEEDED")
    assert ended["status"] == "SUCCEEDED"


def test_a_broken_check_is_answered_with_what_broke(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.functions["CheckTask"] = _break

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "FAILED"
    assert answer["PhysicalResourceId"] == TASK
    for part in ("Runtime.ImportModuleError", "Unable to import module: No module named 'crhelper'"):
        assert part in answer["Reason"]


def test_a_check_that_hangs_again_and_again_is_answered_long_before_cloudformation_gives_up(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    started = cloud.clock.now

    def hang(event: dict[str, Any], _context: object) -> None:
        cloud.clock.move(event["Gate"]["AttemptSeconds"])
        raise TimedOut("The task timed out.")

    cloud.functions["CheckTask"] = hang

    event = cloud.event("create")
    event["ResourceProperties"]["ServiceTimeout"] = "180"

    (answer,) = cloud.gate(event)

    assert 3 * 14 <= (cloud.clock.now - started).total_seconds() < 90
    assert answer["Status"] == "FAILED"
    assert "Sandbox.Timedout" in answer["Reason"]


def test_a_broken_gate_says_what_lambda_said_and_what_to_do(cloud: Cloud) -> None:
    cloud.functions["CheckTask"] = _break

    ended = cloud.execute({"LicenseConversionTaskId": TASK})

    assert ended["error"] == "LicenseConversion.GateBroken"
    for part in ("the conversion is not affected", "the log of the check function", "Runtime.ImportModuleError"):
        assert part in ended["cause"]


def test_a_function_that_answers_after_its_error_was_waited_out_is_asked_again(cloud: Cloud) -> None:
    """Whatever Lambda says that is none of our function's own errors."""
    cloud.license_manager.add_task(TASK, duration=60)
    check, broken = cloud.functions["CheckTask"], ["Lambda.TooManyRequestsException"] * 4

    def throttled(event: dict[str, Any], context: Any) -> Any:
        if broken:
            raise type(broken.pop(), (Exception,), {})("Rate exceeded")
        return check(event, context)

    cloud.functions["CheckTask"] = throttled

    (answer,) = cloud.gate(cloud.event("create"))

    assert answer["Status"] == "SUCCESS"


def test_no_log_line_contains_a_response_url(cloud: Cloud, log: Callable[[], str]) -> None:
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.answers.misbehave(500, RESET)

    cloud.gate(cloud.event("create"))
    cloud.functions["CheckTask"] = _break
    cloud.gate(cloud.event("create", RequestId="another"))

    printed = log()
    assert "The gate ends" in printed
    assert "Signature=" not in printed


def test_a_hundred_of_a_hundred_gates_end_right_under_throttles_and_server_errors(
    cloud: Cloud, gate_through_checks: Callable[[str], dict[str, object]]
) -> None:
    cloud.license_manager.faults.rates(
        {"RateLimitExceededException": 0.5, "ServerInternalException": 0.1}, seed=20261122
    )
    expected = {}
    for number in range(100):
        task_id = f"lct-{number:017x}"
        expected[task_id] = "FAILED" if number % 3 == 0 else "SUCCEEDED"
        cloud.license_manager.add_task(task_id, duration=30 + 17 * number, end_status=expected[task_id])

    ended = {task_id: gate_through_checks(task_id)["Outcome"] for task_id in expected}

    assert ended == expected
