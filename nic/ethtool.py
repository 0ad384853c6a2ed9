"""ethtool(8) on the emulated machine: one command line, its option, its interface.

Models: the settings -L -G -C -X -K -N and the shows -l -g -c -x -k -n -S -i and bare `ethtool IF`, under their short and long names.
Keywords are taken whole, as ethtool does. What a driver's answer to the kernel's log would be goes to the machine's events.
Leaves out: every other option, --json, per-queue coalescing (-Q), several RSS contexts, n-tuple rules. Each is refused by name.
Source: ethtool(8) of 6.x.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from errno import EINVAL, ENODEV, EOPNOTSUPP
from typing import Final

from emu.commands import Commands
from emu.errors import ControlError
from nic import ethtool_rxfh, ethtool_set, ethtool_show
from nic.nic import Nic

Operation = Callable[[Nic, list[str]], str]

OPTIONS: Final[dict[str, tuple[tuple[str, ...], Operation]]] = {
    "-l": (("--show-channels",), ethtool_show.channels),
    "-L": (("--set-channels",), ethtool_set.set_channels),
    "-g": (("--show-ring",), ethtool_show.ring),
    "-G": (("--set-ring",), ethtool_set.set_ring),
    "-c": (("--show-coalesce",), ethtool_show.coalesce),
    "-C": (("--coalesce",), ethtool_set.set_coalesce),
    "-k": (("--show-features", "--show-offload"), ethtool_show.features),
    "-K": (("--features", "--offload"), ethtool_set.set_features),
    "-x": (("--show-rxfh-indir", "--show-rxfh"), ethtool_show.rxfh),
    "-X": (("--set-rxfh-indir", "--rxfh"), ethtool_rxfh.set_rxfh),
    "-n": (("-u", "--show-nfc", "--show-ntuple"), ethtool_show.nfc),
    "-N": (("-U", "--config-nfc", "--config-ntuple"), ethtool_set.set_nfc),
    "-S": (("--statistics",), ethtool_show.statistics),
    "-i": (("--driver",), ethtool_show.driver),
}

_SHOWS: Final = frozenset(
    name for short, (longs, _) in OPTIONS.items() if short.islower() or short == "-S" for name in (short, *longs)
) | {"-h", "--help"}

KEYWORDS: Final[dict[str, tuple[str, ...]]] = {
    "-L": ("combined", "rx", "tx"),
    "-G": ("rx", "tx"),
    "-C": ("adaptive-rx", "rx-usecs", "rx-usecs-high"),
    "-K": ("gro", "rx", "rxhash"),
    "-X": ("equal", "weight", "default", "hkey"),
    "-N": ("rx-flow-hash",),
    "-n": ("rx-flow-hash",),
}
"""What Tab offers behind the interface."""

_BY_NAME: Final[dict[str, Operation]] = {
    name: operation for short, (longs, operation) in OPTIONS.items() for name in (short, *longs)
}


def register(commands: Commands, nics: list[Nic]) -> None:
    """Add the command `ethtool` for `nics`. ValueError when the name is taken."""
    commands.register(
        "ethtool", lambda words: run(nics, words), asks=asks, words=lambda before: next_words(nics, before)
    )


def asks(words: list[str]) -> bool:
    """Whether `ethtool WORDS` only shows something: no option, or one that shows."""
    return not words or not words[0].startswith("-") or words[0] in _SHOWS


def next_words(nics: list[Nic], before: list[str]) -> list[str]:
    """What may come after `ethtool BEFORE`: an option or an interface, then an interface, then the option's keywords."""
    names = [nic.dev.name for nic in nics]
    if not before:
        return [*OPTIONS, *names]
    if len(before) == 1 and before[0].startswith("-"):
        return names
    return list(KEYWORDS.get(before[0], ()))


def run(nics: list[Nic], words: list[str]) -> str:
    """Run `ethtool` with `words` and return what it prints. ControlError, and then nothing has changed."""
    if not words:
        raise ControlError(EINVAL, "ethtool wants an interface: ethtool [OPTION] IF [SETTING VALUE]...")
    if words[0] in ("-h", "--help"):
        return _help()
    if not words[0].startswith("-"):
        return ethtool_show.link(_nic(nics, words[0]), words[1:])
    operation = _BY_NAME.get(words[0])
    if operation is None:
        close = get_close_matches(words[0][:40], _BY_NAME, n=1, cutoff=0.0)[0]
        raise ControlError(EOPNOTSUPP, f"ethtool has no option {words[0][:40]!r} here: the nearest is {close}")
    if len(words) < 2:
        raise ControlError(EINVAL, f"ethtool {words[0]} wants an interface: {', '.join(nic.dev.name for nic in nics)}")
    return operation(_nic(nics, words[1]), words[2:])


def _nic(nics: list[Nic], name: str) -> Nic:
    for nic in nics:
        if nic.dev.name == name:
            return nic
    if nics and name in nics[0].net.devices:
        raise ControlError(EOPNOTSUPP, f"{name} has no driver that ethtool could ask: use {nics[0].dev.name}")
    raise ControlError(
        ENODEV, f"there is no interface {name[:40]!r}: there is {', '.join(nic.dev.name for nic in nics)}"
    )


def _help() -> str:
    lines = [f"  {', '.join((short, *longs))} IF\n" for short, (longs, _) in OPTIONS.items()]
    return "ethtool IF, or one of\n" + "".join(lines)
