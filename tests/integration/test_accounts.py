"""A resource's newest task, and tasks of another account and region: AWS STS and License Manager on the wire."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.conftest import FAKE_AWS
from tests.integration.conftest import Cloud

TASK = "lct-0123456789abcdef0"
INSTANCE = "arn:aws:ec2:us-east-1:123456789012:instance/i-0fedcba9876543210"
ROLE = "arn:aws:iam::210987654321:role/reads-conversions"
OWN_ROLE = "arn:aws:iam::123456789012:role/gate"
OWN_KEY = FAKE_AWS["AWS_ACCESS_KEY_ID"]
ASSUMED_KEY = "ASIAASSUMEDASSUMED01"


class Sts(ThreadingHTTPServer):
    """AssumeRole as AWS STS has it. `asked` are the calls; with an `error` (a code and a message) each is refused."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _StsHandler)
        self.asked: list[dict[str, str]] = []
        self.error: tuple[int, str, str] | None = None
        self.expires = "2099-01-01T00:00:00Z"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _StsHandler(BaseHTTPRequestHandler):
    server: Sts

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.asked.append({name: values[0] for name, values in parse_qs(body).items()})
        status, said = 200, (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
            f"<AccessKeyId>{ASSUMED_KEY}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>token</SessionToken><Expiration>{self.server.expires}</Expiration>"
            "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        )  # fmt: skip
        if self.server.error:
            status, code, message = self.server.error
            said = f"<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        self.send_response(status)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sts]:
    with Sts() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        yield server
        server.shutdown()
        thread.join()


def of_stack(cloud: Cloud, **properties: Any) -> dict[str, Any]:
    event = cloud.event("create")
    if "ResourceArn" in properties:
        del event["ResourceProperties"]["LicenseConversionTaskId"]
    event["ResourceProperties"].update(properties)
    return event


def operations(cloud: Cloud) -> list[str]:
    return [call.operation.removesuffix("LicenseConversionTask") for call in cloud.license_manager.calls]


# A resource's newest task


@pytest.fixture
def shuffled(cloud: Cloud) -> str:
    """Thirty tasks of the instance on many pages, in no order, among those of others: gives the newest one's id."""
    cloud.license_manager.configure(page_size=4, seed=7)
    now = cloud.clock.seconds()
    for number in range(30):
        newest = {"start_time": now - 10, "duration": 300} if number == 13 else {"start_time": now - 1000 - number}
        cloud.license_manager.add_task(f"lct-{number:017x}", resource_arn=INSTANCE, **newest)
        cloud.license_manager.add_task(f"lct-a{number:016x}", start_time=now - 1)
    return f"lct-{13:017x}"


def test_the_newest_task_of_a_resource_is_waited_for(cloud: Cloud, shuffled: str) -> None:
    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE))

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", shuffled)
    assert answer["Data"]["ResourceArn"] == INSTANCE
    assert answer["Data"]["LicenseConversionTaskId"] == shuffled


def test_the_resource_is_looked_up_once_and_its_task_from_then_on(cloud: Cloud, shuffled: str) -> None:
    cloud.gate(of_stack(cloud, ResourceArn=INSTANCE))

    gets = [call for call in cloud.license_manager.calls if call.operation == "GetLicenseConversionTask"]
    assert operations(cloud)[:8] == ["ListLicenseConversionTasks"] * 8
    assert "ListLicenseConversionTasks" not in operations(cloud)[8:]
    assert {call.parameters["LicenseConversionTaskId"] for call in gets} == {shuffled}


def test_a_newer_task_that_appears_meanwhile_does_not_change_which_one_is_waited_for(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, resource_arn=INSTANCE, duration=300)
    check = cloud.functions["CheckTask"]
    added: list[str] = []

    def check_and_convert_again(event: dict[str, Any], context: Any) -> Any:
        found = check(event, context)
        if not added:
            cloud.clock.move(1)
            added.append(cloud.license_manager.add_task("lct-newer", resource_arn=INSTANCE, end_status="FAILED"))
        return found

    cloud.functions["CheckTask"] = check_and_convert_again
    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE))

    assert added
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", TASK)


def test_a_resource_without_a_conversion_task_is_a_clear_refusal(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK)

    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE))

    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == f"ResourceArn: License Manager has no conversion task of {INSTANCE}."
    assert answer["PhysicalResourceId"]


