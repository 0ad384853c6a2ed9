"""virtio.json: a virtio NIC with RSS: key, indirection table, flow -> hash -> queue -> CPU; and traces from a real MSI-X interrupt.

Frames go over the wire into the emulator's NIC: queue q's vector is bound to CPU q, the device gives no checksum state.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import trio

from emu.clock import NEVER
from emu.errors import ControlError
from emu.headers import ETH_HLEN, HeaderTable
from emu.profiles import profile_for
from emu.skb import HASH_L4, Skb
from netstack.stack import NetStack
from nic.nic import Nic
from nic.rss import Rss
from nic.toeplitz import Toeplitz
from nic.vector import VectorMatrix
from nic.wire import Wire
from scenarios.conform.load import Recording
from scenarios.conform.report import Cases, Impossible, NotJudged, Play, expect, lazily
from scenarios.conform.trace import Tracer, judge_lanes, lanes_of, set_backlog_budgets
from scenarios.machine import Machine
from softirq.controls import contribute_device
from softirq.device import NetDevice
from softirq.softnet_data import SoftnetData

DEVICE_MAC: Final = bytes.fromhex("020000000002")
FIRST_NS: Final = 1_000_000_000
GAP_NS: Final = 1_000_000
"""From frame to frame: each has a poll of its own."""
SUMMED: Final = ("NONE", "UNNECESSARY", "COMPLETE", "PARTIAL")
FIELDS: Final = {"IP SA": "s", "IP DA": "d", "L4 bytes 0 & 1": "f", "L4 bytes 2 & 3": "n"}
"""ethtool's words for what is hashed -> its letters."""
MAX_QUEUES: Final = 256
KEY_BYTES: Final = 40
TRACE_PASS: Final = "equal4"
"""The table that was in force when the traces were made, if the file has this pass."""


class Row(msgspec.Struct):
    """A frame, and what the guest's driver got."""

    label: str
    hex: str
    toeplitz: dict[str, int]
    hash: int
    l4_hash: int
    queue: int
    cpu: int
    ip_summed: str


class Pass(msgspec.Struct):
    """Rows under one key and table."""

    key_in_force: str
    indirection: list[int]
    rows: list[Row]
    command: str = ""
    hash_fields: dict[str, str] | None = None


class Trace(msgspec.Struct):
    """As in trace.json, of one frame from the wire."""

    frame: str
    rps_cpus: str
    events: list[tuple[int, str, str, str]]


class Content(msgspec.Struct):
    """The file."""

    passes: dict[str, Any]
    trace: dict[str, Any] = {}


class Frames:
    """A source of the frames of a recording, one after the other, GAP_NS apart."""

    longest_bytes: Final = None

    def __init__(self, table: HeaderTable, frames: list[bytes]) -> None:
        self._waiting: list[Skb] = []
        for number, data in enumerate(frames):
            frame = table.parse(data)
            wire_bytes = frame.wire_bytes
            at_ns = FIRST_NS + number * GAP_NS
            self._waiting.append(
                Skb(
                    frame.hdr,
                    number,
                    wire_bytes,
                    frame.payload_bytes,
                    frame.ip_id,
                    frame.seq,
                    at_ns,
                    data,
                    wire_bytes - ETH_HLEN,
                )
            )

    def fill(self, until_ns: int) -> list[Skb]:
        """Frames up to `until_ns`."""
        count = 0
        while count < len(self._waiting) and self._waiting[count].arrived_ns <= until_ns:
            count += 1
        given, self._waiting = self._waiting[:count], self._waiting[count:]
        return given

    def next_ns(self) -> int:
        """When the next frame comes."""
        return self._waiting[0].arrived_ns if self._waiting else NEVER


class VirtioGuest(Machine):
    """A guest with a NIC of as many queues as the table names, `frames` on its wire."""

    def __init__(self, recording: Recording, given: Pass, frames: list[bytes], fields: dict[str, str]) -> None:
        costs = profile_for("default").resolve()
        super().__init__([0] * recording.meta.cpus, recording.rules, recording.meta.HZ, costs, seed=1)
        table = HeaderTable()
        queues = max(given.indirection) + 1
        dev = NetDevice("eth0", DEVICE_MAC, queues)
        dev.rx_checksum = False
        dev.local_addresses.update(hdr.daddr for hdr in (table.parse(data).hdr for data in frames) if hdr.version)
        self.net.devices["eth0"] = dev
        contribute_device(self.tree, self.net, dev)
        self.stack = NetStack(self.net)
        self.rss = Rss(
            recording.hex(given.key_in_force, "key_in_force"), queues, len(given.indirection), kind_by_packet_type=False
        )
        self.rss.set_indirection(given.indirection)
        for flow_type, letters in fields.items():
            self.rss.set_fields(flow_type, letters)
        wire = Wire([Frames(table, frames)])
        self.nic = Nic(
            self.rank(), self.net, self.cpus, VectorMatrix(self.cpus), dev, wire, self.rss, adaptive_rx=False
        )
        for queue in range(queues):
            self.nic.set_affinity(queue, 1 << queue % recording.meta.cpus)
        self.add(self.nic)
        self.seen: dict[int, tuple[int, int, int, int, str]] = {}
        """Number of the frame -> (hash, l4_hash, queue, CPU, ip_summed) at the probe."""
        self.net.taps.append(self.tap)

    def tap(self, sd: SoftnetData, skb: Skb) -> None:
        """The probe."""
        l4 = int(skb.hash_kind == HASH_L4)
        self.seen[skb.number] = (skb.hash, l4, skb.rx_queue, sd.index, SUMMED[skb.ip_summed])


