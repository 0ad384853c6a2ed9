"""Topics: what a knob, counter, drop reason, stage or column means, read from `scenarios/explain/*.toml`.

A file is a group. In its texts IF stands for an interface's name and N for a number (of a queue, an interrupt, a CPU); in the
group's own commands `{name}` is the topic's name. The keys of scenarios are a group too, made of the schema's own words.
"""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from emu.errors import InvariantError
from emu.tree import SYSCTL_ROOT, sysctl_name

FOLDER: Final = Path(__file__).parent
ABSENT: Final = "absent"
"""In `defaults`: the release has no such file."""

Words = Annotated[str, Meta(min_length=1, max_length=2000)]
Line = Annotated[str, Meta(min_length=1, max_length=300)]
When = Annotated[str, Meta(pattern=r"\A(any|HZ=(100|250|300|1000)|6\.\d+)\Z")]


class Topic(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that has a name. What is empty is not shown."""

    name: Line
    names: tuple[Line, ...] = ()
    """Other names of it."""
    meaning: Words
    path: tuple[Line, ...] = ()
    """Its files, with IF and N."""
    ethtool: tuple[Line, ...] = ()
    """`-C rx-usecs`: flag and word of its ethtool setting."""
    defaults: dict[When, str] = {}
    """What its file reads after boot: under a release (`6.18`), at a HZ (`HZ=250`), else `any`; `absent` where there is none."""
    default: str = ""
    """The same in words, where a value does not say it."""
    read: tuple[Line, ...] = ()
    """Commands that show it on a box."""
    change: tuple[Line, ...] = ()
    """Commands that set it."""
    shown_by: tuple[Line, ...] = ()
    """Names of the topics of the counters that move."""
    try_: Annotated[tuple[Line, ...], Meta(max_length=4)] = msgspec.field(default=(), name="try")
    """What follows `softnet run`: scenarios that show it."""
    here: str = ""
    """What softnet does with it, where that is less than a kernel does."""
    rules: tuple[Annotated[str, Meta(pattern=r"\A(?:[A-Z]+\d+[a-z]?|[A-Z]-\d|\d+(?:\.\d+)?)\Z")], ...] = ()
    """Numbers of the statements it rests on; docs/fidelity.md says what the letters stand for. A bare number is a section."""
    see: tuple[Line, ...] = ()
    """Names of other topics."""
    group: str = ""
    """Title of its group; not written in the files."""

    def spellings(self) -> list[str]:
        """Every name it goes by: its own, its files', their last parts and sysctl names, its ethtool settings."""
        found = [self.name, *self.names]
        for path in self.path:
            found += [path, path.rpartition("/")[2]]
            if path.startswith(SYSCTL_ROOT):
                found.append(sysctl_name(path))
        for setting in self.ethtool:
            found += [setting, f"ethtool {setting}"]
            if " " in setting:
                found.append(setting.partition(" ")[2])
        return list(dict.fromkeys(found))

    def covers(self, path: str) -> bool:
        """Whether the control file `path` is one of its files."""
        return any(_pattern(own).fullmatch(path) for own in self.path)

    def default_under(self, release: str, hz: int) -> str | None:
        """What its file reads on a machine that was just booted; None if that is not stated."""
        for when in (release, f"HZ={hz}", "any"):
            if when in self.defaults:
                return self.defaults[when]
        return None


class Group(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of topics."""

    title: Line
    order: Annotated[int, Meta(ge=0, le=99)]
    """Where the group stands in the list."""
    read: tuple[Line, ...] = ()
    """`read` of topics that have none, with `{name}`."""
    topic: Annotated[tuple[Topic, ...], Meta(min_length=1)]

    def topics(self) -> list[Topic]:
        """Its topics, each complete by itself."""
        return [
            msgspec.structs.replace(
                topic,
                group=self.title,
                read=topic.read or tuple(command.replace("{name}", topic.name) for command in self.read),
            )
            for topic in self.topic
        ]


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """IF stands for a name, N for a number, wherever they are a part or end one (`rx-N`)."""
    parts = [re.escape(part).replace("IF", "[^/]+") if part == "IF" else re.escape(part) for part in path.split("/")]
    return re.compile("/".join(re.sub(r"N\Z", r"\\d+", part) for part in parts))


def load_groups() -> list[Group]:
    """Return the groups of all files, in their order. InvariantError for a file that is wrong: they are ours."""
    groups = []
    for path in sorted(FOLDER.glob("*.toml")):
        try:
            groups.append(msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Group))
        except (msgspec.ValidationError, tomllib.TOMLDecodeError) as error:
            raise InvariantError(f"{path.name}: {error}") from error
    return sorted(groups, key=lambda group: group.order)


def load_topics() -> list[Topic]:
    """Return all topics, the keys of scenarios at the end."""
    from scenarios.explain.scenario_keys import key_topics

    return [topic for group in load_groups() for topic in group.topics()] + key_topics()
