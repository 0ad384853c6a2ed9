"""Rules: what differs between kernel releases, as data.

A field is a behaviour, never a version: code asks `rules.input_queue_head_per_packet`, not which release this is. One
`Rules` is chosen when a machine is built and never changes. What all four releases share has no field.
Leaves out: differences that nobody outside the kernel can see (lock types, NUMA-split counters, file moves).
Source: Linux 6.1.20 and 6.1.166, 6.9.0, 6.12, 6.18.2; the rule numbers and kernel files stand below each field.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Literal

from emu.errors import ConfigError

DEFAULT_RELEASE: Final = "6.9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The behaviours of one kernel release on the receive path."""

    release: str
    """Name of the release, for people only: nothing decides by it."""

    softirq_defers_to_ksoftirqd: bool
    """While this CPU's ksoftirqd is runnable, everything but HI and TASKLET is left to it. S9, kernel/softirq.c."""
    in_net_rx_action_suppresses_raise: bool
    """Inside net_rx_action a schedule or RPS enqueue lists the NAPI without NET_RX. N5, B4, K5, net/core/dev.c."""
    restarts_list_in_call: bool
    """net_rx_action takes a poll list refilled meanwhile in the same call and budget. N2, K5, net/core/dev.c."""

    softnet_stat_columns: Literal[13, 15]
    """Columns of /proc/net/softnet_stat; 15 with both backlog queues' lengths. Section 13, net/core/net-procfs.c."""
    has_rps_default_mask: bool
    """net.core.rps_default_mask exists. R10, net/core/sysctl_net_core.c."""

    interrupts_chip_blanks: Literal[1, 2]
    """Blanks between the counts and the chip in /proc/interrupts: one seen on 6.18. kernel/irq/proc.c."""

    device_down_counted_in_softnet_dropped: bool
    """A packet queued for a stopped device counts in softnet_stat's dropped. B2, K10, net/core/dev.c."""
    device_down_drop_reason: Literal["NOT_SPECIFIED", "DEV_READY"]
    """Its drop reason. B2, K10, net/core/dev.c enqueue_to_backlog."""
    enqueue_early_drop: bool
    """A full backlog is also seen before its lock is taken, so without its cost. B6, K10, net/core/dev.c."""
    input_queue_head_per_packet: bool
    """input_queue_head moves with each packet, not once at the return of process_backlog. B10, B11, net/core/dev.c.
    6.12 already moves it once: read in 6.12.y, where the notes (K10) left it open."""
    backlog_threads_supported: bool
    """Boot option thread_backlog_napi exists (off by default). B13, K10, net/core/dev.c."""

    flow_limit_by_hash_32: bool
    """Flow-limit bucket is hash_32(hash, log) instead of hash & mask. F4, net/core/dev.c skb_flow_limit."""
    dev_flow_slot_by_hash_32: bool
    """rps_dev_flow slot is hash_32(hash, log) instead of hash & mask. R13, net/core/dev.c get_rps_cpu."""
    arfs_checks_slot_owner: bool
    """A dev-flow slot whose filter belongs to another active flow is not taken over. A3, net/core/dev.c set_rps_cpu."""
    arfs_lookup_by_tuple: bool
    """ice finds a filter by flow id and 5-tuple, not by flow id only. A5, ethernet/intel/ice/ice_arfs.c."""

    gro_ipv4_big_tcp: bool
    """IPv4 super-packets may pass 64 KiB, up to gro_ipv4_max_size; IPv6 ones may everywhere. G23, net/core/gro.c."""
    gro_fixed_id_without_df: bool
    """Equal IP IDs merge without DF too; the 2nd packet decides fixed or counting. G11, net/core/gro.c."""
    gro_checks_cwr_difference: bool
    """A CWR flag unlike the held packet's stops merging, whichever has it. G14, net/ipv4/tcp_offload.c."""
    tcp_gro_fraglist: bool
    """rx-gro-list also chains TCP segments (at most 64). G14 and recording note 22, net/ipv4/tcp_offload.c."""

    udp_enqueue_adds_size: bool
    """UDP drops if rmem + size > rcvbuf unless rmem is 0; else only if rmem > rcvbuf. U3, U4, net/ipv4/udp.c."""
    udp_producers_batch: bool
    """UDP producers share a lock-less list, one queues for all; else a busylock above rcvbuf/2. U3, net/ipv4/udp.c."""
    tcp_ingest_adds_len: bool
    """TCP takes data while rmem + skb->len <= rcvbuf; else while rmem <= rcvbuf. T4, net/ipv4/tcp_input.c."""
    tcp_nomem_ack: bool
    """Data refused for memory is answered by an ACK with window 0. T4, net/ipv4/tcp_input.c."""

    skb_defer_max: int
    """skbs a CPU's deferred-free list may hold, above 0. T7, net/core/skbuff.c, net/core/hotdata.c."""
    skb_defer_per_node: bool
    """Deferred frees go to one list per NUMA node of the freeing CPU, not to one list. T7, net/core/skbuff.c."""
    udp_readers_defer: bool
    """UDP readers too give skbs back to the CPU that allocated them. T7, net/ipv4/udp.c."""

    rmem_max: int
    """Boot value of net.core.rmem_max in bytes (rmem_default is 212992 everywhere). Section 1, net/core/sock.c."""
    tcp_rmem_max_cap: int
    """Cap in bytes of the boot value of tcp_rmem[2]; a share of RAM bounds it too. Section 1, net/ipv4/tcp.c."""

    defer_hard_irqs_per_napi: bool
    """napi_defer_hard_irqs and gro_flush_timeout may be set for one NAPI, not just a device. P7, net/core/dev.c."""
    has_irq_suspend_timeout: bool
    """NAPIs have an irq_suspend_timeout. P7, net/core/dev.c."""
    counts_ip_out_transmits: bool
    """IpOutTransmits is counted and shown. Recording note 22, net/ipv4/ip_output.c."""
    counts_icmp_rate_limits: bool
    """ICMP errors that a limit kept back are counted: OutRateLimitGlobal, OutRateLimitHost. 6.3 on, net/ipv4/icmp.c."""


