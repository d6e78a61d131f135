"""A release is unpacked in an empty folder and deployed as its README says, without a build: a gate passes through it."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import release
from tests.end_to_end.application import NAME
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

RELEASED = f"{NAME}-released"  # beside the application of the other tests


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release as it was downloaded and unpacked."""
    there = tmp_path_factory.mktemp("downloaded")
    with zipfile.ZipFile(release.build(tmp_path_factory.mktemp("release"))) as archive:
        archive.extractall(there)
    (unpacked,) = there.iterdir()
    return unpacked


@pytest.fixture(scope="module")
def released(cloud: LocalCloud, folder: Path) -> Iterator[Stack]:
    cloud.stacks.sam("deploy", "--no-confirm-changeset", "--stack-name", RELEASED, folder=folder)
    yield cloud.stacks.describe(RELEASED)
    cloud.stacks.delete(RELEASED)


def test_it_deploys_without_a_build(released: Stack, folder: Path) -> None:
    assert released.status == "CREATE_COMPLETE"
    assert not (folder / ".aws-sam").exists()


def test_what_is_deployed_is_what_was_unpacked(cloud: LocalCloud, released: Stack, folder: Path) -> None:
    sizes = {path.stem: path.stat().st_size for path in folder.glob("*.zip")}
    resources = cloud.client("cloudformation").describe_stack_resources(StackName=RELEASED)["StackResources"]
    functions = {
        one["LogicalResourceId"]: cloud.client("lambda").get_function_configuration(
            FunctionName=one["PhysicalResourceId"]
        )
        for one in resources
        if one["ResourceType"] == "AWS::Lambda::Function"
    }
    responder = functions.pop("RespondFunction")

    assert len(functions) == 3
    for function in functions.values():
        (layer,) = function["Layers"]
        assert (function["CodeSize"], layer["CodeSize"]) == (sizes["handlers"], sizes["dependencies"])
    assert (responder["CodeSize"], responder.get("Layers", [])) == (sizes["respond"], [])


def test_a_gate_passes_through_it(cloud: LocalCloud, released: Stack, folder: Path) -> None:
    example = (folder / "examples" / "stack-gate.yaml").read_text()
    task_id = cloud.license_manager.add_task(duration=3)

    stack = cloud.stacks.create(
        "gate-of-a-release",
        example.replace(f"{NAME}-ServiceToken", f"{RELEASED}-ServiceToken"),
        {"LicenseConversionTaskId": task_id},
    )

    assert stack.status == "CREATE_COMPLETE", stack.failures
    assert stack.outputs["Status"] == "SUCCEEDED"
    assert stack.outputs["LicenseConversionTaskId"] == task_id
    cloud.stacks.delete(stack.id)
