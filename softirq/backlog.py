"""The backlog of a CPU: the port where other CPUs' packets arrive, and the NAPI that drains it.

Models: B1-B12, I1-I3, Z4-Z6: input_pkt_queue and process_queue, flow limit, SCHED, IPIs owed and sent.
Leaves out: backlog threads (B13), the unlocked early drop of newer releases (B6, K10: a race that here cannot happen).
Source: net/core/dev.c enqueue_to_backlog, process_backlog, net_rps_action_and_irq_enable, rps_trigger_softirq (6.1, 6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from cpus.interrupts import Interrupt
from emu.dropreason import DropReason
from emu.events import QUIET_NS
from emu.flow_name import flow_name
from emu.skb import Skb
from emu.trace import packet_number
from softirq.demux import netif_receive_skb
from softirq.late_packets import LatePackets
from softirq.napi import Napi, napi_schedule_irqoff

if TYPE_CHECKING:
    from softirq.device import NetDevice
    from softirq.softnet_data import SoftnetData


class Backlog(Napi):
    """One CPU's backlog NAPI and its port. `sched` and "on the poll list" are two states: between them lies the IPI."""

    is_backlog = True

    def __init__(self, sd: SoftnetData, dev: NetDevice) -> None:
        super().__init__(dev, f"backlog{sd.index}", sd.net.settings.dev_rx_weight)
        self.sd = sd
        self.input_pkt_queue: list[Skb] = []
        self.process_queue: list[Skb] = []
        self.input_queue_tail = 0
        self.posted = 0
        """Posts to this backlog that the clock has not decided yet."""
        self.late = LatePackets(self)
        self.ipi = RpsIpi(sd)
        """What is sent to its CPU; it carries nothing, so there is one."""
        self.refused_ns = -QUIET_NS - 1
        """When a packet was last dropped for want of room."""

    def deliver(self, stamp_ns: int, sender: Cpu, skb: Skb) -> None:
        """enqueue_to_backlog, decided as of `stamp_ns` on behalf of `sender` (B1-B6)."""
        self.posted -= 1
        if self.late.count:
            self.late.append(stamp_ns, sender.rank)
        sd = self.sd
        net = sd.net
        queue = self.input_pkt_queue
        qlen = len(queue)
        if (
            qlen
            and qlen < net.settings.netdev_max_backlog >> 1
            and skb.rps_table is None
            and sd.cpu.online
            and skb.received.dev.running
        ):
            # One more, far from any limit: what most find.
            skb.stage_ns = stamp_ns
            queue.append(skb)
            self.input_queue_tail += 1
            return
        dev = skb.dev
        if not sd.cpu.online:
            sd.dropped += 1
            dev.statistics.rx_dropped += 1
            sender.owed_ns += net.costs.skb_free_ns
            net.ledger.drop(skb, DropReason.EMU_CPU_OFFLINE)
            return
        if dev.running:
            settings = net.settings
            max_backlog = settings.netdev_max_backlog
            sender_sd = net.softnet[sender.index]
            # Compared as unsigned: a negative limit is none (see emu.settings).
            if (qlen <= max_backlog or max_backlog < 0) and (
                sender_sd.flow_limit is None or not _flow_limited(sender_sd, skb, qlen, max_backlog)
            ):
                if not qlen and not self.sched:
                    self.sched = True
                    _schedule(sender_sd, sd)
                skb.stage_ns = stamp_ns
                queue.append(skb)
                self.input_queue_tail += 1
                table = skb.rps_table
                if table is not None:
                    table.last_qtail[skb.rps_slot] = self.input_queue_tail
                    skb.rps_table = None
                return
            reason = DropReason.CPU_BACKLOG
            sd.dropped += 1
            if stamp_ns - self.refused_ns > QUIET_NS:
                limited = qlen <= max_backlog
                why = ", flow limit of its sender" if limited else f" > netdev_max_backlog {max_backlog}"
                net.events.note(
                    stamp_ns,
                    sd.index,
                    f"backlog refuses pkt {packet_number(skb)} from cpu{sender.index}: qlen {qlen}{why}: "
                    f"{reason.name}, {flow_name(skb.hdr.flow)}",
                )
            self.refused_ns = stamp_ns
        else:
            rules = net.rules
            reason = DropReason[rules.device_down_drop_reason]
            if rules.device_down_counted_in_softnet_dropped:
                sd.dropped += 1
        dev.statistics.rx_dropped += 1
        sender.owed_ns += net.costs.skb_free_ns
        net.ledger.drop(skb, reason)

    def expect(self, count: int) -> None:
        """`count` more posts come by the clock. Late ones that might find the backlog half full because of them are decided there, too."""
        self.posted += count
        late = self.late
        if (
            late.count
            and len(self.input_pkt_queue) + self.posted + late.count > self.sd.net.settings.netdev_max_backlog >> 1
        ):
            late.hand_over()

    def held_frames(self) -> int:
        """Frames in both queues."""
        return sum(skb.frames for skb in self.input_pkt_queue) + sum(skb.frames for skb in self.process_queue)


