"""The receive ring: descriptors, drops and the refill."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.errors import ConfigError
from emu.ledger import Ledger
from emu.skb import Skb
from nic.ring import RX_BUFFER_1536_BYTES, RX_BUFFER_3072_BYTES, RxRing
from softirq.device import DeviceStatistics
from tests.nic.rig import frame, udp_headers

HDR = udp_headers()


def ring(descriptors: int = 64) -> RxRing:
    return RxRing(0, Ledger(), DeviceStatistics(), descriptors)


def frames(count: int, first_ns: int = 0) -> list[Skb]:
    return [frame(HDR, first_ns + number) for number in range(count)]


@pytest.mark.parametrize(("asked", "descriptors"), [(64, 64), (65, 96), (2048, 2048), (8159, 8160), (8160, 8160)])
def test_sizes_are_rounded_up_to_a_multiple_of_32(asked: int, descriptors: int) -> None:
    assert ring(asked).descriptors == descriptors


@pytest.mark.parametrize("asked", [63, 8161, 0, -1])
def test_sizes_out_of_bounds_are_refused(asked: int) -> None:
    with pytest.raises(ConfigError, match="nearest possible is"):
        ring(asked)


def test_a_ring_of_2048_takes_2040_frames_and_drops_the_rest() -> None:
    """C6: one descriptor stays unused, and the tail register is written in multiples of 8."""
    full = ring(2048)
    full.frames += frames(2050)
    assert full.advance(3000) == 2040
    assert (full.accepted, full.dropped, full.peak, full.available) == (2040, 10, 2040, 0)
    assert full.statistics.rx_missed_errors == 10
    assert full.ledger.dropped_frames[DropReason.NIC_RING_FULL] == 10
    assert full.ledger.arrived_frames == 2050


def test_drops_are_decided_in_the_order_of_arrival() -> None:
    full = ring(64)
    arriving = frames(60)
    full.frames += arriving
    dropped: list[Skb] = []
    full.ledger.on_drop = lambda skb, reason: dropped.append(skb)
    full.advance(100)
    assert dropped == arriving[56:]
    assert full.take(100) == arriving[:56]


def test_cleaned_descriptors_take_no_frame_before_the_refill() -> None:
    full = ring(64)
    full.frames += frames(57)
    full.advance(56)
    full.take(20)
    full.frames += frames(8, 60)
    assert full.advance(100) == 36
    assert full.dropped == 9
    full.refill()
    full.frames += frames(30, 200)
    # 83 given back, 80 seen, 56 used: 24 of the 30 find one.
    assert full.advance(300) == 36 + 24
    assert full.dropped == 9 + 6


def test_the_hardware_sees_refilled_descriptors_in_multiples_of_8() -> None:
    """63 given back at first (56 seen); 1 more makes 64, all seen; 7 more are not."""
    some = ring(64)
    assert some.available == 56
    some.frames += frames(8)
    some.advance(10)
    some.take(1)
    assert some.refill() == 1
    assert some.available == 48 + 8
    some.take(7)
    some.refill()
    assert some.available == 48 + 8


def test_a_frame_that_is_not_due_waits_on_the_wire() -> None:
    some = ring()
    some.frames += frames(3, 1000)
    assert some.advance(1001) == 2
    assert (some.pending, some.next_event_ns()) == (1, 1000)
    some.take(2)
    assert some.next_event_ns() == 1002
    assert some.withdraw_pending()[0].arrived_ns == 1002
    assert some.next_event_ns() == NEVER


def test_long_frames_take_several_descriptors_and_are_dropped_whole() -> None:
    jumbo = ring(64)
    jumbo.use_buffers(RX_BUFFER_3072_BYTES, 9724)
    jumbo.frames += [frame(HDR, n, 9014) for n in range(20)] + [frame(HDR, 30, 64)]
    assert jumbo.advance(100) == 19
    assert (jumbo.available, jumbo.dropped) == (56 - 18 * 3 - 1, 2)
    jumbo.take(2)
    assert jumbo.refill() == 6
    assert jumbo.available == 1 + 8


def test_smaller_buffers_need_more_descriptors_for_what_lies_in_the_ring() -> None:
    shrinking = ring(64)
    shrinking.use_buffers(RX_BUFFER_3072_BYTES, 9724)
    shrinking.frames += [frame(HDR, n, 9014) for n in range(15)]
    shrinking.advance(100)
    assert shrinking.available == 56 - 45
    shrinking.use_buffers(RX_BUFFER_1536_BYTES, 9724)
    assert shrinking.available == 56 - 90
    shrinking.frames += frames(1, 200)
    shrinking.advance(300)
    assert shrinking.dropped == 1
    while shrinking.take(1):
        shrinking.refill()
    # 63 + 90 given back, 152 seen, 90 used.
    assert shrinking.available == 152 - 90


class ListRing:
    """The same rules with plain lists: descriptors that are posted, seen or used, one by one."""

    def __init__(self, descriptors: int) -> None:
        self.held: list[int] = []
        self.given_back = descriptors - 1
        self.used = 0
        self.cleaned = 0
        self.dropped: list[int] = []

    def arrive(self, number: int) -> None:
        if self.used < self.given_back - self.given_back % 8:
            self.used += 1
            self.held.append(number)
        else:
            self.dropped.append(number)

    def take(self, limit: int) -> list[int]:
        taken, self.held = self.held[:limit], self.held[limit:]
        self.cleaned += len(taken)
        return taken

    def refill(self) -> None:
        self.given_back += self.cleaned
        self.cleaned = 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 80)),
        st.tuples(st.just("look"), st.integers(0, 100)),
        st.tuples(st.just("take"), st.integers(0, 64)),
        st.tuples(st.just("refill"), st.just(0)),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_a_ring_is_a_list_with_descriptors_and_loses_nothing(steps: list[tuple[str, int]]) -> None:
    """Against the model; and arrived = accepted + dropped, given = arrived + pending."""
    real, model = ring(64), ListRing(64)
    sent: list[Skb] = []
    dropped: list[Any] = []
    taken: list[int] = []
    real.ledger.on_drop = lambda skb, reason: dropped.append(skb.number)
    now = arrived = next_ns = 0
    for step, amount in steps:
        if step == "send":
            next_ns = max(next_ns, now + 1)
            for number in range(amount):
                skb = frame(HDR, next_ns + number)
                skb.number = len(sent)
                sent.append(skb)
                real.frames.append(skb)
            next_ns += amount
        elif step == "look":
            now += amount
            real.advance(now)
            while arrived < len(sent) and sent[arrived].arrived_ns <= now:
                model.arrive(arrived)
                arrived += 1
        elif step == "take":
            numbers = [skb.number for skb in real.take(amount)]
            assert numbers == model.take(amount)
            taken += numbers
        else:
            real.refill()
            model.refill()
        assert [skb.number for skb in real.frames[real.head : real.tail]] == model.held
        assert dropped == model.dropped
        assert real.accepted + real.dropped == real.ledger.arrived_frames == arrived
        assert arrived + real.pending == len(sent)
        assert real.accepted == real.polled + real.fill
    assert taken == sorted(taken)
