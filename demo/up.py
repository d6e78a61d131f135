"""What ``make local`` keeps up: the local cloud with the application deployed, for a person's own commands."""

import contextlib
import shutil
import signal

from demo.scenes import started
from demo.screen import Screen
from tests.local_cloud import ROOT
from tests.local_cloud.clients import ACCOUNT, REGION
from tests.local_cloud.cloud import LocalCloud

_CONVERSION_SECONDS = 60
COMMANDS = f"""\
# Begin a conversion of a stopped instance. It takes {_CONVERSION_SECONDS} seconds.
INSTANCE=$(aws ec2 run-instances --image-id ami-0123456789abcdef0 --query 'Instances[0].InstanceId' --output text)
aws ec2 stop-instances --instance-ids $INSTANCE
aws ec2 wait instance-stopped --instance-ids $INSTANCE
TASK=$(aws license-manager create-license-conversion-task-for-resource --output text \\
  --resource-arn arn:aws:ec2:{REGION}:{ACCOUNT}:instance/$INSTANCE \\
  --source-license-context UsageOperation=RunInstances:0800 \\
  --destination-license-context UsageOperation=RunInstances:0002)

# Create a stack that waits for it. The gate is deployed already; the example imports it.
aws cloudformation create-stack --stack-name my-stack --template-body file://examples/stack-gate.yaml \\
  --parameters ParameterKey=LicenseConversionTaskId,ParameterValue=$TASK

# Watch it, again and again: Gate is CREATE_IN_PROGRESS as long as the conversion runs.
aws cloudformation describe-stack-events --stack-name my-stack --output table \\
  --query 'reverse(StackEvents)[].[Timestamp, LogicalResourceId, ResourceStatus]'

# A conversion that fails. SAM shows the events as they come, the Reason among them.
TASK=$(curl -s $AWS_ENDPOINT_URL_LICENSE_MANAGER/_control/add_task \\
  -d '{{"duration": 10, "end_status": "FAILED"}}' | tr -d '"')
.venv/bin/sam deploy --stack-name failing --template-file examples/stack-gate.yaml \\
  --parameter-overrides LicenseConversionTaskId=$TASK
"""
"""They run in a terminal where those of `surroundings` have run."""


def surroundings(cloud: LocalCloud) -> str:
    """What points a terminal at the local cloud."""
    exports = [f"export {name}={value}" for name, value in cloud.environment.items()]
    return "\n".join(
        ["unset AWS_PROFILE AWS_SESSION_TOKEN", *exports, "export AWS_PAGER= NO_PROXY=127.0.0.1", f"cd {ROOT}"]
    )


def run(screen: Screen) -> None:
    """Stay until a signal, Ctrl-C for one, ends it; the cloud goes with it."""
    with contextlib.ExitStack() as running:
        cloud, _ = started(screen, running)
        cloud.license_manager.configure(duration=_CONVERSION_SECONDS)
        screen.heading(
            "In another terminal",
            "The first lines point it at the local cloud, for sam (.venv/bin/sam) and for any AWS CLI since 1.29 or 2.13"
            f"{'' if shutil.which('aws') else ' (this machine has none yet)'}.",
        )
        screen.line(f"{surroundings(cloud)}\n\n{COMMANDS}", style="cyan")
        screen.heading("Ctrl-C ends it", "Until then the local cloud stays. It keeps nothing.")
        with contextlib.suppress(SystemExit):  # here it is the way to leave
            signal.pause()
    screen.line("\nThe local cloud is gone, and everything in it.")
