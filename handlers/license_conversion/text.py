"""Text that has to fit, and that must show no credential. The standard library alone."""

import json
import re

MARK = "… (shortened)"
QUOTED_BYTES = 1500
CREDENTIAL = re.compile(r"(?<!\S)\S*(?:X-Amz-|Signature=)\S*")
"""Part of a presigned URL. Looked for from the start of a run of characters alone: a long one would take minutes else."""


def size(text: str) -> int:
    """Bytes of `text` inside a JSON string in UTF-8."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2


def shorten(text: str, limit: int) -> str:
    """`text` in at most `limit` bytes of JSON, with a mark where it was cut; `""` where not even the mark fits."""
    if size(text) <= limit:
        return text
    room = limit - size(MARK)
    if room < 0:
        return ""
    kept = 0
    for character in text:
        room -= size(character)
        if room < 0:
            break
        kept += 1
    return text[:kept] + MARK


def quoted(text: str) -> str:
    """An error's text for a person: it may itself quote what the function was given."""
    return shorten(CREDENTIAL.sub("(a URL that is a credential)", text), QUOTED_BYTES)
