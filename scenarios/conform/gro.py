"""gro.json and gro_fuzz.json: one batch, one poll: what GRO said of each frame, what merged, in which order it went up, every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from cpus.cpu import Cpu
from emu.headers import ETH_HLEN, ETH_P_8021Q, ETH_P_IPV6, HeaderTable
from emu.skb import HASH_L4, HASH_SW, Skb
from netstack.stack import ANY4, ANY6
from nic.hand_device import Layout, split_at
from scenarios.conform.frames import stream
from scenarios.conform.load import Recording
from scenarios.conform.replay import Hand, Replay
from scenarios.conform.report import Cases, Differs, Impossible, NotJudged, Play, expect, lazily
from softirq.gro import GroResult
from softirq.gro_bytes import checksum_position, frag_list_bytes, packet_bytes

IRQ_CPU: Final = 1
SUMMED: Final = ("NONE", "UNNECESSARY", "COMPLETE", "PARTIAL")
LETTERS: Final = {"M": "MERGED", "F": "MERGED_FREE", "H": "HELD", "N": "NORMAL"}
NET_SKB_PAD: Final = 64
"""Headroom of the recorded skbs: csum_start counts from the buffer's start."""
PROBED_FRAG_LIST: Final = 18
"""The probe wrote down the lengths of that many entries of frag_list."""
FEATURES: Final = {
    "gro": "gro",
    "generic-receive-offload": "gro",
    "rx-udp-gro-forwarding": "rx_udp_gro_forwarding",
    "rx-gro-list": "rx_gro_list",
}
"""ethtool's name of a feature -> the device's."""
MAX_STREAM_BYTES: Final = 65535
UDP_GRO_PORT: Final = 3001
UDP_PLAIN_PORT: Final = 3000
RULE_VERDICT: Final = "G1-G4, G6-G20, notes 5-12"
RULE_OUT: Final = "G4, G5, G21-G25, notes 4-11"


class Input(msgspec.Struct):
    """A frame; `stream` [offset, n] stands for n payload bytes behind `hex`, before `tail_hex`. `hash` is the NIC's (L4)."""

    hex: str
    stream: tuple[int, int] | None = None
    tail_hex: str = ""
    hash: int | None = None
    vlan: int | None = None


class Poll(msgspec.Struct):
    """A poll, and what GRO held after it."""

    budget: int
    work: int
    complete_done: int | None
    buckets_after: list[int]
    rx_count_after: int


class Recorded(msgspec.Struct):
    """What a batch did in one mode; `held_after` per input [packets in each bucket, rx_count]."""

    gro_result: list[str]
    held_after: list[tuple[list[int], int]]
    out: list[dict[str, Any]]
    polls: list[Poll]


class Case(msgspec.Struct):
    """A batch and its modes."""

    inputs: list[Input]
    modes: dict[str, Any]
    ethtool: str | None = None


class FuzzCase(msgspec.Struct):
    """A random batch; `out` [len, gso_size, gso_segs, gso_type, ip_summed, after_input, sha256, from_inputs]."""

    mode: str
    inputs: list[tuple[str, int | None]]
    gro_result: str
    out: list[tuple[int, int, int, int, str, int, str, list[int]]]
    ethtool: str | None = None


class Mode(msgspec.Struct):
    """How the driver builds its skbs."""

    summed: int = 0
    headlen: int = 0
    fragsz: int = 2048
    kmalloc: int = 0

    def layout(self) -> Layout:
        """For the device."""
        return Layout(self.summed, bool(self.headlen), bool(self.kmalloc), self.fragsz)


class Knobs(msgspec.Struct):
    """Settings of all cases of a file."""

    udp_gro_socket_port: int = UDP_GRO_PORT
    udp_plain_socket_port: int = UDP_PLAIN_PORT
    gro_normal_batch: str = "8"
    gro_flush_timeout: int = 0
    napi_defer_hard_irqs: int = 0


class Content(msgspec.Struct):
    """What both formats share."""

    modes: dict[str, Mode]
    cases: dict[str, Any]
    knobs: Knobs = msgspec.field(default_factory=Knobs)


Laid = tuple[bytes, int | None, int]
"""Frame, hash, stripped tag."""


def cases(recording: Recording) -> Cases:
    """The cases of a gro or gro_fuzz recording, one for each mode."""
    content = recording.convert(recording.data, Content)
    table = HeaderTable()
    for name, body in content.cases.items():
        if recording.format == "gro_fuzz":
            yield name, lazily(_fuzz_case, recording, content, table, name, body)
            continue
        modes = body.get("modes") if isinstance(body, dict) else None
        for mode in modes if isinstance(modes, dict) else ("",):
            yield f"{name}/{mode}", lazily(_case, recording, content, table, name, body, mode)


