"""Runs of a comparison: A and B under the same seeds, in as many processes as there are CPUs to spare.

Models: one run a task; a seed counts when both of its runs are there. What is measured depends on scenario, changes and seed alone,
never on how many workers there are or which one is first.
Leaves out: what the figures mean (`scenarios.study.paired`).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from emu.errors import ConfigError, ControlError
from monitor.signals import STOPPING
from scenarios.build import Built, build
from scenarios.headless import run_headless
from scenarios.load import LoadedScenario
from scenarios.shown import shown
from scenarios.study.figures import Figures, figures
from scenarios.study.traffic import watch_traffic


@dataclass(frozen=True, slots=True)
class Side:
    """A or B: a scenario, and the commands written before its first frame."""

    loaded: LoadedScenario
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.loaded.scenario.scenario.name


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its figures, a digest of each source's frames, and the virtual time that was looked at."""

    figures: Figures
    traffic: dict[str, str]
    length_ns: int


@dataclass(slots=True)
class Pairs:
    """Runs of both sides under the same seeds; lists are parallel and in the order of the seeds."""

    seeds: list[int] = field(default_factory=list)
    a: list[Measured] = field(default_factory=list)
    b: list[Measured] = field(default_factory=list)
    was_cut_short: bool = False
    """A Ctrl-C ended it before all seeds were run."""


def prepare(side: Side, seed: int) -> Built:
    """The machine of `side`, its changes made. ConfigError for one that only shows something, or that the kernel refuses (its errno)."""
    built = build(side.loaded.scenario, side.loaded.origin, seed)
    for line in side.changes:
        try:
            if built.user.commands.asks(line) and not line.lstrip().startswith("#"):
                raise ConfigError(f"--change: {shown(repr(line))} changes nothing, write what does: echo VALUE > PATH")
            built.user.commands.run(line)
        except ControlError as error:
            raise ConfigError(f"--change: {error.errno_name}: {error.message}") from error
    return built


def measure(side: Side, seed: int) -> Measured:
    """Run `side` under `seed`, and measure what follows the warm-up."""
    built = prepare(side, seed)
    warmup_ns = int(side.loaded.scenario.run.warmup)
    watched = watch_traffic(built, warmup_ns)
    span = run_headless(built, warmup_ns)
    offered = sum(source.frames_after_warmup for source in watched.values())
    return Measured(figures(span, offered), {name: source.digest() for name, source in watched.items()}, span.length_ns)


def run_pairs(
    a: Side, b: Side, seeds: Sequence[int], workers: int, progress: Callable[[int], None] = lambda runs: None
) -> Pairs:
    """Run both sides under all `seeds`, `workers` runs at a time. `progress` is told how many runs are over.

    A Ctrl-C (KeyboardInterrupt) ends it: the seeds whose runs are both there are returned. An error of a run is raised.
    """
    done: dict[tuple[int, int], Measured] = {}
    tasks = [(index, which) for index in range(len(seeds)) for which in (0, 1)]
    cut_short = False
    try:
        for task, measured in _results([((a, b)[which], seeds[index]) for index, which in tasks], workers):
            done[tasks[task]] = measured
            progress(len(done))
    except KeyboardInterrupt:
        cut_short = True
    pairs = Pairs(was_cut_short=cut_short)
    for index, seed in enumerate(seeds):
        if (index, 0) in done and (index, 1) in done:
            pairs.seeds.append(seed)
            pairs.a.append(done[index, 0])
            pairs.b.append(done[index, 1])
    return pairs


def usable_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _results(runs: list[tuple[Side, int]], workers: int) -> Iterator[tuple[int, Measured]]:
    """(index in `runs`, what was measured), in whatever order they end."""
    if workers <= 1:
        for index, (side, seed) in enumerate(runs):
            yield index, measure(side, seed)
        return
    before = set(multiprocessing.active_children())
    # Processes of their own start: a fork would copy whatever threads hold at that moment.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(runs)), context, initializer=_leave_signals_to_the_parent)
    try:
        waiting: dict[Future[Measured], int] = {}
        with _signals_held_back():
            for index, (side, seed) in enumerate(runs):
                waiting[pool.submit(measure, side, seed)] = index
        while waiting:
            over, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in sorted(over, key=waiting.__getitem__):
                yield waiting.pop(future), future.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """While workers are being started a signal waits: a worker that is started half prints a traceback. They inherit the blocked mask."""
    asked: list[int] = []
    try:
        old = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in STOPPING}
    except ValueError:  # not the main thread: no signal comes here
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for number, handler in old.items():
            signal.signal(number, handler)
    if asked:
        signal.raise_signal(asked[0])


def _leave_signals_to_the_parent() -> None:
    """A terminal's Ctrl-C reaches every process of the group; the parent alone decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
