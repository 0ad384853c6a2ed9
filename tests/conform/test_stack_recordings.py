"""The protocol stack against recordings of real kernels: every counter that moved, and what the socket read."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from netstack.stack import ANY6
from tests.conform.hand_stack import SUMMED, HandStack

GOLDEN = Path(__file__).parent.parent / "golden"
RELEASES = ("6.1", "6.12")


@cache
def cases(release: str) -> dict[str, Any]:
    with lzma.open(GOLDEN / release / "stack.json.xz", "rt") as file:
        loaded: dict[str, Any] = json.load(file)["cases"]
        return loaded


def all_cases() -> list[tuple[str, str]]:
    return [(release, name) for release in RELEASES for name in cases(release)]


@pytest.mark.parametrize(("release", "name"), all_cases())
def test_the_counters_and_the_socket_are_as_recorded(release: str, name: str) -> None:
    case = cases(release)[name]
    machine = HandStack(release)
    stack = machine.stack
    tap = machine.ledger
    machine.net.taps.append(lambda sd, skb: seen.append(skb.number))
    seen: list[int] = []
    plain = stack.udp_socket(7100)
    plain6 = stack.udp_socket(7100, ANY6, v6only=True)
    small = stack.udp_socket(7101, rcvbuf=2304)
    stack.tcp_listener(7200)
    for data in case["frames"]:
        machine.lay(machine.make_skb(bytes.fromhex(data), SUMMED[case["ip_summed"]]))
    machine.fire()
    assert machine.counters() == case["counters"]
    assert len(seen) == case["seen_by_probe"]
    assert machine.read_lengths(plain, plain6, small) == case.get("socket_read_lengths", [])
    tap.check(0)


def test_every_case_of_both_recordings_is_played() -> None:
    assert [len(cases(release)) for release in RELEASES] == [30, 30]
