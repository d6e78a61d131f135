"""Records `make demo` and draws its first scene as a terminal for README.md. `make picture` runs it.

What the demo takes a while for is announced as in a pipe; a terminal shows a line that ticks instead.
"""

import io
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.terminal_theme import TerminalTheme
from rich.text import Text

from demo import scenes
from demo.screen import Screen, plain_console

PICTURE = Path(__file__).parents[1] / "docs" / "demo.svg"
COLUMNS = 60
"""Wide enough for each moment of the scene, narrow enough to be read on a phone."""
# Ground, text, and the eight colours of a terminal from black to white.
THEME = TerminalTheme(
    (22, 27, 34), (230, 237, 243),
    [(72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34), (88, 166, 255), (188, 140, 255), (57, 197, 207),
     (177, 186, 196)],
)  # fmt: skip
# rich's own asks for a font of somebody's server, which a picture on a page may not load.
FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" role="img">
<title>What make demo shows of a stack that waits for a conversion</title>
<style>
text {{ font: {char_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
{styles}
</style>
<rect width="{width}" height="{height:.0f}" rx="10" fill="FILL"/>
<g fill="#8b949e"><circle cx="24" cy="22" r="6"/><circle cx="44" cy="22" r="6"/><circle cx="64" cy="22" r="6"/></g>
<g transform="translate({terminal_x}, {terminal_y})">
{matrix}
</g>
</svg>
""".replace("FILL", THEME.background_color.hex)
COMMAND = "$ make demo"
PAUSE = "Wait for Result"


def first_scene(lines: Sequence[str]) -> slice:
    """Where the scene of the stack that waits stands in the demo's lines: from its heading to the stack's end."""
    first = next(number for number, line in enumerate(lines) if line.startswith("1  "))
    last = next(number for number, line in enumerate(lines) if line.endswith("stack one CREATE_COMPLETE"))
    return slice(first, last + 1)


def draw(lines: Iterable[Text]) -> str:
    """The lines as an SVG of a terminal in which somebody has said `make demo`."""
    console = plain_console(COLUMNS, file=io.StringIO(), record=True)
    for line in (Text(COMMAND, style="bold"), Text("…", style="dim"), *lines):
        console.print(line)
    drawn = console.export_svg(theme=THEME, code_format=FRAME, unique_id="demo")
    drawn = re.sub(r'<text [^>]*>\n</text>| clip-path="[^"]+"', "", drawn)  # ends of lines, and frames around each
    return drawn.replace("</text><text", "</text>\n<text") + "\n"


def main() -> None:
    console = plain_console(COLUMNS, record=True)
    scenes.run(Screen(console))
    lines = Text.from_ansi(console.export_text(styles=True)).split("\n")
    scene = lines[first_scene([line.plain for line in lines])]
    if not any(PAUSE in line.plain for line in scene):
        sys.exit("No check found the conversion running, so the picture would show no gate that waits: record again.")
    PICTURE.write_text(draw(scene))


if __name__ == "__main__":
    main()
