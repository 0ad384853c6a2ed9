"""softnet.json: /proc/net/softnet_stat before and after controlled situations, polls, and the order of what happened.

What the real kernel leaves to chance is bounded, not compared (README): the number of IPIs a free target takes from a CPU that
polls several times, the squeezes of that target, and where in a jiffy a slow poll began.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import msgspec

from emu.dropreason import DropReason
from emu.headers import HeaderTable
from nic.hand_device import NAPI_GRO_RECEIVE, NET_RX_DROP, NETIF_RX
from scenarios.conform.frames import TCP_BYTES, UDP_BYTES, tcp_frame, udp_frame
from scenarios.conform.load import Recording
from scenarios.conform.replay import START_NS, Hand, Replay
from scenarios.conform.report import Cases, Differs, Impossible, Play, expect, lazily

MAX_FRAME_BYTES: Final = 65_000
TIME_SQUEEZE: Final = 2
RECEIVED_RPS: Final = 9
CPU: Final = 12
NORMAL: Final = 3
LOG_LIMIT: Final = 120
"""Entries of `order` that are recorded at most."""
PHASES: Final = 8
"""Places in a jiffy at which a slow case is tried."""

RULES: Final = {
    0: "Z3, note 14",
    1: "Z4, B3, note 13",
    2: "N2-N5, notes 1, 2",
    9: "Z5, B4, I1, note 14",
    10: "F1-F3, note 13",
    11: "section 13",
    13: "section 13",
    14: "section 13",
}


class Frame(msgspec.Struct):
    """A frame on a queue: its NIC hash (L4) and length."""

    queue: int
    len: int
    hash: int | None = None


class Send(msgspec.Struct):
    """One batch: frames, then FIRE."""

    irq_cpu: int
    queues: list[int]
    frames: list[Frame]


class Case(msgspec.Struct):
    """A situation."""

    rps_cpus: str
    held_cpus: list[int]
    sysctl: dict[str, Any]
    driver_calls: str
    sends: list[Send]
    before: str
    delta: dict[str, dict[str, int]]
    delta_while_held: list[dict[str, dict[str, int]]]
    skbs_handled_per_cpu: dict[str, int]
    driver_return_codes: dict[str, int]
    polls: list[list[int | None]]
    order: list[str]
    cost_ns_per_packet: int = 0


Racing = dict[int, dict[int, tuple[int, int]]]
"""CPU -> column of softnet_stat -> (least, most)."""


class Content(msgspec.Struct):
    """The file."""

    n_columns: int
    cases: dict[str, Any]
    defaults: dict[str, str] = {}


def cases(recording: Recording) -> Cases:
    """The cases of a softnet recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    for name, body in content.cases.items():
        yield name, lazily(_player, recording, content, name, body, table)


def _player(recording: Recording, content: Content, name: str, body: Any, table: HeaderTable) -> Play:
    case = recording.convert(body, Case, f"case {name}")
    for send in case.sends:
        for frame in send.frames:
            if not UDP_BYTES <= frame.len <= MAX_FRAME_BYTES:
                raise Impossible(f"a frame of {frame.len} bytes")
    for number, entry in enumerate(case.order):
        if not re.fullmatch(r"[a-z]+:\d{1,4}", entry):
            raise Impossible(f"order {number}: {entry[:40]!r} is not an event and its CPU")

    def play() -> list[str]:
        left_out: list[str] = []
        phases = PHASES if case.cost_ns_per_packet else 1
        for phase in range(phases):
            try:
                left_out = _judge(recording, content, case, _Played(recording, content, case, table, phase))
                break
            except Differs as differs:
                if phase == phases - 1 or " 2" not in differs.at:
                    raise
        if case.cost_ns_per_packet:
            left_out.append("where in a jiffy the interrupt came is not recorded: any place will do (README)")
        return left_out

    return play


class _Played:
    """A case played on the emulator."""

    def __init__(self, recording: Recording, content: Content, case: Case, table: HeaderTable, phase: int) -> None:
        self.replay = replay = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        self.stats: list[str] = []
        """The text before, after each send while something was held, and after all."""
        self._case = case
        self._table = table
        self._tcp = (
            any(int(code) != NORMAL for code in case.driver_return_codes) and case.driver_calls == NAPI_GRO_RECEIVE
        )
        self._position: dict[int | None, int] = {}
        for key, value in {**content.defaults, **case.sysctl}.items():
            replay.write(key, value)
        replay.write_queues("rps_cpus", case.rps_cpus)
        replay.enter_by(case.driver_calls)
        replay.device.packet_ns = case.cost_ns_per_packet
        self._start_ns = START_NS + replay.jiffies.tick_ns * phase // PHASES
        replay.play(self._script)

    async def _script(self, hand: Hand) -> None:
        replay, case = self.replay, self._case
        await hand.sleep(self._start_ns)
        self.stats.append(replay.softnet_stat())
        for cpu in case.held_cpus:
            await hand.hold(cpu)
        for send in case.sends:
            for frame in send.frames:
                replay.lay(frame.queue, self._bytes(frame), frame.hash)
            await hand.fire(send.irq_cpu, send.queues)
            if case.held_cpus:
                self.stats.append(replay.softnet_stat())
        for cpu in case.held_cpus:
            await hand.release(cpu)
        self.stats.append(replay.softnet_stat())

    def _bytes(self, frame: Frame) -> bytes:
        """TCP segments in order where the recorded verdicts show that GRO took them, else UDP (the file has lengths only)."""
        if not self._tcp:
            return udp_frame(self._table, 1000, 7000, frame.len)
        if frame.len < TCP_BYTES:
            raise Impossible(f"a TCP segment of {frame.len} bytes")
        offset = self._position.get(frame.hash, 0)
        self._position[frame.hash] = offset + frame.len - TCP_BYTES
        return tcp_frame(self._table, 1000 + (frame.hash or 0) % 1000, 2000, 1000 + offset, frame.len, offset)


