"""Topics in words, and as documents."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from textwrap import wrap
from typing import Any, Final

from emu.rules import RULES
from scenarios.catalog import Entry
from scenarios.explain.topics import ABSENT, Topic

SCHEMA_VERSION: Final = 1
WIDTH: Final = 110
_LABEL_WIDTH: Final = 10
_ALL_HZ: Final = (100, 250, 300, 1000)


def topic_lines(topic: Topic) -> list[str]:
    """One topic as text."""
    lines = [f"{topic.name}  ({topic.group})", *wrap(topic.meaning, WIDTH, initial_indent="  ", subsequent_indent="  ")]
    others = [name for name in topic.names if name != topic.name]
    fields: list[tuple[str, Sequence[str]]] = [
        ("also", [", ".join(others)] if others else []),
        ("default", [words] if (words := default_words(topic)) else []),
        ("file", topic.path),
        ("ethtool", [", ".join(topic.ethtool)] if topic.ethtool else []),
        ("read", topic.read),
        ("change", topic.change),
        ("shown by", [", ".join(topic.shown_by)] if topic.shown_by else []),
        ("try", [f"softnet run {words}" for words in topic.try_]),
        ("here", [topic.here] if topic.here else []),
        ("rules", [_rule_words(topic.rules)] if topic.rules else []),
        ("see", [", ".join(topic.see)] if topic.see else []),
    ]
    for label, values in fields:
        for value in values:
            lines += _labelled(label, value)
            label = ""
    return lines


def default_words(topic: Topic) -> str:
    """`212992 in 6.1, 6.9 and 6.12; 4194304 in 6.18`, `8000 at HZ=250`, `300`; and what the topic says of it."""
    words = _values(topic)
    return f"{words} ({topic.default})" if words and topic.default else words or topic.default


def _values(topic: Topic) -> str:
    if not topic.defaults:
        return ""
    by_hz = {hz: {release: topic.default_under(release, hz) for release in RULES} for hz in _ALL_HZ}
    if len({tuple(values.values()) for values in by_hz.values()}) == 1:
        return _by_release(by_hz[_ALL_HZ[0]])
    return "; ".join(f"{_by_release(values)} at HZ={hz}" for hz, values in by_hz.items())


def _by_release(values: Mapping[str, str | None]) -> str:
    if len(set(values.values())) == 1:
        return str(next(iter(values.values())))
    parts = []
    for value, releases in groupby(values, key=lambda release: values[release]):
        names = list(releases)
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        parts.append(f"not in {listed}" if value == ABSENT else f"{value} in {listed}")
    return "; ".join(parts)


def scenario_lines(entry: Entry, topics: Sequence[Topic]) -> list[str]:
    """One built-in scenario as text; `topics` are those it demonstrates."""
    lines = [f"{entry.name}  (scenario)", *wrap(entry.description, WIDTH, initial_indent="  ", subsequent_indent="  ")]
    if entry.look_for:
        lines += _labelled("look for", entry.look_for)
    lines += _labelled("run", f"softnet run {entry.name}")
    lines += _labelled("file", str(entry.path))
    if topics:
        lines += _labelled("shows", ", ".join(topic.name for topic in topics))
    return lines


def list_lines(topics: Sequence[Topic], scenarios: Sequence[str]) -> list[str]:
    """Every topic's name, by group."""
    lines: list[str] = []
    groups = [(title, [topic.name for topic in members]) for title, members in groupby(topics, lambda t: t.group)]
    for title, names in [*groups, ("Scenarios", list(scenarios))]:
        lines += [title, *_wrapped_names(names), ""]
    return [*lines, "softnet explain NAME, where NAME may be a path, a sysctl, an ethtool setting or a counter"]


def topic_document(topic: Topic) -> dict[str, Any]:
    """One topic for programs: every field, the default under each release at each HZ."""
    return {
        "name": topic.name,
        "group": topic.group,
        "names": list(topic.names),
        "meaning": topic.meaning,
        "path": list(topic.path),
        "ethtool": list(topic.ethtool),
        "default": default_words(topic),
        "defaults": {
            release: {str(hz): value for hz in _ALL_HZ if (value := topic.default_under(release, hz)) != ABSENT}
            for release in RULES
        }
        if topic.defaults
        else {},
        "read": list(topic.read),
        "change": list(topic.change),
        "shown_by": list(topic.shown_by),
        "try": [f"softnet run {words}" for words in topic.try_],
        "here": topic.here,
        "rules": list(topic.rules),
        "see": list(topic.see),
    }


def scenario_document(entry: Entry, topics: Sequence[Topic]) -> dict[str, Any]:
    """One built-in scenario for programs."""
    return {
        "name": entry.name,
        "description": entry.description,
        "look_for": entry.look_for,
        "run": f"softnet run {entry.name}",
        "shows": [topic.name for topic in topics],
    }


def _rule_words(rules: Sequence[str]) -> str:
    """`N2, P6, section 1`: a bare number is a section."""
    return ", ".join(f"section {rule}" if rule[0].isdigit() else rule for rule in rules)


def _labelled(label: str, value: str) -> list[str]:
    first = f"  {label:<{_LABEL_WIDTH}}"
    if len(value) > WIDTH and " " in value:
        return wrap(value, WIDTH + len(first), initial_indent=first, subsequent_indent=" " * len(first))
    return [first + value]


def _wrapped_names(names: Sequence[str]) -> list[str]:
    """Names on lines, none of them broken."""
    lines, line = [], " "
    for name in names:
        if len(line) + len(name) + 2 > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " "
        line += f" {name},"
    return [*lines, line.rstrip(",")]
