"""The pictures of the demo: small, the same on a light and on a dark page, and what is compared with a run of today."""

import io
from pathlib import Path

import pytest
from rich.text import Text

from scripts.record_demo import COLUMNS, PICTURES, THEMES, draw, first_scene, shown, story
from tests.local_cloud.screen import Screen, plain_console

README = (Path(__file__).parents[2] / "README.md").read_text()


def scene(*moments: tuple[float, str, str], text: str = "It has two resources.") -> list[Text]:
    """Lines as the demo's screen prints them."""
    console = plain_console(COLUMNS, file=io.StringIO(), record=True)
    screen = Screen(console)
    screen.heading("1  A stack waits", text)
    for moment in (*moments, (9.0, "CloudFormation", "stack one CREATE_COMPLETE")):
        screen.moment(*moment)
    screen.heading("2  Another", "Not in the picture.")
    return list(Text.from_ansi(console.export_text(styles=True)).split("\n"))


def plain(lines: list[Text]) -> list[str]:
    found = [line.plain for line in lines]
    return found[first_scene(found)]


@pytest.mark.parametrize("theme", PICTURES)
def test_the_readme_shows_a_small_picture(theme: str) -> None:
    assert PICTURES[theme].stat().st_size < 100_000
    assert f"docs/{PICTURES[theme].name}" in README


def test_the_picture_shows_a_gate_that_waits() -> None:
    assert any("Wait for Next Check" in line for line in shown(PICTURES["light"]))


def test_both_pictures_show_the_same() -> None:
    assert shown(PICTURES["light"]) == shown(PICTURES["dark"])


def test_a_picture_has_no_address_and_no_credential() -> None:
    for picture in PICTURES.values():
        text = picture.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text
        assert "Signature" not in text


def test_what_a_picture_shows_can_be_read_from_it(tmp_path: Path) -> None:
    lines = scene((0.5, "License Manager", "task <IN_PROGRESS> & more"), text="Word " * 30)
    picture = tmp_path / "picture.svg"
    picture.write_text(draw(lines[first_scene([line.plain for line in lines])], THEMES["dark"]))

    assert shown(picture) == [line.rstrip() for line in plain(lines) if line]
    assert THEMES["dark"].ansi_colors[2].hex in picture.read_text()  # COMPLETE is green


CHECK, PAUSE = (2.0, "State machine", "Check Task"), (2.1, "State machine", "Wait for Next Check (5 s)")
LATE, LONGER = (7.0, "State machine", "Check Task"), (7.2, "State machine", "Wait for Next Check (6 s)")
DONE = (8.0, "State machine", "Answer Stack")


def test_one_check_more_or_less_is_the_same_story() -> None:
    once = story(plain(scene(CHECK, PAUSE, LATE, DONE)))

    assert once == story(plain(scene(CHECK, PAUSE, LATE, LONGER, LATE, DONE))) == story(plain(scene(CHECK, DONE)))


@pytest.mark.parametrize(
    "other",
    [
        scene(CHECK, PAUSE),
        scene(DONE, CHECK),
        scene(CHECK, PAUSE, (8.0, "State machine", "Answer a Stack")),
        scene(CHECK, PAUSE, (8.0, "The gate", "Answer Stack")),
        scene(CHECK, PAUSE, DONE, text="It has three resources."),
    ],
    ids=["a state is missing", "another order", "another name", "somebody else", "another sentence"],
)
def test_another_story_is_seen(other: list[Text]) -> None:
    assert story(plain(other)) != story(plain(scene(CHECK, PAUSE, DONE)))
