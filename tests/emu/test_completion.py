"""Completion: what Tab offers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.commands import Commands
from emu.completion import MAX_CANDIDATES, complete
from emu.tree import ControlTree


def box() -> Commands:
    tree = ControlTree()
    for path in (
        "/proc/sys/net/core/netdev_budget",
        "/proc/sys/net/core/netdev_budget_usecs",
        "/proc/net/softnet_stat",
        "/sys/class/net/eth0/mtu",
    ):
        tree.add(path, lambda: "1\n", None)
    commands = Commands(tree)
    commands.register("ethtool", lambda _: "", words=lambda before: ["eth0"] if before else ["-L", "-l"])
    return commands


@pytest.mark.parametrize(
    ("text", "stays", "found"),
    [
        ("", "", ["cat ", "echo ", "ethtool ", "sysctl "]),
        ("e", "", ["echo ", "ethtool "]),
        ("echo f > /", "echo f > ", ["/proc/", "/sys/"]),
        ("echo f > ", "echo f > ", ["/proc/", "/sys/"]),
        ("cat ", "cat ", ["/proc/", "/sys/"]),
        ("cat /proc/net/s", "cat ", ["/proc/net/softnet_stat "]),
        (
            "cat /proc/sys/net/core/netdev_b",
            "cat ",
            [f"/proc/sys/net/core/netdev_budget{end}" for end in (" ", "_usecs ")],
        ),
        ("cat /nowhere/", "cat ", []),
        ("sysctl net.core.netdev_budget_", "sysctl ", ["net.core.netdev_budget_usecs "]),
        ("sysctl -w net.core.netdev_budget_", "sysctl -w ", ["net.core.netdev_budget_usecs="]),
        ("sysctl -", "sysctl ", ["-a ", "-n ", "-q ", "-w "]),
        ("ethtool -", "ethtool ", ["-L ", "-l "]),
        ("ethtool -L e", "ethtool -L ", ["eth0 "]),
        ("nonsense ", "nonsense ", []),
    ],
)
def test_tab_offers_what_may_come_next(text: str, stays: str, found: list[str]) -> None:
    assert complete(box(), text) == (stays, found)


@given(st.text(max_size=60))
def test_every_candidate_begins_with_the_word_that_is_there(text: str) -> None:
    stays, found = complete(box(), text)
    assert text.startswith(stays)
    assert all(candidate.startswith(text[len(stays) :]) for candidate in found)
    assert found == sorted(found)
    assert len(found) <= MAX_CANDIDATES
