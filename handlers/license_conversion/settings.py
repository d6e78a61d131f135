"""What the template tells a function through its environment."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Each function is told what it needs; the rest is empty."""

    role_arn: str
    region: str
    state_machine_arn: str
    event_bus_name: str
    table_name: str
    watch_function: str
    account_id: str

    @classmethod
    def from_env(cls) -> Self:
        return cls(
            region=os.environ.get("AWS_REGION", ""),
            role_arn=os.environ.get("GATE_ROLE_ARN", ""),
            state_machine_arn=os.environ.get("GATE_STATE_MACHINE_ARN", ""),
            table_name=os.environ.get("GATE_TABLE_NAME", ""),
            watch_function=os.environ.get("GATE_WATCH_FUNCTION", ""),
            event_bus_name=os.environ.get("GATE_EVENT_BUS_NAME", ""),
            account_id=os.environ.get("GATE_ACCOUNT_ID", ""),
        )
