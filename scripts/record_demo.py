"""Records `make demo` and draws its first scene as a terminal for README.md. `make picture` runs it."""

import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from demo import scenes
from demo.screen import Screen, plain_console, style_of

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
COLUMNS = 60
"""Wide enough for each moment of the scene, narrow enough to be read on a phone."""
COMMAND = "$ make demo"
PAUSE = "Wait for Result"
FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 750 {height}" role="img">
<title>What make demo shows of a stack that waits for a conversion</title>
<style>
text {{ font: 20px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #e6edf3 }}
.green {{ fill: #3fb950 }}
.bold {{ font-weight: bold }}
</style>
<rect width="750" height="{height}" rx="10" fill="#161b22"/>
<g fill="#8b949e"><circle cx="24" cy="22" r="6"/><circle cx="44" cy="22" r="6"/><circle cx="64" cy="22" r="6"/></g>
{lines}
</svg>
"""


def first_scene(lines: Sequence[str]) -> slice:
    """Where the scene of the stack that waits stands in the demo's lines: from its heading to the stack's end."""
    first = next(number for number, line in enumerate(lines) if line.startswith("1  "))
    last = next(number for number, line in enumerate(lines) if line.endswith("stack one CREATE_COMPLETE"))
    return slice(first, last + 1)


def draw(scene: Iterable[str]) -> str:
    """The lines as an SVG of a terminal in which `make demo` was typed. `textLength`: another font is as wide."""
    lines = [COMMAND, "…", *scene]
    texts = [
        f'<text class="{style_of(line) if line[0] == " " else "bold"}" x="9" y="{61 + 24 * row}" '
        f'textLength="{12.2 * len(line):.1f}" xml:space="preserve">{escape(line)}</text>'
        for row, line in enumerate(lines)
        if line
    ]
    return FRAME.format(height=75 + 24 * len(lines), lines="\n".join(texts))


if __name__ == "__main__":
    shown = io.StringIO()
    scenes.run(Screen(plain_console(COLUMNS, file=shown)))
    every = shown.getvalue().splitlines()
    scene = every[first_scene(every)]
    if not any(PAUSE in line for line in scene):
        sys.exit("No check found the conversion running, so the picture would show no gate that waits: record again.")
    PICTURE.write_text(draw(scene))
