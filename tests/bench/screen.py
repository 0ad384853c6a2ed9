"""What the screen costs: a frame beside the same text printed without style, and its share of a run at four frames a second."""

from __future__ import annotations

import gc
import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio
from rich.console import Console
from rich.live import Live
from rich.text import Text

from monitor.history import History
from monitor.identities import broken_identities
from monitor.lines import View
from monitor.render import frame
from monitor.terminal import Painted
from scenarios.build import Built, build
from scenarios.load import parse_scenario
from scenarios.machine import Sampler
from scenarios.observe import snapshot

MOST_TIMES_PLAIN: Final = 3.0
MOST_OF_A_RUN: Final = 0.10
FRAMES_PER_SECOND: Final = 4
ROUNDS: Final = 31
SCENARIOS: Final = ("squeeze-budget", "cpus-64")
"""Eight queues on one of two CPUs, and 64 of both: many more to sort and add up than there is room to show."""
SIZE: Final = (120, 40)


def _machine(name: str) -> Built:
    path = Path(__file__).parents[2] / "scenarios" / "library" / f"{name}.toml"
    loaded = parse_scenario(path.read_text(), name, path.parent)
    return build(loaded.scenario, loaded.origin, seed=1)


def _console() -> Console:
    return Console(
        file=io.StringIO(), width=SIZE[0], height=SIZE[1], force_terminal=True, color_system="256", highlight=False
    )


def _seconds(show: Callable[[], object]) -> float:
    """CPU time, because a shared machine's wall time tells of its other users."""
    begin = time.process_time()
    show()
    return time.process_time() - begin


def frame_costs(name: str) -> tuple[float, float, float]:
    """Seconds for: a frame made and shown, the same text shown without style, all that a live frame takes (snapshot included)."""
    built = _machine(name)
    history = History()

    def sample(now_ns: int) -> None:
        history.push(snapshot(built, now_ns))

    built.machine.add(Sampler(built.machine.rank(), built.machine.clock, 1_000_000, sample))
    trio.run(built.machine.run, min(built.until_ns, 8_000_000))
    now_ns = built.machine.clock.now_ns
    taken = snapshot(built, now_ns)
    rates = history.push(taken)
    view = View(*SIZE)
    text = frame(taken, rates, history.samples(), view)
    plain = Text(text.plain, no_wrap=True, overflow="crop", end="")
    styled: list[float] = []
    unstyled: list[float] = []
    whole: list[float] = []
    with Live(console=_console(), screen=True, auto_refresh=False) as live:

        def show(what: Text) -> None:
            live.update(what, refresh=True)

        def show_frame() -> None:
            live.update(Painted(frame(taken, rates, history.samples(), view)), refresh=True)

        def all_of_it() -> None:
            fresh = snapshot(built, now_ns)
            broken_identities(fresh)
            fresh_rates = History().push(fresh)
            live.update(Painted(frame(fresh, fresh_rates, history.samples(), view)), refresh=True)

        gc.collect()
        for _ in range(ROUNDS):  # in turn, because a shared machine's speed drifts
            styled.append(_seconds(show_frame))
            unstyled.append(_seconds(lambda: show(plain)))
            whole.append(_seconds(all_of_it))
    return statistics.median(styled), statistics.median(unstyled), statistics.median(whole)


def screen_cost() -> bool:
    """Print both figures for each scenario. True if the goals are reached."""
    print(f"\na frame of {SIZE[0]} x {SIZE[1]} (goals: at most {MOST_TIMES_PLAIN:g} times its text without style, ")
    print(f"less than {MOST_OF_A_RUN:.0%} of a run at {FRAMES_PER_SECOND} frames a second)")
    print(f"{'scenario':16} {'frame ms':>9} {'plain ms':>9} {'ratio':>6} {'with snapshot ms':>17} {'of a run':>9}")
    reached = True
    for name in SCENARIOS:
        styled, unstyled, whole = frame_costs(name)
        ratio, share = styled / unstyled, whole * FRAMES_PER_SECOND
        reached = reached and ratio <= MOST_TIMES_PLAIN and share < MOST_OF_A_RUN
        print(f"{name:16} {styled * 1e3:9.2f} {unstyled * 1e3:9.2f} {ratio:6.2f} {whole * 1e3:17.2f} {share:9.1%}")
    return reached
