"""A CDK app whose stack goes on when a license type conversion has finished.

Use it when: your stacks are CDK apps. The gate needs no construct of its own: a CustomResource with the ServiceToken that the
  application publishes. README.md beside this file has its properties in camelCase.
Needs: the application, the id of a task, Node with the CDK's command line, and Python.
Deploy, in this folder:
    pip install --requirement requirements.txt
    cdk deploy --parameters LicenseConversionTaskId=lct-0123456789abcdef0
Then: as with stack-gate.yaml: the stack stays at Gate while the conversion runs, and BilledAs comes after it.
Leaves behind: the SSM parameter BilledAs, until `cdk destroy`. The token is read from an SSM parameter at deployment; with
  `Fn.import_value` CloudFormation would keep the application from being deleted while the stack stands.
"""

from aws_cdk import App, CfnOutput, CfnParameter, CustomResource, Duration, Stack
from aws_cdk import aws_ssm as ssm
from constructs import Construct

SERVICE_TOKEN = "/license-conversion-gate/license-conversion-gate/ServiceToken"  # noqa: S105  (the name of a parameter)


class ConvertedStack(Stack):
    """What must not exist before the conversion has finished is made in a stack like this one."""

    def __init__(self, scope: Construct, construct_id: str) -> None:
        super().__init__(scope, construct_id)
        task_id = CfnParameter(
            self,
            "LicenseConversionTaskId",
            description="The conversion task to wait for.",
            allowed_pattern="^lct-[A-Za-z0-9]+$",
        )
        gate = CustomResource(
            self,
            "Gate",
            resource_type="Custom::LicenseConversionTask",
            service_token=ssm.StringParameter.value_for_string_parameter(self, SERVICE_TOKEN),
            service_timeout=Duration.hours(1),
            properties={"LicenseConversionTaskId": task_id.value_as_string, "OnFailure": "FAIL"},
        )
        billed_as = ssm.StringParameter(
            self, "BilledAs", string_value=gate.get_att_string("DestinationLicenseContext.UsageOperation")
        )
        CfnOutput(self, "Task", value=gate.ref)
        CfnOutput(self, "Status", value=gate.get_att_string("Status"))
        CfnOutput(self, "BilledAsParameter", value=billed_as.parameter_name)


app = App()
ConvertedStack(app, "ConvertedStack")
app.synth()
