"""Figures of a run: the warm-up is out of every one of them, and the traffic is told by its digest."""

from __future__ import annotations

import pytest
from msgspec import structs

from monitor.snapshot import Snapshot
from scenarios.build import build
from scenarios.headless import Span, run_headless
from scenarios.study.figures import figures
from scenarios.study.runner import measure, prepare
from scenarios.study.traffic import watch_traffic
from tests.scenarios.study.kit import RPS, side, text


def spans(warmup: str) -> Span:
    loaded = side(text(warmup=warmup)).loaded
    return run_headless(build(loaded.scenario, loaded.origin, 1), int(loaded.scenario.run.warmup))


def test_the_end_is_the_same_with_and_without_a_warmup() -> None:
    plain, warmed = spans("0ms").end, spans("1ms").end
    assert plain.totals == warmed.totals
    assert plain.cpus == warmed.cpus
    assert plain.latencies == warmed.latencies


def test_without_a_warmup_the_figures_are_the_snapshots() -> None:
    span = spans("0ms")
    found = figures(span, 3000)
    seconds = 0.003
    assert span.start is None and span.length_ns == 3_000_000
    assert found["read"] == pytest.approx(span.end.totals.read_frames / seconds)
    assert found["interrupts/hardirqs"] == pytest.approx(sum(cpu.hardirqs for cpu in span.end.cpus) / seconds)
    for latency in span.end.latencies:
        if latency.count:
            assert found[f"latency/{latency.stage}/p99"] == latency.p99_ns
            assert found[f"latency/{latency.stage}/p99.9"] == latency.p999_ns


def test_what_was_counted_in_the_warmup_is_subtracted() -> None:
    span = spans("1ms")
    assert span.start is not None and span.length_ns == 2_000_000
    found = figures(span, 2000)
    seconds = 0.002
    read = span.end.totals.read_frames - span.start.totals.read_frames
    assert span.start.totals.read_frames > 0
    assert found["read"] == pytest.approx(read / seconds)
    start, end = span.start.whole_way(), span.end.whole_way()
    assert start is not None and end is not None
    mean = found["latency/total/mean"]
    assert mean == pytest.approx((end.sum_ns - start.sum_ns) / (end.count - start.count))
    cpu = found["cpu0/busy"]
    parts = [sum(taken.cpus[0].accounts.parts_ns()[:4]) for taken in (span.start, span.end)]
    assert cpu == pytest.approx(100 * (parts[1] - parts[0]) / 2_000_000)


def test_percentiles_of_the_rest_are_those_of_a_histogram_of_the_rest() -> None:
    span = spans("1ms")
    assert span.start is not None
    found = figures(span, 2000)
    for start, end in zip(span.start.latencies, span.end.latencies, strict=True):
        before = dict(start.bins)
        rest = sorted(bound for bound, count in end.bins for _ in range(count - before.get(bound, 0)))
        if rest:
            assert found[f"latency/{end.stage}/p50"] == min(rest[-(-len(rest) * 50 // 100) - 1], end.max_ns)


def test_the_largest_wait_of_the_warmup_bounds_no_percentile_of_the_rest() -> None:
    span = spans("1ms")
    start, end = span.start, span.end
    assert start is not None

    def largest(snapshot: Snapshot, max_ns: int) -> Snapshot:
        (latency,) = [latency for latency in snapshot.latencies if latency.stage == "total"]
        return structs.replace(snapshot, latencies=[structs.replace(latency, max_ns=max_ns)])

    def p999(before_ns: int, max_ns: int) -> float | None:
        return figures(Span(largest(start, before_ns), largest(end, max_ns)), 2000)["latency/total/p99.9"]

    bound = p999(10**9, 10**9)
    assert bound is not None
    one_less = int(bound) - 1
    assert p999(one_less, one_less) == bound
    assert p999(one_less - 1, one_less) == one_less


def test_a_stage_that_nothing_reached_after_the_warmup_has_no_percentile() -> None:
    found = measure(side(text()), 1).figures
    assert found["latency/backlog/p99"] is None
    assert found["latency/backlog/mean"] is None


def test_both_sides_are_sent_the_same_frames_whatever_is_done_with_them() -> None:
    a, b = measure(side(text()), 3), measure(side(text(), RPS), 3)
    assert a.figures != b.figures
    assert a.traffic == b.traffic and set(a.traffic) == {"requests"}
    assert a.figures["offered"] == b.figures["offered"]


def test_other_seeds_and_other_rates_are_other_traffic() -> None:
    digests = {
        measure(side(text(rate_pps=rate)), seed).traffic["requests"] for rate in (100_000, 200_000) for seed in (1, 2)
    }
    assert len(digests) == 4


def test_the_digest_does_not_depend_on_chunks() -> None:
    found = []
    for step_ns in (3_000_000, 7_001):
        watched = watch_traffic(prepare(side(text()), 1))["requests"]
        frames = 0
        for until_ns in range(step_ns, 3_000_000 + step_ns, step_ns):
            frames += len(watched.fill(until_ns))
        found.append(watched.digest())
    assert found[0] == found[1] == measure(side(text()), 1).traffic["requests"]


def test_frames_are_offered_after_the_warmup_only() -> None:
    built = prepare(side(text(pattern="constant")), 1)
    watched = watch_traffic(built, 1_000_000)["requests"]
    run_headless(built)
    assert watched.frames_after_warmup == pytest.approx(2000, abs=1)


def test_a_frame_at_time_0_is_offered_unless_there_is_a_warmup() -> None:
    toml = '[scenario]\nname = "capture"\n[capture]\nfile = "mixed"\n[run]\nduration = "1ms"\n'
    found = []
    for warmup_ns in (0, 1):
        built = prepare(side(toml), 1)
        (watched,) = watch_traffic(built, warmup_ns).values()
        run_headless(built)
        assert built.machine.ledger.arrived_frames == 1
        found.append(watched.frames_after_warmup)
    assert found == [1, 0]
