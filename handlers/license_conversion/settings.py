"""What the template tells a function through its environment."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Each function is told what it needs; the rest is empty."""

    role_arn: str
    state_machine_arn: str
    announce_function_arn: str
    event_bus_name: str
    account_id: str

    @classmethod
    def from_env(cls) -> Self:
        return cls(
            role_arn=os.environ.get("GATE_ROLE_ARN", ""),
            state_machine_arn=os.environ.get("GATE_STATE_MACHINE_ARN", ""),
            announce_function_arn=os.environ.get("GATE_ANNOUNCE_FUNCTION_ARN", ""),
            event_bus_name=os.environ.get("GATE_EVENT_BUS_NAME", ""),
            account_id=os.environ.get("GATE_ACCOUNT_ID", ""),
        )
