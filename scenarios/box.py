"""A copy of a box: CPUs, nodes, NIC and settings of a real machine, or an exported one, as a scenario.

The tree is a directory as `softnet export` and collect.sh make it: `proc/...`, `sys/...`, and `ethtool/IF.l` and so on. What it
says stands below what the scenario's own file says, and that below the command line. From a built-in scenario, which was
written for a machine of its own, only what is no part of a machine is taken.
Leaves out: traffic and applications, which no tree holds. The box's counters are only told.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emu.errors import ConfigError
from emu.rules import DEFAULT_RELEASE
from emu.tree import ControlTree
from scenarios.box_cpus import put_offline, read_cpus, read_kernel
from scenarios.box_files import BoxFiles
from scenarios.box_nic import choose_interface, read_nic
from scenarios.box_rates import rates
from scenarios.box_settings import BoxSettings
from scenarios.box_sysctls import read_sysctls
from scenarios.cpusets import parse_cpus
from scenarios.origin import SettingPath

TREE: Final[SettingPath] = ("machine", "tree")

_OF_THE_MACHINE: Final = ("cpus", "nodes", "isolated", "rules", "hz")
"""Keys of [machine] that a tree tells, in place of those of a built-in scenario."""


@dataclass(frozen=True, slots=True)
class Box:
    """What a tree says: tables of a scenario, the file that each setting is from, and notes for the user."""

    document: dict[str, dict[str, Any]]
    places: dict[SettingPath, str]
    notes: tuple[str, ...]


def read_box(root: Path, name: str, wanted: dict[str, Any]) -> Box:
    """Read the tree at `root`, which the user calls `name`, for a scenario that itself says `wanted`.

    ConfigError for a tree that does not fit the scenario or softnet, or leaves a choice; InputFileError for a file in it from
    which nothing can be read.
    """
    files = BoxFiles(root, name)
    into = BoxSettings(files)
    nic = _table(wanted, "nic")
    cpus = read_cpus(into)
    read_kernel(into)
    interface = nic.get("name")
    interface = choose_interface(into, interface if isinstance(interface, str) else None)
    read_nic(into, cpus, interface, nic)
    release = _table(wanted, "machine").get("rules", into.document["machine"].get("rules", DEFAULT_RELEASE))
    read_sysctls(into, cpus, str(release))
    put_offline(into, cpus)
    into.rates = rates(files)
    return Box(into.document, into.places, tuple(into.notes()))


def with_box(document: dict[str, Any], box: Box) -> tuple[dict[str, Any], dict[SettingPath, str]]:
    """The scenario `document` with the box below it, key by key, and the places of the settings that are the box's."""
    merged = dict(document)
    places = dict(box.places)
    for name, told in box.document.items():
        own = document.get(name, {})
        if not isinstance(own, dict):
            continue  # the schema says what is wrong with it
        kept = told
        if name == "set":
            # One file may be spelled in several ways.
            tree = ControlTree()
            written = {tree.resolve(key) for key in own}
            kept = {key: value for key, value in told.items() if tree.resolve(key) not in written}
        merged[name] = {**kept, **own}
        for key in told.keys() & own.keys() | told.keys() - kept.keys():
            places.pop((name, key), None)
            if isinstance(told[key], dict) and isinstance(own[key], dict):
                merged[name][key] = {**told[key], **own[key]}
    return merged, places


def forget_machine(document: MutableMapping[str, Any]) -> None:
    """Leave of a built-in scenario what is no part of a machine: traffic, applications, prices."""
    for key in ("nic", "set", "ethtool"):
        document.pop(key, None)
    for key in _OF_THE_MACHINE:
        document.get("machine", {}).pop(key, None)


def free_applications(document: MutableMapping[str, Any], cpus: int) -> list[str]:
    """Let applications of a built-in scenario run anywhere whose CPUs are none of a machine of `cpus`. Returns their names."""
    freed = []
    for index, app in enumerate(document.get("app", [])):
        wanted = app.get("cpus")
        for value in wanted if isinstance(wanted, list) else [] if wanted is None else [wanted]:
            try:
                parse_cpus(value, cpus)
            except ConfigError:
                del app["cpus"]
                freed.append(str(app.get("name", f"app[{index}]")))
                break
    return freed


def _table(document: dict[str, Any], key: str) -> dict[str, Any]:
    """A table of a scenario that nobody has checked yet."""
    table = document.get(key)
    return table if isinstance(table, dict) else {}