def _schedule(sender: SoftnetData, target: SoftnetData) -> None:
    """B4: list the backlog here, or owe its CPU an IPI."""
    if sender is target:
        napi_schedule_irqoff(target, target.backlog)
        return
    sender.rps_ipi_list.insert(0, target)
    inside = sender.in_net_rx_action or sender.in_napi_threaded_poll
    if not (inside and sender.net.rules.in_net_rx_action_suppresses_raise):
        sender.cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)


def _flow_limited(sender: SoftnetData, skb: Skb, qlen: int, max_backlog: int) -> bool:
    """skb_flow_limit on the sender's table (F1); counts on the sender's row."""
    if qlen < max_backlog >> 1 or max_backlog < 0:
        return False
    table = sender.flow_limit
    assert table is not None
    if table.over_limit(sender.net.dissector.skb_get_hash(skb)):
        sender.flow_limit_count += 1
        return True
    return False


def enqueue_to_backlog(sd: SoftnetData, skb: Skb, target: int) -> None:
    """Post `skb` to CPU `target`'s backlog (this CPU's included, R8). Whether it is taken is decided in the one order."""
    table = skb.rps_table
    cpu = sd.cpu
    if table is not None:
        table.posted_ns[skb.rps_slot] = cpu.local_now_ns
    net = sd.net
    backlog = net.softnet[target].backlog
    backlog.expect(1)
    net.clock.post(cpu, backlog, skb)
    cpu.local_now_ns += net.costs.enqueue_to_backlog_ns


class RpsIpi(Interrupt):
    """rps_trigger_softirq: the target lists its own backlog NAPI and counts one received_rps (I2, Z5)."""

    __slots__ = ("sd",)

    def __init__(self, sd: SoftnetData) -> None:
        super().__init__()
        self.sd = sd

    def handle(self, cpu: Cpu) -> None:
        """Runs on the target in hard-interrupt context. One that has gone offline meanwhile does not hear it."""
        if not cpu.online:
            return
        cpu.local_now_ns += cpu.costs.ipi_receive_ns
        self.sd.received_rps += 1
        napi_schedule_irqoff(self.sd, self.sd.backlog)


def net_rps_action(sd: SoftnetData) -> None:
    """Send the IPIs this CPU owes, newest first, at most one per target (I1). The CPU must have synchronised."""
    owed, sd.rps_ipi_list = sd.rps_ipi_list, []
    cpu = sd.cpu
    for target in owed:
        if target.cpu.online:
            cpu.local_now_ns += cpu.costs.ipi_send_ns
            sd.ipis_sent += 1
            target.cpu.send(target.backlog.ipi, cpu.local_now_ns + 1, cpu.rank)


