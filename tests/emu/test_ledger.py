"""The ledger: a frame is read, consumed, dropped or held, and a leak is told with numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.dropreason import DropReason
from emu.errors import InvariantError
from emu.headers import Headers
from emu.ledger import NR_REASONS, Ledger
from emu.skb import Skb


def packet(frames: int = 1) -> Skb:
    made = Skb(Headers(), 0, 60, 0, 0, 0, 0, None, 46)
    made.frames = frames
    return made


def test_an_empty_ledger_balances() -> None:
    Ledger().check(0)


def test_a_merged_packet_counts_for_all_its_frames() -> None:
    ledger = Ledger()
    ledger.arrived_frames = 7
    ledger.drop(packet(7), DropReason.CPU_BACKLOG)
    assert ledger.dropped_frames[DropReason.CPU_BACKLOG] == 7
    ledger.check(0)


def test_each_drop_is_told_to_who_listens() -> None:
    ledger = Ledger()
    told: list[tuple[Skb, DropReason]] = []
    ledger.on_drop = lambda skb, reason: told.append((skb, reason))
    lost = packet()
    ledger.drop(lost, DropReason.NO_SOCKET)
    assert told == [(lost, DropReason.NO_SOCKET)]


def test_a_leak_is_told_with_all_accounts() -> None:
    ledger = Ledger()
    ledger.arrived_frames = 10
    ledger.read_frames = 3
    ledger.consumed_frames = 1
    ledger.drop(packet(2), DropReason.TCP_CSUM)
    ledger.holders["ring"] = lambda: 3
    with pytest.raises(InvariantError) as failure:
        ledger.check(1234)
    assert str(failure.value) == (
        "at 1234 ns the ledger does not balance: 10 frames arrived, 9 are accounted for "
        "(read 3, consumed 1, dropped {'TCP_CSUM': 2}, held {'ring': 3})"
    )
    ledger.holders["socket"] = lambda: 1
    ledger.check(1234)
    ledger.holders["twice"] = lambda: 1
    with pytest.raises(InvariantError, match="11 are accounted for"):
        ledger.check(1234)


def test_there_is_a_count_for_each_reason() -> None:
    assert [int(reason) for reason in DropReason] == list(range(NR_REASONS))
    assert len(Ledger().dropped_frames) == NR_REASONS


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.lists(st.tuples(st.sampled_from(list(DropReason)), st.integers(1, 60))),
    st.lists(st.integers(0, 50), max_size=4),
    st.integers(-2, 2),
)
def test_a_ledger_balances_exactly_when_every_frame_is_in_one_account(
    read: int, consumed: int, drops: list[tuple[DropReason, int]], held: list[int], error: int
) -> None:
    ledger = Ledger()
    ledger.read_frames, ledger.consumed_frames = read, consumed
    for reason, frames in drops:
        ledger.drop(packet(frames), reason)
    for number, frames in enumerate(held):
        ledger.holders[str(number)] = lambda frames=frames: frames  # type: ignore[misc]
    ledger.arrived_frames = read + consumed + sum(frames for _, frames in drops) + sum(held) + error
    assert sum(ledger.held().values()) == sum(held)
    if error:
        with pytest.raises(InvariantError):
            ledger.check(0)
    else:
        ledger.check(0)
