"""The clients of AWS: how long they try, and where; and when boto3 is imported, by a process of its own: what one test imports
would be there for the next one.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import botocore.session
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from license_conversion import aws
from license_conversion.request import ATTEMPT_SECONDS, Account
from tests.template import ROOT
from tests.unit.network import ASSUMED, Network

PROGRAM = "import sys, {module}; print('botocore.session' in sys.modules)"
IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "gate"}
READER = "arn:aws:iam::210987654321:role/reader"


def reads(account: Account) -> Callable[[], object]:
    """A call of a client of this account, which is made now."""
    client = aws.client("license-manager", attempts=1, account=account)
    return lambda: client.get_license_conversion_task(LicenseConversionTaskId="lct-1")


@pytest.mark.parametrize(
    ("module", "where", "brought"),
    [
        *((module, IN_LAMBDA, "True") for module in ("check_task", "custom_resource", "poll_tasks")),
        *((module, {}, "False") for module in ("check_task", "custom_resource", "poll_tasks")),
        ("respond", IN_LAMBDA, "False"),
    ],
)
def test_boto3_comes_with_the_start_of_a_function_that_makes_calls_in_lambda_and_nowhere_else(
    module: str, where: dict[str, str], brought: str
) -> None:
    """The start takes over the cost of a client; the responder does without."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "handlers"), **where}
    command = [sys.executable, "-c", PROGRAM.format(module=module)]
    ran = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603

    assert ran.stdout.strip() == brought


@pytest.mark.parametrize(("attempts", "quick"), [(1, True), (4, False)])
def test_a_call_is_tried_as_often_as_its_maker_says_and_given_up_sooner_where_it_can_be_done_without(
    attempts: int, quick: bool
) -> None:
    config = aws.client("stepfunctions", attempts=attempts, quick=quick).meta.config

    assert config.retries == {"mode": "standard", "total_max_attempts": attempts}
    assert ((config.connect_timeout, config.read_timeout) == (1, 1)) is quick


def test_a_call_that_hangs_leaves_time_for_two_more_in_one_attempt_of_the_state_machine() -> None:
    config = aws.client("license-manager", attempts=1).meta.config

    assert 0 < (config.connect_timeout + config.read_timeout) * 3 <= ATTEMPT_SECONDS
    assert config.read_timeout >= 5, "License Manager may be slow"


@pytest.mark.parametrize("role", ["", READER])
@pytest.mark.parametrize(("region", "expected"), [("", "us-east-1"), ("eu-central-1", "eu-central-1")])
def test_a_client_is_of_the_functions_own_region_unless_the_account_says_another(
    network: Network, role: str, region: str, expected: str
) -> None:
    client = aws.client("license-manager", attempts=1, account=Account(role, region=region))

    assert client.meta.region_name == expected
    assert client.meta.config.retries["total_max_attempts"] == 1
    assert not network.calls, "a role that cannot be assumed is an answer of the first call, which the gate can read"


def test_a_role_is_assumed_with_as_many_tries_as_the_call_itself_has(network: Network) -> None:
    """A check has no time for more."""
    network.answers("AssumeRole", "<ErrorResponse/>", status=503)

    with pytest.raises(ClientError):
        reads(Account(READER))()

    assert network.operations() == ["AssumeRole"]


def test_credentials_of_a_role_are_renewed_shortly_before_they_expire(network: Network) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    expiring = ASSUMED.replace("2099-01-01T00:00:00Z", soon)
    network.answers("AssumeRole", expiring, ASSUMED.replace("ASIAOFTHEROLE", "ASIARENEWED"))
    read = reads(Account(READER))

    for _ in range(3):
        read()

    keys = [call.signed_by for call in network.calls if call.operation != "AssumeRole"]
    assert keys == ["ASIAOFTHEROLE", "ASIARENEWED", "ASIARENEWED"]
    assert network.operations().count("AssumeRole") == 2


def test_thirty_accounts_take_one_session(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session takes 9 MB of the 256 that a function has."""
    made: list[object] = []
    make = botocore.session.get_session

    def get_session() -> object:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(botocore.session, "get_session", get_session)

    for number in range(30):
        reads(Account(f"arn:aws:iam::{number:012}:role/reader"))()

    assert network.operations().count("AssumeRole") == 30
    assert len(made) == 1


def test_roles_are_assumed_under_our_name_with_their_external_ids_and_share_no_credentials(network: Network) -> None:
    """Two external ids of one role are two accounts: each has to convince the role's trust policy by itself."""
    network.answers("AssumeRole", ASSUMED, ASSUMED.replace("ASIAOFTHEROLE", "ASIAWITHANID"))
    of_each = [reads(account) for account in (Account(), Account(READER), Account(READER, "an-id"))]

    for read in of_each * 2:
        read()

    assumed = [call for call in network.calls if call.operation == "AssumeRole"]
    keys = [call.signed_by for call in network.calls if call.operation != "AssumeRole"]
    assert [call.signed_by for call in assumed] == ["AKIATESTTESTTESTTEST"] * 2
    assert [(call.said["RoleArn"], call.said.get("ExternalId")) for call in assumed] == [
        (READER, None),
        (READER, "an-id"),
    ]
    assert {call.said["RoleSessionName"] for call in assumed} == {"license-conversion-gate"}
    assert keys == ["AKIATESTTESTTESTTEST", "ASIAOFTHEROLE", "ASIAWITHANID"] * 2


def test_what_a_service_says_and_what_it_does_not_say_are_both_failures() -> None:
    refused = ClientError({"Error": {"Code": "AccessDenied"}}, "Get")
    silent = ReadTimeoutError(endpoint_url="https://example")

    assert isinstance(refused, aws.refusal())
    assert not isinstance(silent, aws.refusal())
    for error in (refused, silent, TimeoutError("The time for it is up")):
        assert isinstance(error, aws.failures())
    assert not isinstance(KeyError("ours"), aws.failures())
    assert (aws.code(refused), aws.code(silent)) == ("AccessDenied", "ReadTimeoutError")


def test_every_region_of_every_partition_is_known() -> None:
    regions = aws.regions_of("license-manager")

    assert {"us-east-1", "cn-north-1", "us-gov-west-1"} <= set(regions)
