"""A run that nobody looks at: the machine is driven to its end, and its snapshots are returned.

Models: the sampler's view at the end of the warm-up and at the end. Leaves out: signals, screens and documents (`scenarios.run`).
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from emu.errors import ConfigError, InvariantError
from monitor.identities import broken_identities
from monitor.numbers import duration
from monitor.snapshot import Snapshot
from scenarios.build import Built
from scenarios.machine import Sampler
from scenarios.observe import snapshot


@dataclass(frozen=True, slots=True)
class Span:
    """What a machine had counted before and after the part of the run that is looked at."""

    start: Snapshot | None
    """At the end of the warm-up; None without one: everything counts."""
    end: Snapshot

    @property
    def length_ns(self) -> int:
        """Virtual time between the two."""
        return self.end.meta.now_ns - (self.start.meta.now_ns if self.start is not None else 0)


def run_headless(built: Built, warmup_ns: int = 0) -> Span:
    """Run `built` to its end. The snapshots are whole: with histograms, sockets and processes.

    The machine's own numbers do not depend on `warmup_ns`. ConfigError when the run is over before the warm-up is, InvariantError
    when the numbers do not add up.
    """
    machine = built.machine
    taken: list[Snapshot] = []

    def mark(now_ns: int) -> None:
        if not taken:
            taken.append(_checked(built, now_ns))

    if warmup_ns:
        machine.add(Sampler(machine.rank(), machine.clock, warmup_ns, mark))
    trio.run(machine.run, built.until_ns, restrict_keyboard_interrupt_to_checkpoints=True)
    built.user.finish()
    end = _checked(built, machine.clock.reached_ns)
    if warmup_ns and (not taken or end.meta.now_ns <= warmup_ns):
        raise ConfigError(
            f"the warm-up takes {duration(warmup_ns)}, but the run was over at {duration(end.meta.now_ns)}: write a shorter one"
        )
    return Span(taken[0] if taken else None, end)


def _checked(built: Built, now_ns: int) -> Snapshot:
    built.nic.advance(now_ns)
    built.machine.ledger.check(now_ns)
    taken = snapshot(built, now_ns, whole=True)
    broken = broken_identities(taken)
    if broken:
        raise InvariantError("; ".join(broken))
    return taken
