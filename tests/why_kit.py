"""Machines with their trace on, for tests."""

from __future__ import annotations

from collections.abc import Callable

from emu.skb import Skb
from scenarios.build import Built
from scenarios.why.ask import told
from scenarios.why.document import PacketStory
from scenarios.why.machine import TracedMachine
from scenarios.why.recorder import Recorder
from tests.scenario_kit import play


def record(
    text: str,
    seed: int = 1,
    wants: Callable[[Skb], bool] = lambda skb: True,
    writes: list[tuple[int, str, str]] | None = None,
) -> tuple[Built, dict[int, PacketStory]]:
    """Play the TOML `text` to its end on a traced machine. Returns it and the stories of the packets that arrived, by number."""
    recorders: list[Recorder] = []
    built = play(
        text, seed, TracedMachine, writes=writes, prepare=lambda built: recorders.append(Recorder(built, wants))
    )
    now_ns = built.machine.clock.reached_ns
    return built, {
        story.number + 1: told(built, story) for story in recorders[0].stories.values() if story.arrived_ns <= now_ns
    }