async def process_backlog(sd: SoftnetData, quota: int) -> int:
    """The backlog NAPI's poll: at most `quota` packets, one at a time, without GRO (B8-B12). Returns how many.

    Synchronises before the IPIs, before each splice and before it completes, because other CPUs post meanwhile.
    """
    cpu = sd.cpu
    net = sd.net
    backlog = sd.backlog
    cpu.local_now_ns += net.costs.process_backlog_ns
    if not cpu.goes_on():
        await cpu.interruptible()
    if sd.rps_ipi_list:
        net_rps_action(sd)
    backlog.weight = net.settings.dev_rx_weight
    process_queue = backlog.process_queue
    late = backlog.late
    per_packet = net.rules.input_queue_head_per_packet
    is_traced = net.trace is not None
    work = 0
    while True:
        if process_queue:
            left = quota - work
            work += (0 if is_traced else _process_plainly(sd, left)) or _process_each(sd, left)
            if work >= quota:
                sd.show_head(cpu.local_now_ns)
                return work
            if per_packet:
                sd.show_head(cpu.local_now_ns)
        if (work or cpu.local_now_ns != cpu.synced_ns) and not cpu.goes_on():  # else it has just done so
            await cpu.synchronise()
        if late.count:
            late.append(cpu.synced_ns)
        if not backlog.input_pkt_queue:
            backlog.sched = False
            if late.count:
                late.announce()
            sd.show_head(cpu.local_now_ns)
            return work
        process_queue += backlog.input_pkt_queue
        backlog.input_pkt_queue.clear()


def _process_each(sd: SoftnetData, quota: int) -> int:
    """Take up to `quota` packets off process_queue, one at a time. Returns how many."""
    cpu = sd.cpu
    net = sd.net
    costs = net.costs
    dequeue_ns = costs.backlog_dequeue_ns
    # The first touch is within the price of the dequeue; from another node it is numa_cross in place of remote_skb.
    far_dequeue_ns = max(dequeue_ns - costs.remote_skb_ns, 0) + costs.numa_cross_ns
    waits = net.latencies.backlog.pending
    receive = netif_receive_skb if net.trace is None else net.trace.netif_receive_skb
    process_queue = sd.backlog.process_queue
    work = 0
    while process_queue:
        skb = process_queue.pop(0)
        sd.input_queue_head += 1
        waits.append(cpu.local_now_ns - skb.stage_ns)
        cpu.local_now_ns += dequeue_ns if net.softnet[skb.alloc_cpu].cpu.node == cpu.node else far_dequeue_ns
        receive(sd, skb)
        work += 1
        if work >= quota:
            break
    return work


def _process_plainly(sd: SoftnetData, quota: int) -> int:
    """Take up to `quota` packets off process_queue the way most go: one type, no tap, no tag, of this node.

    Returns how many; 0: look at each.
    """
    net = sd.net
    process_queue = sd.backlog.process_queue
    first = process_queue[0].hdr.ethertype
    ptype = net.ptypes.get(first)
    if ptype is None or ptype.queue_func is None or net.taps:
        return 0
    run = process_queue[:quota]
    if sd.several_nodes:
        softnet, node = net.softnet, sd.cpu.node
        if [skb for skb in run if softnet[skb.alloc_cpu].cpu.node != node]:
            return 0
    lead_ns = net.costs.backlog_dequeue_ns + net.costs.deliver_skb_ns
    waits = net.latencies.backlog.pending
    is_through = ptype.plain_run is not None and ptype.plain_run(sd, run, lead_ns, waits)
    if not is_through and [skb for skb in run if skb.vlan_tci >= 0 or skb.hdr.ethertype != first]:
        return 0
    del process_queue[:quota]
    sd.input_queue_head += len(run)
    sd.processed += len(run)
    if not is_through:
        ptype.queue_func(sd, run, lead_ns, waits)
    return len(run)
