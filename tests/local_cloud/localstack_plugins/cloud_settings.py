"""What the local cloud hands over to its LocalStack process, as environment variables that functions never see."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

KILLED = "killed"
"""The file in a sandbox's folder that says that somebody has killed its runtime."""
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
    answers_url_file: Path
    """Where LocalStack's process writes the address of the answers receiver once that listens."""
    license_manager_url: str
    dynamodb_url: str
    sandboxes: Path
    """Folder in which each sandbox gets one of its own: HOME, TMPDIR, output."""
    node: str
    """The program that runs the policy engine. Empty: permissions are not checked."""
    policy_engine: Path
    """Folder with the policy engine's node_modules."""
    verdicts_file: Path
    """Where LocalStack's process keeps what it has judged."""

    def to_environment(self) -> dict[str, str]:
        return {_PREFIX + name.upper(): str(value) for name, value in vars(self).items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "CloudSettings":
        def value(name: str) -> str:
            return environment[_PREFIX + name]

        return cls(
            emulator=Path(value("EMULATOR")),
            runtime_python=Path(value("RUNTIME_PYTHON")),
            certificate=Path(value("CERTIFICATE")),
            authority=Path(value("AUTHORITY")),
            answers_url_file=Path(value("ANSWERS_URL_FILE")),
            license_manager_url=value("LICENSE_MANAGER_URL"),
            dynamodb_url=value("DYNAMODB_URL"),
            sandboxes=Path(value("SANDBOXES")),
            node=value("NODE"),
            policy_engine=Path(value("POLICY_ENGINE")),
            verdicts_file=Path(value("VERDICTS_FILE")),
        )
