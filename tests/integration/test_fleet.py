"""Many tasks in one gate: through the real handlers, the real state machine and a License Manager on the wire."""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from license_conversion.request import fleet_id
from tests.integration.conftest import Cloud

ATTRIBUTES = {"Status", "Total", "Succeeded", "Failed", "FailedTaskIds", "StatusMessage"}
NO_AMI = "Instance [i-0123456789abcdef0] is launched from an Amazon owned AMI."


def fleet_of(cloud: Cloud, count: int, *, failed: tuple[int, ...] = (), longest: float = 900) -> list[str]:
    """So many tasks that end one after another; those at the places `failed` fail."""
    task_ids = [f"lct-{number:017x}" for number in range(count)]
    for place, task_id in enumerate(task_ids):
        ends = {"end_status": "FAILED", "status_message": NO_AMI} if place in failed else {}
        cloud.license_manager.add_task(task_id, duration=longest * (place + 1) / count, **ends)
    return task_ids


def of_stack(cloud: Cloud, task_ids: list[str], name: str = "create", **properties: str) -> dict[str, Any]:
    event = cloud.event(name)
    del event["ResourceProperties"]["LicenseConversionTaskId"]
    event["ResourceProperties"].update(LicenseConversionTaskIds=task_ids, **properties)
    return event


def gets(cloud: Cloud) -> Counter[str]:
    """How often each task was asked for."""
    calls = (call for call in cloud.license_manager.calls if call.operation == "GetLicenseConversionTask")
    return Counter(str(call.parameters["LicenseConversionTaskId"]) for call in calls)


# A stack


def test_a_fleet_of_twelve_that_succeeds_is_answered_when_the_last_task_has_ended(cloud: Cloud) -> None:
    started = cloud.clock.now
    task_ids = fleet_of(cloud, 12)

    (answer,) = cloud.gate(of_stack(cloud, task_ids))

    assert 900 <= (cloud.clock.now - started).total_seconds() <= 920
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", fleet_id(task_ids))
    assert answer["Data"] == {
        "Status": "SUCCEEDED",
        "Total": "12",
        "Succeeded": "12",
        "Failed": "0",
        "FailedTaskIds": "",
        "StatusMessage": "",
    }


def test_one_failed_task_of_twelve_fails_the_resource_when_it_fails(cloud: Cloud) -> None:
    started = cloud.clock.now
    task_ids = fleet_of(cloud, 12, failed=(3,))

    (answer,) = cloud.gate(of_stack(cloud, task_ids))

    assert 300 <= (cloud.clock.now - started).total_seconds() <= 330
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", fleet_id(task_ids))
    for part in (fleet_id(task_ids), task_ids[3], NO_AMI, "1 of 12 tasks FAILED, 8 not ended", "waited 5 min"):
        assert part in answer["Reason"]


def test_a_fleet_that_goes_on_has_a_line_for_each_failed_task(cloud: Cloud) -> None:
    started = cloud.clock.now
    task_ids = fleet_of(cloud, 12, failed=(0, 5))

    (answer,) = cloud.gate(of_stack(cloud, task_ids, OnFailure="CONTINUE"))

    assert (cloud.clock.now - started).total_seconds() >= 900
    assert answer["Status"] == "SUCCESS"
    assert answer["Data"] == {
        "Status": "FAILED",
        "Total": "12",
        "Succeeded": "10",
        "Failed": "2",
        "FailedTaskIds": f"{task_ids[0]},{task_ids[5]}",
        "StatusMessage": f"{task_ids[0]}: {NO_AMI}\n{task_ids[5]}: {NO_AMI}",
    }


def test_a_fleet_that_has_ended_is_answered_by_the_first_check(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 10, longest=0)

    (answer,) = cloud.gate(of_stack(cloud, task_ids))

    assert answer["Data"]["Succeeded"] == "10"
    assert cloud.invocations == ["CustomResource", "CheckTask", "AnnounceEnd", "AnswerStack"]


def test_a_large_fleet_that_has_ended_is_told_so_by_its_watch_at_once(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 100, longest=0)

    (answer,) = cloud.gate(of_stack(cloud, task_ids))

    assert answer["Data"]["Succeeded"] == "100"
    calls = cloud.license_manager.calls
    assert len(calls) <= 3
    assert calls[-1].time - calls[0].time <= 1


def test_what_the_first_look_saw_is_not_asked_for_again(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, failed=(0,))
    cloud.clock.move(200)

    cloud.gate(of_stack(cloud, task_ids, OnFailure="CONTINUE"))

    assert {task_id for task_id, count in gets(cloud).items() if count > 1} <= {task_ids[-1]}  # no listing for one task
    assert gets(cloud).keys() == set(task_ids)


