"""Knobs: the settings of a machine as they are now, for the screen and for comparing before with after.

Models: what a person turns: sysctls, steering and NAPI files of the device, affinities, ring and coalescing. Read from the control tree.
Leaves out: files that only tell, and settings of the whole host that packets do not meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emu.tree import SYSCTL_ROOT, sysctl_name
from scenarios.build import Built

_ROOTS: Final = (f"{SYSCTL_ROOT}net/", "/sys/class/net/")
_AFFINITY: Final = "/smp_affinity_list"


def knobs(built: Built) -> dict[str, str]:
    """The settings that a person turns: net.core sysctls, steering and NAPI files of the device, affinities, ring and coalescing."""
    tree, nic = built.machine.tree, built.nic
    values: dict[str, str] = {}
    for path in tree.paths():
        if path.startswith(_ROOTS) or path.endswith(_AFFINITY):
            entry = tree.entry(path)
            if entry.read is not None and entry.write is not None:
                name = sysctl_name(path) if path.startswith(SYSCTL_ROOT) else path
                values[name] = entry.read().rstrip("\n").replace("\n", " ")
    name = nic.dev.name
    values[f"ethtool -G {name} rx"] = _one_or_more([ring.descriptors for ring in nic.rings])
    values[f"ethtool -C {name} rx-usecs"] = _one_or_more([vector.moderation.rx_usecs for vector in nic.vectors])
    values[f"ethtool -C {name} adaptive-rx"] = _one_or_more(
        ["on" if vector.moderation.adaptive else "off" for vector in nic.vectors]
    )
    values[f"ethtool -K {name} gro"] = "on" if nic.dev.gro else "off"
    return values


def _one_or_more(values: Sequence[int | str]) -> str:
    """The value that all have, or all values."""
    return str(values[0]) if len(set(values)) == 1 else ",".join(str(value) for value in values)
