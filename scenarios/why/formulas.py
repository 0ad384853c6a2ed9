"""The formulas that steer a packet, with their numbers: RSS, RPS, RFS, the flow limit.

Everything here reads what the deciding code reads, at the same instant, and changes nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from emu.headers import IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP, Headers
from emu.skb import HASH_L4, HASH_NONE, Skb
from scenarios.why.document import Value
from softirq.flow_limit import FLOW_LIMIT_HISTORY, FlowLimit
from softirq.rps import RPS_NO_CPU

if TYPE_CHECKING:
    from nic.nic import Nic
    from softirq.device import NetDevice
    from softirq.softnet_data import SoftnetData

_PROTOCOLS: Final = {IPPROTO_TCP: "tcp", IPPROTO_UDP: "udp", IPPROTO_ICMP: "icmp", IPPROTO_ICMPV6: "icmpv6"}

Words = tuple[str, dict[str, Value]]
"""A sentence and the numbers in it."""


def address_words(address: bytes) -> str:
    """An IPv4 or IPv6 address as people write it."""
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)


def endpoint_words(address: bytes, port: int) -> str:
    """`10.0.0.1:443`, `[fd00::1]:443`."""
    words = address_words(address)
    return f"[{words}]:{port}" if len(address) == 16 else f"{words}:{port}"


def flow_words(hdr: Headers) -> str:
    """`udp 10.1.0.9:443 > 10.0.0.1:5001`, or what there is of it."""
    if not hdr.saddr:
        return f"ethertype 0x{hdr.ethertype:04x}"
    protocol = _PROTOCOLS.get(hdr.l4_protocol, f"protocol {hdr.l4_protocol}")
    if hdr.fragment_offset:
        return f"{protocol} {address_words(hdr.saddr)} > {address_words(hdr.daddr)}, fragment at {hdr.fragment_offset}"
    if hdr.l4_protocol not in (IPPROTO_TCP, IPPROTO_UDP):
        return f"{protocol} {address_words(hdr.saddr)} > {address_words(hdr.daddr)}"
    return f"{protocol} {endpoint_words(hdr.saddr, hdr.sport)} > {endpoint_words(hdr.daddr, hdr.dport)}"


# -------------------------------------------------------------------- RSS


def rss_words(nic: Nic, skb: Skb, queue: int) -> Words:
    """How the device chose `queue` for `skb`."""
    rss = nic.rss
    fields, data, kind = rss.inputs(skb.hdr)
    if kind == HASH_NONE:
        return f"not IP, no hash: rx-{queue}", {"queue": queue}
    value, _, computed = rss.classify(skb.hdr)
    entries = len(rss.indirection)
    entry = value & (entries - 1)
    values: dict[str, Value] = {
        "fields": fields,
        "input": data.hex(),
        "key": rss.key.hex(),
        "hash": value,
        "entries": entries,
        "entry": entry,
        "queue": queue,
    }
    hdr = skb.hdr
    hashed = {"f": str(hdr.sport), "n": str(hdr.dport)}
    hashed |= {"s": address_words(hdr.saddr), "d": address_words(hdr.daddr)}
    words = f"Toeplitz({', '.join(hashed[letter] for letter in fields)}) = 0x{value:08x}"
    if computed != queue:
        return f"{words} under the settings of now; it was steered to rx-{queue} before they changed", values
    words += f", & {entries - 1} = entry {entry} of the indirection table: rx-{queue}"
    if not nic.dev.rxhash:
        words += "; rxhash is off, the skb does not get the hash"
    return words, values


# -------------------------------------------------------------------- RPS and RFS


@dataclass(frozen=True, slots=True)
class FlowEntry:
    """An entry of a queue's flow table, and what RFS compares it with, before it decides."""

    slot: int
    ident: int
    next_cpu: int
    cpu: int
    last_qtail: int
    head: int
    posted_ns: int
    seen_ns: int
    recorded: bool
    """The socket table's entry is this flow's."""


def flow_entry(sd: SoftnetData, dev: NetDevice, skb: Skb) -> FlowEntry | None:
    """What RFS will look at for `skb`, None where it has no tables."""
    net = sd.net
    table = dev.queues[skb.rx_queue].rps_flow_table if skb.rx_queue < len(dev.queues) else None
    socks = net.sock_flow_table
    if table is None or socks is None:
        return None
    flow_hash = skb.hash if skb.hash_kind >= HASH_L4 else net.dissector.hash_of(skb.hdr, skb.data)
    slot = table.slot(flow_hash)
    seen_ns = sd.cpu.synced_ns
    ident = socks.ents[flow_hash & socks.mask]
    cpu = table.cpu[slot]
    return FlowEntry(
        slot=slot,
        ident=ident,
        next_cpu=ident & socks.cpu_mask,
        cpu=cpu,
        last_qtail=table.last_qtail[slot],
        head=net.softnet[cpu].head_as_of(seen_ns) if cpu < len(net.softnet) else 0,
        posted_ns=table.posted_ns[slot],
        seen_ns=seen_ns,
        recorded=not (ident ^ flow_hash) & ~socks.cpu_mask & 0xFFFFFFFF,
    )


