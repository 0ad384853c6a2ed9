"""Threaded NAPI: a kernel thread polls instead of NET_RX.

Models: P8: a schedule wakes the thread and neither lists the NAPI nor raises NET_RX; no netdev_budget, no time limit, no time_squeeze;
IPIs leave after each poll, deferred frees follow; the thread competes with applications and moves as they do.
Leaves out: threaded busy polling.
Source: net/core/dev.c napi_threaded_poll, dev_set_threaded (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cpus.accounts import SYSTEM
from cpus.cpu import Cpu
from cpus.process import Process
from softirq.backlog import net_rps_action
from softirq.napi import Napi
from softirq.net_rx_action import napi_poll

if TYPE_CHECKING:
    from softirq.device import NetDevice
    from softirq.net import Net


def dev_set_threaded(net: Net, dev: NetDevice, threaded: bool) -> None:
    """Write /sys/class/net/IF/threaded: each NAPI has a thread of its own, or none. Takes effect at its next schedule."""
    dev.threaded = threaded
    for number, napi in enumerate(dev.napis):
        if threaded and napi.thread is None:
            napi.thread = NapiThread(net, napi, f"napi/{dev.name}-{number}")
        napi.threaded = threaded


class NapiThread:
    """The thread of one NAPI, and the port to which a schedule posts its wake-up: which CPU it runs on is decided in the one order."""

    frames = 0
    """A wake-up on its way holds no frame."""

    def __init__(self, net: Net, napi: Napi, name: str) -> None:
        first = next(sd.cpu for sd in net.softnet if sd.cpu.online)
        self._net = net
        self._napi = napi
        self.process = Process(name, None, (1 << len(net.softnet)) - 1, first)
        """It may run on every CPU, sleeps, and was last seen on the lowest one online."""
        self.process.is_ksoftirqd = False
        self.process.account = SYSTEM
        self.process.kthread = self._poll

    def deliver(self, stamp_ns: int, sender: Cpu, item: NapiThread) -> None:
        """Wake the thread on behalf of the CPU that scheduled its NAPI at `stamp_ns`."""
        sender.try_to_wake_up(self.process, stamp_ns, sender)

    async def _poll(self, cpu: Cpu) -> bool:
        return await napi_threaded_poll(self._net, self._napi, cpu)


async def napi_threaded_poll(net: Net, napi: Napi, cpu: Cpu) -> bool:
    """Once around the thread's loop: poll with BH off, send IPIs, BH on. True while the NAPI used its whole weight."""
    sd = net.softnet[cpu.index]
    repoll: list[Napi] = []
    sd.in_napi_threaded_poll = True
    await cpu.interruptible()
    trace = net.poll_trace
    if trace is not None:
        trace.polling(sd, napi)
    work = await napi_poll(sd, napi, repoll)
    await cpu.interruptible()
    if trace is not None:
        trace.polled(sd, napi, work)
    sd.in_napi_threaded_poll = False
    net.latencies.polled(work)
    if sd.rps_ipi_list:
        net_rps_action(sd)
    if net.defers_frees:
        await cpu.synchronise()
        sd.defer_list.flush()
    if cpu.softirq_pending:
        cpu.do_softirq = True
    return bool(repoll)