_6_1: Final = Rules(
    release="6.1",
    softirq_defers_to_ksoftirqd=True,
    in_net_rx_action_suppresses_raise=False,
    restarts_list_in_call=False,
    softnet_stat_columns=13,
    has_rps_default_mask=False,
    interrupts_chip_blanks=2,
    device_down_counted_in_softnet_dropped=True,
    device_down_drop_reason="NOT_SPECIFIED",
    enqueue_early_drop=False,
    input_queue_head_per_packet=True,
    backlog_threads_supported=False,
    flow_limit_by_hash_32=False,
    dev_flow_slot_by_hash_32=False,
    arfs_checks_slot_owner=False,
    arfs_lookup_by_tuple=False,
    gro_ipv4_big_tcp=False,
    gro_fixed_id_without_df=False,
    gro_checks_cwr_difference=False,
    tcp_gro_fraglist=False,
    udp_enqueue_adds_size=False,
    udp_producers_batch=False,
    tcp_ingest_adds_len=False,
    tcp_nomem_ack=False,
    skb_defer_max=64,
    skb_defer_per_node=False,
    udp_readers_defer=False,
    rmem_max=212_992,
    tcp_rmem_max_cap=6 << 20,
    defer_hard_irqs_per_napi=False,
    has_irq_suspend_timeout=False,
    counts_ip_out_transmits=False,
    counts_icmp_rate_limits=False,
)

_6_9: Final = replace(
    _6_1,
    release="6.9",
    softirq_defers_to_ksoftirqd=False,
    in_net_rx_action_suppresses_raise=True,
    restarts_list_in_call=True,
    softnet_stat_columns=15,
    has_rps_default_mask=True,
    gro_ipv4_big_tcp=True,
    tcp_nomem_ack=True,
    counts_ip_out_transmits=True,
    counts_icmp_rate_limits=True,
)

_6_12: Final = replace(
    _6_9,
    release="6.12",
    device_down_counted_in_softnet_dropped=False,
    device_down_drop_reason="DEV_READY",
    enqueue_early_drop=True,
    input_queue_head_per_packet=False,
    backlog_threads_supported=True,
    tcp_gro_fraglist=True,
)

_6_18: Final = replace(
    _6_12,
    release="6.18",
    interrupts_chip_blanks=1,
    flow_limit_by_hash_32=True,
    dev_flow_slot_by_hash_32=True,
    arfs_checks_slot_owner=True,
    arfs_lookup_by_tuple=True,
    gro_fixed_id_without_df=True,
    gro_checks_cwr_difference=True,
    udp_enqueue_adds_size=True,
    udp_producers_batch=True,
    tcp_ingest_adds_len=True,
    skb_defer_max=128,
    skb_defer_per_node=True,
    udp_readers_defer=True,
    rmem_max=4_194_304,
    tcp_rmem_max_cap=32 << 20,
    defer_hard_irqs_per_napi=True,
    has_irq_suspend_timeout=True,
)

RULES: Final[Mapping[str, Rules]] = MappingProxyType({rules.release: rules for rules in (_6_1, _6_9, _6_12, _6_18)})
"""Every release softnet knows, oldest first."""


def rules_for(name: str) -> Rules:
    """The rules of release `name`, one of `RULES`. Raises ConfigError naming the nearest release that is known."""
    rules = RULES.get(name)
    if rules is None:
        raise ConfigError(
            f"kernel release {name!r} is not one of {', '.join(RULES)}; the nearest is {nearest_release(name)}"
        )
    return rules


def nearest_release(name: str) -> str:
    """Return the known release closest to `name`: by number if it is one (6.10 lies next to 6.9), else by spelling."""
    numbers = name.removeprefix("v").split(".")
    if len(numbers) >= 2 and all(part.isascii() and part.isdigit() and len(part) <= 4 for part in numbers[:2]):
        wanted = int(numbers[0]) * 100 + int(numbers[1])
        return min(RULES, key=lambda release: abs(_ordinal(release) - wanted))
    return get_close_matches(name, RULES, n=1, cutoff=0.0)[0]


def _ordinal(release: str) -> int:
    major, minor = release.split(".")
    return int(major) * 100 + int(minor)
