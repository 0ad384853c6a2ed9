"""Flow limit: drop the flow that fills a backlog, before the others suffer.

Models: F1-F4. The table belongs to the CPU that enqueues (Z7), is 8-bit counters by hash, and remembers the last 128 packets.
Source: net/core/dev.c, skb_flow_limit (6.9).
"""

from __future__ import annotations

from typing import Final

from softirq.hash32 import hash_32

FLOW_LIMIT_HISTORY: Final = 128


class FlowLimit:
    """One CPU's table of `buckets` counters (a power of two)."""

    __slots__ = ("_by_hash_32", "_mask", "_shift", "buckets", "count", "history", "history_head")

    def __init__(self, buckets: int, by_hash_32: bool) -> None:
        assert buckets and not buckets & (buckets - 1), f"{buckets} buckets are no power of two"
        self.buckets = [0] * buckets
        self.history = [0] * FLOW_LIMIT_HISTORY
        self.history_head = 0
        self.count = 0
        self._mask = buckets - 1
        self._shift = buckets.bit_length() - 1
        self._by_hash_32 = by_hash_32

    def over_limit(self, flow_hash: int) -> bool:
        """Count one packet of the flow. True if the flow has more than half of the remembered packets: drop it (F2, F3)."""
        new = hash_32(flow_hash, self._shift) if self._by_hash_32 else flow_hash & self._mask
        head = self.history_head
        old = self.history[head]
        self.history[head] = new
        self.history_head = (head + 1) & (FLOW_LIMIT_HISTORY - 1)
        buckets = self.buckets
        if buckets[old]:
            buckets[old] -= 1
        buckets[new] += 1
        if buckets[new] > FLOW_LIMIT_HISTORY // 2:
            self.count += 1
            return True
        return False