def steering_words(sd: SoftnetData, dev: NetDevice, skb: Skb, entry: FlowEntry | None, target: int) -> Words:
    """Why get_rps_cpu answered `target` (-1: this CPU) for `skb`; `entry` is what RFS saw before."""
    index = skb.rx_queue
    queue = dev.queues[index] if index < len(dev.queues) else None
    here = sd.index
    if queue is None or (queue.rps_map is None and queue.rps_flow_table is None):
        return f"rx-{index} has no rps_cpus: stays on CPU {here}", {"queue": index, "target": target}
    flow_hash = skb.hash
    values: dict[str, Value] = {"queue": index, "target": target, "hash": flow_hash}
    words = ""
    if entry is not None:
        values |= {
            "slot": entry.slot,
            "ident": entry.ident,
            "flow_cpu": entry.cpu,
            "last_qtail": entry.last_qtail,
            "head": entry.head,
            "posted_ns": entry.posted_ns,
            "seen_ns": entry.seen_ns,
        }
        if entry.recorded:
            values["next_cpu"] = entry.next_cpu
            words = _rfs_words(sd, entry, target)
            if words and target >= 0 and skb.rps_table is not None:
                return words, values
            words += "; then RPS: "
        else:
            words = "RFS: no application is recorded for this flow; then RPS: "
    rps_map = queue.rps_map
    if rps_map is None:
        return f"{words}rx-{index} has no rps_cpus: stays on CPU {here}", values
    place = flow_hash * rps_map.len >> 32
    values |= {"len": rps_map.len, "entry": place, "map": list(rps_map.cpus)}
    formula = f"hash 0x{flow_hash:08x} * {rps_map.len} >> 32 = entry {place} of rps_cpus: CPU {rps_map.cpus[place]}"
    if target < 0:
        return f"{words}{formula}, which is offline: stays on CPU {here}", values
    return words + formula, values


def _rfs_words(sd: SoftnetData, entry: FlowEntry, target: int) -> str:
    wanted = f"RFS: its application last read on CPU {entry.next_cpu}"
    if entry.cpu == entry.next_cpu:
        return f"{wanted}, where the flow goes already"
    cpus = len(sd.net.softnet)
    if entry.cpu == RPS_NO_CPU or entry.cpu >= cpus:
        return f"{wanted}; the flow went nowhere yet: CPU {entry.next_cpu}"
    difference = entry.head - entry.last_qtail
    if entry.posted_ns >= entry.seen_ns:
        return f"{wanted}, but this poll posted packets of the flow to CPU {entry.cpu}: it stays there, lest they be overtaken"
    if difference < 0 and target == entry.cpu:
        return (
            f"{wanted}, but CPU {entry.cpu} has packets of the flow left (head {entry.head} - last_qtail "
            f"{entry.last_qtail} = {difference} < 0): it stays there"
        )
    if not sd.net.softnet[entry.cpu].cpu.online:
        return f"{wanted}; CPU {entry.cpu}, where the flow went, is offline: it moves"
    return (
        f"{wanted}, and CPU {entry.cpu} has nothing of the flow left (head {entry.head} - last_qtail "
        f"{entry.last_qtail} = {difference} >= 0): it moves from CPU {entry.cpu} to CPU {entry.next_cpu}"
    )


def hash_words(skb: Skb) -> str:
    """Where the skb's hash came from."""
    if skb.hash_kind == HASH_NONE:
        return "no hash"
    return "hash of the NIC" if skb.hash_kind == HASH_L4 else "hash of the flow dissector"


# -------------------------------------------------------------------- flow limit


def flow_limit_words(table: FlowLimit) -> Words:
    """What the sender's table said of the packet it counted last (F2, F3)."""
    bucket = table.history[(table.history_head - 1) % FLOW_LIMIT_HISTORY]
    count = table.buckets[bucket]
    half = FLOW_LIMIT_HISTORY // 2
    verdict = "more than" if count > half else "not more than"
    words = f"flow limit: {count} of the last {FLOW_LIMIT_HISTORY} packets fell into bucket {bucket}, {verdict} {half}"
    return words, {"flow_limit_bucket": bucket, "flow_limit_count": count, "flow_limit_history": FLOW_LIMIT_HISTORY}
