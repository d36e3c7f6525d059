"""Figures over time as one SVG of small panels; plain text, so that no plotting library is needed for one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, GAP, COLUMNS = 470, 170, 26, 2
LEFT, TOP = 52, 26
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")


@dataclass(frozen=True, slots=True)
class Panel:
    """``lines`` are (name, values), a value a time."""

    title: str
    lines: Sequence[tuple[str, Sequence[float]]]


def svg(title: str, minutes: Sequence[float], panels: Sequence[Panel], marks: Sequence[float], warm: float) -> str:
    """``marks`` are minutes at which something was done to the fleet; what is before ``warm`` is shaded."""
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * (WIDTH + GAP) + GAP, 44 + rows * (HEIGHT + GAP + TOP)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{GAP}" y="26" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for index, panel in enumerate(panels):
        x = GAP + index % COLUMNS * (WIDTH + GAP)
        y = 44 + index // COLUMNS * (HEIGHT + GAP + TOP)
        parts.append(f'<g transform="translate({x} {y})">{_panel(panel, minutes, marks, warm)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, minutes: Sequence[float], marks: Sequence[float], warm: float) -> str:
    end = max(minutes[-1], 0.1)
    step = _step(max((max(values) for _, values in panel.lines), default=0.0))
    top = step * max(1, math.ceil(max(max(values) for _, values in panel.lines) / step))

    def at(minute: float, value: float) -> str:
        across, up = LEFT + (WIDTH - LEFT) * minute / end, TOP + (HEIGHT - TOP) * (1 - value / top)
        return f"{across:.1f},{up:.1f}"

    parts = [f'<text x="0" y="12" font-weight="600">{escape(panel.title)}</text>']
    shaded = (WIDTH - LEFT) * min(warm, end) / end
    parts.append(f'<rect x="{LEFT}" y="{TOP}" width="{shaded:.1f}" height="{HEIGHT - TOP}" fill="#f6f8fa"/>')
    for tick in range(round(top / step) + 1):
        across, up = at(0, tick * step).split(",")
        parts.append(f'<path d="M{across} {up}H{WIDTH}" stroke="#d0d7de" stroke-width="0.6"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(up) + 4:.1f}" text-anchor="end">{tick * step:g}</text>')
    parts += [f'<path d="M{at(mark, 0)}v-5" stroke="#57606a" stroke-width="0.7"/>' for mark in marks if mark <= end]
    for minute in range(0, math.floor(end) + 1, max(1, round(end / 8 / 5) * 5)):
        across = at(minute, 0).partition(",")[0]
        parts.append(f'<text x="{across}" y="{HEIGHT + 14}" text-anchor="middle">{minute}</text>')
    for index, (name, values) in enumerate(panel.lines):
        colour = COLOURS[index % len(COLOURS)]
        points = " ".join(at(minute, value) for minute, value in zip(minutes, values, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        place = LEFT + 130 + 85 * index
        parts.append(f'<text x="{place}" y="12" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)


def _step(most: float) -> float:
    """Between two lines of the grid: 1, 2 or 5 times a power of ten, about four lines in all."""
    rough = max(most, 1.0) / 4
    power = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
