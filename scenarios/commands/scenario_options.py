"""The options that say which machine is run: the same ones for each command that takes a scenario.

Each takes the place of a scenario's key, or is written before the first frame. Leaves out: what a command does with the run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from emu.errors import ConfigError

if TYPE_CHECKING:
    from scenarios.load import LoadedScenario
    from scenarios.origin import SettingPath

SEEDS_DRAWN: Final = 1_000_000
"""A seed that nobody gave is drawn below this."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ScenarioOptions:
    """The machine: what is run, before how it is shown.

    Parameters
    ----------
    tree
        Directory with a copy of a server, as collect.sh makes it: its CPUs, NIC and settings.
    interface
        Name of the NIC: with --tree the interface that is copied.
    cpus
        CPUs of the machine, 1 to 256.
    queues
        RX queues of the NIC, 1 to 256; as many as CPUs unless the scenario says.
    set_
        PATH=VALUE or SYSCTL=VALUE, written before the first frame; may be given several times.
    ethtool
        What ethtool is called with before the first frame, such as "-C eth0 rx-usecs 50"; may be given several times.
    seed
        Seed of all randomness. The same scenario and seed give the same run.
    duration
        Virtual time at which the run ends, such as 100ms or 2s.
    local
        Address of the capture's local side, in place of the one that receives most; may be given several times.
    """

    tree: str | None = None
    interface: str | None = None
    cpus: int | None = None
    queues: int | None = None
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None
    ethtool: Annotated[list[str] | None, Parameter(allow_leading_hyphen=True)] = None
    seed: int | None = None
    duration: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    local: list[str] | None = None

    def open(self, what: str, **more: tuple[SettingPath, str, Any]) -> OpenedScenario:
        """Load what the user calls `what`, with these options in it. ConfigError, InputFileError.

        `more` are options of one command alone: (path, option's name, value); those of value None were not given.
        """
        from secrets import randbelow

        from emu.commands import parse_setting
        from scenarios.catalog import open_scenario

        options: dict[SettingPath, tuple[str, Any]] = {}
        repeat: list[str] = []

        def option(name: str, path: SettingPath, value: object) -> None:
            if value is not None:
                options[path] = (name, value)
                repeat.extend((name, str(value)))

        option("--tree", ("machine", "tree"), self.tree)
        option("--interface", ("nic", "name"), self.interface)
        option("--cpus", ("machine", "cpus"), self.cpus)
        option("--queues", ("nic", "queues"), self.queues)
        option("--duration", ("run", "duration"), self.duration)
        for setting in self.set_ or ():
            try:
                key, value = parse_setting(setting)
            except ConfigError as error:
                raise ConfigError(f"--set: {error}") from error
            options.pop(("set", key), None)
            options["set", key] = (f"--set {key}", value)
            repeat.extend(("--set", setting))
        for index, line in enumerate(self.ethtool or ()):
            options["ethtool", index] = ("--ethtool", line)
            repeat.extend(("--ethtool", line))
        if self.local:
            options["capture", "local"] = ("--local", self.local)
            for address in self.local:
                repeat.extend(("--local", address))
        for path, name, value in more.values():
            if value is not None:
                options[path] = (name, value)
        if self.seed is not None:
            options["machine", "seed"] = ("--seed", self.seed)
        loaded = open_scenario(what, options)
        seed = loaded.scenario.machine.seed
        return OpenedScenario(loaded, what, randbelow(SEEDS_DRAWN) if seed is None else seed, tuple(repeat))


NOTHING_GIVEN: Final = ScenarioOptions()


@dataclass(frozen=True)
class OpenedScenario:
    """A scenario that can be run, and the words that name it again."""

    loaded: LoadedScenario
    what: str
    """As the user named it."""
    seed: int
    """The scenario's, or one drawn now."""
    options: tuple[str, ...] = field(default=())
    """The options as given, but for the seed."""

    def command(self, *words: str, verb: str = "run", first: tuple[str, ...] = ()) -> str:
        """The command line that repeats it, the seed included; `words` are the command's own, `first` those before the scenario."""
        return shlex.join(["softnet", verb, *first, self.what, *self.options, *words, "--seed", str(self.seed)])


@contextmanager
def before_the_run() -> Iterator[None]:
    """What a Ctrl-C in here ends has not begun."""
    try:
        yield
    except KeyboardInterrupt as error:
        from scenarios.options import TOO_EARLY

        raise KeyboardInterrupt(TOO_EARLY) from error
