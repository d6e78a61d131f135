"""The drawing of the state machine is current, and shows every state and every way."""

import json

from scripts.draw_state_machine import DEFINITION, PAGE, flowchart, page


def test_the_drawing_is_current() -> None:
    assert PAGE.read_text() == page(), "run `make reference`"


def test_every_state_and_every_way_between_two_is_drawn() -> None:
    definition = json.loads(DEFINITION.read_text())
    states, drawing = definition["States"], flowchart(definition)

    ways = {
        (name, target)
        for name, state in states.items()
        for target in [
            *(rule["Next"] for rule in [*state.get("Choices", ()), *state.get("Catch", ())]),
            *(state[member] for member in ("Next", "Default") if member in state),
        ]
    }
    ids = {name: f"s{number}" for number, name in enumerate(states)}
    arrows = [line.split() for line in drawing.splitlines() if "->" in line]
    drawn = {(words[0], words[-1]) for words in arrows}
    assert all(f'"{name}"' in drawing for name in states)
    assert {(ids[name], ids[target]) for name, target in ways} == drawn - {("start((", ids["Who Comes?"])}


def test_a_rule_is_told_in_a_few_words() -> None:
    rules = [
        {"Variable": "$.Stack", "IsPresent": True, "Next": "B"},
        {"Variable": "$.Passed", "BooleanEquals": False, "Next": "C"},
        {"Variable": "$.Waiter", "StringEquals": "STACK", "Next": "D"},
        {
            "And": [
                {"Variable": "$.Deadline", "IsPresent": True},
                {"Variable": "$$.State.EnteredTime", "TimestampGreaterThanEqualsPath": "$.Deadline"},
            ],
            "Next": "E",
        },
        {
            "And": [
                {"Variable": "$.Outcome", "StringEquals": "BROKEN"},
                {"Or": [{"Variable": "$.A", "IsPresent": True}, {"Variable": "$.B", "IsPresent": True}]},
            ],
            "Next": "F",
        },
        {
            "And": [
                {"Variable": "$.Token", "IsPresent": True},
                {"Variable": "$.Token", "IsString": True},
                {"Variable": "$.Token", "StringGreaterThan": ""},
            ],
            "Next": "G",
        },
        {
            "And": [{"Variable": "$.A", "IsPresent": True}, {"Variable": "$.B", "StringEquals": "b"}],
            "Next": "H",
        },
    ]
    ends = {name: {"Type": "Succeed"} for name in "BCDEFGHI"}
    definition = {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": rules, "Default": "I"}, **ends}}

    drawing = flowchart(definition)

    for words in (
        "Stack",
        "no Passed",
        "Waiter STACK",
        "Deadline reached",
        "Outcome BROKEN and (A or B)",
        "Token not empty",
        "A and B b",
        "else",
    ):
        assert f'-- "{words}" -->' in drawing


def test_an_error_is_dotted_and_says_whose_it_is() -> None:
    catchers = [
        {"ErrorEquals": ["Lambda.ServiceException", "Lambda.SdkClientException", "States.Timeout"], "Next": "B"},
        {"ErrorEquals": ["States.ALL"], "Next": "C"},
    ]
    tasks = {
        "A": {"Type": "Task", "Next": "C", "Catch": catchers},
        "D": {"Type": "Task", "Next": "C", "Catch": catchers[1:]},
    }
    ends = {name: {"Type": "Fail"} for name in "BC"}
    drawing = flowchart({"StartAt": "A", "States": {**tasks, **ends}})

    assert 's0 -. "Lambda.*, States.Timeout" .-> s2' in drawing
    assert 's0 -. "any other error" .-> s3' in drawing
    assert 's1 -. "any error" .-> s3' in drawing