def test_a_fleet_that_runs_out_of_time_says_how_far_it_is(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, failed=(0,), longest=2400)

    (answer,) = cloud.gate(of_stack(cloud, task_ids, OnFailure="CONTINUE", TimeoutSeconds="700"))

    assert answer["Status"] == "FAILED"
    for part in ("did not fail", "1 of 12 tasks FAILED, 9 not ended", "is still IN_PROGRESS", "goes on"):
        assert part in answer["Reason"]


def test_a_task_that_license_manager_does_not_know_is_named(cloud: Cloud) -> None:
    task_ids = [*fleet_of(cloud, 12), "lct-unknown"]

    (answer,) = cloud.gate(of_stack(cloud, task_ids))

    assert answer["Status"] == "FAILED"
    assert "lct-unknown" in answer["Reason"]


@pytest.mark.parametrize("shuffled", [False, True])
def test_an_update_to_the_same_set_keeps_the_id_in_any_order(cloud: Cloud, shuffled: bool) -> None:
    task_ids = fleet_of(cloud, 12)
    (created,) = cloud.gate(of_stack(cloud, task_ids))
    if shuffled:
        random.Random(7).shuffle(task_ids)  # noqa: S311

    event = of_stack(cloud, task_ids, "update-same-task")
    _, updated = cloud.gate({**event, "PhysicalResourceId": created["PhysicalResourceId"]})

    assert updated["Status"] == "SUCCESS"
    assert updated["PhysicalResourceId"] == created["PhysicalResourceId"]


def test_an_update_to_another_set_gives_a_new_id(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12)

    event = of_stack(cloud, task_ids, "update-same-task")
    (updated,) = cloud.gate({**event, "PhysicalResourceId": fleet_id(task_ids[:11])})

    assert updated["PhysicalResourceId"] == fleet_id(task_ids)


def test_the_delete_of_a_fleet_stops_its_wait(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, longest=1000)
    deletes: list[str] = []
    create = of_stack(cloud, task_ids)

    def check_and_delete(event: dict[str, Any], context: Any) -> Any:
        if not deletes:
            delete = {**of_stack(cloud, task_ids, "delete"), "PhysicalResourceId": fleet_id(task_ids)}
            deletes.append(delete["RequestId"])
            cloud.invoke("CustomResource", delete)
        return check(event, context)

    check, cloud.functions["CheckTask"] = cloud.functions["CheckTask"], check_and_delete
    cloud.gate(create)

    (execution,) = cloud.executions()
    assert execution["status"] == "ABORTED"
    assert [answer["RequestId"] for answer in cloud.bodies()] == deletes


def test_a_fleet_with_a_handle_is_answered_at_once_and_signalled_at_the_end(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, failed=(2,), longest=600)
    event = of_stack(cloud, task_ids, "create-with-wait-condition-handle", OnFailure="CONTINUE")

    at_once, signalled = cloud.gate(event)

    assert (at_once["Status"], at_once["PhysicalResourceId"]) == ("SUCCESS", fleet_id(task_ids))
    assert (at_once["Data"]["Status"], at_once["Data"]["Total"]) == ("IN_PROGRESS", "12")
    assert set(at_once["Data"]) == ATTRIBUTES
    assert (signalled["Status"], signalled["UniqueId"]) == ("SUCCESS", fleet_id(task_ids))
    assert json.loads(signalled["Data"])["FailedTaskIds"] == task_ids[2]


# An execution


def test_an_execution_for_a_fleet_puts_out_each_task(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, failed=(1,), longest=300)

    ended = cloud.execute({"LicenseConversionTaskIds": task_ids, "OnFailure": "CONTINUE"})

    output = json.loads(ended["output"])
    assert ended["status"] == "SUCCEEDED"
    assert (output["Status"], output["Total"], output["Succeeded"], output["Failed"]) == ("FAILED", 12, 11, 1)
    assert output["FailedTaskIds"] == [task_ids[1]]
    assert [task["LicenseConversionTaskId"] for task in output["Tasks"]] == task_ids
    assert output["Tasks"][1]["StatusMessage"] == NO_AMI


def test_an_execution_for_a_fleet_fails_with_the_fleet_as_its_cause(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12, failed=(1,), longest=300)

    ended = cloud.execute({"LicenseConversionTaskIds": task_ids})

    cause = json.loads(ended["cause"])
    assert (ended["status"], ended["error"]) == ("FAILED", "LicenseConversion.Failed")
    assert (cause["FailedTaskIds"], cause["LicenseConversionTaskId"]) == ([task_ids[1]], fleet_id(task_ids))


