"""What a box did between the two samples of its counters: packets, drops and squeezes a second, and its busiest CPU.

For the user to hold beside the copy; nothing of it changes the machine.
Source: net/core/net-procfs.c softnet_seq_show (columns 0, 1 and 2; 32 bits, they wrap), fs/proc/stat.c (6.9).
"""

from __future__ import annotations

import re
from typing import Final

from scenarios.box_files import BoxFiles

LATER: Final = "after/"
"""Where collect.sh puts the second sample."""
SOFTNET_STAT: Final = "proc/net/softnet_stat"
WRAP: Final = 1 << 32
SHORTEST_S: Final = 0.1
LONGEST_S: Final = 86_400.0

_ROW: Final = re.compile(r"[0-9a-f]{8}(?: [0-9a-f]{8}){8,14}")
_CPU: Final = re.compile(r"cpu(\d{1,4})((?: \d{1,20}){7,10})")
_UPTIME: Final = re.compile(r"(\d{1,12}\.\d{2}) ")
_IDLE: Final = slice(3, 5)
_SOFTIRQ: Final = 6


def rates(files: BoxFiles) -> str | None:
    """The sentence about it; None without two samples that fit each other. InputFileError for a file that is no text."""
    begin_s, end_s = _uptime(files, ""), _uptime(files, LATER)
    before, after = _softnet(files, ""), _softnet(files, LATER)
    if begin_s is None or end_s is None or not before or len(before) != len(after):
        return None
    seconds = end_s - begin_s
    if not SHORTEST_S <= seconds <= LONGEST_S:
        return None
    packets, dropped, squeezes = (
        sum((new[column] - old[column]) % WRAP for old, new in zip(before, after, strict=True)) / seconds
        for column in range(3)
    )
    words = (
        f"there, over {seconds:.1f} s: {packets:,.0f} packets/s through softirq, {dropped:,.0f} dropped/s, "
        f"{squeezes:,.1f} squeezes/s"
    )
    busiest = max(_shares(files), default=None)
    return (
        words
        if busiest is None
        else f"{words}; CPU {busiest[2]} busiest: {busiest[0]:.0%}, {busiest[1]:.0%} in softirq"
    )


def _uptime(files: BoxFiles, prefix: str) -> float | None:
    match = _UPTIME.match(files.text(f"{prefix}proc/uptime", is_expected=False) or "")
    return float(match[1]) if match else None


def _softnet(files: BoxFiles, prefix: str) -> list[tuple[int, int, int]]:
    """(processed, dropped, time_squeeze) of each row; none if some row is no row."""
    rows = (files.text(f"{prefix}{SOFTNET_STAT}", is_expected=False) or "").splitlines()
    if not all(_ROW.fullmatch(row) for row in rows):
        return []
    return [(int(row[0:8], 16), int(row[9:17], 16), int(row[18:26], 16)) for row in rows]


def _shares(files: BoxFiles) -> list[tuple[float, float, int]]:
    """(share of time not idle, share in softirq, CPU) of each CPU that both samples have."""
    before, after = _ticks(files, ""), _ticks(files, LATER)
    found = []
    for cpu in before.keys() & after.keys():
        spent = [new - old for old, new in zip(before[cpu], after[cpu], strict=False)]
        total = sum(spent[:8])  # guest time, behind it, is in user time already
        if total > 0 and min(spent) >= 0:
            found.append((1 - sum(spent[_IDLE]) / total, spent[_SOFTIRQ] / total, cpu))
    return found


def _ticks(files: BoxFiles, prefix: str) -> dict[int, list[int]]:
    """CPU -> user, nice, system, idle, iowait, irq, softirq, ... in ticks."""
    lines = (files.text(f"{prefix}proc/stat", is_expected=False) or "").splitlines()
    return {int(m[1]): [int(word) for word in m[2].split()] for line in lines if (m := _CPU.fullmatch(line))}
