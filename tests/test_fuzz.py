"""Whatever is on the wire, the machine takes it from the NIC to the sockets without raising, and each frame ends in one account."""

from __future__ import annotations

from random import Random
from typing import Final

import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from emu.clock import NEVER
from emu.dropreason import DropReason
from emu.headers import ETH_HLEN, HeaderTable, build
from emu.skb import Skb
from nic.wire import DamagedSkb
from scenarios.build import Built
from scenarios.machine import Machine, Sampler
from scenarios.origin import CAPTURES
from scenarios.playback import load_recording
from tests.scenario_kit import document, finish, make
from tests.twin import TwinMachine

CAPTURE_PORTS: Final = ((6, (80, 5001)), (17, (53, 8125, 9000)))
RECORDING: Final = load_recording(CAPTURES / "mixed.pcap", HeaderTable())
CAPTURED: Final = [data for _, frame in RECORDING.frames if (data := frame.data) is not None]
assert RECORDING.sides.mac is not None
LOCAL_MAC: Final = RECORDING.sides.mac
LOCAL4: Final = next(address for address in sorted(RECORDING.sides.addresses) if len(address) == 4)
LOCAL6: Final = next(address for address in sorted(RECORDING.sides.addresses) if len(address) == 16)
PEER_MAC: Final = b"\x02\x00\x00\x00\x00\x99"

QUIET_NS: Final = 4_000_000
"""The frames of a batch are through long before."""

ETHERTYPES: Final = (0x0800, 0x0806, 0x8100, 0x86DD, 0x88A8, 0x0003, 0x1234)
PROTOCOLS: Final = (0, 1, 2, 4, 6, 17, 33, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132, 136, 253)


class Frames:
    """A source of raw frames, `gap_ns` apart."""

    longest_bytes: Final = None

    def __init__(self, frames: list[bytes], rng: Random, gap_ns: int, table: HeaderTable) -> None:
        self._skbs: list[Skb] = []
        at_ns = 1000
        for data in frames:
            kind = DamagedSkb if rng.random() < 0.01 else Skb
            # Some captures hold less than what was on the wire.
            wire_bytes = len(data) + (rng.randrange(1, 500) if rng.random() < 0.05 else 0)
            frame = table.parse(data, wire_bytes)
            self._skbs.append(
                kind(
                    frame.hdr,
                    0,
                    frame.wire_bytes,
                    frame.payload_bytes,
                    frame.ip_id,
                    frame.seq,
                    at_ns,
                    frame.data,
                    frame.wire_bytes - ETH_HLEN,
                )
            )
            at_ns += rng.randrange(gap_ns)
        self._next = 0

    def fill(self, until_ns: int) -> list[Skb]:
        """The frames up to `until_ns`."""
        first = self._next
        while self._next < len(self._skbs) and self._skbs[self._next].arrived_ns <= until_ns:
            self._next += 1
        return self._skbs[first : self._next]

    def next_ns(self) -> int:
        """When the next one arrives."""
        return self._skbs[self._next].arrived_ns if self._next < len(self._skbs) else NEVER


def mutated(data: bytes, rng: Random) -> bytes:
    """`data` with up to a few bytes of its headers changed, cut, stretched, tagged, or as it was."""
    frame = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        if not frame:
            break
        action = rng.randrange(8)
        place = rng.randrange(min(len(frame), 74))
        if action <= 2:
            frame[place] = rng.randrange(256)
        elif action == 3:
            frame[place] ^= 1 << rng.randrange(8)
        elif action == 4:
            del frame[rng.randrange(len(frame)) :]
        elif action == 5:
            frame += rng.randbytes(rng.randrange(200))
        elif action == 6:
            tag = rng.choice((0x8100, 0x88A8)).to_bytes(2, "big") + rng.choice((0, 5, 0xFFF)).to_bytes(2, "big")
            frame[12:12] = tag
        elif len(frame) > 24:
            frame[12:14] = rng.choice(ETHERTYPES).to_bytes(2, "big")
            frame[rng.choice((20, 23))] = rng.choice(PROTOCOLS)
    return bytes(frame)


def synthetic(rng: Random) -> bytes:
    """A sound frame to this machine, made here: UDP, TCP or ICMP over IPv4 or IPv6, also to groups and fragmented."""
    four = rng.random() < 0.6
    protocol, ports = rng.choice(CAPTURE_PORTS)
    words = rng.choice((1000, 1000, 2000)).to_bytes(2, "big") + rng.choice((*ports, 9)).to_bytes(2, "big")
    payload = rng.randrange(60)
    if protocol == 17:
        transport = words + (8 + payload).to_bytes(2, "big") + b"\0\0"
    else:
        flags = rng.choice((0x10, 0x10, 0x18, 0x02, 0x11, 0x14, 0x12, 0x04))
        transport = words + rng.randrange(3000).to_bytes(4, "big") + bytes(4) + bytes((0x50, flags)) + b"\x20\0\0\0\0\0"
    if rng.random() < 0.1:
        protocol, transport = (1, b"\x08\0\0\0\0\0\0\0") if four else (58, b"\x80\0\0\0\0\0\0\0")
    length = len(transport) + payload
    target = LOCAL4 if rng.random() < 0.9 else rng.choice((b"\xe0\0\0\x01", b"\xff\xff\xff\xff", b"\x0a\0\0\x63"))
    if four:
        fragment = 0x4000 if rng.random() < 0.9 else rng.choice((0x2000, 8, 0x2008))
        head = bytes((0x45, 0)) + (20 + length).to_bytes(2, "big") + bytes(2) + fragment.to_bytes(2, "big")
        head += bytes((64, protocol, 0, 0)) + b"\x0a\x63\0\x02" + target
    else:
        address = LOCAL6 if rng.random() < 0.9 else b"\xff\x02" + bytes(13) + b"\x01"
        head = b"\x60\0\0\0" + length.to_bytes(2, "big") + bytes((protocol, 64)) + LOCAL6[:15] + b"\x02" + address
    mac = LOCAL_MAC if rng.random() < 0.95 else rng.choice((b"\xff" * 6, b"\x01\0\x5e\0\0\x01", PEER_MAC))
    rough = HeaderTable().parse(
        mac + PEER_MAC + (b"\x08\0" if four else b"\x86\xdd") + head + transport + bytes(payload)
    )
    return build(rough.hdr, rough.wire_bytes, rng.randrange(65536), rough.seq)


