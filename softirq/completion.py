"""End of polling: napi_complete_done, its GRO flush and its watchdog timer.

Models: P6, P7: gro_flush_timeout, napi_defer_hard_irqs, MISSED.
Leaves out: busy polling.
Source: net/core/dev.c (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpus.cpu import Cpu
from softirq.gro import end_of_poll, napi_gro_flush
from softirq.napi import Napi, napi_schedule_irqoff

if TYPE_CHECKING:
    from softirq.softnet_data import SoftnetData


def napi_complete_done(sd: SoftnetData, napi: Napi, work: int) -> bool:
    """P6: end of polling. True if the driver may unmask its interrupt."""
    if napi.npsvc:
        return False
    dev = napi.dev
    timeout_ns = 0
    may_unmask = True
    flush_timeout_ns = dev.gro_flush_timeout_ns if napi.gro_flush_timeout_ns is None else napi.gro_flush_timeout_ns
    if work:
        if napi.gro_held:
            timeout_ns = flush_timeout_ns
        napi.defer_hard_irqs_count = (
            dev.napi_defer_hard_irqs if napi.napi_defer_hard_irqs is None else napi.napi_defer_hard_irqs
        )
    if napi.defer_hard_irqs_count > 0:
        napi.defer_hard_irqs_count -= 1
        timeout_ns = flush_timeout_ns
        if timeout_ns:
            may_unmask = False
    if napi.gro_held:
        napi_gro_flush(sd, napi, timeout_ns != 0)
    end_of_poll(sd, napi)
    napi.prefer_busy_poll = False
    if napi.missed:
        napi.missed = False
        napi_schedule_irqoff(sd, napi)
        return False
    napi.sched = False
    napi.completions += 1
    if timeout_ns:
        _start_watchdog(sd, napi, timeout_ns)
    return may_unmask


def _start_watchdog(sd: SoftnetData, napi: Napi, timeout_ns: int) -> None:
    """napi_watchdog: a timer pinned to this CPU that schedules the NAPI again, without setting MISSED (P6).

    It moves with what a dead CPU leaves behind, and lists the NAPI on the CPU that takes it.
    """
    softnet = sd.net.softnet
    if napi.timer is not None:
        napi.timer.withdrawn = True

    def expire(cpu: Cpu) -> None:
        napi.timer = None
        if not napi.disable and not napi.sched:
            napi.sched = True
            napi.prefer_busy_poll = False
            napi_schedule_irqoff(softnet[cpu.index], napi)

    napi.timer = sd.cpu.start_timer(sd.cpu.local_now_ns + timeout_ns, expire)