def test_a_resource_whose_first_look_is_throttled_is_looked_up_again(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, resource_arn=INSTANCE, duration=100)
    cloud.license_manager.faults.queue("RateLimitExceededException", times=3)

    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE))

    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", TASK)


def test_a_resource_that_was_throttled_until_the_deadline_is_answered_with_its_name(cloud: Cloud) -> None:
    cloud.license_manager.faults.queue("RateLimitExceededException", times=None)

    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE, TimeoutSeconds="100"))

    assert answer["Status"] == "FAILED"
    assert 1 <= len(answer["PhysicalResourceId"]) <= 1024
    for part in ("The wait ran out", INSTANCE, "The last check said: License Manager"):
        assert part in answer["Reason"]


def test_a_resource_with_a_handle_is_answered_at_once_with_its_newest_task(cloud: Cloud, shuffled: str) -> None:
    event = of_stack(cloud, ResourceArn=INSTANCE, WaitConditionHandle=cloud.answers.issue("the-handle"))

    at_once, signalled = cloud.gate(event)

    assert (at_once["Status"], at_once["PhysicalResourceId"]) == ("SUCCESS", shuffled)
    assert (signalled["Status"], signalled["UniqueId"]) == ("SUCCESS", shuffled)


def test_a_resource_with_a_handle_is_looked_up_again_until_it_has_a_name(cloud: Cloud) -> None:
    """The stack has no id to be answered with before."""
    cloud.license_manager.add_task(TASK, resource_arn=INSTANCE, duration=600)
    cloud.license_manager.faults.queue("RateLimitExceededException", times=3)

    at_once, signalled = cloud.gate(
        of_stack(cloud, ResourceArn=INSTANCE, WaitConditionHandle=cloud.answers.issue("the-handle"))
    )

    assert (at_once["Status"], at_once["PhysicalResourceId"]) == ("SUCCESS", TASK)
    assert at_once["Data"]["Status"] == "IN_PROGRESS"
    assert (signalled["Status"], signalled["UniqueId"]) == ("SUCCESS", TASK)


def test_a_resource_with_a_handle_that_never_gets_a_name_is_answered_in_its_own_time(cloud: Cloud) -> None:
    """And the handle is not signalled: a stack that has heard FAILED does not wait for it."""
    started = cloud.clock.now
    cloud.license_manager.faults.queue("RateLimitExceededException", times=None)

    (answer,) = cloud.gate(of_stack(cloud, ResourceArn=INSTANCE, WaitConditionHandle=cloud.answers.issue("the-handle")))

    assert 3500 <= (cloud.clock.now - started).total_seconds() < 3600
    assert answer["Status"] == "FAILED"
    assert "could not say which task is the newest" in answer["Reason"]


def test_an_execution_and_a_direct_call_take_a_resource_too(cloud: Cloud, shuffled: str) -> None:
    now = cloud.invoke("CheckTask", {"ResourceArn": INSTANCE})
    ended = cloud.execute({"ResourceArn": INSTANCE})

    assert (now["LicenseConversionTaskId"], now["Status"]) == (shuffled, "IN_PROGRESS")
    assert json.loads(ended["output"])["LicenseConversionTaskId"] == shuffled


# Another account


def test_motos_security_token_service_gives_the_credentials_that_license_manager_sees(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=100)

    (answer,) = cloud.gate(of_stack(cloud, RoleArn=ROLE, ExternalId="wanted"))

    keys = {call.access_key for call in cloud.license_manager.calls}
    assert answer["Status"] == "SUCCESS"
    assert len(keys) == 1
    assert keys.pop().startswith("ASIA")


def test_a_role_is_assumed_once_with_its_external_id_and_kept_between_checks(cloud: Cloud, sts: Sts) -> None:
    cloud.license_manager.add_task(TASK, duration=300)

    (answer,) = cloud.gate(of_stack(cloud, RoleArn=ROLE, ExternalId="wanted"))

    assert answer["Status"] == "SUCCESS"
    assert len(cloud.license_manager.calls) > 5
    assert {call.access_key for call in cloud.license_manager.calls} == {ASSUMED_KEY}
    (asked,) = sts.asked
    assert (asked["Action"], asked["RoleArn"], asked["ExternalId"]) == ("AssumeRole", ROLE, "wanted")


