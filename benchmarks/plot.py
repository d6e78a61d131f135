"""A chart of lags by hand: one bar for each way to wait, on a logarithmic scale."""

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

LEFT, ROW, WIDTH, TOP, BAR = 190, 44, 760, 46, 14
LEAST, MOST = 1.0, 10_000.0
TICKS = (1, 10, 60, 600, 3600)
P50, P99 = "#7aa6c2", "#1f4e79"


def lag_chart(title: str, rows: Sequence[tuple[str, float, float, str]]) -> str:
    """An SVG. Each row is a name, the p50 and the p99 in seconds, and a remark at the end of the bar."""
    bottom = TOP + ROW * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 30}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{bottom + 30}" fill="#fff"/>',
        f'<text x="10" y="18" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for tick in TICKS:
        at = _x(tick)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP - 8}" x2="{at:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{tick} s</text>')
    for row, (name, p50, p99, remark) in enumerate(rows):
        y = TOP + ROW * row
        parts.append(f'<text x="{LEFT - 8}" y="{y + BAR + 4}" text-anchor="end">{escape(name)}</text>')
        for top, colour, seconds, said in ((y, P50, p50, "p50 {}"), (y + BAR, P99, p99, f"p99 {{}}{remark}")):
            end, words = _x(seconds), escape(said.format(f"{seconds:.0f} s"))
            parts.append(f'<rect x="{LEFT}" y="{top}" width="{end - LEFT:.1f}" height="{BAR - 2}" fill="{colour}"/>')
            parts.append(f'<text x="{end + 5:.1f}" y="{top + BAR - 4}" fill="#333">{words}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(seconds: float) -> float:
    share = math.log(max(LEAST, seconds) / LEAST) / math.log(MOST / LEAST)
    return LEFT + share * (WIDTH - LEFT - 90)
