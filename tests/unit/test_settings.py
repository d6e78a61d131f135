"""What the template gives a function in its environment."""

import pytest

from license_conversion.settings import Settings

NAMES = {
    "region": "AWS_REGION",
    "role_arn": "GATE_ROLE_ARN",
    "state_machine_arn": "GATE_STATE_MACHINE_ARN",
    "table_name": "GATE_TABLE_NAME",
    "poll_function": "GATE_POLL_FUNCTION",
}


def test_the_settings_are_what_the_environment_says_or_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES.values():
        monkeypatch.delenv(name, raising=False)
    assert vars(Settings.from_env()) == dict.fromkeys(NAMES, "")

    for name in NAMES.values():
        monkeypatch.setenv(name, name)
    assert vars(Settings.from_env()) == NAMES
