"""How the resources of template.yaml stand to each other."""

import last_resort

from tests.template import RESOURCES


def test_the_rule_is_about_this_state_machine_alone_and_every_way_to_end_but_success() -> None:
    rule, permission = (RESOURCES[f"ExecutionEnded{kind}"]["Properties"] for kind in ("Rule", "Permission"))

    assert rule["EventPattern"] == {
        "source": ["aws.states"],
        "detail-type": [last_resort.ENDED],
        "detail": {
            "stateMachineArn": [{"Ref": "LicenseConversionGate"}],
            "status": ["FAILED", "TIMED_OUT", "ABORTED"],
        },
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": ["LastResortFunction", "Arn"]}]
    assert permission["SourceArn"] == {"Fn::GetAtt": ["ExecutionEndedRule", "Arn"]}


def test_the_template_deletes_nothing_before_everybody_is_told_that_telling_them_and_their_rollback_take() -> None:
    """CloudFormation deletes a resource before those that it depends on; what a function refers to, its role and its log, it
    depends on.
    """
    told = RESOURCES["WaitersTold"]
    functions = {name for name, one in RESOURCES.items() if one["Type"] == "AWS::Serverless::Function"}

    assert told["Properties"]["ServiceToken"] == {"Fn::GetAtt": ["TellWaitersFunction", "Arn"]}
    assert set(told["DependsOn"]) == (functions - {"TellWaitersFunction"}) | {
        "ExecutionEndedRule",
        "ExecutionEndedPermission",
        "StateMachinePolicy",
    }
    assert told["Type"] == last_resort.WAITERS_TOLD
    timeout = RESOURCES["TellWaitersFunction"]["Properties"]["Timeout"]
    late = RESOURCES["TellWaitersFunction"]["Properties"]["EventInvokeConfig"]["MaximumEventAgeInSeconds"]
    last = RESOURCES["LastResortFunction"]["Properties"]["Timeout"]
    assert told["Properties"]["ServiceTimeout"] >= timeout + late + last, "there is time for the last resort's answer"
