"""How the resources of template.yaml stand to each other."""

import importlib
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from samtranslator.translator.transform import transform  # type: ignore[import-untyped]

import respond
from tests.context import Context
from tests.template import FUNCTIONS, RESOURCES, TEMPLATE, resources
from tests.unit.conftest import Said
from tests.unit.network import Network

RESPONDER = RESOURCES["Responder"]


def test_the_rule_is_about_this_state_machine_alone_and_every_way_to_end_but_success() -> None:
    rule, permission = (RESOURCES[f"ExecutionEnded{kind}"]["Properties"] for kind in ("Rule", "Permission"))

    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": [respond.ENDED],
        "detail": {
            "stateMachineArn": [{"Ref": "LicenseConversionGate"}],
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
        },
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": ["RespondFunction", "Arn"]}]
    assert permission["SourceArn"] == {"Fn::GetAtt": ["ExecutionEndedRule", "Arn"]}


@pytest.fixture
def made() -> dict[str, Any]:
    """What CloudFormation gets: SAM makes resources that template.yaml does not name."""
    template = json.loads(json.dumps(TEMPLATE))
    for one in template["Resources"].values():
        for uri in {"CodeUri", "ContentUri"} & one.get("Properties", {}).keys():
            one["Properties"][uri] = "s3://bucket/key"
    no_managed_policies = SimpleNamespace(load=dict)
    return transform(template, {}, no_managed_policies)["Resources"]  # type: ignore[no-any-return]


def test_nothing_that_a_response_needs_is_deleted_before_each_gate_that_waits_has_one(made: dict[str, Any]) -> None:
    """CloudFormation deletes a resource before those that it depends on, and what has no dependency all at once."""
    goes_later: set[str] = set()
    found = {"Responder"}
    while found:
        goes_later |= found
        text = json.dumps([made[each] for each in found])  # the functions that name a resource, in each of their forms
        found = {*re.findall(r"[\"{](\w+)[\".}]", text)} & made.keys() - goes_later
    goes_at_once = {
        name for name, one in made.items() if name not in goes_later and one["Type"] != "AWS::CloudWatch::Alarm"
    }

    schedules = {f"{function}Wake{kind}" for function in FUNCTIONS for kind in ("", "Permission")}
    shown = {"Dashboard", "StoryQuery", "EndsQuery", "TroubleQuery", "ServiceTokenParameter"}
    assert goes_at_once == schedules | shown


def test_cloudformation_shortens_no_name_under_the_default_stack_name_which_pasted_policies_match(
    made: dict[str, Any],
) -> None:
    """It shortens a stack's name where `<stack>-<logical id>-<12 characters>` would be longer than the service allows."""
    longest = {"AWS::Lambda::Function": 64, "AWS::IAM::Role": 64, "AWS::Events::Rule": 64, "AWS::SQS::Queue": 80}

    for name, one in made.items():
        assert len(f"license-conversion-gate-{name}-abcdefghijkl") <= longest.get(one["Type"], 255)


def test_a_deployment_that_changes_what_the_responder_depends_on_calls_it() -> None:
    depends = {"SubnetIds", "SecurityGroupIds", "KmsKeyArn", "Architecture", "PermissionsBoundaryArn"}

    assert RESPONDER["Type"] == respond.OWN_RESOURCE
    assert RESPONDER["Properties"]["ServiceToken"] == {"Fn::GetAtt": ["RespondFunction", "Arn"]}
    assert {name: RESPONDER["Properties"][name] for name in depends} == {name: {"Ref": name} for name in depends}


def test_a_request_that_lambda_gives_up_reaches_the_responder_while_cloudformation_waits() -> None:
    entry, responder = (FUNCTIONS[name]["EventInvokeConfig"] for name in ("CustomResourceFunction", "RespondFunction"))

    assert entry["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["RespondFunction", "Arn"]}
    assert entry["MaximumEventAgeInSeconds"] + responder["MaximumEventAgeInSeconds"] <= 3600


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_goes_inactive_because_it_was_not_invoked_for_two_weeks(
    function: str, network: Network, said: Callable[[], Said]
) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html"""
    (event,) = FUNCTIONS[function]["Events"].values()
    module = importlib.import_module(FUNCTIONS[function]["Handler"].removesuffix(".handler"))

    assert (event["Type"], event["Properties"]["Schedule"]) == ("Schedule", "rate(7 days)")
    assert not module.handler(json.loads(event["Properties"]["Input"]), Context())
    assert (network.calls, said()) == ([], Said())


def test_the_responder_has_no_layer_and_network_architecture_and_log_group_are_the_same_for_all_functions() -> None:
    (layer,) = resources("AWS::Serverless::LayerVersion").values()
    of_all = TEMPLATE["Globals"]["Function"]

    assert [name for name, one in FUNCTIONS.items() if "Layers" not in one] == ["RespondFunction"]
    built = RESOURCES["RespondFunction"]["Metadata"]
    assert (built["BuildMethod"], "SkipBuild" in built) == ("makefile", False), "as tests/unit/test_respond_zip.py does"
    assert of_all["LoggingConfig"] == {"LogGroup": {"Ref": "FunctionLogs"}}
    assert of_all["Architectures"] == [{"Ref": "Architecture"}]
    assert not [name for name, one in FUNCTIONS.items() if one.keys() & {"LoggingConfig", "Architectures", "VpcConfig"}]
    assert "CompatibleArchitectures" not in layer, "a region without arm64 refuses a layer that names it"


def test_each_function_is_given_what_it_reads_from_its_environment() -> None:
    given = {name: set(one["Environment"]["Variables"]) for name, one in FUNCTIONS.items()}

    assert given == {
        "CustomResourceFunction": {"GATE_STATE_MACHINE_ARN"},
        "CheckTaskFunction": {"GATE_ROLE_ARN", "GATE_TABLE_NAME", "GATE_POLL_FUNCTION"},
        "PollTasksFunction": {"GATE_ROLE_ARN", "GATE_TABLE_NAME"},
        "RespondFunction": {"GATE_LOG_GROUP", "GATE_STATE_MACHINE_ARN"},
    }
