"""The set-up page: what the screen shows and how. It changes the view only, never the run."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.lines import HEADING, View, cut, line, rule

SETTINGS: Final = (
    ("map", "CPUs as nodes and a heat row"),
    ("steering", "panel 3, the steering matrix"),
    ("flow", "panel 4, where packets go"),
    ("events", "panel 6, events"),
    ("knobs", "the line of knobs"),
    ("ascii", "plain ASCII in place of blocks and lines"),
)
"""(name, words); all but the first are on or off."""


def setup_page(view: View, lines: int) -> list[Text]:
    """At most `lines` lines."""
    values = {
        "map": {None: "when there are many", True: "always", False: "never"}[view.map],
        "ascii": "no" if view.unicode else "yes",
    }
    page = [rule("SET-UP", view.width, "up and down choose, space changes, Esc leaves", view.unicode)]
    for number, (name, words) in enumerate(SETTINGS):
        value = values.get(name, "hidden" if name in view.hidden else "shown")
        text = line(" > " if number == view.page_row else "   ", (f"{words:<44}", HEADING), value)
        if number == view.page_row:
            text.stylize("reverse")
        page.append(text)
    return [cut(text, view.width) for text in page[:lines]]
