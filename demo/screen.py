"""What a person sees: headings, what takes a while, and a line for each thing that happens."""

import contextlib
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from typing import IO

from rich.console import Console
from rich.text import Text

WIDEST = 100
_INDENT = " " * 3


class Screen:
    """Writes to a console. Colour on a terminal only, and none where NO_COLOR is set."""

    def __init__(self, console: Console | None = None) -> None:
        """``console``: one that `plain_console` makes; standard output without it."""
        self._console = console or plain_console(width=None if sys.stdout.isatty() else WIDEST)
        self._width = min(WIDEST, self._console.width)

    def heading(self, title: str, text: str) -> None:
        """A title in bold, and below it what is shown and why it matters."""
        self.line(f"\n{title}", style="bold")
        self.say(text)
        self.line()

    def say(self, *paragraphs: str) -> None:
        """Wrapped at words. An empty one is a line between two others."""
        for line in (line for text in paragraphs for line in self._wrapped(text) or [""]):
            self.line(line)

    def line(self, text: str = "", style: str = "") -> None:
        """As it is, however long: what a person copies must not be wrapped."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def moment(self, seconds: float, who: str, what: str) -> None:
        """Something happened, so many seconds after the beginning."""
        when = f"{_INDENT}{max(0.0, seconds):6.1f} s  "
        self._console.print(Text.assemble(when, (f"{who:<15}  ", "dim"), (what, style_of(what))), soft_wrap=True)

    def table(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names and values."""
        rows = list(rows)
        widest = max(len(name) for name, _ in rows)
        self.say(*(f"{name:<{widest}}  {value}" for name, value in rows))

    @contextlib.contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """Something that takes a while, and then how long it took."""
        began = time.monotonic()
        self.say(f"{doing} ...")
        yield
        self.say(f"{done} ({time.monotonic() - began:.1f} s).")

    def _wrapped(self, text: str) -> list[str]:
        """A long word, an ARN perhaps, stays whole: it is there to be copied."""
        return textwrap.wrap(
            text, self._width, initial_indent=_INDENT, subsequent_indent=_INDENT,
            break_on_hyphens=False, break_long_words=False,
        )  # fmt: skip


def plain_console(width: int | None, *, file: IO[str] | None = None) -> Console:
    """A console that shows what it is given, as it is; ``width`` in columns, None for the terminal's own."""
    terminal = (file or sys.stdout).isatty()
    return Console(file=file, width=width, force_terminal=terminal, highlight=False, markup=False, emoji=False)


def style_of(what: str) -> str:
    """Red for what failed or is rolled back, green for what ended well, else plain."""
    words = set(what.replace("_", " ").split())
    if words & {"FAILED", "FAILURE", "ROLLBACK"}:
        return "red"
    return "green" if words & {"COMPLETE", "SUCCEEDED", "SUCCESS"} else ""
