"""gro_poll.json: GRO over several polls: full budgets, several NAPIs, batches, largest sizes, flush timeouts, deferred interrupts.

The steps name their frames; settings are in the names of the cases. Whether two steps fell into one jiffy was chance: the
recorded events say when each interrupt came.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from cpus.cpu import Cpu
from emu.errors import InputFileError
from emu.headers import ETH_P_IP, IPPROTO_HOPOPTS, IPPROTO_TCP, HeaderTable, build
from emu.skb import Skb
from scenarios.conform.frames import stream
from scenarios.conform.load import Recording
from scenarios.conform.replay import QUEUES, Hand, Replay
from scenarios.conform.report import Cases, Play, expect, lazily
from softirq.gro import GroResult
from softirq.gro_bytes import frag_list_bytes, packet_bytes

FIRST_SEQ: Final = 1000
TCP_HEADER_BYTES: Final = 20
ACK_5000_WINDOW_8192: Final = bytes.fromhex("000013885010200000000000")
RULE: Final = "P2, P3, P6, G4, G5, G18, notes 1, 3, 4"


class Case(msgspec.Struct):
    """Steps ["frames", queue, [frame, ...]], ["fire", cpu, queue, ...], ["sleep", seconds], and the events that followed."""

    steps: list[list[Any]]
    events: list[dict[str, Any]]


class Content(msgspec.Struct):
    """The file."""

    cases: dict[str, Any]


class Step(msgspec.Struct):
    """A step with its frames' bytes."""

    kind: str
    cpu_or_queue: int = 0
    queues: list[int] = []
    seconds: float = 0.0
    frames: list[bytes] = []


def cases(recording: Recording) -> Cases:
    """The cases of a gro_poll recording."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    for name, body in content.cases.items():
        yield name, lazily(_player, recording, name, body, table)


def _step(recording: Recording, table: HeaderTable, name: str, number: int, step: list[Any]) -> Step:
    at = f"case {name}: step {number}"
    kind = step[0] if step else None
    if kind == "frames":
        _, queue, texts = recording.convert(step, tuple[str, int, list[str]], at)
        return Step("frames", queue, frames=_frames(recording, table, texts, at))
    if kind == "fire":
        _, cpu, *queues = recording.convert(step, list[int | str], at)
        if isinstance(cpu, str) or any(isinstance(queue, str) for queue in queues):
            raise InputFileError(f"{recording.path}: {at}: fire takes the number of a CPU and of queues")
        return Step("fire", cpu, [int(queue) for queue in queues])
    if kind == "sleep":
        return Step("sleep", seconds=recording.convert(step, tuple[str, float], at)[1])
    raise InputFileError(f"{recording.path}: {at}: {str(kind)[:40]!r} is none of frames, fire, sleep")


def _frames(recording: Recording, table: HeaderTable, texts: list[str], at: str) -> list[bytes]:
    """Frames in hexadecimal. "HEX+n", where n bytes are not shown, is the next segment of a stream."""
    frames: list[bytes] = []
    seq = FIRST_SEQ
    for number, text in enumerate(texts):
        shown, _, more = text.partition("+")
        data = recording.hex(shown, f"{at}: frame {number}")
        if more:
            if not more.isdigit() or len(data) < 60:
                raise InputFileError(
                    f"{recording.path}: {at}: frame {number}: {text[-20:]!r} does not say how many bytes follow"
                )
            tcp = 34 if data[12:14] == ETH_P_IP.to_bytes(2, "big") else 54
            payload_bytes = len(data) + int(more) - tcp - TCP_HEADER_BYTES
            header = data[: tcp + 4] + bytes(4) + ACK_5000_WINDOW_8192
            payload = stream(seq - FIRST_SEQ, payload_bytes)
            hdr = table.parse(header + payload).hdr
            rebuilt = build(hdr, len(header) + payload_bytes, 0, seq, payload)
            if rebuilt[: min(len(data), tcp + 6)] != data[: tcp + 6]:
                raise InputFileError(f"{recording.path}: {at}: frame {number} is not the next segment of its stream")
            data = rebuilt
            seq += payload_bytes
        frames.append(data)
    return frames


def _settings(machine: Replay, name: str, case: Case) -> None:
    """What the case's name says, and the weight of each NAPI, which is the budget of its polls."""
    for event in case.events:
        if event.get("kind") == "poll" and event.get("queue") in range(QUEUES) and event.get("budget", 0) > 0:
            machine.device.napis[event["queue"]].weight = event["budget"]
    if match := re.match(r"normal_batch_(\d+)", name):
        machine.write("net.core.gro_normal_batch", match[1])
    elif match := re.match(r"gro_ipv4_max_size_(\d+)", name):
        machine.dev.gro_ipv4_max_size_bytes = int(match[1])
    elif match := re.match(r"gro_max_size_(\d+)", name):
        machine.dev.set_gro_max_size(int(match[1]))
    elif match := re.match(r"flush_timeout_(\d+)_defer_(\d+)", name):
        machine.write("/sys/class/net/fn0/gro_flush_timeout", match[1])
        machine.write("/sys/class/net/fn0/napi_defer_hard_irqs", match[2])


