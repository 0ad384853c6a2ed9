"""Whole machines for tests: a scenario as TOML text, played to its end, and what it counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import trio

from emu.clock import Actor, Clock
from emu.errors import ControlError
from monitor.identities import broken_identities
from monitor.snapshot import Snapshot
from scenarios.build import Built, build
from scenarios.load import parse_scenario
from scenarios.machine import Machine
from scenarios.observe import snapshot

EVENT_KIND = 3
"""emu.clock.KIND_USER: control writes come after CPUs at the same time."""


class Writer(Actor):
    """Writes control files at given times, as a user would: (time in ns, path, value). A refused write is noted, not raised.

    The path "ethtool" stands for the command, with the value as its words.
    """

    kind = EVENT_KIND

    def __init__(self, built: Built, writes: list[tuple[int, str, str]]) -> None:
        machine = built.machine
        super().__init__("writer", machine.rank())
        self._clock: Clock = machine.clock
        self._tree = machine.tree
        self._commands = built.user.commands
        self._writes = sorted(writes)
        self.refused: list[tuple[int, str, str]] = []

    async def run(self) -> None:
        """Write each file at its time, then leave."""
        await self._clock.enter(self, self._writes[0][0], is_open=False)
        for at_ns, path, value in self._writes:
            if at_ns > self.local_now_ns:
                self.local_now_ns = at_ns
                await self._clock.synchronise(self)
            try:
                if path == "ethtool":
                    self._commands.run(f"ethtool {value}")
                else:
                    self._tree.write(path, value)
            except ControlError:
                self.refused.append((at_ns, path, value))
        self._clock.leave()


def make(text: str, seed: int = 1, machine: type[Machine] = Machine) -> Built:
    """The machine that the TOML `text` describes."""
    loaded = parse_scenario(text, "scenario.toml", Path())
    return build(loaded.scenario, loaded.origin, seed, machine_class=machine)


def play(
    text: str,
    seed: int = 1,
    machine: type[Machine] = Machine,
    *,
    writes: list[tuple[int, str, str]] | None = None,
    prepare: Callable[[Built], None] | None = None,
) -> Built:
    """Build and run to the end; `prepare` may add to the machine before it runs. The ledger balances afterwards."""
    built = make(text, seed, machine)
    if writes:
        built.machine.add(Writer(built, writes))
    if prepare is not None:
        prepare(built)
    trio.run(built.machine.run, built.until_ns)
    finish(built)
    return built


def finish(built: Built) -> Snapshot:
    """What the machine counted, as of its end; everything in it adds up."""
    now_ns = built.machine.clock.now_ns
    built.nic.advance(now_ns)
    built.machine.ledger.check(now_ns)
    taken = snapshot(built, now_ns, finished=True)
    assert not broken_identities(taken)
    return taken


def document(built: Built) -> bytes:
    """The snapshot at the end as JSON."""
    return msgspec.json.encode(finish(built), order="deterministic")
