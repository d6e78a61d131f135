"""What the local cloud hands over to its LocalStack process, as environment variables that functions never see."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

KILLED = "killed"
"""The file in a sandbox's folder that says that a test has killed its runtime."""
_PREFIX = "LOCAL_CLOUD_"


@dataclass(frozen=True)
class CloudSettings:
    emulator: Path
    """AWS's Runtime Interface Emulator for this machine's architecture."""
    runtime_python: Path
    """The interpreter that has what AWS's python3.13 runtime has, and nothing more."""
    certificate: Path
    """PEM: key and certificate of the answers receiver."""
    authority: Path
    """PEM: the certificate authority of the run, all that functions trust."""
    license_manager_url: str
    inside_file: Path
    """Where LocalStack's process writes the port of what it offers; see ``inside``."""
    inside_key: str
    sandboxes: Path
    """Folder in which each sandbox gets one of its own: HOME, TMPDIR, output."""
    node: str
    """The program that runs the policy engine. Empty: permissions are not checked."""
    policy_engine: Path
    """Folder with the policy engine's node_modules."""

    def to_environment(self) -> dict[str, str]:
        return {_PREFIX + name.upper(): str(value) for name, value in vars(self).items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "CloudSettings":
        return cls(**{one.name: cast("Any", one.type)(environment[_PREFIX + one.name.upper()]) for one in fields(cls)})
