"""The wire merges sources and numbers their frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emu.clock import NEVER
from nic.wire import Wire
from tests.nic.rig import Script, frame, udp_headers

HDRS = [udp_headers(number) for number in range(3)]


@given(
    times=st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=3),
    looks=st.lists(st.integers(0, 40), max_size=8),
)
def test_frames_come_in_order_of_time_then_source_wherever_the_chunks_end(
    times: list[list[int]], looks: list[int]
) -> None:
    sources = [Script([frame(HDRS[index], at) for at in ats]) for index, ats in enumerate(times)]
    wire = Wire(list(sources))
    got = []
    for until in [*sorted(looks), 100]:
        got += wire.fill(until)
        assert wire.next_ns() == min((at for ats in times for at in ats if at > until), default=NEVER)
    expected = sorted((at, index) for index, ats in enumerate(times) for at in ats)
    assert [(skb.arrived_ns, HDRS.index(skb.hdr)) for skb in got] == expected
    assert [skb.number for skb in got] == list(range(len(expected)))
    assert wire.generated_frames == len(expected)
    assert wire.next_ns() == NEVER


def test_numbers_begin_where_told() -> None:
    wire = Wire([Script([frame(HDRS[0], 5), frame(HDRS[0], 6)])], first_number=10)
    assert [skb.number for skb in wire.fill(5) + wire.fill(9)] == [10, 11]


def test_a_source_that_gives_frames_of_the_past_is_found_out() -> None:
    source = Script([frame(HDRS[0], 5)])
    wire = Wire([source])
    wire.fill(10)
    source.frames.append(frame(HDRS[0], 7))
    with pytest.raises(AssertionError, match="outside"):
        wire.fill(20)


def test_a_wire_without_sources_never_has_a_frame() -> None:
    wire = Wire([])
    assert wire.fill(1000) == []
    assert wire.next_ns() == NEVER
