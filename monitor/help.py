"""The help page: keys, columns and words of the screen."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from monitor.lines import HEADING, View, cut, line, rule

KEYS: Final = (
    ("q", "quit; the summary follows. Ctrl-C does the same"),
    ("space", "pause and go on"),
    (".", "pause, then one step"),
    ("+ -", "faster, slower; pace never changes a result"),
    (":", "a command: echo, cat, sysctl, ethtool, taskset, rate"),
    ("s", "save the run as a scenario that repeats it"),
    ("?", "this page and back; Esc leaves it too"),
)

WORDS: Final = (
    ("IN = OUT + DROP + HELD", "wire frames a virtual second; HELD: gained by queues"),
    ("%hi %si %app %idl", "shares of a CPU's time, 100 in all; %si has ksoftirqd"),
    ("proc drop", "packets through this CPU; those its backlog refused"),
    ("sqz b/t", "net_rx_action stopped (time_squeeze) by budget/time"),
    ("rps ipi>", "wake-ups received by IPI; IPIs sent"),
    ("qlen ks", "packets in the backlog; R when ksoftirqd runs"),
    ("p/poll gro", "frames a poll; frames in a packet after GRO"),
    ("POLL irq 25us", "vector masked and polled; armed: 25 us apart, ~ adapts"),
    ("* !", "trouble: a loss, or a squeeze that left work"),
    ("heat row", ". idle, 1-9 tenths busy, # full, ! trouble, x offline"),
    ("open-loop TCP", "TCP of a capture: its sender does not slow down"),
)


def help_lines(view: View, lines: int) -> list[Text]:
    """At most `lines` lines."""
    page = [rule("HELP", view.width, unicode=view.unicode)]
    page += [line("  ", (f"{key:<24}", HEADING), words) for key, words in (*KEYS, *WORDS)]
    return [cut(text, view.width) for text in page[:lines]]
