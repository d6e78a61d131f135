"""Which region the commands of make go to: that of AWS_REGION, whatever the profile says."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from scripts import waiting

ROOT = Path(__file__).parents[2]
PROFILES, WANTED = "eu-west-1", "us-east-2"
SPY = '#!/bin/sh\necho "$AWS_DEFAULT_REGION|$(basename "$0") $*"\n'
DEPLOY, DELETE = "sam deploy --no-confirm-changeset", "sam delete --no-prompts"
ASK, VERIFY = "python -m scripts.waiting", "python scripts/verify.py --stack ours"
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
    return os.environ | {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "mine"}


@pytest.mark.parametrize(
    ("target", "given", "calls"),
    [
        ("deploy", {"AWS_REGION": WANTED}, [f"{WANTED}|{DEPLOY} --region {WANTED}"]),
        ("deploy", {"AWS_REGION": WANTED, "AWS_DEFAULT_REGION": PROFILES}, [f"{WANTED}|{DEPLOY} --region {WANTED}"]),
        ("deploy", {"AWS_REGION": ""}, [f"|{DEPLOY}"]),
        ("deploy", {"AWS_DEFAULT_REGION": WANTED}, [f"{WANTED}|{DEPLOY}"]),
        ("delete", {"AWS_REGION": WANTED}, [f"{WANTED}|{ASK}", f"{WANTED}|{DELETE} --region {WANTED}"]),
        ("verify", {"AWS_REGION": WANTED, "STACK": "ours", "YES": "1"}, [f"|{VERIFY} --region {WANTED} --yes"]),
    ],
    ids=["wanted", "wins over the older name", "the profile decides", "the older name", "asked there too", "verified"],
)
def test_make_goes_to_the_region_of_the_environment_or_else_of_the_profile(
    tmp_path: Path, environment: dict[str, str], target: str, given: dict[str, str], calls: list[str]
) -> None:
    """What `make` called, each with the AWS_DEFAULT_REGION that it was given; nothing is installed or built for it."""
    for tool in ("sam", "python"):
        (tmp_path / tool).write_text(SPY)
        (tmp_path / tool).chmod(0o755)

    command = ["make", "--silent", "-o", ".venv/.demo", "-o", "build", target, f"BIN={tmp_path}"]
    ran = subprocess.run(command, cwd=ROOT, env=environment | given, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603

    assert ran.stdout.splitlines() == calls


@pytest.mark.parametrize(("given", "looked_at"), [({"AWS_REGION": WANTED}, WANTED), ({}, PROFILES)])
@pytest.mark.slow
def test_gates_that_wait_are_looked_for_there(
    environment: dict[str, str], given: dict[str, str], looked_at: str
) -> None:
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

    command = [sys.executable, "-m", "scripts.waiting"]
    environment |= {"AWS_ENDPOINT_URL": url, **given}
    ran = subprocess.run(command, cwd=ROOT, env=environment, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603
    moto_api_backend.reset()
    server.stop()

    assert ran.returncode == 1
    assert ran.stderr.strip().endswith(f": {looked_at}")
