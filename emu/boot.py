"""What the emulated host says of itself: its kernel's name, its own name, when it was booted.

Source: fs/proc/version.c, kernel/utsname_sysctl.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from emu.tree import ControlTree

BTIME_S: Final = 1_767_225_600
"""Wall time at virtual time 0, in seconds since 1970: 2026-01-01 00:00:00 UTC in every run, so that runs repeat."""

OSTYPE: Final = "Linux"
HOSTNAME: Final = "softnet"
VERSION: Final = "#1 SMP PREEMPT_DYNAMIC"


def contribute(tree: ControlTree, release: str) -> None:
    """Add /proc/version and /proc/sys/kernel of a kernel of `release`, such as 6.9. They can only be read."""
    osrelease = f"{release}.0-softnet"
    tree.add("/proc/version", lambda: f"{OSTYPE} version {osrelease} (softnet) {VERSION}\n", None)
    for name, text in {"ostype": OSTYPE, "osrelease": osrelease, "version": VERSION, "hostname": HOSTNAME}.items():
        tree.add(f"/proc/sys/kernel/{name}", lambda text=text: f"{text}\n", None)  # type: ignore[misc]
