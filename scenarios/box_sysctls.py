"""The sysctls of a box that its copy obeys: net.core, tcp_rmem and the limits of reassembly."""

from __future__ import annotations

from typing import Final

from emu.cpumask import format_mask
from emu.rules import RULES
from emu.settings import LIMITS, NOT_FOLLOWED, NetCoreSettings
from netstack.settings import IPFRAG_HIGH_THRESH_BYTES
from scenarios.box_cpus import BoxCpus
from scenarios.box_settings import BoxSettings

NET: Final = "proc/sys/net"
CORE_NUMBERS: Final = tuple(f"core/{name}" for name in sorted(LIMITS))
CORE_MASKS: Final = ("core/flow_limit_cpu_bitmap", "core/rps_default_mask")
OTHER_NUMBERS: Final = ("ipv4/ipfrag_time", "ipv4/ipfrag_max_dist", "ipv6/ip6frag_time")
THRESHOLDS: Final = (
    ("ipv4/ipfrag_low_thresh", "ipv4/ipfrag_high_thresh"),
    (
        "ipv6/ip6frag_low_thresh",
        "ipv6/ip6frag_high_thresh",
    ),
)
"""Pairs of which the first must never be above the second."""
TCP_RMEM: Final = "ipv4/tcp_rmem"
SYSCTLS: Final = (*CORE_NUMBERS, *CORE_MASKS, *OTHER_NUMBERS, *(name for pair in THRESHOLDS for name in pair), TCP_RMEM)
"""All of them, below /proc/sys/net."""


def read_sysctls(into: BoxSettings, cpus: BoxCpus, release: str) -> None:
    """Put the sysctls that change something, in an order in which they can be written. InputFileError.

    `release`: whose rules hold.
    """
    files = into.files
    for name in (*CORE_NUMBERS, *OTHER_NUMBERS):
        _put_number(into, name)
    for low, high in THRESHOLDS:
        lowest = files.number(f"{NET}/{low}", is_expected=False) or 0
        for name in (low, high) if lowest <= IPFRAG_HIGH_THRESH_BYTES else (high, low):
            _put_number(into, name)
    for name in CORE_MASKS:
        has_it = name != "core/rps_default_mask" or (release in RULES and RULES[release].has_rps_default_mask)
        mask = cpus.within(files.cpu_mask(f"{NET}/{name}", is_expected=has_it) or 0)
        if mask and has_it:
            into.put("set", f"/{NET}/{name}", format_mask(mask, cpus.count), f"{NET}/{name}")
    path = f"{NET}/{TCP_RMEM}"
    words = (files.text(path) or "").split()
    if words:
        into.put("set", f"/{path}", " ".join(words)[:100], path)


def _put_number(into: BoxSettings, name: str) -> None:
    path = f"{NET}/{name}"
    value = into.files.number(path)
    sysctl = name.removeprefix("core/")
    if sysctl in NOT_FOLLOWED:
        kept = getattr(NetCoreSettings(nr_cpus=1, netdev_budget_usecs=0), sysctl)
        if value not in (None, kept):
            into.differs.append(f"{sysctl} is {kept}, not {value}: {NOT_FOLLOWED[sysctl]}")
    elif value is not None:
        into.put("set", f"/{path}", str(value), path)
