"""Sources: exact rates, the same frames however they are asked for, and never more than the line carries."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.clock import NEVER
from emu.errors import ConfigError
from emu.headers import TCP_PSH, HeaderTable
from emu.skb import Skb
from scenarios.flows import FlowSet
from scenarios.sizes import FixedSize, Sizes, UniformSize, WeightedSizes, named_sizes
from scenarios.sources import MergedSource, Source, SyntheticSource, traffic_rng
from scenarios.timing import ConstantRate, OnOff, Poisson, Timing

MS = 1_000_000
SECOND = 1_000_000_000


def rng(use: str) -> random.Random:
    return traffic_rng(7, "a", use)


def flow_set(**options: Any) -> FlowSet:
    return FlowSet(HeaderTable(), rng("begin"), **options)


def source(timing: Timing, sizes: Sizes | None = None, flows: FlowSet | None = None, **options: Any) -> SyntheticSource:
    return SyntheticSource(flows or flow_set(), timing, sizes or FixedSize(64), rng("flows"), **options)


def shape(frames: Iterable[Skb]) -> list[tuple[object, ...]]:
    return [(s.arrived_ns, s.hdr.flow, s.hdr.tcp_flags, s.wire_bytes, s.payload_bytes, s.ip_id, s.seq) for s in frames]


def serial_ns(skb: Skb, gbps: float) -> Fraction:
    return Fraction((skb.wire_bytes + 24) * 8) / Fraction(gbps).limit_denominator(1000)


MAKERS: dict[str, Callable[[], Source]] = {
    "constant": lambda: source(ConstantRate(3_000_000), flows=flow_set(count=5), max_packets=700),
    "poisson": lambda: source(
        Poisson(2e6, rng("times")), named_sizes("imix", rng("sizes")), flow_set(count=50, zipf=1.1, protocol="tcp")
    ),
    "bursts": lambda: source(
        OnOff(ConstantRate(5e6), 7_000, 20_000, rng("onoff")), UniformSize(64, 1518, rng("sizes"))
    ),
    "trains": lambda: source(
        Poisson(50_000, rng("times")),
        FixedSize(1518),
        flow_set(count=9, protocol="tcp"),
        line_gbps=10,
        train_frames=17,
        stop_ns=1_200_000,
    ),
    "merged": lambda: MergedSource(
        [MAKERS["constant"](), MAKERS["trains"](), MAKERS["poisson"](), source(ConstantRate(10))], line_gbps=2.5
    ),
}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_frames_do_not_depend_on_the_chunks_they_are_asked_for(name: str, data: st.DataObject) -> None:
    end = 1_000_000
    whole = shape(MAKERS[name]().fill(end))
    assert whole
    parts = MAKERS[name]()
    got: list[Skb] = []
    for until in [*sorted(data.draw(st.lists(st.integers(0, end), max_size=12))), end]:
        due = parts.next_ns()
        chunk = parts.fill(until)
        assert bool(chunk) == (due <= until)
        assert all(skb.arrived_ns <= until for skb in chunk)
        if chunk:
            assert chunk[0].arrived_ns == due
        got += chunk
    assert shape(got) == whole
    assert parts.next_ns() > end
    times = [skb.arrived_ns for skb in got]
    assert times == sorted(times)


@pytest.mark.parametrize("name", MAKERS)
def test_asking_for_each_frame_by_its_time_gives_the_same(name: str) -> None:
    whole = shape(MAKERS[name]().fill(300_000))
    single = MAKERS[name]()
    got: list[Skb] = []
    while single.next_ns() <= 300_000:
        got += single.fill(single.next_ns())
    assert shape(got) == whole


def test_another_seed_gives_other_times() -> None:
    a, b = (Poisson(1e6, traffic_rng(seed, "a")).times(100) for seed in (1, 2))
    assert a != b


@pytest.mark.parametrize("rate", [3, 7_000_000, 1_488_095.238, 14_880_952, 0.5])
def test_constant_rate_is_exact_however_long_it_runs(rate: float) -> None:
    timing = ConstantRate(rate)
    exact = Fraction(rate).limit_denominator(1_000_000)
    times = timing.times(100_000)
    assert times[0] == 0
    for n in (1, 2, 999, 99_999):
        assert times[n] == n * SECOND // exact
    timing.times(900_000)
    assert timing.times(1) == [1_000_000 * SECOND // exact]


def test_constant_source_counts_to_the_frame() -> None:
    frames = source(ConstantRate(7), start_ns=5 * MS, stop_ns=5 * MS + SECOND).fill(NEVER - 1)
    assert len(frames) == 7
    assert frames[0].arrived_ns == 5 * MS
    assert frames[-1].arrived_ns == 5 * MS + 6 * SECOND // 7


def test_poisson_has_its_mean_and_its_variance() -> None:
    times = Poisson(2e6, rng("times")).times(200_000)
    gaps = [b - a for a, b in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(500, rel=0.01)
    assert spread == pytest.approx(500, rel=0.02)
    assert sum(gap > 1000 for gap in gaps) / len(gaps) == pytest.approx(0.1353, rel=0.03)


def test_fixed_bursts_send_while_on_and_keep_still_while_off() -> None:
    frames = source(OnOff(ConstantRate(1_000_000), 3 * MS, 7 * MS), stop_ns=100 * MS).fill(NEVER - 1)
    assert len(frames) == 30_000
    phases = Counter(skb.arrived_ns // MS % 10 for skb in frames)
    assert phases == {0: 10_000, 1: 10_000, 2: 10_000}


def test_random_bursts_have_their_mean_duty_cycle() -> None:
    timing = OnOff(ConstantRate(1_000_000), 50_000, 150_000, rng("onoff"))
    times = timing.times(100_000)
    assert 100_000 * 1000 / times[-1] == pytest.approx(0.25, rel=0.08)
    silences = [b - a for a, b in pairwise(times) if b - a > 1000]
    assert len({gap // 1000 for gap in silences}) > 100


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([0.1, 1, 2.5, 10, 25, 40, 100, 400]),
    st.integers(1, 40),
    st.floats(1e4, 5e8),
    st.integers(0, 3),
)
def test_no_frame_overtakes_the_line(gbps: float, train: int, rate: float, seed: int) -> None:
    random_sizes = UniformSize(78, 1518, random.Random(seed))
    frames = source(
        Poisson(rate, random.Random(seed)),
        random_sizes,
        flow_set(count=3, protocol="tcp"),
        line_gbps=gbps,
        train_frames=train,
        max_packets=600,
    ).fill(NEVER - 1)
    assert len(frames) == 600
    for first in (0, 1, 250):
        busy = Fraction(0)
        for before, skb in zip(frames[first:], frames[first + 1 :], strict=False):
            busy += serial_ns(skb, gbps)
            assert skb.arrived_ns - frames[first].arrived_ns > busy - 1
            assert skb.arrived_ns >= before.arrived_ns


def test_an_overloaded_line_carries_exactly_its_rate() -> None:
    frames = source(ConstantRate(50_000_000), line_gbps=10, stop_ns=10 * MS).fill(NEVER - 1)
    # 64-byte frames at 10 Gbit/s: 14.88 Mpps, 67.2 ns each.
    assert len(frames) == pytest.approx(148_810, abs=1)
    assert [skb.arrived_ns for skb in frames[:5]] == [0, 67, 134, 201, 268]


def test_sources_on_one_link_share_its_speed() -> None:
    merged = MergedSource([source(ConstantRate(1_000_000), stop_ns=MS) for _ in range(20)], line_gbps=10)
    frames = merged.fill(NEVER - 1)
    assert len(frames) == 20_000
    busy = sum((serial_ns(skb, 10) for skb in frames[1:]), Fraction(0))
    assert busy - 1 < frames[-1].arrived_ns - frames[0].arrived_ns < busy + 1


def test_equal_times_go_in_the_order_of_the_sources() -> None:
    one, two = flow_set(sources="10.1.0.1"), flow_set(sources="10.1.0.2")
    merged = MergedSource(
        [source(ConstantRate(1000), flows=flows, stop_ns=10 * MS) for flows in (two, one)],
    )
    frames = merged.fill(NEVER - 1)
    assert [skb.hdr.saddr[3] for skb in frames] == [2, 1] * 10
    assert merged.next_ns() == NEVER


def test_a_train_is_one_flow_without_a_hole() -> None:
    flows = flow_set(count=40, protocol="tcp")
    frames = source(
        ConstantRate(1000), FixedSize(1518), flows, line_gbps=10, train_frames=45, max_packets=45 * 50
    ).fill(NEVER - 1)
    counters: dict[object, tuple[int, int]] = {}
    for start in range(0, len(frames), 45):
        train = frames[start : start + 45]
        assert {skb.hdr.flow for skb in train} == {train[0].hdr.flow}
        assert [bool(skb.hdr.tcp_flags & TCP_PSH) for skb in train] == [False] * 44 + [True]
        assert len({id(skb.hdr) for skb in train[:44]}) == 1
        assert all(skb.payload_bytes == 1460 for skb in train)
        assert train[0].arrived_ns == start // 45 * MS
        gaps = [b.arrived_ns - a.arrived_ns for a, b in pairwise(train)]
        assert set(gaps) <= {1230, 1231}
        for skb in train:
            flow = skb.hdr.flow
            if flow in counters:
                assert (skb.ip_id, skb.seq) == counters[flow]
            counters[flow] = (skb.ip_id + 1) & 0xFFFF, (skb.seq + 1460) & 0xFFFFFFFF
    assert len(counters) > 20


def test_trains_need_not_end_in_a_push() -> None:
    frames = source(
        ConstantRate(1000), FixedSize(100), flow_set(protocol="tcp"), line_gbps=1, train_frames=4, train_psh=False,
        max_packets=8,
    ).fill(NEVER - 1)  # fmt: skip
    assert not any(skb.hdr.tcp_flags & TCP_PSH for skb in frames)


def test_counters_belong_to_the_flow_and_wrap_around() -> None:
    flows = flow_set(count=2, protocol="tcp")
    flows.ip_ids[0], flows.seqs[0] = 0xFFFE, 0xFFFFFFF0
    frames = source(ConstantRate(1e6), FixedSize(74), flows, max_packets=40).fill(NEVER - 1)
    per_flow = defaultdict(list)
    for number, skb in enumerate(frames):
        assert (skb.wire_bytes, skb.payload_bytes, skb.len_bytes, skb.number, skb.data) == (70, 16, 56, number, None)
        per_flow[skb.hdr.sport, skb.hdr.saddr].append((skb.ip_id, skb.seq))
    first = per_flow[flows.hdrs[0].sport, flows.hdrs[0].saddr]
    assert first[:4] == [(0xFFFE, 0xFFFFFFF0), (0xFFFF, 0), (0, 16), (1, 32)]


def test_udp_has_no_sequence_and_ipv6_no_id() -> None:
    flows = flow_set(sources="fd00:1::/120", destinations=[("fd00::1", 9)], count=3)
    frames = source(ConstantRate(1e6), FixedSize(66), flows, max_packets=9).fill(NEVER - 1)
    assert {(skb.ip_id, skb.seq, skb.payload_bytes) for skb in frames} == {(0, 0, 0)}


def test_sizes_come_with_their_weights() -> None:
    drawn = Counter(named_sizes("imix", rng("sizes")).wire_bytes(120_000))
    assert set(drawn) == {60, 590, 1514}
    for wire, weight in ((60, 7), (590, 4), (1514, 1)):
        assert drawn[wire] == pytest.approx(weight * 10_000, rel=0.03)
    assert set(WeightedSizes([(64, 0), (100, 2), (200, 1)], rng("sizes")).wire_bytes(500)) == {96, 196}
    uniform = Counter(UniformSize(70, 73, rng("sizes")).wire_bytes(8000))
    assert set(uniform) == {66, 67, 68, 69}
    assert min(uniform.values()) > 1800


def test_a_named_mix_makes_room_for_longer_headers() -> None:
    assert set(named_sizes("trimodal", rng("sizes"), smallest=78).wire_bytes(100)) == {74, 590, 1514}


def test_source_ends_at_its_stop_and_at_its_count() -> None:
    stopped = source(Poisson(1e6, rng("times")), start_ns=3 * MS, stop_ns=4 * MS)
    frames = stopped.fill(NEVER - 1)
    assert 3 * MS < frames[0].arrived_ns <= frames[-1].arrived_ns < 4 * MS
    assert stopped.next_ns() == NEVER
    assert stopped.fill(NEVER) == []
    counted = source(Poisson(1e6, rng("times")), max_packets=128)
    assert len(counted.fill(NEVER - 1)) == 128
    assert counted.next_ns() == NEVER


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConstantRate(0, "t.rate"), "t.rate: a rate of 0"),
        (lambda: ConstantRate(float("nan")), "out of range"),
        (lambda: Poisson(float("inf"), random.Random(1)), "out of range"),
        (lambda: OnOff(ConstantRate(1), 0, 5), "on at least 1"),
        (lambda: FixedSize(63), "64 to 16000"),
        (lambda: UniformSize(100, 99, random.Random(1)), "below the smallest"),
        (lambda: WeightedSizes([], random.Random(1)), "is empty"),
        (lambda: WeightedSizes([(64, 0)], random.Random(1)), "all weights are 0"),
        (lambda: WeightedSizes([(64, -1)], random.Random(1)), "weight -1"),
        (lambda: named_sizes("mix", random.Random(1)), "imix, trimodal"),
        (lambda: source(ConstantRate(1), start_ns=5, stop_ns=5), "not after its start"),
        (lambda: source(ConstantRate(1), max_packets=0), "1 or more"),
        (lambda: source(ConstantRate(1), line_gbps=0.0), "Gbit/s is out of range"),
        (lambda: source(ConstantRate(1), train_frames=5), "line_gbps"),
        (lambda: source(ConstantRate(1), line_gbps=1, train_frames=0), "1 to 4096"),
        (
            lambda: source(
                ConstantRate(1),
                flows=flow_set(protocol="tcp", sources="fd00::2", destinations=[("fd00::1", 1)]),
            ),
            "headers alone need 78",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
