"""The names of waits: a request finds its own, and no other."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from license_conversion import waits

TASK_ID = "lct-0123456789abcdef0"
EVENT = {
    "StackId": "arn:aws:cloudformation:us-east-1:123456789012:stack/gate/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "LogicalResourceId": "Gate",
    "RequestId": "7bfe2d54-710d-4a5c-b1d1-0f0f0f0f0f0f",
    "ResponseURL": "https://bucket.s3.amazonaws.com/key?X-Amz-Date=20261122T173955Z&X-Amz-Signature=c0ffee",
}


def test_every_delivery_of_a_request_has_the_same_name() -> None:
    again = {**EVENT, "RequestType": "Create", "ResourceProperties": {"anything": "else"}}

    assert waits.name(EVENT, TASK_ID) == waits.name(again, TASK_ID)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"RequestId": "another"}, id="request"),
        pytest.param({"ResponseURL": EVENT["ResponseURL"] + "0"}, id="URL, when a deployment is tried again"),
        pytest.param({"StackId": EVENT["StackId"] + "0"}, id="stack"),
        pytest.param({"LogicalResourceId": "Other"}, id="resource"),
    ],
)
def test_a_request_that_differs_has_another_name(changed: dict[str, str]) -> None:
    assert waits.name({**EVENT, **changed}, TASK_ID) != waits.name(EVENT, TASK_ID)


def test_another_physical_id_has_another_name() -> None:
    assert waits.name(EVENT, "lct-other") != waits.name(EVENT, TASK_ID)


@pytest.mark.parametrize("length", [16, 17, 255])
def test_resources_whose_long_names_begin_alike_have_different_names(length: int) -> None:
    one, other = ({**EVENT, "LogicalResourceId": "G" * (length - 1) + end} for end in "ab")

    assert waits.name(one, TASK_ID) != waits.name(other, TASK_ID)


def test_a_name_begins_with_the_resource_for_whoever_reads_the_list() -> None:
    assert waits.name(EVENT, TASK_ID).startswith("Gate-")


def test_a_name_holds_no_credential() -> None:
    assert "c0ffee" not in waits.name(EVENT, TASK_ID)


@given(
    logical_id=st.from_regex(r"[A-Za-z0-9]{1,255}", fullmatch=True),
    others=st.fixed_dictionaries({name: st.text(max_size=300) for name in ("StackId", "RequestId", "ResponseURL")}),
    physical_id=st.text(max_size=1024),
)
def test_step_functions_takes_every_name(logical_id: str, others: dict[str, Any], physical_id: str) -> None:
    wait_name = waits.name({**others, "LogicalResourceId": logical_id}, physical_id)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", wait_name)
