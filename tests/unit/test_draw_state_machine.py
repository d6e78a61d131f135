"""The drawing of the state machine is current, and shows every state and every way."""

import json

from scripts.draw_state_machine import DEFINITION, PAGE, flowchart, page


def test_the_drawing_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make reference`"


def test_every_state_and_every_way_between_two_is_drawn_an_error_dotted() -> None:
    definition = json.loads(DEFINITION.read_text())
    ids = {name: f"s{number}" for number, name in enumerate(definition["States"])}
    ways = {("start((", "-->", ids[definition["StartAt"]])}
    for name, state in definition["States"].items():
        straight = [*state.get("Choices", ()), state, {"Next": state.get("Default")}]
        ways |= {(ids[name], "-->", ids[way["Next"]]) for way in straight if way.get("Next")}
        ways |= {(ids[name], ".->", ids[way["Next"]]) for way in state.get("Catch", ())}

    _, *lines = (line.strip() for line in flowchart(definition).splitlines())

    assert {(line.split()[0], *line.split()[-2:]) for line in lines if "->" in line} == ways
    assert [line.split('"')[1] for line in lines if "->" not in line] == list(ids)


def test_each_rule_of_a_choice_says_when_it_holds() -> None:
    definition = json.loads(DEFINITION.read_text())
    drawing = flowchart(definition)

    for state in definition["States"].values():
        for rule in state.get("Choices", ()):
            assert rule["Comment"] in drawing
