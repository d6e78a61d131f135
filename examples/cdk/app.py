"""A CDK app whose stack goes on when a license type conversion has finished.

Use it when your stacks are CDK apps. The gate needs no construct of its own: a CustomResource with the ServiceToken that the
application publishes. Here the token is read from the SSM parameter at deployment; `Fn.import_value` does as well, and then
CloudFormation keeps the application from being deleted while the stack stands.

    pip install --requirement requirements.txt
    cdk deploy --parameters LicenseConversionTaskId=lct-0123456789abcdef0
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