def _case(recording: Recording, content: Content, table: HeaderTable, name: str, body: Any, mode: str) -> Play:
    at = f"case {name}"
    case = recording.convert(body, Case, at)
    recorded = recording.convert(case.modes.get(mode), Recorded, f"{at}: mode {mode}")
    if not len(recorded.gro_result) == len(recorded.held_after) == len(case.inputs):
        raise Impossible(f"mode {mode}: gro_result, held_after and inputs are not of one length")
    laid: list[Laid] = []
    for number, given in enumerate(case.inputs):
        data = recording.hex(given.hex, f"{at}: input {number}")
        if given.stream is not None:
            offset, count = given.stream
            if not (offset >= 0 and 0 <= count <= MAX_STREAM_BYTES):
                raise Impossible(f"input {number}: a stream of {count} bytes from {offset}")
            data += stream(offset, count) + recording.hex(given.tail_hex, f"{at}: tail of input {number}")
        laid.append((data, given.hash, -1 if given.vlan is None else ETH_P_8021Q << 16 | given.vlan & 0xFFFF))
    return _player(_machine(recording, content, table, mode, case.ethtool), laid, recorded)


def _fuzz_case(recording: Recording, content: Content, table: HeaderTable, name: str, body: Any) -> Play:
    at = f"case {name}"
    case = recording.convert(body, FuzzCase, at)
    laid: list[Laid] = [
        (recording.hex(text, f"{at}: input {number}"), hash_, -1) for number, (text, hash_) in enumerate(case.inputs)
    ]
    for number, entry in enumerate(case.out):
        if not all(0 <= member < len(laid) for member in entry[-1]):
            raise Impossible(f"out {number} is made of inputs that are not there")
    return _fuzz_player(_machine(recording, content, table, case.mode, case.ethtool), laid, case)


def features(ethtool: str | None) -> dict[str, bool]:
    """Attributes of the device that `ethtool -K` words, such as "rx-gro-list on", set. Raises NotJudged for a feature softnet lacks."""
    words = (ethtool or "").split()
    wanted: dict[str, bool] = {}
    for feature, value in zip(words[::2], words[1::2], strict=False):
        if feature not in FEATURES or value not in ("on", "off"):
            raise NotJudged(f"softnet has no ethtool feature {feature} {value}")
        wanted[FEATURES[feature]] = value == "on"
    return wanted


def _machine(
    recording: Recording, content: Content, table: HeaderTable, mode: str, ethtool: str | None
) -> Callable[[], Replay]:
    if mode not in content.modes:
        raise Impossible(f"mode {mode[:40]!r} is not among the file's modes")
    layout = content.modes[mode].layout()
    wanted = features(ethtool)
    knobs = content.knobs

    def make() -> Replay:
        machine = Replay(recording.rules, recording.meta.HZ, recording.meta.cpus, table)
        machine.device.layout = layout
        machine.write("net.core.gro_normal_batch", knobs.gro_normal_batch)
        machine.write("/sys/class/net/fn0/gro_flush_timeout", knobs.gro_flush_timeout)
        machine.write("/sys/class/net/fn0/napi_defer_hard_irqs", knobs.napi_defer_hard_irqs)
        for port, gro in ((knobs.udp_gro_socket_port, True), (knobs.udp_plain_socket_port, False)):
            machine.stack.udp_socket(port, ANY4, gro=gro)
            machine.stack.udp_socket(port, ANY6, gro=gro).v6only = True
        for feature, on in wanted.items():
            setattr(machine.dev, feature, on)
        return machine

    return make


def _poll(machine: Replay, laid: list[Laid], probe: Callable[[Cpu, Skb], None]) -> None:
    for data, hash_, vlan in laid:
        machine.lay(0, data, hash_, HASH_L4, vlan)
    machine.probe = probe

    async def script(hand: Hand) -> None:
        await hand.fire(IRQ_CPU, [0])

    machine.play(script)


def _player(make: Callable[[], Replay], laid: list[Laid], recorded: Recorded) -> Play:
    def play() -> list[str]:
        machine = make()
        log = machine.device.log
        seen: list[dict[str, Any]] = []

        def probe(cpu: Cpu, skb: Skb) -> None:
            theirs = recorded.out[len(seen)] if len(seen) < len(recorded.out) else {}
            ours = describe(skb, theirs)
            ours["cpu"] = cpu.index
            ours["after_input"] = sum(event.kind == "in" for event in log)
            seen.append(ours)

        _poll(machine, laid, probe)
        given = [event.what for event in log if event.kind == "in"]
        verdicts = [GroResult(what["ret"]).name for what in given]
        for number, (theirs, ours) in enumerate(zip(recorded.gro_result, verdicts, strict=False)):
            expect(f"input {number}: verdict", theirs, ours, RULE_VERDICT)
            buckets, rx_count = recorded.held_after[number]
            expect(f"input {number}: packets held after it", buckets, given[number]["buckets"], "G2, notes 4, 10")
            expect(f"input {number}: rx_count after it", rx_count, given[number]["rx_count"], "G5, note 4")
        expect("inputs handed over", len(recorded.gro_result), len(verdicts), "N7")
        for number, (out, mine) in enumerate(zip(recorded.out, seen, strict=False)):
            expect(
                f"packet {number} that went up:",
                {key: out[key] for key in mine if key in out},
                _common(mine, out),
                RULE_OUT,
            )
        expect("packets that went up", len(recorded.out), len(seen), "G4, G5, note 4")
        polls = [event.what for event in log if event.kind == "pollend"]
        ours_polls = [Poll(p["budget"], p["work"], p["complete_done"], p["buckets"], p["rx_count"]) for p in polls]
        expect("poll", msgspec.to_builtins(recorded.polls), msgspec.to_builtins(ours_polls), "P2, P3, P6")
        return []

    return play


