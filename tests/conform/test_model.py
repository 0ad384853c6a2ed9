"""A walk beyond the recordings: random batches, settings, holds, CPUs that come and go, readers that move; the laws hold all along.

The walk is written down by Hypothesis, step by step, and then walked on the replay machine. The laws:

* every frame is in exactly one account of the ledger;
* per CPU: packets posted to its backlog - dropped = taken from it + still queued;
* RFS does not reorder: what it steered of a flow under one set of tables and CPUs is handled in order;
* GRO keeps the bytes of a flow in order, and what it merged can be cut up into the very frames that came in;
* in the end, with everything released, nothing is left anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from cpus.cpu import Cpu
from emu.clock import Actor, Clock, Port
from emu.headers import TCP_ACK, TCP_CWR, TCP_FIN, TCP_PSH, HeaderTable, build
from emu.rules import RULES, rules_for
from emu.skb import CHECKSUM_NONE, CHECKSUM_UNNECESSARY, Skb
from netstack.udp_sock import UdpSocket
from nic.hand_device import ENTRIES, NAPI_GRO_RECEIVE, Layout
from scenarios.conform.frames import LOCAL, REMOTE, stream, udp_frame
from scenarios.conform.replay import Hand, Replay
from softirq.backlog import Backlog
from tests.conform.segments import segments
from tests.softirq.gro_frames import data_frame, ether, ipv6, tcp_segment

CPUS = 8
FLOWS = 5
HASHES = [0x40000101 + 0x23456789 * flow & 0xFFFFFFF0 | flow + 1 for flow in range(FLOWS)]
"""NIC hashes with slots of their own in every table that the walk uses (16 entries and more)."""
MASKS = ["0", "2", "7e", "3c", "ff", "81"]
SETTINGS: dict[str, list[Any]] = {
    "net.core.netdev_max_backlog": [0, 1, 5, 20, 1000],
    "net.core.netdev_budget": [1, 10, 64, 300],
    "net.core.dev_weight": [1, 16, 64],
    "net.core.flow_limit_cpu_bitmap": ["0", "ff", "2"],
    "net.core.gro_normal_batch": [1, 4, 8],
    "/sys/class/net/fn0/gro_flush_timeout": [0, 20_000, 50_000_000],
    "/sys/class/net/fn0/napi_defer_hard_irqs": [0, 2],
}
STEERING: dict[str, list[Any]] = {
    "rps_cpus": MASKS,
    "rps_flow_cnt": [0, 16, 256],
    "net.core.rps_sock_flow_entries": [0, 16, 1024],
}
cpu_numbers = st.integers(0, CPUS - 1)
flow_numbers = st.integers(0, FLOWS - 1)


class CountingClock(Clock):
    """Counts what is posted to each backlog, and remembers how it was steered."""

    def __init__(self) -> None:
        super().__init__()
        self.posted: dict[int, int] = defaultdict(int)
        self.by_rfs: dict[int, bool] = {}
        """Number of the (first) frame -> steered by RFS."""

    def post(self, sender: Actor, port: Port, item: Any) -> None:
        if isinstance(port, Backlog):
            self.posted[port.sd.index] += 1
            if item.number not in self.by_rfs:
                self.by_rfs[item.number] = item.rps_table is not None
        super().post(sender, port, item)


class WalkMachine(Replay):
    """The replay machine with a counting clock."""

    clock_class = CountingClock


class Walker:
    """Walks steps on a machine and checks the laws."""

    def __init__(self, release: str, hz: int, accelerated: bool) -> None:
        self.table = HeaderTable()
        self.machine = WalkMachine(rules_for(release), hz, CPUS, self.table)
        clock = self.machine.clock
        assert isinstance(clock, CountingClock)
        self.clock = clock
        self.accelerated = accelerated
        if accelerated:
            self.machine.accelerate()
        self.sockets: list[UdpSocket] = [
            self.machine.stack.udp_socket(6000 + flow, LOCAL, peer=(REMOTE, 5000 + flow)) for flow in range(FLOWS)
        ]
        self.frames: dict[int, bytes] = {}
        self.tcp_seq: dict[int, int] = {}
        self.tcp_next: dict[int, int] = dict.fromkeys(range(FLOWS), 1000)
        self.flow_of: dict[int, int] = {}
        """Number of a UDP frame -> flow."""
        self.epoch_of: dict[int, int] = {}
        self.epoch = 0
        """Tables and CPUs as they are: a flow may be reordered when they change."""
        self.held: set[int] = set()
        self.offline: set[int] = set()
        self.batch_of: dict[int, int] = {}
        self.batches = 0
        self.machine.probe = self.probe

    def probe(self, cpu: Cpu, skb: Skb) -> None:
        """GRO output re-segments to its input."""
        if skb.number in self.tcp_seq and not skb.gro_flist:
            members = [skb.number, *(segment.number for segment in skb.segments or ())]
            assert segments(skb) == [self.frames[number] for number in members]
        else:
            assert skb.frames == 1

    async def walk(self, hand: Hand, steps: list[tuple[Any, ...]]) -> None:
        """Take the steps; then release everything and see that nothing is left."""
        for step in steps:
            await getattr(self, step[0])(hand, *step[1:])
            self.check(hand)
        for cpu in sorted(self.held):
            await hand.release(cpu)
        await hand.sleep(hand.local_now_ns + 1_000_000_000)
        self.check(hand)
        for sd in self.machine.net.softnet:
            assert not sd.backlog.input_pkt_queue
            assert not sd.backlog.process_queue
            assert not sd.poll_list
            assert not sd.rps_ipi_list
        assert self.machine.device.held_frames() == 0
        handled = sum(seen.skb.frames for seen in self.machine.seen)
        lost = sum(
            1 for number in self.machine.dropped if number not in {seen.skb.number for seen in self.machine.seen}
        )
        assert handled + lost <= self.machine.device.laid
        if not lost:
            assert handled == self.machine.device.laid

    # ---------------------------------------------------------------- steps

    async def udp(self, hand: Hand, flow: int, count: int, irq_cpu: int, queue: int, entry: str) -> None:
        for _ in range(count):
            data = udp_frame(self.table, 5000 + flow, 6000 + flow, 74)
            number = self.machine.lay(queue, data, HASHES[flow])
            self.frames[number] = data
            self.flow_of[number] = flow
            self.epoch_of[number] = self.epoch
        await self.fire(hand, irq_cpu, queue, entry)

    async def tcp(
        self, hand: Hand, picks: list[tuple[int, int, int]], version: int, summed: int, hashed: bool, irq_cpu: int
    ) -> None:
        self.batches += 1
        self.machine.device.layout = Layout(summed)
        for flow, size, flags in picks:
            seq = self.tcp_next[flow]
            self.tcp_next[flow] = seq + size
            if version == 4:
                data = data_frame(0, size, sport=1000 + flow, flags=flags, ip_id=seq)
                data = self._payload(data, 54, seq, size)
            else:
                addresses = bytes.fromhex("fd" + "0" * 29 + "2" + "fd" + "0" * 29 + "1")
                segment = tcp_segment(stream(seq, size), sport=1000 + flow, seq=seq, flags=flags, addresses=addresses)
                data = ether(ipv6(segment), 0x86DD)
            number = self.machine.lay(0, data, HASHES[flow] if hashed else None)
            self.frames[number] = data
            self.tcp_seq[number] = seq
            self.batch_of[number] = self.batches
        await self.fire(hand, irq_cpu, 0, NAPI_GRO_RECEIVE)
        self.machine.device.layout = Layout()

    def _payload(self, data: bytes, header_bytes: int, seq: int, size: int) -> bytes:
        """The same segment with its own bytes of the stream."""
        frame = self.table.parse(data[:header_bytes] + stream(seq, size))
        return build(frame.hdr, header_bytes + size, seq & 0xFFFF, seq, stream(seq, size))

    async def fire(self, hand: Hand, irq_cpu: int, queue: int, entry: str) -> None:
        if irq_cpu in self.offline:
            irq_cpu = next(cpu for cpu in range(CPUS) if cpu not in self.offline)
        self.machine.enter_by(entry)
        await hand.fire(irq_cpu, [queue])

    async def setting(self, hand: Hand, path: str, value: object) -> None:
        self.machine.write(path, value)

    async def steering(self, hand: Hand, path: str, value: object) -> None:
        self.epoch += 1
        if path.startswith("net."):
            self.machine.write(path, value)
        else:
            self.machine.write_queues(path, value)

    async def feature(self, hand: Hand, name: str, on: bool) -> None:
        setattr(self.machine.dev, name, on)

    async def hold(self, hand: Hand, cpu: int) -> None:
        self.held.add(cpu)
        await hand.hold(cpu)

    async def release(self, hand: Hand, cpu: int) -> None:
        self.held.remove(cpu)
        await hand.release(cpu)

    async def hotplug(self, hand: Hand, cpu: int, online: bool) -> None:
        self.epoch += 1
        (self.offline.discard if online else self.offline.add)(cpu)
        await hand.set_online(cpu, online)

    async def read(self, hand: Hand, flow: int, cpu: int) -> None:
        if cpu not in self.offline:
            await hand.read(cpu, self.sockets[flow])

    # ---------------------------------------------------------------- laws

    def check(self, hand: Hand) -> None:
        machine = self.machine
        machine.ledger.check(hand.local_now_ns)
        for sd in machine.net.softnet:
            backlog = sd.backlog
            queued = len(backlog.input_pkt_queue) + len(backlog.process_queue)
            assert self.clock.posted[sd.index] - sd.dropped == sd.input_queue_head + queued
            assert backlog.input_queue_tail == sd.input_queue_head + queued
        if not self.accelerated:
            # A flow that the driver was asked to move leaves no trace in its old queue's table (A2b): Linux itself may reorder it
            # as long as it still arrives there.
            self.check_rfs_order()
        self.check_gro_order()

    def check_rfs_order(self) -> None:
        """The packets of a flow that RFS steered since it last had to start anew are handled in order."""
        last: dict[tuple[int, int, int, int], int] = {}
        restarts = self.restarts()
        for seen in self.machine.seen:
            number = seen.skb.number
            flow = self.flow_of.get(number)
            if flow is None or not self.clock.by_rfs.get(number):
                continue
            # The table that remembers where a flow went is the queue's (R4): what comes on another queue may overtake.
            stretch = (flow, seen.skb.rx_queue, self.epoch_of[number], restarts[number])
            assert last.get(stretch, -1) < number, f"flow {flow}: {number} was handled after {last[stretch]}"
            last[stretch] = number

    def restarts(self) -> dict[int, int]:
        """Number of a UDP frame -> how many frames of its flow before it RFS did not steer."""
        count: dict[int, int] = defaultdict(int)
        found: dict[int, int] = {}
        for number in sorted(self.flow_of):
            flow = self.flow_of[number]
            if not self.clock.by_rfs.get(number, False):
                count[flow] += 1
            found[number] = count[flow]
        return found

    def check_gro_order(self) -> None:
        """The bytes of a TCP flow come out of one batch in order, wherever it is handled."""
        last: dict[tuple[int, int, int], int] = {}
        for seen in self.machine.seen:
            number = seen.skb.number
            if number in self.tcp_seq:
                key = (seen.skb.hdr.sport, self.batch_of[number], seen.cpu)
                assert last.get(key, -1) < self.tcp_seq[number]
                last[key] = self.tcp_seq[number]


class Walk(RuleBasedStateMachine):
    """Writes the walk down."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[Any, ...]] = []
        self.held: set[int] = set()
        self.offline: set[int] = set()

    @initialize(
        release=st.sampled_from(sorted(RULES)),
        hz=st.sampled_from([100, 250, 1000]),
        accelerated=st.booleans(),
        mask=st.sampled_from(MASKS),
        rfs=st.sampled_from([True, True, True, False]),
    )
    def begin(self, release: str, hz: int, accelerated: bool, mask: str, rfs: bool) -> None:
        self.machine = (release, hz, accelerated)
        self.steps.append(("steering", "rps_cpus", mask))
        if rfs:
            self.steps.append(("steering", "rps_flow_cnt", 256))
            self.steps.append(("steering", "net.core.rps_sock_flow_entries", 1024))

    @rule(
        flow=flow_numbers,
        count=st.integers(1, 100),
        irq_cpu=cpu_numbers,
        queue=st.integers(0, 7),
        entry=st.sampled_from(ENTRIES),
    )
    def send_udp(self, flow: int, count: int, irq_cpu: int, queue: int, entry: str) -> None:
        self.steps.append(("udp", flow, count, irq_cpu, queue, entry))

    @rule(
        picks=st.lists(
            st.tuples(
                flow_numbers,
                st.sampled_from([1, 50, 100, 100, 100, 1448]),
                st.sampled_from([TCP_ACK] * 5 + [TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_ACK | TCP_CWR]),
            ),
            min_size=1,
            max_size=40,
        ),
        version=st.sampled_from([4, 6]),
        summed=st.sampled_from([CHECKSUM_NONE, CHECKSUM_UNNECESSARY]),
        hashed=st.booleans(),
        irq_cpu=cpu_numbers,
    )
    def send_tcp(
        self, picks: list[tuple[int, int, int]], version: int, summed: int, hashed: bool, irq_cpu: int
    ) -> None:
        self.steps.append(("tcp", picks, version, summed, hashed, irq_cpu))

    @rule(data=st.data(), path=st.sampled_from(sorted(SETTINGS)))
    def change_setting(self, data: st.DataObject, path: str) -> None:
        self.steps.append(("setting", path, data.draw(st.sampled_from(list(SETTINGS[path])))))

    @rule(data=st.data(), path=st.sampled_from(sorted(STEERING)))
    def change_steering(self, data: st.DataObject, path: str) -> None:
        self.steps.append(("steering", path, data.draw(st.sampled_from(list(STEERING[path])))))

    @rule(on=st.booleans())
    def switch_gro(self, on: bool) -> None:
        self.steps.append(("feature", "gro", on))

    @rule(flow=flow_numbers, cpu=cpu_numbers)
    def read(self, flow: int, cpu: int) -> None:
        self.steps.append(("read", flow, cpu))

    @rule(
        flow=flow_numbers,
        counts=st.tuples(*[st.integers(1, 20)] * 3),
        irq_cpu=cpu_numbers,
        readers=st.tuples(cpu_numbers, cpu_numbers),
    )
    def move_reader(self, flow: int, counts: tuple[int, int, int], irq_cpu: int, readers: tuple[int, int]) -> None:
        """A flow whose reader moves while its packets wait on the reader's old CPU, if that is free to be held."""
        first, second = readers
        hold = first not in self.held and first not in self.offline
        self.steps.append(("udp", flow, counts[0], irq_cpu, 0, NAPI_GRO_RECEIVE))
        self.steps.append(("read", flow, first))
        if hold:
            self.steps.append(("hold", first))
        self.steps.append(("udp", flow, counts[1], irq_cpu, 0, NAPI_GRO_RECEIVE))
        self.steps.append(("read", flow, second))
        self.steps.append(("udp", flow, counts[2], irq_cpu, 0, NAPI_GRO_RECEIVE))
        if hold:
            self.steps.append(("release", first))

    @precondition(lambda self: len(self.held) < 3)
    @rule(cpu=cpu_numbers)
    def hold(self, cpu: int) -> None:
        if cpu not in self.held and cpu not in self.offline:
            self.held.add(cpu)
            self.steps.append(("hold", cpu))

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        cpu = data.draw(st.sampled_from(sorted(self.held)))
        self.held.remove(cpu)
        self.steps.append(("release", cpu))

    @precondition(lambda self: len(self.offline) < 3)
    @rule(cpu=cpu_numbers)
    def take_offline(self, cpu: int) -> None:
        # Nobody who holds a CPU's softirqs lets it go offline.
        if cpu not in self.offline and cpu not in self.held:
            self.offline.add(cpu)
            self.steps.append(("hotplug", cpu, False))

    @precondition(lambda self: self.offline)
    @rule(data=st.data())
    def bring_back(self, data: st.DataObject) -> None:
        cpu = data.draw(st.sampled_from(sorted(self.offline)))
        self.offline.remove(cpu)
        self.steps.append(("hotplug", cpu, True))

    def teardown(self) -> None:
        if self.steps:
            walker = Walker(*self.machine)
            walker.machine.play(lambda hand: walker.walk(hand, self.steps))


TestWalk = Walk.TestCase
TestWalk.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
