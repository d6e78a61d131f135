"""What the demo's screen promises a pipe, and that the picture of it is current. The demo itself is a command that fails when
anything does not go as announced.
"""

import io
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from demo import up
from demo.scenes import Demo
from demo.screen import WIDEST, Screen, plain_console
from scripts.record_demo import COLUMNS, COMMAND, PAUSE, PICTURE, first_scene
from tests.end_to_end.application import Application, impatient
from tests.local_cloud.cloud import LocalCloud

REASON = "License conversion FAILED: [i-0123456789abcdef0] is launched from an Amazon owned AMI. " * 3


class TestScreen:
    def test_in_a_pipe_has_no_colours_and_no_cursor_tricks(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")
        screen = Screen()
        screen.heading("A heading", "What it shows.")
        with screen.step("Deploying", "Deployed"):
            screen.moment(1.25, "CloudFormation", "Gate CREATE_FAILED")
        told = capsys.readouterr().out
        assert "\x1b" not in told
        assert "      1.2 s  CloudFormation   Gate CREATE_FAILED\n" in told

    def test_wraps_what_is_read_and_leaves_what_is_copied(self, capsys: pytest.CaptureFixture[str]) -> None:
        screen = Screen()
        screen.say(REASON)
        screen.table([("StatusMessage", REASON), ("Status", "FAILED")])
        wrapped = capsys.readouterr().out
        assert max(map(len, wrapped.splitlines())) <= WIDEST
        assert wrapped.split() == [*REASON.split(), "StatusMessage", *REASON.split(), "Status", "FAILED"]
        screen.line("x" * 150)
        assert capsys.readouterr().out == "x" * 150 + "\n"


def test_the_first_lines_say_so_where_permissions_cannot_be_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert "The functions run on Python 3." in LocalCloud.on_this_machine()
    assert "Permissions are NOT checked: that needs Node" in LocalCloud.on_this_machine()


def words(*lines: str) -> set[str]:
    """What is the same in each run. Times are not."""
    return set(re.findall(r"[A-Za-z_]{2,}", " ".join(lines)))


def test_the_picture_shows_what_the_demo_shows_today(application: Application) -> None:
    told = io.StringIO()
    Demo(Screen(plain_console(COLUMNS, file=told)), application.cloud, application.stack).a_stack_waits()
    lines = told.getvalue().splitlines()
    shown = [text.text or "" for text in ET.parse(PICTURE).iter("{http://www.w3.org/2000/svg}text")]  # noqa: S314

    # A busy machine may look first when the conversion has ended.
    assert words(*shown) == words(COMMAND, PAUSE, *lines[first_scene(lines)]), "run `make picture`"


@pytest.mark.skipif(shutil.which("aws") is None, reason="the commands are the AWS CLI's, which is not on this machine")
def test_the_commands_that_make_local_prints_run_one_after_the_other(application: Application, tmp_path: Path) -> None:
    own = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "SAM_CLI_TELEMETRY": "0", **impatient(tmp_path)}
    script = f"set -eux\n{up.surroundings(application.cloud)}\n{up.COMMANDS}"

    done = subprocess.run(["bash", "-c", script], env=own, capture_output=True, text=True, check=False)  # noqa: S603, S607

    assert {"CREATE_IN_PROGRESS", "CREATE_FAILED"} <= set(done.stdout.split()), done.stderr
    waits = application.cloud.stacks.wait_for("my-stack")
    assert (waits.status, waits.outputs["Status"]) == ("CREATE_COMPLETE", "SUCCEEDED")
    failing = application.cloud.stacks.describe("failing")
    assert (failing.status, done.returncode) == ("ROLLBACK_COMPLETE", 1)
    assert "License conversion FAILED" in failing.failures[0]
    for stack in (waits, failing):
        application.cloud.stacks.delete(stack.id)