def test_a_direct_call_gets_the_fleet_as_it_is_now(cloud: Cloud) -> None:
    task_ids = fleet_of(cloud, 12)
    cloud.clock.move(500)

    now = cloud.invoke("CheckTask", {"LicenseConversionTaskIds": task_ids})

    assert (now["Status"], now["Total"], now["Succeeded"]) == ("IN_PROGRESS", 12, 6)
    assert now["SecondsUntilNextCheck"] == 5


# Many


def many(cloud: Cloud, tasks: int, *, longest: float) -> tuple[dict[str, str], dict[str, float]]:
    """So many tasks, every tenth FAILED: how, and when, each one ends."""
    chance = random.Random(20261122)  # noqa: S311
    how, when = {}, {}
    for number in range(tasks):
        task_id, duration = f"lct-{number:046x}", chance.uniform(30, longest)
        how[task_id] = "SUCCEEDED" if number % 10 else "FAILED"
        when[task_id] = cloud.clock.seconds() + duration
        cloud.license_manager.add_task(task_id, duration=duration, end_status=how[task_id])
    return how, when


@pytest.mark.parametrize(
    ("tasks", "rate", "page", "lag"),
    [pytest.param(1000, 10, 100, 30, id="10 a second"), pytest.param(300, 5, 100, 60, id="5 a second")],
)
def test_many_tasks_end_right_within_the_service_rate(
    cloud: Cloud, tasks: int, rate: int, page: int, lag: float
) -> None:
    how, when = many(cloud, tasks, longest=600)
    cloud.license_manager.configure(page_size=page)
    cloud.license_manager.faults.limit(rate, burst=rate)

    ended = cloud.execute({"LicenseConversionTaskIds": list(how), "OnFailure": "CONTINUE", "TimeoutSeconds": 3600})

    fleet = json.loads(ended["output"])
    assert (ended["status"], fleet["Succeeded"], fleet["Failed"]) == ("SUCCEEDED", tasks * 9 // 10, tasks // 10)
    assert len(cloud.license_manager.calls) <= len(how)
    assert cloud.clock.seconds() - max(when.values()) <= lag


@pytest.mark.parametrize(
    ("ended", "message"), [(0, '"\N{GRINNING FACE}' * 2_000), (300, "é" * 3_000), (700, "No.")],
    ids=["escaped messages, all run at the first look", "messages of two bytes, some have ended", "short ones, most have"],
)  # fmt: skip
def test_the_largest_fleet_fits_wherever_it_goes(cloud: Cloud, ended: int, message: str) -> None:
    """An Update to a thousand other tasks that all fail. Step Functions takes 256 KB of each input and result."""
    task_ids = [f"lct-{number:046x}" for number in range(1000)]
    for number, task_id in enumerate(task_ids):
        duration = 0 if number < ended else 60
        cloud.license_manager.add_task(task_id, duration=duration, end_status="FAILED", status_message=message)
    cloud.license_manager.configure(page_size=100)
    sizes = watch_sizes(cloud)
    event = of_stack(cloud, task_ids, "update-same-task", OnFailure="CONTINUE")
    others = [f"lct-{number:046x}" for number in range(5000, 6000)]
    event["OldResourceProperties"] = {**event["ResourceProperties"], "LicenseConversionTaskIds": others}

    (answer,) = cloud.gate(event)

    assert (answer["Status"], answer["Data"]["Failed"], answer["Data"]["Total"]) == ("SUCCESS", "1000", "1000")
    assert len(cloud.answers.answers()[0].body.encode()) <= 4096
    (execution,) = cloud.executions()
    found = cloud.finish(execution["executionArn"])
    assert len(found["input"].encode()) < 250 * 1024
    assert max(sizes[1:]) < 250 * 1024  # the first is CloudFormation's own event
    assert json.loads(found["output"])["Failed"] == 1000


def watch_sizes(cloud: Cloud) -> list[int]:
    """The bytes of each event and result of the functions from now on."""
    sizes: list[int] = []

    def watched(function: Callable[[dict[str, Any], Any], Any]) -> Callable[[dict[str, Any], Any], Any]:
        def invoke(event: dict[str, Any], context: Any) -> Any:
            result = function(event, context)
            sizes.extend(len(json.dumps(each, ensure_ascii=False).encode()) for each in (event, result))
            return result

        return invoke

    cloud.functions = {name: watched(function) for name, function in cloud.functions.items()}
    return sizes
