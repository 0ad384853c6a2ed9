"""Laws of every frame: it fits, what it shows adds up as shown, and no name gets through to the terminal as anything but a name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

from monitor.cpu_heat import heat_cell
from monitor.cpu_panel import SORTS as CPU_SORTS
from monitor.cpu_panel import cpu_order
from monitor.cpu_row import in_trouble, shares, squeezes
from monitor.header import conserved_parts
from monitor.history import Change, History
from monitor.identities import broken_identities
from monitor.lines import View, fit, plain, share_lines
from monitor.queue_panel import SORTS as QUEUE_SORTS
from monitor.rates import Rates, delta
from monitor.render import footer, frame
from monitor.snapshot import Snapshot
from monitor.steering_panel import percents
from monitor.terminal import Painted
from monitor.what_if import what_if
from monitor.why.finding import Finding
from monitor.why.findings import findings
from tests.monitor.machine import MadeUpMachine
from tests.monitor.sound import snapshots

NAMES = st.text(max_size=30)


@st.composite
def views(draw: st.DrawFn) -> View:
    """Any way to look, at any terminal."""
    return View(
        draw(st.integers(1, 200)),
        draw(st.integers(1, 70)),
        unicode=draw(st.booleans()),
        page=draw(st.sampled_from(["", "", "", "help", "setup", "knobs", "before", "proof", "commands", "what-if"])),
        panel=draw(st.integers(0, 6)),
        row=draw(st.integers(0, 40)),
        page_row=draw(st.integers(0, 40)),
        zoomed=draw(st.booleans()),
        cpu_sort=draw(st.sampled_from(list(CPU_SORTS))),
        queue_sort=draw(st.sampled_from(list(QUEUE_SORTS))),
        inverted=draw(st.booleans()),
        filter=draw(st.sampled_from(["", "cpu2", "rx-0", "(["])),
        map=draw(st.none() | st.booleans()),
        node=draw(st.none() | st.integers(0, 3)),
        hidden=draw(st.frozensets(st.sampled_from(["steering", "flow", "events", "knobs"]))),
    )


def numbers(words: str) -> list[int]:
    return [int(number.replace(",", "")) for number in re.findall(r"-?\d[\d,]*", words)]


@settings(max_examples=60, deadline=None)
@given(snapshots(10**9), st.sampled_from([(80, 24), (120, 40), (100, 30), (250, 70)]), st.booleans())
def test_what_a_frame_shows_adds_up(snapshot: Snapshot, size: tuple[int, int], unicode: bool) -> None:
    assert broken_identities(snapshot) == []
    rates = delta(None, snapshot)
    lines = frame(snapshot, rates, (), View(*size, unicode=unicode)).plain.split("\n")

    conservation = next(line for line in lines if line.startswith(" IN "))
    arrived, out, dropped, held = numbers(conservation.split("|")[0])
    assert dropped == arrived - out - held
    squeeze = next(line for line in lines if line.startswith(" SQZ "))
    total, budget, time = numbers(squeeze.split("|")[0].split("(")[0])
    assert total == budget + time

    rows = [line for line in lines if re.match(r"[* ] +\d+ +\d+ \[([hska.]+|offl.*)\]", line)]
    assert bool(rows) == bool(snapshot.meta.now_ns)
    for row in rows:
        bar, rest = row[row.index("[") + 1 :].split("]", 1)
        tenths = [round(float(rest[i : i + 5]) * 10) for i in range(0, 20, 5)]
        assert sum(tenths) == 1000
        assert bar.startswith("offl") or "".join(sorted(bar, key="hska.".index)) == bar

    for queue in rates.queues:
        assert sum(percents(queue.steering).values()) == (100 if queue.steering.skbs else 0)
    matrix = View(*size, unicode=unicode, panel=3, zoomed=True)
    for line in frame(snapshot, rates, (), matrix).plain.split("\n"):
        if re.match(r" rx-\d+ ", line) and "<1" not in line and "more" not in line:
            shares = re.findall(r"(?<=[ i!])(\d+)(?=%| |$)", re.sub(r"^ rx-\d+ *(i c\d+ )?", "", line))
            assert sum(int(share) for share in shares) in (0, 100)

    stages = View(*size, unicode=unicode, panel=4, zoomed=True)
    for line in frame(snapshot, rates, (), stages).plain.split("\n"):
        if re.match(r" (wire|ring|napi|gro|rps|backlog|ip|l4|sock) +-?\d", line):
            came, passed, lost, held, consumed = (int(word.replace(",", "")) for word in line.split()[1:6])
            assert came == passed + lost + held + consumed


@settings(max_examples=100, deadline=None)
@given(snapshots(), views())
def test_a_frame_fits_any_terminal(snapshot: Snapshot, view: View) -> None:
    rates = delta(None, snapshot)
    change = Change((("net.core.netdev_budget", "300", "\x1b[31m"),), rates, rates)
    text = frame(snapshot, rates, (), view, change).plain
    lines = text.split("\n")
    assert len(lines) <= view.height
    assert max(cell_len(line) for line in lines) <= view.width
    assert view.unicode or text.isascii()
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text.replace("\n", ""))


@settings(max_examples=40, deadline=None)
@given(snapshots(), views())
def test_a_painted_frame_is_what_rich_makes_of_its_text(snapshot: Snapshot, view: View) -> None:
    text = frame(snapshot, delta(None, snapshot), (), view)
    console = Console(width=view.width, height=view.height, force_terminal=True, color_system="256")

    def cells(segments: Iterable[Segment]) -> list[tuple[str, Style]]:
        return [(letter, segment.style or Style.null()) for segment in segments for letter in segment.text]

    assert cells(Painted(text).__rich_console__(console, console.options)) == cells(text.render(console))


@settings(max_examples=40, deadline=None)
@given(snapshots(10**6), st.booleans())
def test_rows_with_a_star_come_first_and_are_those_with_losses_or_work_left(snapshot: Snapshot, inverted: bool) -> None:
    rates = delta(None, snapshot)
    order = cpu_order(snapshot, rates, View(80, 24, inverted=inverted))
    stars = [in_trouble(rates.cpus[i]) for i in order]
    assert stars == sorted(stars, reverse=not inverted)
    lossy = {queue.cpu for queue in snapshot.queues if queue.drops}
    for i, star in zip(order, stars, strict=True):
        cpu = snapshot.cpus[i]
        assert star == bool(cpu.dropped or cpu.squeeze_with_work_left or i in lossy)


@given(st.integers(1, 10**12), st.integers(0, 10**7), st.integers(0, 10**7))
def test_squeezes_of_a_cpu_add_up_as_shown(interval_ns: int, budget: int, time: int) -> None:
    total, by_cause = squeezes(_rates(interval_ns), budget, time)
    assert (total == "0") == (budget + time == 0)
    if total.replace(".", "").isdigit() and by_cause != "-":
        by_budget, by_time = by_cause.split("/")
        if by_budget.replace(".", "").isdigit() and by_time.replace(".", "").isdigit():
            assert round(float(by_budget) * 10) + round(float(by_time) * 10) == round(float(total) * 10)


def _rates(interval_ns: int, **counts: Any) -> Rates:
    machine = MadeUpMachine(1, 1)
    return msgspec.structs.replace(delta(None, machine.snapshot()), interval_ns=interval_ns, **counts)


def test_half_frames_a_second_still_add_up() -> None:
    rates = _rates(2_000_000_000, arrived_frames=3, read_frames=1, dropped={"NO_SOCKET": 1}, held_frames=1)
    arrived, out, dropped, held = conserved_parts(rates)
    assert (arrived, out + dropped + held) == (2, 2)


def test_full_shares_take_no_more_room_than_others() -> None:
    assert shares((0, 0, 0, 0, 7)) == ("  0.0", "  0.0", "  0.0", "  100")
    assert shares((1, 1, 1, 0, 0)) == (" 33.3", " 66.7", "  0.0", "  0.0")
    assert shares((0, 0, 0, 0, 0)) == ("    -",) * 4


def test_a_name_from_a_file_cannot_reach_the_terminal_as_a_command() -> None:
    machine = MadeUpMachine(4, 2)
    machine.advance(1_000_000)
    snapshot = machine.snapshot()
    evil = "eth\x1b]0;owned\x07\x9b31m\u202e[bold]x\n"
    snapshot = msgspec.structs.replace(
        snapshot,
        meta=msgspec.structs.replace(snapshot.meta, scenario=evil, nic=evil, rules=evil),
        cpus=tuple(msgspec.structs.replace(cpu, current=evil) for cpu in snapshot.cpus),
        events=tuple(msgspec.structs.replace(event, text=evil) for event in snapshot.events),
    )
    text = frame(snapshot, History().push(snapshot), (), View(120, 40)).plain
    assert not set("\x1b\x07\x9b\u202e") & set(text)
    assert len(text.split("\n")) == 40
    assert "[bold]" in text


@given(NAMES, st.integers(1, 20))
def test_a_plain_name_has_its_width(name: str, width: int) -> None:
    assert cell_len(plain(name, width)) == width


def test_trouble_is_told_without_colour() -> None:
    machine = MadeUpMachine(64, 4)
    machine.advance(1_000_000_000)
    snapshot = machine.snapshot()
    rates = delta(None, snapshot)
    text = frame(snapshot, rates, (), View(120, 40)).plain
    assert re.search(r"^\*  2  0 .*backlog full", text, re.MULTILINE)
    assert re.search(r"^\*rx-0", text, re.MULTILINE)
    assert heat_cell(snapshot.cpus[2], rates.cpus[2])[0] == "!"
    assert heat_cell(snapshot.cpus[7], rates.cpus[7])[0] == "x"


def test_a_capture_that_does_not_slow_down_is_told_at_every_size() -> None:
    machine = MadeUpMachine(4, 4)
    machine.advance(1_000_000_000)
    snapshot = machine.snapshot()
    for width, height in ((120, 40), (80, 24), (60, 20)):
        assert "open-loop TCP" in frame(snapshot, delta(None, snapshot), (), View(width, height)).plain


def test_the_footer_names_only_keys_that_do_something_now() -> None:
    meta = MadeUpMachine(1, 1).snapshot().meta
    assert (
        footer(meta, View(80, 24)).plain
        == " q quit  ? help  SPC pause  . step  + - speed  : command  k knobs  1-6 panel"
    )
    paused = msgspec.structs.replace(meta, paused=True)
    assert "SPC go on" in footer(paused, View(80, 24)).plain
    finished = msgspec.structs.replace(meta, finished=True)
    assert footer(finished, View(80, 24)).plain.startswith(" q quit  ? help  the run is over; q shows the summary")
    assert "pause" not in footer(finished, View(300, 24)).plain
    assert footer(meta, View(80, 24, keys=False)).plain == " no keyboard here: Ctrl-C ends the run"
    assert "Esc back" in footer(meta, View(80, 24, page="help")).plain
    assert "sort" not in footer(meta, View(300, 24)).plain
    assert "< > sort" in footer(meta, View(300, 24, panel=1)).plain
    commands = Finding(True, "x", ())
    assert " a commands" not in footer(meta, View(300, 24), (commands,)).plain
    assert " a commands" in footer(meta, View(300, 24), (msgspec.structs.replace(commands, commands=("y",)),)).plain


def test_what_if_is_the_runs_own_command_with_the_suggestion_as_changes() -> None:
    machine = MadeUpMachine(4, 4)
    machine.advance(1_000_000_000)
    known = machine.snapshot()
    snapshot = msgspec.structs.replace(known, meta=msgspec.structs.replace(known.meta, command=""))
    meta = msgspec.structs.replace(snapshot.meta, command="softnet run 'my file.toml' --cpus 4 --seed 7")
    (finding, *_) = [one for one in findings(snapshot, delta(None, snapshot)) if one.commands]
    lines = what_if(meta, msgspec.structs.replace(finding, commands=("echo e > /sys/x", "sysctl -w a=b")))
    assert lines == (
        "softnet compare 'my file.toml' --cpus 4 --seed 7 \\",
        "--change 'echo e > /sys/x' \\",
        "--change 'sysctl -w a=b'",
    )
    assert what_if(meta, msgspec.structs.replace(finding, commands=())) == ()
    assert what_if(snapshot.meta, finding) == ()
    assert "w what-if" in footer(meta, View(300, 24), (finding,)).plain
    assert "w what-if" not in footer(snapshot.meta, View(300, 24), (finding,)).plain
    taken = msgspec.structs.replace(snapshot, meta=meta)
    text = frame(taken, delta(None, taken), (), View(120, 40, page="what-if")).plain
    assert "  softnet compare 'my file.toml' --cpus 4 --seed 7 \\\n    --change '" in text
    assert (
        "no setting that could be compared"
        in frame(snapshot, delta(None, snapshot), (), View(120, 40, page="what-if")).plain
    )


@given(st.lists(st.integers(0, 50), min_size=1, max_size=4), st.integers(0, 80))
def test_lines_are_dealt_out_completely_and_never_twice(wants: list[int], lines: int) -> None:
    given_ = share_lines(wants, [3] * len(wants), lines)
    assert sum(given_) == min(sum(wants), lines)
    assert all(got <= want for got, want in zip(given_, wants, strict=True))


def test_the_least_important_segment_goes_first() -> None:
    segments = [(2, "aaa", ""), (1, "bbb", ""), (3, "ccc", "")]
    assert fit(segments, 14).plain == " aaa  bbb  ccc"
    assert fit(segments, 13).plain == " aaa  ccc"
    assert fit(segments, 6).plain == " ccc"
    assert fit(segments, 3).plain == " cc"
