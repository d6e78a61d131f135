"""What ``make local`` keeps up: the local cloud with the application deployed, for a person's own commands."""

import contextlib
import shutil
import signal

from demo.deployment import deploy
from demo.screen import Screen
from tests.local_cloud import ROOT
from tests.local_cloud.clients import ACCOUNT, REGION
from tests.local_cloud.cloud import LocalCloud

_CONVERSION_SECONDS = 60
_INSTANCE = """\
INSTANCE=$(aws ec2 run-instances --image-id ami-0123456789abcdef0 --query 'Instances[0].InstanceId' --output text)
aws ec2 stop-instances --instance-ids $INSTANCE
aws ec2 wait instance-stopped --instance-ids $INSTANCE"""
_CREATE_TASK = f"""\
TASK=$(aws license-manager create-license-conversion-task-for-resource --output text \\
  --resource-arn arn:aws:ec2:{REGION}:{ACCOUNT}:instance/$INSTANCE \\
  --source-license-context UsageOperation=RunInstances:0800 \\
  --destination-license-context UsageOperation=RunInstances:0002)"""
_CREATE_STACK = """\
aws cloudformation create-stack --stack-name my-stack --template-body file://examples/stack-gate.yaml \
  --parameters ParameterKey=LicenseConversionTaskId,ParameterValue=$TASK"""
_WATCH = """\
aws cloudformation describe-stack-events --stack-name my-stack --output table \
  --query 'reverse(StackEvents)[].[Timestamp, LogicalResourceId, ResourceStatus]'"""
_FAIL = """\
TASK=$(curl -s $AWS_ENDPOINT_URL_LICENSE_MANAGER/_control/add_task \
  -d '{"duration": 20, "end_status": "FAILED"}' | tr -d '"')
.venv/bin/sam deploy --stack-name failing --template-file examples/stack-gate.yaml \
  --parameter-overrides LicenseConversionTaskId=$TASK"""
COMMANDS = (
    (
        "1  Begin a conversion of a stopped instance",
        f"It takes {_CONVERSION_SECONDS} seconds.",
        f"{_INSTANCE}\n{_CREATE_TASK}",
    ),
    ("2  Create a stack that waits for it", "The gate is deployed already; the example imports it.", _CREATE_STACK),
    ("3  Watch it, again and again", "Gate is CREATE_IN_PROGRESS as long as the conversion runs.", _WATCH),
    ("A conversion that fails", "sam shows the events as they come, the Reason among them.", _FAIL),
)
"""What is done, what there is to know of it, and the commands, which run in a terminal where those of `surroundings` have run."""


def surroundings(cloud: LocalCloud) -> str:
    """What points a terminal at the local cloud."""
    exports = [f"export {name}={value}" for name, value in cloud.environment.items()]
    return "\n".join(
        ["unset AWS_PROFILE AWS_SESSION_TOKEN", *exports, "export AWS_PAGER= NO_PROXY=127.0.0.1", f"cd {ROOT}"]
    )


def run(screen: Screen) -> None:
    """Stay until a signal, Ctrl-C for one, ends it; the cloud goes with it."""
    with contextlib.ExitStack() as running:
        with screen.step("Starting the local cloud", "The local cloud runs"):
            cloud = running.enter_context(LocalCloud())
        screen.say(cloud.on_this_machine())
        cloud.license_manager.configure(duration=_CONVERSION_SECONDS)
        with screen.step("Deploying the application", "sam deploy has deployed the application"):
            deploy(cloud)
        _tell(screen, cloud)
        with contextlib.suppress(SystemExit):  # here it is the way to leave
            signal.pause()
    screen.line("\nThe local cloud is gone, and everything in it.")


def _tell(screen: Screen, cloud: LocalCloud) -> None:
    screen.heading(
        "In another terminal",
        "These lines point it at the local cloud, for sam (.venv/bin/sam) and for any AWS CLI since 1.29 or 2.13"
        f"{'' if shutil.which('aws') else ' (this machine has none yet)'}.",
    )
    screen.line(surroundings(cloud), style="cyan")
    for title, text, commands in COMMANDS:
        screen.heading(title, text)
        screen.line(commands, style="cyan")
    screen.heading("Ctrl-C ends it", "Until then the local cloud stays. It keeps nothing.")