def _judge(recording: Recording, content: Content, case: Case, played: _Played) -> list[str]:
    replay = played.replay
    for row in _rows(played.stats[0]).values():
        expect("softnet_stat: columns", content.n_columns, len(row), "section 13")
    expect("softnet_stat: CPUs in it", list(_rows(case.before)), list(_rows(played.stats[0])), "section 13")
    log = replay.device.log
    polls = [
        [event.cpu, event.what["queue"], event.what["work"], event.what["complete_done"]]
        for event in log
        if event.kind == "pollend"
    ]
    expect("poll (cpu, queue, work, complete_done)", case.polls, polls, "N1-N7, P2, P3")
    codes = Counter(event.what["ret"] for event in log if event.kind == "in")
    if case.driver_calls == NETIF_RX:
        dropped = sum(reason is DropReason.CPU_BACKLOG for reason in replay.dropped.values())
        codes[NET_RX_DROP] += dropped
        codes[0] -= dropped
    got_codes = {str(code): count for code, count in codes.items() if count}
    expect("driver's return codes", case.driver_return_codes, got_codes, "G4, note 15")
    handled = Counter(str(seen.cpu) for seen in replay.seen)
    expect("skbs handled per CPU", case.skbs_handled_per_cpu, dict(handled), "R4-R8")
    racing = _racing_targets(content, case)
    left_out = []
    sends_while_held = len(case.sends) if case.held_cpus else 0
    expect("deltas while held", len(case.delta_while_held), sends_while_held, "section 13")
    for number, recorded in enumerate(case.delta_while_held):
        _compare(f"while held, after send {number}:", recorded, _delta(played.stats[0], played.stats[1 + number]), {})
    delta = _delta(played.stats[0], played.stats[-1])
    left_out += _compare("delta:", case.delta, delta, racing)
    _judge_order(case, played)
    return left_out


def _racing_targets(content: Content, case: Case) -> Racing:
    """CPU -> column -> least and most that it may have counted, for those that run beside an interrupt CPU that polls more than once.

    At least one IPI and at most one a poll; a squeeze by budget for every netdev_budget packets at most.
    """
    polls = len(case.polls)
    fired = {send.irq_cpu for send in case.sends}
    if polls <= len(case.sends):
        return {}
    settings = {**content.defaults, **case.sysctl}
    budget = max(int(settings.get("net.core.netdev_budget", 300)), 1)
    return {
        int(cpu): {RECEIVED_RPS: (1, polls), TIME_SQUEEZE: (0, handled // budget)}
        for cpu, handled in case.skbs_handled_per_cpu.items()
        if int(cpu) not in fired and int(cpu) not in case.held_cpus
    }


def _compare(at: str, recorded: dict[str, dict[str, int]], got: dict[str, dict[str, int]], racing: Racing) -> list[str]:
    left_out: list[str] = []
    for cpu in dict.fromkeys([*recorded, *got]):
        theirs, ours = recorded.get(cpu, {}), got.get(cpu, {})
        bounds = racing.get(int(cpu), {})
        for column in sorted({*theirs, *ours}, key=int):
            expected, number = theirs.get(column, 0), ours.get(column, 0)
            if expected != number and int(column) in bounds:
                least, most = bounds[int(column)]
                if least <= number <= most and least <= expected <= most:
                    left_out.append(
                        f"cpu{cpu} column {column}: how its backlog meets the sender's polls is a race (README)"
                    )
                    continue
            rule = RULES.get(int(column), "section 13")
            expect(f"{at} cpu{cpu} column {column}", expected, number, rule)
    return left_out


def _judge_order(case: Case, played: _Played) -> None:
    """Each CPU's own order: how the CPUs' steps interleave is a race."""
    replay = played.replay
    marks: list[tuple[int, str, int]] = [
        (event.at_ns, event.kind, event.cpu) for event in replay.device.log if event.kind != "in"
    ]
    marks += [(seen.at_ns, "out", seen.cpu) for seen in replay.seen]
    marks.sort(key=lambda mark: mark[0])
    recorded: dict[int, list[str]] = {}
    for entry in case.order:
        kind, _, cpu = entry.partition(":")
        recorded.setdefault(int(cpu), []).append(kind)
    cut = len(case.order) >= LOG_LIMIT
    silent = [] if cut else [cpu for _, _, cpu in marks if cpu not in recorded]
    for index, kinds in [*recorded.items(), *((cpu, []) for cpu in dict.fromkeys(silent))]:
        ours = [kind for _, kind, where in marks if where == index]
        expect(f"order on cpu{index}", kinds, ours[: len(kinds)] if cut else ours, "N1-N6, D1, B10")


def _rows(text: str) -> dict[int, list[int]]:
    """CPU -> columns."""
    rows: dict[int, list[int]] = {}
    for line in text.splitlines():
        columns = [int(word, 16) for word in line.split()]
        rows[columns[CPU]] = columns
    return rows


def _delta(before: str, after: str) -> dict[str, dict[str, int]]:
    """Changes per CPU and column, as recorded."""
    changes: dict[str, dict[str, int]] = {}
    first = _rows(before)
    for cpu, columns in _rows(after).items():
        moved = {
            str(column): (value - first[cpu][column]) & 0xFFFFFFFF
            for column, value in enumerate(columns)
            if value != first[cpu][column]
        }
        if moved:
            changes[str(cpu)] = moved
    return changes
