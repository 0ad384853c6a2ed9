"""The help page: keys, columns and words of the screen."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.lines import HEADING, View, cut, first_lines, line, rule

KEYS: Final = (
    ("q F10 Ctrl-C", "quit; the summary follows"),
    ("space  .", "pause and go on; pause, then one step"),
    ("+ -", "faster, slower; pace never changes a result"),
    ("1..6 Tab", "go to a panel; the next, Shift-Tab the one before"),
    ("arrows Home End PgUp", "move in a panel or page; h j k l where it fills the screen"),
    ("Enter Esc", "the panel on the whole screen; back"),
    ("/ F3 n N", "search the rows, next, previous"),
    ("\\ F4", "filter events: cpu2, rx-0, pkt 7, words"),
    ("< > F6 I", "sort by another column, the other way round"),
    ("t F5 e", "CPUs as map or list; expand a node"),
    ("p a w", "what proves a WHY sentence; its commands; what-if"),
    ("k b", "all knobs; before and after the last change"),
    (":  s", "a command: echo, sysctl, ethtool; save the run"),
    ("F2 S  Ctrl-L Ctrl-Z", "set-up; draw again; suspend, fg comes back"),
    ("? h F1", "this page and back"),
)

WORDS: Final = (
    ("IN = OUT + DROP + HELD", "wire frames a virtual second; HELD: gained by queues"),
    ("%hi %si %app %idl", "shares of a CPU's time, 100 in all; %si has ksoftirqd"),
    ("proc drop", "packets through this CPU; those its backlog refused"),
    ("sqz b/t", "net_rx_action stopped (time_squeeze) by budget/time"),
    ("rps ipi> qlen ks", "IPI wake-ups, IPIs sent, backlog, R: ksoftirqd runs"),
    ("p/poll gro", "frames a poll; frames in a packet after GRO"),
    ("POLL irq 25us", "vector masked and polled; armed: 25 us apart, ~ adapts"),
    ("* !", "trouble: a loss, or a squeeze that left work"),
    ("heat row", ". idle, 1-9 tenths busy, # full, ! trouble, x offline"),
    ("open-loop TCP", "TCP of a capture: its sender does not slow down"),
)


def help_lines(view: View, lines: int) -> list[Text]:
    """At most `lines` lines."""
    words = [*KEYS, *WORDS]
    page = [rule("HELP", view.width, "up and down", view.unicode)]
    page += first_lines(
        words,
        lines - 1,
        lambda item: line("  ", (f"{item[0]:<24}", HEADING), item[1]),
        lambda missing: f"and {missing} more lines",
        min(view.page_row, len(words) - 1) if view.page_row else -1,
    )
    return [cut(text, view.width) for text in page[:lines]]