def _common(mine: dict[str, Any], out: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mine.items() if key in out}


def describe(skb: Skb, recorded: dict[str, Any]) -> dict[str, Any]:
    """The recorded fields of an skb at the probe, as the emulator has them."""
    frame = packet_bytes(skb)
    linear = skb.wire_bytes
    if skb.split and skb.data is not None:
        linear = split_at(skb.data)
    linear -= 4 * skb.vlans_removed
    tagged = skb.vlan_tci >= 0
    chained = frag_list_bytes(skb)
    seen: dict[str, Any] = {
        "len": len(frame),
        "data_len": len(frame) - linear,
        "nr_frags": skb.frags,
        "gso_size": skb.gso_size_bytes,
        "gso_segs": skb.gso_segs,
        "gso_type": skb.gso_type,
        "hash": skb.hash,
        "l4_hash": int(skb.hash_kind == HASH_L4),
        "sw_hash": int(skb.hash_kind == HASH_SW),
        "ip_summed": SUMMED[skb.ip_summed],
        "csum_level": skb.csum_level,
        "vlan_present": int(tagged),
        "vlan_tci": skb.vlan_tci & 0xFFFF if tagged else 0,
        "vlan_proto": skb.vlan_tci >> 16 if tagged else 0,
        "rx_queue": skb.rx_queue,
        "pkt_type": skb.pkt_type,
        "mac_len": ETH_HLEN,
        "encapsulation": int(skb.encapsulation),
        "n_frag_list": len(chained),
        "frag_list_lens": chained[:PROBED_FRAG_LIST],
        "from_inputs": members(skb),
    }
    if len(frame) != skb.len_bytes + ETH_HLEN:
        raise Differs(f"skb {skb.number}: bytes", f"{skb.len_bytes + ETH_HLEN} by skb->len", len(frame), "G15")
    if "protocol" in recorded:
        vlans, removed = skb.hdr.vlans, skb.vlans_removed
        if not removed:
            seen["protocol"] = skb.hdr.ethertype
        else:
            seen["protocol"] = vlans[removed][0] if removed < len(vlans) else skb.hdr.protocol
    if "sha256" in recorded:
        seen["sha256"] = hashlib.sha256(frame).hexdigest()
    if "frame_hex" in recorded:
        seen["frame_hex"] = frame.hex()
    if "frame_head_hex" in recorded:
        seen["frame_head_hex"] = frame[: len(recorded["frame_head_hex"]) // 2].hex()
    if "csum" in recorded:
        start, offset = checksum_position(skb) if skb.frames > 1 and not skb.gro_flist else (0, 0)
        seen["csum"] = offset << 16 | start + NET_SKB_PAD if start else 0
    return seen


def members(skb: Skb) -> list[int]:
    """Numbers of the frames that an skb is made of."""
    return [skb.number, *(segment.number for segment in skb.segments or ())]


def _fuzz_player(make: Callable[[], Replay], laid: list[Laid], case: FuzzCase) -> Play:
    def play() -> list[str]:
        machine = make()
        log = machine.device.log
        seen: list[list[Any]] = []

        def probe(cpu: Cpu, skb: Skb) -> None:
            frame = packet_bytes(skb)
            returned = sum(event.kind == "in" for event in log)
            gso = [skb.gso_size_bytes, skb.gso_segs, skb.gso_type, SUMMED[skb.ip_summed]]
            seen.append([len(frame), *gso, returned, hashlib.sha256(frame).hexdigest(), members(skb)])

        _poll(machine, laid, probe)
        verdicts = [GroResult(event.what["ret"]).name for event in log if event.kind == "in"]
        for number, (letter, ours) in enumerate(zip(case.gro_result, verdicts, strict=False)):
            expect(f"input {number}: verdict", LETTERS.get(letter, letter), ours, RULE_VERDICT)
        expect("inputs handed over", len(case.gro_result), len(verdicts), "N7")
        names = ("len", "gso_size", "gso_segs", "gso_type", "ip_summed", "after_input", "sha256")
        for number, (theirs, mine) in enumerate(zip(case.out, seen, strict=False)):
            at = f"packet {number} that went up:"
            expect(at, dict(zip(names, theirs, strict=False)), dict(zip(names, mine, strict=False)), RULE_OUT)
            # from_inputs was worked out afterwards (any of several equal frames will do, and of IPv6 frames it confused flows):
            # the sha256 is the truth.
            if int.from_bytes(laid[mine[-1][0]][0][12:14], "big") != ETH_P_IPV6:
                expect(
                    at + " made of",
                    [laid[n][0].hex() for n in theirs[-1]],
                    [laid[n][0].hex() for n in mine[-1]],
                    RULE_OUT,
                )
        expect("packets that went up", len(case.out), len(seen), "G4, G5, note 4")
        return []

    return play
