"""The drawing of the state machine shows every state and every way, and says when each is taken."""

import json

from scripts.draw_state_machine import flowchart
from scripts.write_reference import DEFINITION


def test_every_state_and_every_way_between_two_is_drawn_an_error_dotted_and_a_choice_with_its_rule() -> None:
    definition = json.loads(DEFINITION.read_text())
    ids = {name: f"s{number}" for number, name in enumerate(definition["States"])}
    ways, drawing = {("start((", "-->", ids[definition["StartAt"]])}, flowchart(definition)
    for name, state in definition["States"].items():
        straight = [*state.get("Choices", ()), state, {"Next": state.get("Default")}]
        ways |= {(ids[name], "-->", ids[way["Next"]]) for way in straight if way.get("Next")}
        ways |= {(ids[name], ".->", ids[way["Next"]]) for way in state.get("Catch", ())}
        assert all(rule["Comment"] in drawing for rule in state.get("Choices", ()))

    _, *lines = (line.strip() for line in drawing.splitlines())

    assert {(line.split()[0], *line.split()[-2:]) for line in lines if "->" in line} == ways
    assert [line.split('"')[1] for line in lines if "->" not in line] == list(ids)
