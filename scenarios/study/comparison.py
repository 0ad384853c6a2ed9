"""One comparison, as a document: what was run, all figures, the verdict, and the commands for a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from monitor.lines import plain
from monitor.numbers import duration
from scenarios.observe import settings_hash
from scenarios.study.paired import Paired, pair
from scenarios.study.runner import Pairs, Side
from scenarios.study.server_commands import ServerCommands
from scenarios.study.table import side_by_side
from scenarios.study.verdict import failures, verdict

MANY_SEEDS: Final = 10
"""With fewer a percentile bootstrap promises too much (`scenarios.study.bootstrap`)."""

_NO_COMMAND: Final = "No command on a server makes this difference"

SCHEMA_VERSION: Final = 1
"""Rises when a field changes its meaning or goes away."""


class SideDocument(Struct, frozen=True, kw_only=True):
    """A or B."""

    scenario: str
    settings_hash: str
    """Of the scenario, without the changes."""
    changes: tuple[str, ...]
    length_ns: tuple[int, ...]
    """Virtual time that was looked at, by seed."""


class Comparison(Struct, frozen=True, kw_only=True):
    """The document of `softnet compare --json`."""

    schema_version: int = SCHEMA_VERSION
    a: SideDocument
    b: SideDocument
    seeds: tuple[int, ...]
    """Seeds that it stands on."""
    seeds_wanted: int
    warmup_ns: tuple[int, int]
    """Left out at the beginning, in A and in B."""
    same_traffic: bool
    """A and B were sent the same frames under each seed."""
    different_sources: tuple[str, ...]
    """Sources whose frames differ, or that only one of them has."""
    figures: tuple[Paired, ...]
    verdict: tuple[str, ...]
    limit_percent: float | None
    """Of `--fail-if-worse`."""
    failures: tuple[str, ...]
    apply: tuple[str, ...]
    """Lines of a shell script that makes A's server B's."""
    undo: tuple[str, ...]
    fixed: tuple[str, ...]
    """Differences that no command makes."""
    command: str
    """The command line that repeats it."""

    def words(self) -> str:
        """The whole of it for people; no escape sequence, ends with a newline."""
        lines = [
            f"A: {plain(self.a.scenario)}",
            f"B: {plain(self.b.scenario)}" + "".join(f"\n   {plain(change)}" for change in self.b.changes),
            f"{len(self.seeds)} of {self.seeds_wanted} seeds: {_spans(self.seeds)}; "
            + " in A, ".join(dict.fromkeys(self._span(side) for side in (0, 1)))
            + (" in B" if self._span(0) != self._span(1) else ""),
            "The same frames were sent to both."
            if self.same_traffic
            else f"A and B were NOT sent the same frames: {', '.join(map(plain, self.different_sources))}.",
            *self._caution(),
            *side_by_side(self.figures),
            "",
            "Verdict",
            *(f"  {sentence}" for sentence in self.verdict),
            *(f"  FAILED: {sentence}" for sentence in self.failures),
        ]
        for title, script in (("The change on a server", self.apply), ("And back", self.undo)):
            if script:
                lines += ["", f"# {title}", *script]
        if not self.apply:
            same = self.same_traffic and not self.fixed
            words = "A and B have the same settings: there is nothing to change" if same else _NO_COMMAND
            lines += ["", f"# {words}."]
        lines += [f"# {plain(sentence)}" for sentence in self.fixed]
        lines += ["", f"Again: {self.command}"]
        return "\n".join(lines) + "\n"

    def _span(self, side: int) -> str:
        """What was looked at of each run of A (0) or B (1); runs of a capture are over when nothing is left to do."""
        warmup_ns = self.warmup_ns[side]
        return f"{duration((self.a, self.b)[side].length_ns[0])} each" + (
            f" after {duration(warmup_ns)} of warm-up" if warmup_ns else ""
        )

    def _caution(self) -> list[str]:
        """What few seeds cannot prove."""
        if len(self.seeds) == 1:
            return ["One seed: differences are this seed's, and have no interval."]
        if len(self.seeds) < MANY_SEEDS:
            return [f"Fewer than {MANY_SEEDS} seeds: the intervals are narrower than 95% would be."]
        return []


def compare(
    a: Side,
    b: Side,
    pairs: Pairs,
    seeds_wanted: int,
    commands: ServerCommands,
    limit_percent: float | None,
    command: str,
) -> Comparison:
    """Make the document of one or more pairs of runs."""
    figures = pair([run.figures for run in pairs.a], [run.figures for run in pairs.b], pairs.seeds[0])
    different = {
        name: None
        for old, new in zip(pairs.a, pairs.b, strict=True)
        for name in (*old.traffic, *new.traffic)
        if old.traffic.get(name) != new.traffic.get(name)
    }
    return Comparison(
        a=_side(a, [run.length_ns for run in pairs.a]),
        b=_side(b, [run.length_ns for run in pairs.b]),
        seeds=tuple(pairs.seeds),
        seeds_wanted=seeds_wanted,
        warmup_ns=(int(a.loaded.scenario.run.warmup), int(b.loaded.scenario.run.warmup)),
        same_traffic=not different,
        different_sources=tuple(different),
        figures=tuple(figures),
        verdict=tuple(verdict(figures)),
        limit_percent=limit_percent,
        failures=() if limit_percent is None else tuple(failures(figures, limit_percent)),
        apply=tuple(commands.apply),
        undo=tuple(commands.undo),
        fixed=tuple(commands.fixed),
        command=command,
    )


def _side(side: Side, lengths_ns: list[int]) -> SideDocument:
    return SideDocument(
        scenario=side.name,
        settings_hash=settings_hash(side.loaded.scenario),
        changes=side.changes,
        length_ns=tuple(lengths_ns),
    )


def _spans(seeds: Sequence[int]) -> str:
    """`1-10`; seeds that are not in a row, as after a Ctrl-C, by comma."""
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and seed == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], seed]
        else:
            spans.append([seed, seed])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
