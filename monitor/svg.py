"""The screen as an SVG file that opens anywhere: nothing in it is fetched from elsewhere."""

from __future__ import annotations

import io
import re

from rich.console import Console

from monitor.history import Sample
from monitor.lines import View, plain
from monitor.rates import Rates
from monitor.render import frame
from monitor.snapshot import Snapshot


def export_svg(
    snapshot: Snapshot,
    rates: Rates,
    samples: tuple[Sample, ...],
    title: str,
    width: int = 120,
    height: int = 40,
) -> str:
    """One frame as SVG text under `title`; the same numbers give the same bytes."""
    console = Console(
        record=True,
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
        no_color=False,
    )
    console.print(frame(snapshot, rates, samples, View(width, height, keys=False, footer=False)))
    svg = console.export_svg(title=plain(title))
    # rich's template names fonts on a CDN; whoever opens the file uses a font that is there. Some renderers trim spaces.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg xml:space="preserve" ', 1)
