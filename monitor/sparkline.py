"""A sparkline: one cell a value, scaled to the largest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII: Final = "_.:-=+*#"


def sparkline(values: Sequence[float], width: int, unicode: bool = True) -> str:
    """The last `width` values >= 0, oldest first; a value that is not 0 stands above the lowest step. Padded on the left."""
    shown = values[-width:] if width > 0 else []
    steps = BLOCKS if unicode else ASCII
    peak = max(shown, default=0.0)
    top = len(steps) - 1
    cells = (steps[0] if not value else steps[max(1, round(value / peak * top))] for value in shown)
    return "".join(cells).rjust(max(width, 0))
