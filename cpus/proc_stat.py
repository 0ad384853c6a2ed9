"""/proc/stat and /proc/uptime: what the CPUs have done since the machine was booted, in ticks of USER_HZ.

Models: every field that a CPU's accounts can fill. Softirqs that ksoftirqd ran are softirq time, as the kernel books them.
Leaves out: nice, iowait and steal (read 0): no process is niced here, nothing waits for a disk, nobody shares the CPU.
Source: fs/proc/stat.c show_stat, fs/proc/uptime.c, kernel/sched/cputime.c irqtime_account_process_tick (6.9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cpus.accounts import HARDIRQ, IDLE, KSOFTIRQD, SOFTIRQ, SYSTEM, USER
from emu.boot import BTIME_S

if TYPE_CHECKING:
    from cpus.cpu import Cpu
    from cpus.irq_table import IrqTable

USER_HZ: Final = 100
TICK_NS: Final = 1_000_000_000 // USER_HZ


def proc_stat(cpus: list[Cpu], irqs: IrqTable, now_ns: int) -> str:
    """The text of /proc/stat as of `now_ns`, with a line for each CPU that is online; the sums are of all CPUs."""
    times = [_times_ns(cpu, now_ns) for cpu in cpus]
    total = [sum(column) for column in zip(*times, strict=True)]
    lines = [f"cpu  {_ticks(total)}"]
    lines += [f"cpu{cpu.index} {_ticks(spent)}" for cpu, spent in zip(cpus, times, strict=True) if cpu.online]
    softirqs = [sum(column) for column in zip(*(cpu.softirq_counts for cpu in cpus), strict=True)]
    lines += [
        f"intr {' '.join(map(str, irqs.intr()))}",
        f"ctxt {sum(cpu.context_switches + cpu.switches_to_idle for cpu in cpus)}",
        f"btime {BTIME_S}",
        f"processes {sum(cpu.forks for cpu in cpus)}",
        f"procs_running {sum(cpu.runqueue.nr_running for cpu in cpus)}",
        "procs_blocked 0",
        f"softirq {sum(softirqs)} {' '.join(map(str, softirqs))}",
    ]
    return "\n".join(lines) + "\n"


def proc_uptime(cpus: list[Cpu], now_ns: int) -> str:
    """The text of /proc/uptime: seconds since boot, and idle seconds of all CPUs together; hundredths, rounded down."""
    idle_ns = sum(_times_ns(cpu, now_ns)[3] for cpu in cpus)
    return f"{_seconds(now_ns)} {_seconds(idle_ns)}\n"


def _times_ns(cpu: Cpu, now_ns: int) -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice; time spent offline is in none of them."""
    spent = cpu.accounts.at(now_ns)
    idle_ns = max(spent[IDLE] - cpu.offline_ns_at(now_ns), 0)
    return [spent[USER], 0, spent[SYSTEM], idle_ns, 0, spent[HARDIRQ], spent[SOFTIRQ] + spent[KSOFTIRQD], 0, 0, 0]


def _ticks(times_ns: list[int]) -> str:
    return " ".join(str(spent_ns // TICK_NS) for spent_ns in times_ns)


def _seconds(time_ns: int) -> str:
    ticks = time_ns // TICK_NS
    return f"{ticks // USER_HZ}.{ticks % USER_HZ:02d}"
