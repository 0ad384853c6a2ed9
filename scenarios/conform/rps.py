"""rps.json: which CPU RPS chose.

`select`: NIC hash -> CPU for masks, interrupt CPUs and entries. `soft`: which frames share a software hash (its key is random: only
equality means anything, and the CPU has to be the one the map gives for the emulator's own hash). `gro_then_rps`: a merged packet
is steered once. `hotplug`: maps and CPUs that come and go.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from emu.headers import HeaderTable
from emu.skb import HASH_L3, HASH_L4, HASH_NONE, HASH_SW
from scenarios.conform.frames import TCP_BYTES, tcp_frame, udp_frame
from scenarios.conform.load import Recording
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Cases, Differs, Impossible, NotJudged, Play, expect, lazily

FRAME_BYTES: Final = 74
MAX_SEGMENTS: Final = 64
MAX_MERGED_BYTES: Final = 65_549
IRQ_CPU: Final = 1
"""Where frames came in, where the file does not say."""
SPREAD_MASK: Final = "7e"
"""rps_cpus of `soft` and `gro_then_rps`."""
HASH_KINDS: Final = {0: HASH_NONE, 2: HASH_NONE, 3: HASH_L3, 4: HASH_L4}
"""The layer that the NIC hashed -> kind of the hash."""


class Select(msgspec.Struct):
    """`packets`: [hash, cpu]."""

    rps_cpus: str
    irq_cpu: int
    path: str
    packets: list[tuple[int, int]]


class SoftResult(msgspec.Struct):
    """What the probe saw of one frame."""

    cpu: int
    hash: int
    l4_hash: int
    sw_hash: int
    order: int


class Soft(msgspec.Struct):
    """`given`: [NIC hash or None, layer it covers] for each of `inputs`."""

    inputs: list[str]
    given: list[tuple[int | None, int]]
    result: list[SoftResult | None]


class Merged(msgspec.Struct):
    """A packet that GRO merged before RPS saw it."""

    cpu: int
    len: int
    gso_segs: int
    hash: int


class Hotplug(msgspec.Struct):
    """What rps_cpus read, and [hash, cpu] per packet."""

    rps_cpus_reads: str
    packets: list[tuple[int, int]]


class Content(msgspec.Struct):
    """The file."""

    select: list[Any] = []
    soft: dict[str, Any] = {}
    gro_then_rps: list[Any] = []
    hotplug: dict[str, Any] = {}


def cases(recording: Recording) -> Cases:
    """The cases of an rps recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()

    def replay() -> Replay:
        return Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)

    for number, body in enumerate(content.select):
        words = [
            f"{key}={body[key]}" for key in ("rps_cpus", "irq_cpu", "path") if isinstance(body, dict) and key in body
        ]
        yield f"select {number} {' '.join(words)}", lazily(_select, recording, replay, body, table)
    for name, body in content.soft.items():
        yield f"soft {name}", lazily(_soft, recording, replay, name, body)
    for number, body in enumerate(content.gro_then_rps):
        yield f"gro_then_rps {number}", lazily(_merged, recording, replay, body, table)
    for name, body in content.hotplug.items():
        yield f"hotplug {name}", lazily(_hotplug, recording, replay, name, body, table)


def _judge_cpus(machine: Replay, packets: list[tuple[int, int]], first: int) -> None:
    """Each of `packets`, laid from number `first` on, was handled on its CPU."""
    where = {seen.skb.number: seen.cpu for seen in machine.seen}
    for index, (hash_, cpu) in enumerate(packets):
        expect(f"packet {index}, hash {hash_:#x}: CPU", cpu, where.get(first + index), "R6, R7, note 16")


def _select(recording: Recording, new: Callable[[], Replay], body: Any, table: HeaderTable) -> Play:
    select = recording.convert(body, Select, "select")

    def play() -> list[str]:
        machine = new()
        machine.write_queues("rps_cpus", select.rps_cpus)
        machine.enter_by(select.path)
        for hash_, _ in select.packets:
            machine.lay(0, udp_frame(table, 1000, 7000, FRAME_BYTES), hash_)

        async def script(hand: Hand) -> None:
            await hand.fire(select.irq_cpu, [0])

        machine.play(script)
        _judge_cpus(machine, select.packets, 0)
        return []

    return play


