"""What the template tells a function through its environment."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """`role_arn`: the function's own role. `state_machine_arn`: empty for a function that starts no waits."""

    role_arn: str
    state_machine_arn: str

    @classmethod
    def from_env(cls) -> Self:
        """KeyError names a missing variable."""
        return cls(role_arn=os.environ["GATE_ROLE_ARN"], state_machine_arn=os.environ.get("GATE_STATE_MACHINE_ARN", ""))
