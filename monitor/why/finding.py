"""Finding: a sentence about the last interval that counters prove, with the numbers that prove it and what one might do."""

from __future__ import annotations

import shlex
from functools import lru_cache

from msgspec import Struct

from emu.cpumask import parse_mask
from emu.errors import ControlError
from monitor.rates import Rates
from monitor.snapshot import Snapshot


class Finding(Struct, frozen=True):
    """`trouble` is a loss, or work left because a limit was met; other findings are worth knowing."""

    trouble: bool
    text: str
    proof: tuple[str, ...]
    """The numbers behind `text`, a line each, with the names that they have on a real machine."""
    advice: str = ""
    """What would change it, in a few words."""
    commands: tuple[str, ...] = ()
    """Shell commands that make that change; quoted, never run by us."""


def per_second(rates: Rates, count: int) -> str:
    """`count` of the interval as a whole number a second with commas; what is not zero never reads as zero."""
    rate = rates.per_second(count)
    return f"{rate:,.0f}" if rate >= 0.5 or not count else "<1"


def percent(part: int, whole: int) -> str:
    """`54.3 %`; `-` of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def knob(snapshot: Snapshot, name: str, default: str = "") -> str:
    """A setting as it is now."""
    return snapshot.knobs.get(name, default)


def rps_cpus_path(snapshot: Snapshot, queue: int) -> str:
    """The control file with a queue's RPS mask."""
    return _queue_file(snapshot.meta.nic, queue, "rps_cpus")


def rps_flow_cnt_path(snapshot: Snapshot, queue: int) -> str:
    """The control file with the size of a queue's flow table."""
    return _queue_file(snapshot.meta.nic, queue, "rps_flow_cnt")


@lru_cache(maxsize=4096)
def _queue_file(nic: str, queue: int, name: str) -> str:
    return f"/sys/class/net/{nic}/queues/rx-{queue}/{name}"


def rps_mask(snapshot: Snapshot, queue: int) -> int:
    """The CPUs that a queue's packets are spread over, 0 without RPS. Of a document's mask that is none, nothing is claimed: 0."""
    return _mask(knob(snapshot, rps_cpus_path(snapshot, queue), "0"), max(len(snapshot.cpus), 1))


@lru_cache(maxsize=1024)
def _mask(text: str, nr_cpus: int) -> int:
    try:
        return parse_mask(text, nr_cpus)
    except ControlError:
        return 0


def echo(value: str, path: str) -> str:
    """The command that writes a control file."""
    return f"echo {shlex.quote(value)} > {shlex.quote(path)}"


def sysctl(name: str, value: str) -> str:
    """The command that sets a sysctl."""
    return f"sysctl -w {shlex.quote(f'{name}={value}')}"
