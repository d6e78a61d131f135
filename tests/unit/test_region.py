"""Which region the commands of make go to: that of AWS_REGION, whatever the profile says."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from scripts import waiting

ROOT = Path(__file__).parents[2]
PROFILES, WANTED = "eu-west-1", "us-east-2"
SPY = '#!/bin/sh\necho "$AWS_DEFAULT_REGION|$(basename "$0") $*"\n'
STACK = """
Resources:
  LicenseConversionGate:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      RoleArn: arn:aws:iam::123456789012:role/gate
      DefinitionString: '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A profile of another region, and none in the environment."""
    config = tmp_path / "config"
    config.write_text(f"[profile mine]\nregion = {PROFILES}\n")
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name)
    return {
        **os.environ,
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "mine",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }


def made(target: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """What `make` called, each with the AWS_DEFAULT_REGION that it was given; nothing is installed or built for it."""
    for tool in ("sam", "python"):
        (folder / tool).write_text(SPY)
        (folder / tool).chmod(0o755)
    command = ["make", "--silent", "-o", ".venv/.demo", "-o", "build", target, f"BIN={folder}"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return ran.stdout.splitlines()


def test_make_deploy_goes_to_the_region_of_the_environment(tmp_path: Path, environment: dict[str, str]) -> None:
    (called,) = made("deploy", tmp_path, environment | {"AWS_REGION": WANTED})

    assert called == f"{WANTED}|sam deploy --no-confirm-changeset --region {WANTED}"


def test_make_delete_asks_and_deletes_there_as_well(tmp_path: Path, environment: dict[str, str]) -> None:
    asked, deleted = made("delete", tmp_path, environment | {"AWS_REGION": WANTED})

    assert asked == f"{WANTED}|python -m scripts.waiting"
    assert deleted == f"{WANTED}|sam delete --no-prompts --region {WANTED}"


def test_make_verify_looks_there_as_well_and_hands_on_what_it_is_told(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (called,) = made("verify", tmp_path, environment | {"AWS_REGION": WANTED, "STACK": "ours", "YES": "1"})

    assert called.endswith(f"|python scripts/verify.py --stack ours --region {WANTED} --yes")


def test_the_region_of_the_environment_wins_over_the_older_name_for_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    (called,) = made("deploy", tmp_path, environment | {"AWS_REGION": WANTED, "AWS_DEFAULT_REGION": PROFILES})

    assert called.startswith(f"{WANTED}|")


@pytest.mark.parametrize("given", [{}, {"AWS_REGION": ""}])
def test_without_it_the_profile_decides(tmp_path: Path, environment: dict[str, str], given: dict[str, str]) -> None:
    (called,) = made("deploy", tmp_path, environment | given)

    assert called == "|sam deploy --no-confirm-changeset"


def test_the_older_name_alone_is_left_as_it_is(tmp_path: Path, environment: dict[str, str]) -> None:
    (called,) = made("deploy", tmp_path, environment | {"AWS_DEFAULT_REGION": WANTED})

    assert called == f"{WANTED}|sam deploy --no-confirm-changeset"


@pytest.fixture
def waits(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """An application in each of two regions, and a gate that waits in each, named as its region."""
    moto_api_backend.reset()  # moto is one for all tests of a process
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    for region in (PROFILES, WANTED):
        session = boto3.Session(region_name=region)
        formation = session.client("cloudformation", endpoint_url=url)
        formation.create_stack(StackName="license-conversion-gate", TemplateBody=STACK)
        found = formation.describe_stack_resource(
            StackName="license-conversion-gate", LogicalResourceId=waiting.STATE_MACHINE
        )
        machine = found["StackResourceDetail"]["PhysicalResourceId"]
        session.client("stepfunctions", endpoint_url=url).start_execution(stateMachineArn=machine, name=region)
    yield environment | {"AWS_ENDPOINT_URL": url}
    moto_api_backend.reset()
    server.stop()


@pytest.mark.parametrize(("given", "looked_at"), [({"AWS_REGION": WANTED}, WANTED), ({}, PROFILES)])
@pytest.mark.slow
def test_gates_that_wait_are_looked_for_there(waits: dict[str, str], given: dict[str, str], looked_at: str) -> None:
    command = [sys.executable, "-m", "scripts.waiting"]
    ran = subprocess.run(command, cwd=ROOT, env=waits | given, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603

    assert ran.returncode == 1
    assert ran.stderr.strip().endswith(f": {looked_at}")
