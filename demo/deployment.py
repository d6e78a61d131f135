"""The application as ``sam build`` left it, and the examples that use it."""

from tests.local_cloud import ROOT
from tests.local_cloud.cloud import LocalCloud
from tests.local_cloud.stacks import Stack

EXAMPLES = ROOT / "examples"
_BUILT = ROOT / ".aws-sam/build/template.yaml"


def deploy(cloud: LocalCloud) -> Stack:
    """Under the stack name whose exports the examples import. Raise RuntimeError if that fails."""
    if not _BUILT.exists():
        raise RuntimeError("There is no .aws-sam/build/template.yaml to deploy: run `make build` first.")
    stack = cloud.stacks.deploy("license-conversion-gate", _BUILT)
    if stack.status != "CREATE_COMPLETE":
        raise RuntimeError(f"The application is {stack.status}: {'; '.join(stack.failures)}")
    return stack
