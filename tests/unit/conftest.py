"""What the functions print, for the tests of entry points."""

import logging
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from license_conversion import telemetry


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Everything that was printed and logged: log lines and metrics."""
    logged = StringIO()
    handler = telemetry.logger.registered_handler
    assert isinstance(handler, logging.StreamHandler)
    before = handler.setStream(logged)
    yield lambda: logged.getvalue() + "".join(capsys.readouterr())
    handler.setStream(before)
