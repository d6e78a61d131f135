"""What the template gives a function in its environment."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Each function gets what it needs; the rest is empty."""

    role_arn: str
    region: str
    state_machine_arn: str
    table_name: str
    poll_function: str

    @classmethod
    def from_env(cls) -> Self:
        return cls(
            role_arn=os.environ.get("GATE_ROLE_ARN", ""),
            region=os.environ.get("AWS_REGION", ""),
            state_machine_arn=os.environ.get("GATE_STATE_MACHINE_ARN", ""),
            table_name=os.environ.get("GATE_TABLE_NAME", ""),
            poll_function=os.environ.get("GATE_POLL_FUNCTION", ""),
        )
