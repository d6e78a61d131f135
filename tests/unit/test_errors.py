"""The errors of a gate: their names are public."""

import pytest

from license_conversion.errors import (
    AccessDenied,
    GateError,
    InvalidRequest,
    NobodyListens,
    ResponseNotTaken,
    StillUnknown,
    TableUnavailable,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(InvalidRequest("no"), "LicenseConversion.InvalidRequest", id="refused"),
        pytest.param(AccessDenied("no"), "LicenseConversion.AccessDenied", id="denied"),
    ],
)
def test_a_caller_catches_an_error_by_its_public_name(error: GateError, expected: str) -> None:
    assert error.name == expected
    assert type(error).__name__ == expected  # Lambda reports the class's name as errorType
    assert str(error) == "no"


@pytest.mark.parametrize("error", [StillUnknown, TableUnavailable, ResponseNotTaken, NobodyListens])
def test_what_is_no_outcome_cannot_be_taken_for_one(error: type[Exception]) -> None:
    assert not issubclass(error, GateError)
