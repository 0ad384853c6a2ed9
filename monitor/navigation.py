"""Navigation: what a person chose to look at, and the keys that choose it. Nothing here reaches the run.

`h`, `j`, `k`, `l` move where one panel or page fills the screen; among the panels `h` is help and `k` the knobs, as in htop and here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from monitor.command_line import CommandLine
from monitor.cpu_note import Residents, note
from monitor.cpu_panel import SORTS as CPU_SORTS
from monitor.cpu_panel import cpu_order, folded
from monitor.event_panel import shown_events
from monitor.flow import STAGES
from monitor.help import KEYS, WORDS
from monitor.lines import View
from monitor.queue_panel import SORTS as QUEUE_SORTS
from monitor.queue_panel import queue_order
from monitor.rates import Rates
from monitor.setup_page import SETTINGS
from monitor.snapshot import Snapshot
from monitor.why.findings import findings

PANELS: Final = 6
PAGE_ROWS: Final = 10


class Navigation:
    """The choices of one person at one screen. `look` tells it what is there to choose from."""

    def __init__(self) -> None:
        self.page = ""
        self.panel = 0
        self.row = 0
        self.page_row = 0
        self.zoomed = False
        self.cpu_sort, self.queue_sort = "trouble", "trouble"
        self.inverted = False
        self.filter = ""
        self.find = ""
        self.map: bool | None = None
        self.node: int | None = None
        self.hidden: frozenset[str] = frozenset()
        self.ascii = False
        self._snapshot: Snapshot | None = None
        self._rates: Rates | None = None
        self._keys = self._table()

    def _table(self) -> dict[str, Callable[[], None]]:
        pages = {
            "?": "help",
            "h": "help",
            "f1": "help",
            "f2": "setup",
            "S": "setup",
            "k": "knobs",
            "b": "before",
            "p": "proof",
            "a": "commands",
            "w": "what-if",
        }
        keys: dict[str, Callable[[], None]] = {key: self._opener(page) for key, page in pages.items()}
        for number in range(1, PANELS + 1):
            keys[str(number)] = self._goer(number)
        return keys | {
            "escape": self._back,
            "c-m": self._enter,
            "c-j": self._enter,
            "c-i": lambda: self._next_panel(1),
            "s-tab": lambda: self._next_panel(-1),
            "up": lambda: self._move(-1),
            "down": lambda: self._move(1),
            "j": lambda: self._move(1),
            "left": lambda: self._next_panel(-1),
            "right": lambda: self._next_panel(1),
            "l": lambda: self._next_panel(1),
            "pageup": lambda: self._move(-PAGE_ROWS),
            "pagedown": lambda: self._move(PAGE_ROWS),
            "home": lambda: self._move(-(1 << 30)),
            "end": lambda: self._move(1 << 30),
            "<": lambda: self._sort(-1),
            ">": lambda: self._sort(1),
            "f6": lambda: self._sort(1),
            "I": self._invert,
            "t": self._toggle_map,
            "f5": self._toggle_map,
            "e": self._expand,
            "n": lambda: self._search_on(1),
            "N": lambda: self._search_on(-1),
        }

    def look(self, snapshot: Snapshot, rates: Rates) -> None:
        """What is on the screen now."""
        self._snapshot, self._rates = snapshot, rates

    def view(self, width: int, height: int, unicode: bool, keys: bool, command: CommandLine | None) -> View:
        """The view of all choices for a terminal of this size."""
        return View(
            width,
            height,
            unicode=unicode and not self.ascii,
            keys=keys,
            command=command,
            page=self.page,
            panel=self.panel,
            row=self.row,
            page_row=self.page_row,
            zoomed=self.zoomed,
            cpu_sort=self.cpu_sort,
            queue_sort=self.queue_sort,
            inverted=self.inverted,
            filter=self.filter,
            find=self.find,
            map=self.map,
            node=self.node,
            hidden=self.hidden,
        )

    def press(self, key: str) -> bool:
        """Do what `key` means; False if it means nothing here."""
        if self.page == "setup" and key in (" ", "c-m", "c-j", "left", "right"):
            self._change_setting()
            return True
        if (self.zoomed or self.page) and key in ("h", "k"):
            self._move(-1) if key == "k" else self._next_panel(-1)
            return True
        action = self._keys.get(key)
        if action is None:
            return False
        action()
        return True

    def searcher(self, history: list[str]) -> CommandLine:
        """A line to type what is searched for."""
        return CommandLine(lambda text: (text, ()), history, "SEARCH", "/")

    def filterer(self, history: list[str]) -> CommandLine:
        """A line to type a filter of events; it begins with the CPU or queue that is selected."""
        return CommandLine(lambda text: (text, ()), history, "FILTER EVENTS", "\\", self._selected_name())

    def search(self, words: str) -> bool:
        """Select the next row that has `words`; False if none has."""
        self.find = words
        return self._search(0)

    def show_only(self, words: str) -> None:
        """Filter the events; empty shows all."""
        self.filter = words

    # ---------------------------------------------------------------- what keys do

    def _opener(self, page: str) -> Callable[[], None]:
        def turn() -> None:
            self.page = "" if self.page == page else page
            self.page_row = 0

        return turn

    def _goer(self, number: int) -> Callable[[], None]:
        def go() -> None:
            if self.panel != number:
                self.panel, self.row = number, 0
            self.page = ""

        return go

    def _back(self) -> None:
        """Leave what was entered last: the page, the zoomed panel, the node, the filter, the panel."""
        if self.page:
            self.page = ""
        elif self.zoomed:
            self.zoomed = False
        elif self.node is not None:
            self.node = None
        elif self.filter:
            self.filter = ""
        else:
            self.panel = self.row = 0

    def _enter(self) -> None:
        if not self.page:
            self.panel = self.panel or 1
            self.zoomed = True

    def _next_panel(self, step: int) -> None:
        if self.page:
            return
        self.panel = (self.panel - 1 + step) % PANELS + 1 if self.panel else (1 if step > 0 else PANELS)
        self.row = 0

    def _move(self, step: int) -> None:
        if self.page and self.page not in ("proof", "commands", "what-if"):
            self.page_row = min(max(self.page_row + step, 0), max(self._page_rows() - 1, 0))
            return
        if self.page:  # from one sentence to the next
            self.panel = 5
        elif not self.panel:
            self.panel = 1
            return
        self.row = min(max(self.row + step, 0), max(len(self._rows(self.panel)) - 1, 0))

    def _page_rows(self) -> int:
        knobs = len(self._snapshot.knobs) if self._snapshot is not None else 0
        return {"help": len(KEYS) + len(WORDS), "setup": len(SETTINGS), "knobs": knobs}.get(self.page, 0)

    def _sort(self, step: int) -> None:
        if self.panel in (2, 3):
            names = list(QUEUE_SORTS)
            self.queue_sort = names[(names.index(self.queue_sort) + step) % len(names)]
        else:
            names = list(CPU_SORTS)
            self.cpu_sort = names[(names.index(self.cpu_sort) + step) % len(names)]

    def _invert(self) -> None:
        self.inverted = not self.inverted

    def _toggle_map(self) -> None:
        if self._snapshot is not None:
            self.map = not folded(self._snapshot, self.view(80, 24, True, True, None))

    def _expand(self) -> None:
        """The CPUs of the next node, after the last all again."""
        nodes = sorted({cpu.node for cpu in self._snapshot.cpus}) if self._snapshot is not None else []
        later = [node for node in nodes if self.node is None or node > self.node]
        self.node = later[0] if later else None
        self.row = 0

    def _change_setting(self) -> None:
        name = SETTINGS[self.page_row][0]
        if name == "map":
            self.map = {None: True, True: False, False: None}[self.map]
        elif name == "ascii":
            self.ascii = not self.ascii
        else:
            self.hidden ^= {name}

    # ---------------------------------------------------------------- rows

    def _rows(self, panel: int) -> list[str]:
        """The rows of a panel as they are listed, in words that can be searched."""
        snapshot, rates = self._snapshot, self._rates
        if snapshot is None or rates is None:
            return []
        view = self.view(80, 24, True, True, None)
        if panel == 1:
            residents = Residents(snapshot)
            return [
                f"cpu{i} node{snapshot.cpus[i].node} {note(snapshot, rates, residents, i, True).plain}"
                for i in cpu_order(snapshot, rates, view)
            ]
        if panel in (2, 3):
            queues = [snapshot.queues[i] for i in queue_order(snapshot, rates, view)]
            return [f"rx-{queue.index} irq {queue.irq} cpu{queue.cpu}" for queue in queues]
        if panel == 4:
            return list(STAGES)
        if panel == 5:
            return [finding.text for finding in findings(snapshot, rates)]
        return [event.text for event in shown_events(snapshot, view)]

    def _selected_name(self) -> str:
        if self.panel in (1, 2, 3):
            rows = self._rows(self.panel)
            if self.row < len(rows):
                return rows[self.row].split(" ")[0]
        return self.filter

    def _search_on(self, step: int) -> None:
        self._search(step)

    def _search(self, step: int) -> bool:
        """From the selected row on (`step` 1 or -1: from its neighbour), through all panels and around."""
        if not self.find:
            return False
        places = [
            (panel, number, words) for panel in range(1, PANELS + 1) for number, words in enumerate(self._rows(panel))
        ]
        if not places:
            return False
        now = [(panel, number) for panel, number, _ in places]
        begin = now.index((self.panel, self.row)) + step if (self.panel, self.row) in now else 0
        for offset in range(len(places)):
            panel, number, words = places[(begin + offset * (step or 1)) % len(places)]
            if self.find.lower() in words.lower():
                self.panel, self.row = panel, number
                self.page = ""
                return True
        return False