def machine_with(frames: list[bytes], rng: Random, machine: type[Machine] = Machine) -> Built:
    """A machine that receives `frames`, of any release, with sinks or readers on the ports of the capture."""
    queues = rng.randint(1, 3)
    kind = rng.choice(("sink", "reader"))
    apps = "".join(
        f'[[app]]\nkind = "{kind}"\nprotocol = "{"tcp" if number == 6 else "udp"}"\nport = [{", ".join(map(str, ports))}]\n'
        for number, ports in CAPTURE_PORTS
    )
    steering = "".join(
        f'"/sys/class/net/eth0/queues/rx-{queue}/rps_cpus" = "{rng.choice(("0", "7", "2"))}"\n'
        for queue in range(queues)
    )
    text = f"""
[machine]
cpus = 3
rules = "{rng.choice(("6.1", "6.9", "6.12", "6.18"))}"
[nic]
queues = {queues}
ring = {rng.choice((64, 512))}
gro = {rng.choice(("true", "true", "false"))}
rxhash = {rng.choice(("true", "false"))}
rx_checksum = {rng.choice(("true", "false"))}
promiscuous = {rng.choice(("true", "false"))}
[set]
{steering}
{apps}
"""
    built = make(text, 1, machine)
    dev = built.nic.dev
    dev.address = LOCAL_MAC
    dev.local_addresses.update(RECORDING.sides.addresses)
    dev.rx_gro_list = rng.random() < 0.2
    dev.rx_udp_gro_forwarding = rng.random() < 0.2
    dev.rx_vlan_offload = rng.random() < 0.7
    built.nic.wire.sources.append(Frames(frames, rng, rng.choice((20, 300, 2000)), HeaderTable()))
    return built


def run(built: Built) -> None:
    """Run until all is quiet but the timers of fragments; the ledger balances every 10 us."""
    machine = built.machine

    def look(now_ns: int) -> None:
        built.nic.advance(now_ns)
        machine.ledger.check(now_ns)

    machine.add(Sampler(machine.rank(), machine.clock, 10_000, look))
    trio.run(machine.run, QUIET_NS)
    finish(built)


FEW = settings(
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def batch(rng: Random, count: int) -> list[bytes]:
    """Frames in the order of a capture where they are of one, so that flows and trains stay together."""
    start = rng.randrange(len(CAPTURED))
    frames: list[bytes] = []
    for place in range(count):
        choice = rng.random()
        if choice < 0.5:
            frames.append(mutated(CAPTURED[(start + place) % len(CAPTURED)], rng))
        elif choice < 0.75:
            frames.append(synthetic(rng))
        elif choice < 0.95:
            frames.append(mutated(synthetic(rng), rng))
        else:
            frames.append(rng.randbytes(rng.randrange(1, 200)))
    return frames


@FEW
@given(st.integers(0, 1 << 40))
def test_mutated_and_random_frames_all_end_in_an_account(seed: int) -> None:
    rng = Random(seed)
    frames = batch(rng, 200)
    built = machine_with(frames, rng)
    run(built)
    ledger = built.machine.ledger
    assert ledger.arrived_frames == len(frames)
    # Fragments may wait for the rest, datagrams for a reader that has none to come; nothing else is left.
    left = {name: frames for name, frames in ledger.held().items() if frames}
    assert set(left) <= {"fragments", "sockets"}


@settings(FEW, max_examples=12)
@given(st.integers(0, 1 << 40))
def test_the_slow_twin_treats_mutated_frames_alike(seed: int) -> None:
    documents: list[bytes] = []
    for kind in (Machine, TwinMachine):
        rng = Random(seed)
        built = machine_with(batch(rng, 120), rng, kind)
        if isinstance(built.machine, TwinMachine):
            built.machine.slow_down(built.stack)
        trio.run(built.machine.run)
        documents.append(document(built))
    assert documents[0] == documents[1]


def test_the_frames_of_the_fuzzer_reach_sockets_and_many_refusals() -> None:
    """Else the other tests would prove little."""
    reasons: set[DropReason] = set()
    read = consumed = 0
    for seed in range(25):
        rng = Random(seed)
        built = machine_with(batch(rng, 200), rng)
        run(built)
        ledger = built.machine.ledger
        read += ledger.read_frames
        consumed += ledger.consumed_frames
        reasons |= {reason for reason in DropReason if ledger.dropped_frames[reason]}
    assert read > 500
    assert consumed > 200
    assert len(reasons) >= 15