def _player(recording: Recording, name: str, body: Any, table: HeaderTable) -> Play:
    case = recording.convert(body, Case, f"case {name}")
    steps = [_step(recording, table, name, number, step) for number, step in enumerate(case.steps)]

    def play() -> list[str]:
        machine = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        _settings(machine, name, case)
        outs: list[tuple[int, dict[str, Any]]] = []
        log = machine.device.log

        def probe(cpu: Cpu, skb: Skb) -> None:
            outs.append((len(log), _out(cpu, skb)))

        machine.probe = probe
        jiffies = machine.jiffies
        lengths: list[int] = []
        fired = [event["jiffies"] for event in case.events if event.get("kind") == "irq"]

        async def script(hand: Hand) -> None:
            first = jiffies.at(hand.local_now_ns) - (fired[0] if fired else 0)
            for step in steps:
                if step.kind == "frames":
                    for data in step.frames:
                        lengths.append(len(data))
                        machine.lay(step.cpu_or_queue, data)
                elif step.kind == "sleep":
                    await hand.sleep(hand.local_now_ns + int(step.seconds * 1e9))
                else:
                    if fired:
                        await hand.sleep(jiffies.start_ns(first + fired.pop(0)))
                    await hand.fire(step.cpu_or_queue, step.queues)

        machine.play(script)
        ours = _merge(machine, lengths, outs)
        for number, (theirs, mine) in enumerate(zip(case.events, ours, strict=False)):
            at = f"event {number} ({theirs.get('kind')} on cpu{theirs.get('cpu')}):"
            expect(at, {key: theirs[key] for key in mine if key in theirs}, mine, RULE)
        expect("events", len(case.events), len(ours), RULE)
        return []

    return play


def _merge(machine: Replay, lengths: list[int], outs: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """The device's events with the probe's between them, in the order in which they happened on the one CPU that polls."""
    merged: list[dict[str, Any]] = []
    position = 0
    for number, event in enumerate(machine.device.log):
        while position < len(outs) and outs[position][0] <= number:
            merged.append(outs[position][1])
            position += 1
        what = dict(event.what)
        if "buckets" in what:
            what["gro_bitmask"] = sum(1 << bucket for bucket, held in enumerate(what["buckets"]) if held)
        if event.kind == "in":
            what["ret"] = GroResult(what["ret"]).name
            what["len"] = lengths[what["idx"]]
        merged.append({"kind": event.kind, "cpu": event.cpu, **what})
    merged += [out for _, out in outs[position:]]
    return merged


def _out(cpu: Cpu, skb: Skb) -> dict[str, Any]:
    tcp = skb.hdr.l4_protocol == IPPROTO_TCP
    ours: dict[str, Any] = {
        "kind": "out",
        "cpu": cpu.index,
        "len": skb.len_bytes + 14,
        "gso_size": skb.gso_size_bytes,
        "gso_segs": skb.gso_segs,
        "rx_queue": skb.rx_queue,
        "nr_frags": skb.frags,
        "n_frag_list": len(frag_list_bytes(skb)),
        "hash": skb.hash,
        "proto": skb.hdr.l4_protocol,
        "tcp_seq": skb.seq if tcp else None,
        "sport": skb.hdr.sport,
    }
    if skb.hdr.version == 6 and packet_bytes(skb)[20] == IPPROTO_HOPOPTS:  # the probe looked no further
        ours |= {"proto": IPPROTO_HOPOPTS, "tcp_seq": None, "sport": 0}
    return ours
