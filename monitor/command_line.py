"""The command line of the live screen: what is typed behind the `:`, its history, and what the machine answered.

Models: a line editor's usual keys. Leaves out: what a line means; it is handed to whoever runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from monitor.lines import FAINT, HEADING, TROUBLE, View, cut, line, plain, rule

MAX_LINE: Final = 1000
MAX_HISTORY: Final = 1000
SHOWN_CANDIDATES: Final = 60
SCROLLED_LINES: Final = 10

Complete = Callable[[str], tuple[str, Sequence[str]]]
"""From what stands before the cursor: what of it stays, and the candidates for its last word."""


class CommandLine:
    """A line being edited. `history` is shared by all lines of a run, the oldest first.

    `title` and `prompt` tell what the line is for.
    """

    def __init__(
        self, complete: Complete, history: list[str], title: str = "COMMAND", prompt: str = ":", text: str = ""
    ) -> None:
        self.title = title
        self.prompt = prompt
        self.text = text
        self.cursor = len(text)
        self.busy = False
        """A line was handed in and is not answered yet."""
        self.answer: list[tuple[str, str]] = []
        """(line, style) of what is shown above the line: what was printed, an error, candidates."""
        self.scrolled = 0
        """How many lines of the answer were scrolled past."""
        self._complete = complete
        self._history = history
        self._place = len(history)
        self._draft = ""
        self._edits: dict[str, Callable[[], None]] = {
            "left": lambda: self._go(self.cursor - 1),
            "c-b": lambda: self._go(self.cursor - 1),
            "right": lambda: self._go(self.cursor + 1),
            "c-f": lambda: self._go(self.cursor + 1),
            "home": lambda: self._go(0),
            "c-a": lambda: self._go(0),
            "end": lambda: self._go(len(self.text)),
            "c-e": lambda: self._go(len(self.text)),
            "c-h": lambda: self._delete(self.cursor - 1, self.cursor),
            "delete": lambda: self._delete(self.cursor, self.cursor + 1),
            "c-d": lambda: self._delete(self.cursor, self.cursor + 1),
            "c-k": lambda: self._delete(self.cursor, len(self.text)),
            "c-u": lambda: self._delete(0, self.cursor),
            "c-w": self._delete_word,
            "up": lambda: self._recall(-1),
            "c-p": lambda: self._recall(-1),
            "down": lambda: self._recall(1),
            "c-n": lambda: self._recall(1),
            "c-i": self._tab,
            "pageup": lambda: self._scroll(-SCROLLED_LINES),
            "pagedown": lambda: self._scroll(SCROLLED_LINES),
        }

    def press(self, key: str) -> str | None:
        """Edit by a key. Returns the line when Enter handed it in; keys without a meaning do nothing."""
        if self.busy:
            return None
        if key in ("c-m", "c-j"):  # a terminal may turn one into the other
            return self._hand_in()
        edit = self._edits.get(key)
        if edit is not None:
            edit()
        elif len(key) == 1 and key.isprintable() and len(self.text) < MAX_LINE:
            self.text = self.text[: self.cursor] + key + self.text[self.cursor :]
            self.cursor += 1
        return None

    def answered(self, said: str, printed: str, refused: bool = False) -> None:
        """The machine's answer to the line `said`."""
        self.busy = False
        self.scrolled = 0
        style = TROUBLE if refused else ""
        self.answer = [(f": {said}", HEADING), *((words, style) for words in printed.expandtabs().splitlines())]

    def _hand_in(self) -> str | None:
        said = self.text.strip()
        self.text, self.cursor = "", 0
        self.answer, self.scrolled = [], 0
        if not said:
            return None
        if not self._history or self._history[-1] != said:
            self._history.append(said)
            del self._history[:-MAX_HISTORY]
        self._place = len(self._history)
        self.busy = True
        return said

    def _scroll(self, step: int) -> None:
        self.scrolled = min(max(self.scrolled + step, 0), max(len(self.answer) - 1, 0))

    def _go(self, place: int) -> None:
        self.cursor = min(max(place, 0), len(self.text))

    def _delete(self, start: int, end: int) -> None:
        start = max(start, 0)
        self.text = self.text[:start] + self.text[end:]
        self.cursor = min(start, len(self.text))

    def _delete_word(self) -> None:
        head = self.text[: self.cursor].rstrip()
        self._delete(head.rfind(" ") + 1, self.cursor)

    def _recall(self, step: int) -> None:
        place = self._place + step
        if not 0 <= place <= len(self._history):
            return
        if self._place == len(self._history):
            self._draft = self.text
        self._place = place
        self.text = self._history[place] if place < len(self._history) else self._draft
        self.cursor = len(self.text)

    def _tab(self) -> None:
        stays, candidates = self._complete(self.text[: self.cursor])
        if not candidates:
            return
        shared = candidates[0]
        for candidate in candidates[1:]:
            while not candidate.startswith(shared):
                shared = shared[:-1]
        head = (stays + shared)[:MAX_LINE]
        if len(candidates) > 1 and head == self.text[: self.cursor]:
            names = [name.rstrip("/ ").rpartition("/")[2] + "/" * name.endswith("/") for name in candidates]
            more = len(names) - SHOWN_CANDIDATES
            shown = "  ".join(names[:SHOWN_CANDIDATES])
            self.scrolled = 0
            self.answer = [(shown + (f"  and {more} more" if more > 0 else ""), FAINT)]
        self.text = head + self.text[self.cursor :].lstrip() if head.endswith(" ") else head + self.text[self.cursor :]
        self.cursor = len(head)


def command_lines(command: CommandLine, view: View, lines: int) -> list[Text]:
    """The answer and the line itself, for the bottom of the screen: at most `lines` lines of the view's width."""
    shown: list[Text] = []
    for words, style in command.answer[command.scrolled :]:
        words = plain(words, unicode=view.unicode)
        for start in range(0, max(len(words), 1), max(view.width - 2, 1)):
            shown.append(line("  ", (words[start : start + max(view.width - 2, 1)], style)))
    room = max(lines - 2, 0)
    if len(shown) > room:
        left_out = len(shown) - max(room - 1, 0)
        shown = shown[: max(room - 1, 0)] + [line(("  ", ""), (f"{left_out} more lines: PgDn", FAINT))][:room]
    title = (
        [rule(command.title, view.width, "Tab completes, Enter runs, Esc leaves", view.unicode)] if lines > 1 else []
    )
    return [cut(text, view.width) for text in [*title, *shown, _edited(command, view)]][-lines:]


def _edited(command: CommandLine, view: View) -> Text:
    """The line with its cursor, scrolled so that the cursor is seen."""
    text = plain(command.text, unicode=view.unicode)
    room = max(view.width - 4, 1)
    start = 0
    while cell_len(text[start : command.cursor]) > room:
        start += 1
    before, at, behind = (
        text[start : command.cursor],
        text[command.cursor : command.cursor + 1],
        text[command.cursor + 1 :],
    )
    return line(
        (f" {command.prompt}", HEADING),
        before,
        (at or " ", "reverse"),
        behind,
        ("  ...", FAINT) if command.busy else "",
    )