def test_gates_of_two_accounts_do_not_share_credentials(cloud: Cloud, sts: Sts) -> None:
    cloud.license_manager.add_task(TASK, duration=0)

    cloud.execute({"LicenseConversionTaskId": TASK})
    cloud.execute({"LicenseConversionTaskId": TASK, "RoleArn": ROLE})
    cloud.execute({"LicenseConversionTaskId": TASK, "RoleArn": ROLE, "ExternalId": "wanted"})

    assert [call.access_key for call in cloud.license_manager.calls] == [OWN_KEY, ASSUMED_KEY, ASSUMED_KEY]
    assert [asked.get("ExternalId") for asked in sts.asked] == [None, "wanted"]


def test_credentials_that_expired_are_renewed(cloud: Cloud, sts: Sts) -> None:
    sts.expires = "2001-01-01T00:00:00Z"
    cloud.license_manager.add_task(TASK, duration=60)
    cloud.invoke("CheckTask", {"LicenseConversionTaskId": TASK, "RoleArn": ROLE})
    sts.expires = "2099-01-01T00:00:00Z"

    now = cloud.invoke("CheckTask", {"LicenseConversionTaskId": TASK, "RoleArn": ROLE})

    assert now["LicenseConversionTaskId"] == TASK
    assert len(sts.asked) >= 2


def test_a_role_that_may_not_be_assumed_ends_the_gate_by_name(cloud: Cloud, sts: Sts) -> None:
    sts.error = (403, "AccessDenied", f"User: {OWN_ROLE} is not authorized to perform: sts:AssumeRole")

    (answer,) = cloud.gate(of_stack(cloud, RoleArn=ROLE))

    assert answer["Status"] == "FAILED"
    for part in (f"sts:AssumeRole on {ROLE}", f"denied to {OWN_ROLE}", "is not authorized"):
        assert part in answer["Reason"]
    assert cloud.license_manager.calls == []


def test_a_role_that_sts_refuses_is_an_invalid_request(cloud: Cloud, sts: Sts) -> None:
    sts.error = (400, "ValidationError", "The role is not one.")

    ended = cloud.execute({"LicenseConversionTaskId": TASK, "RoleArn": ROLE})

    assert ended["error"] == "LicenseConversion.InvalidRequest"
    assert ROLE in ended["cause"]


def test_a_throttle_of_sts_is_waited_out(cloud: Cloud, sts: Sts) -> None:
    cloud.license_manager.add_task(TASK, duration=0)
    sts.error = (400, "Throttling", "Rate exceeded")

    now = cloud.invoke("CheckTask", {"LicenseConversionTaskId": TASK, "RoleArn": ROLE})
    sts.error = None
    cloud.clock.move(now["SecondsUntilNextCheck"])
    later = cloud.invoke("CheckTask", {"LicenseConversionTaskId": TASK, "RoleArn": ROLE})

    assert 5 < now["SecondsUntilNextCheck"] <= 10
    assert later["Status"] == "SUCCEEDED"


def test_a_denial_in_the_other_account_names_the_assumed_role(cloud: Cloud, sts: Sts) -> None:
    cloud.license_manager.add_task(TASK)
    cloud.license_manager.faults.queue("AccessDeniedException", times=None)

    (answer,) = cloud.gate(of_stack(cloud, RoleArn=ROLE))

    assert f"license-manager:GetLicenseConversionTask is denied to {ROLE}" in answer["Reason"]


# Another region


def test_a_task_of_another_region_is_asked_for_there(cloud: Cloud) -> None:
    cloud.license_manager.add_task(TASK, duration=60, region="eu-central-1")

    (elsewhere,) = cloud.gate(of_stack(cloud, Region="eu-central-1"))
    here = cloud.execute({"LicenseConversionTaskId": TASK})

    assert elsewhere["Status"] == "SUCCESS"
    assert here["error"] == "LicenseConversion.InvalidRequest"
    assert {call.region for call in cloud.license_manager.calls} == {"eu-central-1", "us-east-1"}


def test_a_fleet_and_a_resource_have_an_account_and_a_region_too(cloud: Cloud, sts: Sts) -> None:
    cloud.license_manager.add_task(TASK, duration=60, region="eu-central-1", resource_arn=INSTANCE)
    cloud.license_manager.add_task("lct-1", duration=60, region="eu-central-1")
    there = {"RoleArn": ROLE, "Region": "eu-central-1"}

    fleet = cloud.execute({"LicenseConversionTaskIds": [TASK, "lct-1"], **there})
    resource = cloud.execute({"ResourceArn": INSTANCE, **there})

    assert (fleet["status"], resource["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert {(call.access_key, call.region) for call in cloud.license_manager.calls} == {(ASSUMED_KEY, "eu-central-1")}