def cases(recording: Recording) -> Cases:
    """The cases of a virtio recording: a pass, or a trace."""
    content = recording.convert(recording.data, Content)
    for name, body in content.passes.items():
        yield f"pass {name}", lazily(_pass_player, recording, name, body)
    for name, body in content.trace.items():
        yield f"trace {name}", lazily(_trace_player, recording, content, name, body)


def _pass(recording: Recording, name: str, body: Any) -> Pass:
    given = recording.convert(body, Pass, f"pass {name}")
    entries = len(given.indirection)
    if not entries or entries & (entries - 1) or not all(0 <= queue < MAX_QUEUES for queue in given.indirection):
        raise Impossible(f"an indirection table of {entries} entries, or a queue beyond {MAX_QUEUES}")
    if len(recording.hex(given.key_in_force, f"pass {name}: key_in_force")) < KEY_BYTES:
        raise Impossible(f"a key of less than {KEY_BYTES} bytes")
    return given


def _pass_player(recording: Recording, name: str, body: Any) -> Play:
    given = _pass(recording, name, body)
    frames = [recording.hex(row.hex, f"pass {name}: row {number}") for number, row in enumerate(given.rows)]

    def play() -> list[str]:
        machine = VirtioGuest(recording, given, frames, _fields(given))
        _judge_table(machine.rss, given)
        toeplitz = Toeplitz(machine.rss.key)
        table = HeaderTable()
        trio.run(machine.run)
        machine.ledger.check(machine.clock.now_ns)
        for number, (row, data) in enumerate(zip(given.rows, frames, strict=True)):
            at = f"row {number} ({row.label}):"
            hdr = table.parse(data).hdr
            ports = hdr.sport.to_bytes(2, "big") + hdr.dport.to_bytes(2, "big")
            for layer, words in (("L3", hdr.saddr + hdr.daddr), ("L4", hdr.saddr + hdr.daddr + ports)):
                if layer in row.toeplitz:
                    expect(f"{at} Toeplitz of the {layer} tuple", row.toeplitz[layer], toeplitz.hash(words), "H5")
            names = ("hash", "l4_hash", "queue", "cpu", "ip_summed")
            theirs = dict(zip(names, (row.hash, row.l4_hash, row.queue, row.cpu, row.ip_summed), strict=True))
            ours: dict[str, Any] = dict(zip(names, machine.seen.get(number, ()), strict=False))
            expect(at, theirs, ours, "H1, H5, S13, note 20")
        return []

    return play


def _fields(given: Pass) -> dict[str, str]:
    """ethtool -n rx-flow-hash of each flow type, as letters."""
    return {
        flow_type: "".join(letter for words, letter in FIELDS.items() if words in text)
        for flow_type, text in (given.hash_fields or {}).items()
    }


def _judge_table(rss: Rss, given: Pass) -> None:
    """The table that the recorded ethtool command made, made by the same words here."""
    if match := re.search(r"\bequal (\d+)", given.command):
        rss.set_equal(int(match[1]))
    elif match := re.search(r"\bweight((?: \d+)+)", given.command):
        try:
            rss.set_weights([int(word) for word in match[1].split()])
        except ControlError as error:
            expect("ethtool's command", "taken", str(error), "H5")
    expect("indirection table, entry", given.indirection, rss.indirection, "H5")


def _trace_player(recording: Recording, content: Content, name: str, body: Any) -> Play:
    trace = recording.convert(body, Trace, f"trace {name}")
    frame = recording.hex(trace.frame, f"trace {name}: frame")
    if not content.passes:
        raise NotJudged("no pass tells key and table")
    chosen = TRACE_PASS if TRACE_PASS in content.passes else next(iter(content.passes))
    in_force = _pass(recording, chosen, content.passes[chosen])

    def play() -> list[str]:
        theirs = lanes_of(trace.events)
        # What was hashed when the trace was made is not recorded by itself, but its hash says whether ports were.
        text = next((event[3] for event in trace.events if "l4_hash=" in event[3]), "")
        letters = "sd" if "l4_hash=0" in text else "sdfn"
        fields = dict.fromkeys(("tcp4", "udp4", "tcp6", "udp6"), letters)
        machine = VirtioGuest(recording, in_force, [frame], fields)
        for queue in range(machine.rss.queues):
            machine.tree.write(f"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus", trace.rps_cpus)
        left_out = set_backlog_budgets(machine, theirs)
        tracer = Tracer(machine, VirtioGuest.tap)
        with tracer:
            trio.run(machine.run)
        judge_lanes(theirs, tracer, range(recording.meta.cpus))
        if match := re.search(r"hash=(0x[0-9a-f]+)", text):
            # At the probe it may have been replaced: a hash of addresses only is not used for steering (H1).
            given = machine.nic.steering.verdict(HeaderTable().parse(frame).hdr).hash
            expect("hash the NIC gives the frame", int(match[1], 16), given, "H5")
        return left_out

    return play
