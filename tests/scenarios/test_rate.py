"""The command `rate`: sources whose pace changes during the run."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emu.clock import NEVER
from emu.errors import ConfigError, ControlError
from emu.skb import Skb
from scenarios.retimed import Retimed
from scenarios.sources import LINE_OVERHEAD_BYTES, LINE_SHIFT, line_time_per_byte
from tests.scenario_kit import make, play
from tests.scenarios.test_user import BOX


def at(*events: tuple[str, str]) -> str:
    return BOX + "".join(f"\n[[at]]\ntime = '{time}'\ndo = ['{line}']\n" for time, line in events)


def arrivals(*events: tuple[str, str]) -> int:
    return play(at(*events)).machine.ledger.arrived_frames


def test_twice_the_rate_from_the_middle_on_gives_half_as_many_frames_again() -> None:
    plain = play(BOX).machine.ledger.arrived_frames
    faster = arrivals(("1500us", "rate traffic0 2x"))
    assert faster == pytest.approx(plain + 900_000 * 1.5e-3, rel=0.04)


def test_a_rate_may_be_given_in_frames_a_second() -> None:
    assert arrivals(("1ms", "rate traffic0 1800k")) == arrivals(("1ms", "rate traffic0 2x"))


def test_at_its_own_rate_nothing_changes() -> None:
    assert arrivals(("1ms", "rate traffic0 1x")) == play(BOX).machine.ledger.arrived_frames


def test_a_source_that_is_stopped_sends_nothing_and_goes_on_where_it_stopped() -> None:
    stopped = arrivals(("1ms", "rate traffic0 0x"), ("1ms", "rate second 0x"))
    assert stopped == play(BOX.replace("3ms", "1ms")).machine.ledger.arrived_frames
    resumed = arrivals(
        *((time, f"rate {name} {x}") for name in ("traffic0", "second") for time, x in (("1ms", "0x"), ("2ms", "1x")))
    )
    # A frame that a poll has seen ahead of the user's time is not taken back, so a poll's length may be missing or more.
    assert resumed == pytest.approx(play(BOX.replace("3ms", "2ms")).machine.ledger.arrived_frames, abs=10)


def test_the_other_source_is_not_touched() -> None:
    built = play(at(("1ms", "rate traffic0 0x")))
    again = play(BOX)
    tcp = [sock for one in (built, again) for sock in one.stack.snmp.as_dict().items() if sock[0] == "TcpInSegs"]
    assert len(tcp) in (0, 2)
    assert len({count for _, count in tcp}) <= 1


def test_rate_alone_shows_all_sources() -> None:
    built = play(at(("1ms", "rate second 0.5x"), ("2ms", "rate")))
    assert built.user.done[-1].printed == (
        "traffic0: 900,000 frames/s, 1x the scenario's\nsecond: 25,000 frames/s, 0.5x the scenario's\n"
    )
    assert built.user.done[-1].asked


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("rate trafic0 2x", "the nearest is traffic0"),
        ("rate traffic0 fast", "'fast' is no rate"),
        ("rate traffic0 -1x", "is no rate"),
        ("rate traffic0 2kx", "is no rate"),
        ("rate traffic0 99999999x", "at most 1000000x"),
        ("rate traffic0 500M", "at most 200M"),
        ("rate traffic0 2x 3x", "more than a source and a rate"),
    ],
)
def test_a_bad_rate_is_refused_with_the_accepted_form(line: str, words: str) -> None:
    built = make(BOX)
    with pytest.raises(ControlError, match=words):
        built.user.commands.run(line)
    with pytest.raises(BaseExceptionGroup) as group:
        play(at(("1ms", line)))
    assert isinstance(group.value.exceptions[0], ConfigError)


def test_a_capture_at_recorded_times_takes_a_factor_only() -> None:
    built = make('[capture]\nfile = "mixed"\n')
    with pytest.raises(ControlError, match="recorded times"):
        built.user.commands.run("rate capture 500k")


class Script:
    """Frames at given times, of given lengths."""

    longest_bytes = None

    def __init__(self, frames: list[tuple[int, int]], hdr: Skb) -> None:
        self.frames = [
            Skb(hdr.hdr, 0, wire_bytes, 0, 0, number, at_ns, None, 0)
            for number, (at_ns, wire_bytes) in enumerate(frames)
        ]

    def fill(self, until_ns: int) -> list[Skb]:
        out = [skb for skb in self.frames if skb.arrived_ns <= until_ns]
        self.frames = self.frames[len(out) :]
        return out

    def next_ns(self) -> int:
        return self.frames[0].arrived_ns if self.frames else NEVER


def some_frame() -> Skb:
    return make(BOX).nic.wire.fill(1_000_000)[0]


FRAME = some_frame()
GAPS = st.lists(st.tuples(st.integers(0, 60_000), st.integers(60, 1500)), max_size=60)
PER_BYTE = line_time_per_byte(10, "test")


def script(gaps: list[tuple[int, int]]) -> Script:
    now, frames = 0, []
    for gap, wire_bytes in gaps:
        now += max(gap, (wire_bytes + LINE_OVERHEAD_BYTES) * PER_BYTE >> LINE_SHIFT)
        frames.append((now, wire_bytes))
    return Script(frames, FRAME)


def given_by(
    gaps: list[tuple[int, int]], changes: list[tuple[int, Fraction]], ahead: random.Random
) -> list[tuple[int, int]]:
    """What a source gives whose pace changes at times, when it is asked for some way ahead of what is seen."""
    source: Script | Retimed = script(gaps)
    seen: list[tuple[int, int]] = []
    given: list[Skb] = []
    pace, going = Fraction(1), Fraction(1)
    for until_ns, wanted in [*changes, (NEVER - 1, Fraction(1))]:
        given += source.fill(min(until_ns + ahead.randrange(100_000), NEVER - 1))
        back = [skb for skb in given if skb.arrived_ns > until_ns]
        seen += [(skb.seq, skb.arrived_ns) for skb in given if skb.arrived_ns <= until_ns]
        given = []
        if until_ns == NEVER - 1:
            break
        if isinstance(source, Retimed) and not pace:
            assert not back
            source = source.resumed(until_ns, wanted / going) if wanted else source
        else:
            source = Retimed(source, back, until_ns, until_ns, wanted / pace, PER_BYTE)
        pace = wanted
        going = wanted or going
    return seen


CHANGES = st.lists(
    st.tuples(
        st.integers(0, 500_000),
        st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1), Fraction(5, 2), Fraction(20)]),
    ),
    max_size=5,
).map(lambda changes: sorted({time: (time, pace) for time, pace in changes}.values()))


@settings(deadline=None)
@given(GAPS, CHANGES, st.integers(0, 1000))
def test_what_comes_depends_on_the_changes_alone_not_on_how_far_ahead_frames_were_asked_for(
    gaps: list[tuple[int, int]], changes: list[tuple[int, Fraction]], seed: int
) -> None:
    given_frames = given_by(gaps, changes, random.Random(seed))
    assert given_frames == given_by(gaps, changes, random.Random(seed + 1))
    times = [at_ns for _, at_ns in given_frames]
    assert times == sorted(times)
    stopped = changes and not changes[-1][1]
    assert [seq for seq, _ in given_frames] == list(range(len(given_frames)))
    if not stopped:
        assert len(given_frames) == len(gaps)


@given(GAPS, st.sampled_from([Fraction(1, 3), Fraction(7), Fraction(1000)]))
def test_no_frame_is_sent_before_the_line_is_free(gaps: list[tuple[int, int]], pace: Fraction) -> None:
    frames = Retimed(script(gaps), [], 0, 0, pace, PER_BYTE).fill(NEVER - 1)
    for before, after in pairwise(frames):
        line_ns = (after.wire_bytes + LINE_OVERHEAD_BYTES) * PER_BYTE >> LINE_SHIFT
        assert after.arrived_ns - before.arrived_ns >= line_ns - 1


def test_a_train_stays_a_train_at_half_the_rate() -> None:
    line_ns = (1500 + LINE_OVERHEAD_BYTES) * PER_BYTE >> LINE_SHIFT
    times = [100_000 + car * line_ns for car in range(4)] + [300_000 + car * line_ns for car in range(4)]
    source = Retimed(Script([(time, 1500) for time in times], FRAME), [], 0, 0, Fraction(1, 2), PER_BYTE)
    out = [skb.arrived_ns for skb in source.fill(NEVER - 1)]
    assert out == [200_000 + car * line_ns for car in range(4)] + [600_000 + car * line_ns for car in range(4)]
