"""A function that does what it is asked to: by its payload, or, as the function of a gate, by the gate's input. It is a Lambda
function on the local cloud, and a function of Python beside our interpreter.
"""

import time
from typing import Any


def handler(event: dict[str, Any], _: object) -> Any:
    """`Seconds` to take; an `Error` to raise `Fails` times; a `Result`.

    A check does what stands in the list `Checks` of the gate's input, one after the other; the responder what is in `Response`.
    """
    gate, told = event.get("Gate"), event
    if gate is not None:
        turn = gate.get("Turn", 0)
        told = event["Input"]["Checks"][turn] if "Tries" in event else event["Input"].get("Response", {})
        told = {"Attempt": event.get("Tries", 0), **told, "Result": {**told.get("Result", {}), "Turn": turn + 1}}
    time.sleep(told.get("Seconds", 0))
    if told.get("Attempt", 0) < told.get("Fails", 0):
        raise type(told["Error"], (Exception,), {})(told.get("Message", ""))
    return told.get("Result")
