"""What became of a replay: verdicts, the first difference of a case, and how both are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

SHOWN_CHARACTERS: Final = 300
"""Of a value in a difference."""


class Differs(Exception):
    """The emulator and the recording disagree: `at` (input by input) `expected` and `got`, and the rule that it touches."""

    def __init__(self, at: str, expected: Any, got: Any, rule: str) -> None:
        super().__init__(at)
        self.at = at
        self.expected = expected
        self.got = got
        self.rule = rule


class NotJudged(Exception):
    """This case cannot be judged, for the reason given."""


class Impossible(Exception):
    """A step that no machine of this recording can take: a CPU or queue it does not have. The file is at fault."""


Play = Callable[[], list[str]]
"""Replays a case. Returns what of it was not judged, with the reason; raises Differs or NotJudged."""

Cases = Iterator[tuple[str, Play]]
"""Name of a case, and how to play it."""


def lazily(prepare: Callable[..., Play], *arguments: Any) -> Play:
    """A case that is looked at only when it is played, so that one that cannot be read does not keep the others back."""
    return lambda: prepare(*arguments)()


class CaseResult(NamedTuple):
    """One case: `difference` None and `not_judged` empty is a pass. `left_out`: parts that were not judged, with the reason."""

    name: str
    difference: Differs | None
    not_judged: str
    left_out: list[str]

    @property
    def status(self) -> str:
        """`passed`, `failed` or `not judged`."""
        if self.difference is not None:
            return "failed"
        return "not judged" if self.not_judged else "passed"


@dataclass
class FileResult:
    """The cases of one file."""

    path: str
    format: str
    kernel: str
    rules: str
    cases: list[CaseResult] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Cases that do not hold what their format says, with the place."""

    def count(self, status: str) -> int:
        """Cases with a status."""
        return sum(case.status == status for case in self.cases)

    def summary(self) -> str:
        """`N passed, N failed`, and how many could not be judged if any."""
        text = f"{self.count('passed')} passed, {self.count('failed')} failed"
        if unjudged := self.count("not judged"):
            text += f", {unjudged} not judged"
        return text

    def lines(self, verbose: bool) -> list[str]:
        """What is printed of the file: its line, then each failing case, and what was not judged."""
        text = [f"{self.path}: {self.summary()} (rules {self.rules})"]
        for case in self.cases:
            if case.difference is not None:
                text += _difference_lines(case.name, case.difference)
            elif case.not_judged:
                text.append(f"  not judged  {case.name}: {case.not_judged}")
            elif verbose:
                text.append(f"  passed      {case.name}")
            if case.left_out and not case.not_judged and (verbose or case.difference is None):
                text += [f"  in part     {case.name}: {part}" for part in case.left_out]
        return text

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "file": self.path,
            "format": self.format,
            "kernel": self.kernel,
            "rules": self.rules,
            "passed": self.count("passed"),
            "failed": self.count("failed"),
            "not_judged": self.count("not judged"),
            "cases": [_case_dict(case) for case in self.cases],
        }


def _case_dict(case: CaseResult) -> dict[str, Any]:
    entry: dict[str, Any] = {"case": case.name, "status": case.status}
    if case.difference is not None:
        difference = case.difference
        entry["difference"] = {
            "at": difference.at,
            "expected": difference.expected,
            "got": difference.got,
            "rule": difference.rule,
        }
    if case.not_judged:
        entry["reason"] = case.not_judged
    if case.left_out:
        entry["left_out"] = case.left_out
    return entry


def _difference_lines(name: str, difference: Differs) -> list[str]:
    return [
        f"  failed      {name}: {difference.at} [{difference.rule}]",
        f"    expected  {shorten(difference.expected)}",
        f"    got       {shorten(difference.got)}",
    ]


def shorten(value: Any) -> str:
    """A value in at most SHOWN_CHARACTERS characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + "..."


def expect(at: str, expected: Any, got: Any, rule: str) -> None:
    """Raise Differs at the first place where `got` differs from `expected`, however deep."""
    place = _first_difference(expected, got)
    if place is not None:
        path, inner_expected, inner_got = place
        raise Differs(at + path, inner_expected, inner_got, rule)


ABSENT: Final = "(nothing)"


def _first_difference(expected: Any, got: Any) -> tuple[str, Any, Any] | None:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            if key not in got:
                return f" {key}", expected[key], ABSENT
            if key not in expected:
                return f" {key}", ABSENT, got[key]
            place = _first_difference(expected[key], got[key])
            if place is not None:
                return f" {key}{place[0]}", place[1], place[2]
        return None
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        for index, (left, right) in enumerate(zip(expected, got, strict=False)):
            place = _first_difference(left, right)
            if place is not None:
                return f" #{index}{place[0]}", place[1], place[2]
        if len(expected) != len(got):
            index = min(len(expected), len(got))
            left = expected[index] if index < len(expected) else ABSENT
            right = got[index] if index < len(got) else ABSENT
            return f" #{index}", left, right
        return None
    return None if expected == got else ("", expected, got)
