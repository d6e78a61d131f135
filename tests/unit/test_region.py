"""Which region the commands of make go to: that of AWS_REGION, whatever the profile says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROFILES, WANTED = "eu-west-1", "us-east-2"
SPY = '#!/bin/sh\necho "$AWS_DEFAULT_REGION|$(basename "$0") $*"\n'
DEPLOY, DELETE = "sam deploy --no-confirm-changeset", "sam delete --no-prompts"
ASK, VERIFY = "python -m scripts.waiting", "python scripts/verify.py --stack ours"
BOTO3 = """
class Session:
    def __init__(self, region_name):
        self.region_name = region_name
    def client(self, service):
        return self
    def get_paginator(self, operation):
        return self
    def describe_stack_resource(self, StackName, LogicalResourceId):
        return {"StackResourceDetail": {"PhysicalResourceId": "arn"}}
    def paginate(self, **_):
        return [{"executions": [{"name": f"a gate in {self.region_name}"}]}]
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


@pytest.mark.parametrize(("given", "looked_at"), [({"AWS_REGION": WANTED}, WANTED), ({"AWS_REGION": ""}, "None")])
def test_gates_that_wait_are_looked_for_there_and_fail_the_command(
    tmp_path: Path, environment: dict[str, str], given: dict[str, str], looked_at: str
) -> None:
    (tmp_path / "boto3.py").write_text(BOTO3)

    command = [sys.executable, "-m", "scripts.waiting"]
    found = environment | given | {"PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, cwd=ROOT, env=found, check=False, stderr=subprocess.PIPE, text=True)  # noqa: S603

    assert ran.returncode == 1
    assert ran.stderr.strip().endswith(f": a gate in {looked_at}")
