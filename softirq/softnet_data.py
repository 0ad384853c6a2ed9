"""softnet_data: the private receive state of one CPU. No other CPU touches it; what others may see of it is named.

Source: include/linux/netdevice.h (6.9), struct softnet_data; rules of sections 3, 4, 13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from softirq.deferred_free import DeferList

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from softirq.backlog import Backlog
    from softirq.flow_limit import FlowLimit
    from softirq.napi import Napi
    from softirq.net import Net


class SoftnetData:
    """One CPU's softnet_data. `backlog` and `defer_list` are its ports: the only parts that other CPUs' posts reach."""

    def __init__(self, net: Net, cpu: Cpu) -> None:
        self.net = net
        self.cpu = cpu
        self.index = cpu.index
        self.several_nodes = any(other.node != cpu.node for other in cpu.cpus)
        """The machine has more than one NUMA node."""
        self.poll_list: list[Napi] = []
        self.in_net_rx_action = False
        self.in_napi_threaded_poll = False
        self.rps_ipi_list: list[SoftnetData] = []
        """Targets owed an IPI by this CPU; pushed at the front (LIFO, B4)."""
        self.flow_limit: FlowLimit | None = None
        self.backlog: Backlog
        self.defer_list = DeferList(self)
        """The other port: skbs that other CPUs' readers hand back."""
        # /proc/net/softnet_stat
        self.processed = 0
        self.dropped = 0
        self.time_squeeze = 0
        self.received_rps = 0
        self.flow_limit_count = 0
        # ours: squeezes by cause and by whether work was left
        self.squeeze_budget = 0
        self.squeeze_time = 0
        self.squeeze_with_work_left = 0
        self.ipis_sent = 0
        self.net_rx_actions = 0
        # what others may see: the head as of the end of the last stretch of work (visibility, docs/architecture.md)
        self.input_queue_head = 0
        self._head_shown = 0
        self._head_before = 0
        self._head_shown_at_ns = 0

    def show_head(self, now_ns: int) -> None:
        """Publish input_queue_head, valid from `now_ns` on."""
        if self.input_queue_head != self._head_shown:
            self._head_before = self._head_shown
            self._head_shown = self.input_queue_head
            self._head_shown_at_ns = now_ns

    def head_as_of(self, now_ns: int) -> int:
        """input_queue_head as an actor sees it that last synchronised at `now_ns`."""
        return self._head_shown if self._head_shown_at_ns <= now_ns else self._head_before
