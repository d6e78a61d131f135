"""The rights of a person, read from where a person finds them: the policies in docs/permissions.md."""

import re
from pathlib import Path

_DOCUMENT = Path(__file__).parents[3] / "docs" / "permissions.md"


def policy_of(heading: str) -> str:
    """The JSON below a heading, as it is there to be pasted."""
    section = re.search(
        rf"^#+ {re.escape(heading)}$.*?^```json\n(.*?)^```$", _DOCUMENT.read_text(), re.MULTILINE | re.DOTALL
    )
    if not section:
        raise LookupError(f"{_DOCUMENT} has no policy below {heading!r}")
    return section[1]
