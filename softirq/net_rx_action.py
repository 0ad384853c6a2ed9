"""NET_RX_SOFTIRQ.

Models: N1-N8, P1-P4, Z1, Z2, K5: budget, time limit, repoll, time_squeeze with its cause, the order of what is left.
Leaves out: busy polling.
Source: net/core/dev.c net_rx_action, napi_poll, __napi_poll (6.1, 6.9).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from cpus.cpu import NET_RX_SOFTIRQ, Cpu
from softirq.backlog import net_rps_action, process_backlog
from softirq.completion import napi_complete_done
from softirq.gro import end_of_poll, napi_gro_flush
from softirq.napi import Napi, napi_schedule

if TYPE_CHECKING:
    from softirq.net import Net
    from softirq.softnet_data import SoftnetData


class NetRxAction:
    """The handler of NET_RX_SOFTIRQ on every CPU of a machine."""

    def __init__(self, net: Net) -> None:
        self._net = net

    def __call__(self, cpu: Cpu) -> Awaitable[None]:
        """net_rx_action on `cpu`."""
        return net_rx_action(self._net.softnet[cpu.index])


async def net_rx_action(sd: SoftnetData) -> None:
    """Poll each listed NAPI once, until the list is empty or a limit is met; then put back what is left and send IPIs."""
    cpu = sd.cpu
    net = sd.net
    settings = net.settings
    costs = net.costs
    sd.net_rx_actions += 1
    budget = settings.netdev_budget
    began_ns = cpu.local_now_ns
    jiffies = net.jiffies
    time_limit_ns = jiffies.deadline_ns(began_ns, jiffies.usecs_to_jiffies(settings.netdev_budget_usecs))
    trace = net.poll_trace
    if trace is not None:
        trace.net_rx_action(sd, jiffies.at(time_limit_ns))
    cpu.local_now_ns += costs.net_rx_action_ns
    sd.in_net_rx_action = True
    polling, sd.poll_list = sd.poll_list, []
    position = 0
    repoll: list[Napi] = []
    while True:
        if net.defers_frees:
            if not cpu.goes_on():
                await cpu.synchronise()
            sd.defer_list.flush()
        if position == len(polling):
            if repoll:
                break
            sd.in_net_rx_action = False
            if sd.poll_list and net.rules.restarts_list_in_call:
                sd.in_net_rx_action = True
                polling, sd.poll_list = sd.poll_list, []
                position = 0
                continue
            if not sd.rps_ipi_list:
                return
            break
        napi = polling[position]
        position += 1
        if not napi.is_backlog and not cpu.goes_on():  # the backlog does so itself
            await cpu.interruptible()
        if trace is not None:
            trace.polling(sd, napi)
        work = await napi_poll(sd, napi, repoll)
        if not cpu.goes_on():
            await cpu.interruptible()
        if trace is not None:
            trace.polled(sd, napi, work)
        net.latencies.polled(work)
        budget -= work
        if budget <= 0 or cpu.local_now_ns >= time_limit_ns:
            sd.time_squeeze += 1
            if budget <= 0:
                cause = limit = "budget"
                sd.squeeze_budget += 1
            else:
                cause = "time"
                limit = f"time ({jiffies.usecs_to_jiffies(settings.netdev_budget_usecs)} ticks)"
                sd.squeeze_time += 1
            left = position < len(polling) or bool(sd.poll_list) or bool(repoll)
            sd.squeeze_with_work_left += left
            net.events.note(
                cpu.local_now_ns,
                sd.index,
                f"time_squeeze {sd.time_squeeze} by {limit} after {(cpu.local_now_ns - began_ns) / 1e6:.3f} ms, "
                f"{settings.netdev_budget - budget} of {settings.netdev_budget} polled, "
                + ("work left: NET_RX raised again" if left else "no work left"),
            )
            if trace is not None:
                names = [napi.name for napi in polling[position:] + sd.poll_list + repoll]
                trace.squeezed(sd, cause, budget, names)
            break
    sd.poll_list = polling[position:] + sd.poll_list + repoll
    if sd.poll_list:
        cpu.raise_softirq_irqoff(NET_RX_SOFTIRQ)
    else:
        sd.in_net_rx_action = False
    if sd.rps_ipi_list:
        net_rps_action(sd)


async def napi_poll(sd: SoftnetData, napi: Napi, repoll: list[Napi]) -> int:
    """Poll one NAPI; put it on `repoll` if it used its whole weight and is still its own (P1-P4). Returns its work."""
    weight = napi.weight
    if not napi.sched:
        return 0
    if napi.is_backlog:
        work = await process_backlog(sd, weight)
        if work >= weight:
            repoll.append(napi)
        return work
    work = napi.poll(sd, weight)
    assert 0 <= work <= weight, f"{napi.name} polled {work} of {weight}"
    napi.polls += 1
    napi.polled_packets += work
    if work < weight:
        return work
    napi.full_polls += 1
    if napi.disable:
        napi_complete_done(sd, napi, 0)
        return work
    if napi.prefer_busy_poll:
        if napi_complete_done(sd, napi, work):
            napi_schedule(sd, napi)
        return work
    if napi.gro_held:
        napi_gro_flush(sd, napi, sd.net.jiffies.hz >= 1000)
    end_of_poll(sd, napi)
    if napi not in sd.poll_list:
        repoll.append(napi)
    return work
