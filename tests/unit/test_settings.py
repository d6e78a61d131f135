"""What the template tells a function through its environment."""

import pytest

from license_conversion.settings import Settings

ROLE = "arn:aws:iam::123456789012:role/gate"
STATE_MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:gate"


def test_the_settings_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_ROLE_ARN", ROLE)
    monkeypatch.setenv("GATE_STATE_MACHINE_ARN", STATE_MACHINE)

    settings = Settings.from_env()

    assert settings.role_arn == ROLE
    assert settings.state_machine_arn == STATE_MACHINE


def test_a_function_that_starts_no_waits_needs_no_state_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE_ROLE_ARN", ROLE)
    monkeypatch.delenv("GATE_STATE_MACHINE_ARN", raising=False)

    assert Settings.from_env().state_machine_arn == ""