def _soft(recording: Recording, new: Callable[[], Replay], name: str, body: Any) -> Play:
    soft = recording.convert(body, Soft, f"soft {name}")
    frames = [recording.hex(text, f"soft {name}: input {index}") for index, text in enumerate(soft.inputs)]
    if not len(soft.inputs) == len(soft.given) == len(soft.result):
        raise Impossible("inputs, given and result are not of one length")

    def play() -> list[str]:
        machine = new()
        machine.write_queues("rps_cpus", SPREAD_MASK)
        for data, (hash_, layer) in zip(frames, soft.given, strict=True):
            machine.lay(0, data, hash_, HASH_KINDS.get(layer, HASH_NONE))

        async def script(hand: Hand) -> None:
            await hand.fire(IRQ_CPU, [0])

        machine.play(script)
        seen = {entry.skb.number: entry for entry in machine.seen}
        rps_map = machine.dev.queues[0].rps_map
        assert rps_map is not None
        ours_of: dict[int, int] = {}
        theirs_of: dict[int, int] = {}
        for index, result in enumerate(soft.result):
            entry = seen.get(index)
            expect(f"input {index}: seen by the probe", result is not None, entry is not None, "section 7")
            if result is None or entry is None:
                continue
            skb = entry.skb
            software = skb.hash_kind == HASH_SW
            l4 = skb.hash_kind == HASH_L4 or (software and machine.net.dissector.has_l4(skb))
            expect(f"input {index}: sw_hash", result.sw_hash, int(software), "H1, note 16")
            expect(f"input {index}: l4_hash", result.l4_hash, int(l4), "H2, H3, K1")
            if not software:
                expect(f"input {index}: hash", result.hash, skb.hash, "H1")
                expect(f"input {index}: CPU", result.cpu, entry.cpu, "R6")
            # Two frames share the recorded hash if and only if they share ours.
            first = theirs_of.setdefault(result.hash, index)
            mine = ours_of.setdefault(skb.hash, index)
            if first != mine:
                raise Differs(
                    f"input {index}: shares its hash with",
                    _input(first, index),
                    _input(mine, index),
                    "H2, H3, K1, note 16",
                )
            steered = rps_map.cpus[skb.hash * rps_map.len >> 32] if skb.hash else IRQ_CPU
            expect(f"input {index}: CPU for hash {skb.hash:#x}", steered, entry.cpu, "R6, R7")
        orders: dict[int, list[int]] = {}
        known = [(result.order, index, result.hash) for index, result in enumerate(soft.result) if result is not None]
        for _, index, hash_ in sorted(known):
            orders.setdefault(hash_, []).append(index)
        for flow in orders.values():
            got = [entry.skb.number for entry in machine.seen if entry.skb.number in flow]
            expect(f"order of the flow of input {flow[0]}", flow, got, "B5, B10")
        return []

    return play


def _input(number: int, itself: int) -> str:
    return "no earlier input" if number == itself else f"input {number}"


def _merged(recording: Recording, new: Callable[[], Replay], body: Any, table: HeaderTable) -> Play:
    merged = recording.convert(body, Merged, "gro_then_rps")
    if not (1 <= merged.gso_segs <= MAX_SEGMENTS and TCP_BYTES < merged.len <= MAX_MERGED_BYTES):
        raise Impossible(f"{merged.gso_segs} segments in {merged.len} bytes")

    def play() -> list[str]:
        payload, rest = divmod(merged.len - TCP_BYTES, merged.gso_segs)
        if rest:
            raise NotJudged("the segments are not of one length, and the file does not name them")
        machine = new()
        machine.write_queues("rps_cpus", SPREAD_MASK)
        for segment in range(merged.gso_segs):
            offset = segment * payload
            machine.lay(0, tcp_frame(table, 1000, 2000, 1000 + offset, TCP_BYTES + payload, offset), merged.hash)

        async def script(hand: Hand) -> None:
            await hand.fire(IRQ_CPU, [0])

        machine.play(script)
        got = [
            {"cpu": seen.cpu, "len": seen.skb.len_bytes + 14, "gso_segs": seen.skb.gso_segs, "hash": seen.skb.hash}
            for seen in machine.seen
        ]
        expect("packets", [msgspec.to_builtins(merged)], got, "D1, G15, note 14")
        return []

    return play


def _hotplug(recording: Recording, new: Callable[[], Replay], name: str, body: Any, table: HeaderTable) -> Play:
    """`cpuN offline ...`: taken down after the mask was written, or before if the mask no longer reads it; `... online again`: back."""
    hotplug = recording.convert(body, Hotplug, f"hotplug {name}")
    try:
        reads = int(hotplug.rps_cpus_reads.replace(",", ""), 16)
    except ValueError as error:
        raise Impossible(f"rps_cpus reads {hotplug.rps_cpus_reads[:40]!r}") from error
    match = re.search(r"cpu(\d+)", name)
    cpu = int(match[1]) if match else -1
    # What the map does not steer stays where it came in.
    elsewhere = {where for _, where in hotplug.packets if not reads >> where & 1}
    irq_cpu = elsewhere.pop() if len(elsewhere) == 1 else IRQ_CPU

    def play() -> list[str]:
        machine = new()

        async def script(hand: Hand) -> None:
            if cpu < 0:
                machine.write_queues("rps_cpus", f"{reads:x}")
            elif reads >> cpu & 1:
                machine.write_queues("rps_cpus", f"{reads:x}")
                await hand.set_online(cpu, False)
            else:
                await hand.set_online(cpu, False)
                machine.write_queues("rps_cpus", f"{reads | 1 << cpu:x}")
            if cpu >= 0 and "online" in name:
                await hand.set_online(cpu, True)
            for hash_, _ in hotplug.packets:
                machine.lay(0, udp_frame(table, 1000, 7000, FRAME_BYTES), hash_)
            await hand.fire(irq_cpu, [0])

        machine.play(script)
        text = machine.tree.read("/sys/class/net/fn0/queues/rx-0/rps_cpus").strip()
        expect("rps_cpus reads", f"{reads:x}", f"{int(text.replace(',', ''), 16):x}", "R10")
        _judge_cpus(machine, hotplug.packets, 0)
        return []

    return play
