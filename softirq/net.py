"""What all CPUs of a machine share: settings, release rules, registries, the ledger. Filled by the upper floors at build time.

Nothing here belongs to one CPU (that is `SoftnetData`), and nothing here is a queue between CPUs (those are ports).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from emu.events import EventLog
from emu.histogram import Histogram

if TYPE_CHECKING:
    from emu.clock import Clock
    from emu.costs import Costs
    from emu.jiffies import Jiffies
    from emu.ledger import Ledger
    from emu.rules import Rules
    from emu.settings import NetCoreSettings
    from emu.skb import Received, Skb
    from emu.trace import PacketTrace, PollTrace
    from softirq.device import NetDevice
    from softirq.flow_dissector import FlowDissector
    from softirq.gro import PacketOffload
    from softirq.plain_way import PlainWay
    from softirq.rps import RpsSockFlowTable
    from softirq.softnet_data import SoftnetData

    PacketFunction = Callable[[SoftnetData, Skb], None]
    ListFunction = Callable[[SoftnetData, list[Skb]], None]
    QueueFunction = Callable[[SoftnetData, list[Skb], int, list[int]], None]
    PlainRunFunction = Callable[[SoftnetData, list[Skb], int, list[int]], bool]
    PlainWayFunction = Callable[[SoftnetData, Received], PlainWay]


class PacketType:
    """A protocol handler (struct packet_type): `func` takes one skb, `list_func` a sublist of one type and device (D4).

    `queue_func(sd, skbs, lead_ns, waits)` does what `func` would for one skb after the other, as a backlog hands them over: before each it
    notes the wait since `stage_ns` in `waits` and charges `lead_ns`. It saves calls and decides nothing. `plain_run` does the same for
    what `Skb.plain` says, if it can take all of them at once; False: it has touched nothing.
    `plain_way(sd, received)` makes the way that what `Napi.plain` says may take from GRO, in one poll: it does what the demux and
    `list_func` would.
    """

    __slots__ = ("ethertype", "func", "list_func", "plain_run", "plain_way", "queue_func")

    def __init__(
        self,
        ethertype: int,
        func: PacketFunction,
        list_func: ListFunction | None = None,
        queue_func: QueueFunction | None = None,
        plain_run: PlainRunFunction | None = None,
        plain_way: PlainWayFunction | None = None,
    ) -> None:
        self.plain_run = plain_run
        self.plain_way = plain_way
        self.ethertype = ethertype
        self.queue_func = queue_func
        self.func = func
        self.list_func = list_func


LOOK_PACKETS: Final = 128
"""Packets polled between two looks at the buffers of latencies."""


class Latencies:
    """Waits per stage in nanoseconds: a histogram each."""

    def __init__(self) -> None:
        self.ring = Histogram()
        """Last bit on the wire to picked from the ring, per frame."""
        self.gro = Histogram()
        """Picked from the ring to handed to RPS or the protocol demux, per skb."""
        self.backlog = Histogram()
        """Posted to another CPU's backlog (or its own) to taken from it, per skb."""
        self.protocol = Histogram()
        """From the demux to queued at a socket, per skb."""
        self.socket = Histogram()
        """Queued at a socket to read, per skb."""
        self.total = Histogram()
        """Last bit of the (first) frame to read by the application, per skb."""
        self._all = tuple(self.by_stage().values())
        self._packets = 0
        """Taken by polls since the buffers were looked at."""

    def by_stage(self) -> dict[str, Histogram]:
        """Stage name -> histogram, in the order of the path."""
        return {
            "ring": self.ring,
            "gro": self.gro,
            "backlog": self.backlog,
            "protocol": self.protocol,
            "socket": self.socket,
            "total": self.total,
        }

    def polled(self, packets: int) -> None:
        """A poll has taken `packets`, and so put about as many waits into each buffer at most: now and then, empty the full ones."""
        self._packets += packets
        if self._packets >= LOOK_PACKETS:
            self._packets = 0
            for histogram in self._all:
                histogram.fold_if_full()


class Net:
    """Shared state of one machine's network stack."""

    def __init__(
        self,
        clock: Clock,
        rules: Rules,
        costs: Costs,
        jiffies: Jiffies,
        settings: NetCoreSettings,
        ledger: Ledger,
        dissector: FlowDissector,
    ) -> None:
        self.clock = clock
        self.rules = rules
        self.costs = costs
        self.jiffies = jiffies
        self.settings = settings
        self.ledger = ledger
        self.dissector = dissector
        self.softnet: list[SoftnetData] = []
        """softnet_data by CPU number."""
        self.devices: dict[str, NetDevice] = {}
        self.ptypes: dict[int, PacketType] = {}
        """Ethertype -> handler."""
        self.taps: list[Callable[[SoftnetData, Skb], None]] = []
        """ptype_all: called for every skb at the top of the demux (D2)."""
        self.offloads: dict[int, PacketOffload] = {}
        """Ethertype -> GRO handlers."""
        self.rps_maps_set = 0
        """Queues that have an RPS map."""
        self.sock_flow_table: RpsSockFlowTable | None = None
        self.late_backlogs = True
        """Posts to backlogs may wait until somebody looks (`softirq.late_packets`)."""
        self.defers_frees = False
        """Some socket's readers hand skbs back to the CPUs that allocated them (T7): those look at their lists."""
        self.latencies = Latencies()
        self.events = EventLog()
        self.trace: PacketTrace | None = None
        """Looks at each packet, and closes the straight ways as a tap does."""
        self.poll_trace: PollTrace | None = None

    @property
    def rps_needed(self) -> bool:
        """The static key: any queue has an RPS map, or there is a sock flow table (R0)."""
        return bool(self.rps_maps_set) or self.sock_flow_table is not None
