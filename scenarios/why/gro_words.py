"""What GRO did with a packet, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emu.skb import Skb
from emu.trace import packet_number
from scenarios.why.formulas import Words
from softirq.gro import GroResult
from softirq.gro_merge import GroHeld

if TYPE_CHECKING:
    from softirq.napi import Napi


def gro_words(napi: Napi, skb: Skb, result: GroResult, before: list[Skb]) -> Words:
    """What GRO did with `skb`; `before` is what its bucket held then."""
    if result in (GroResult.MERGED, GroResult.MERGED_FREE):
        for bucket in napi.gro_hash:
            for held in bucket.values():
                if isinstance(held, GroHeld) and any(one is skb for one in held.segments):
                    return _merged_words(held.skb, len(held.segments))
        for head in before:
            if head.segments is not None and any(one is skb for one in head.segments):
                return _merged_words(head, len(head.segments))
    if result is GroResult.HELD:
        return f"held, to merge what follows in its flow ({napi.gro_held} packets are held)", {"held": napi.gro_held}
    if not napi.dev.gro:
        return "GRO is off", {}
    shape = skb.gro_shape or skb.hdr.gro_shape
    if shape is not None and shape.asks:
        return "not merged: no UDP socket asked for GRO", {}
    return "not merged", {}


def _merged_words(head: Skb, segment: int) -> Words:
    number = packet_number(head)
    return f"merged into packet {number} as segment {segment + 1}", {"head": number, "segment": segment + 1}
