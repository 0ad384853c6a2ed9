"""Who counts interrupts: the numbered lines of devices, and the named rows of the CPUs' own.

Models: /proc/interrupts and the numbers that /proc/stat gives of it. Owners on upper floors add their lines and rows.
Leaves out: rows of interrupts that cannot happen here (NMI, spurious, thermal ...).
Source: kernel/irq/proc.c show_interrupts, fs/proc/stat.c show_all_irqs, arch/x86/kernel/irq.c and apic/vector.c (6.9), a real 6.18.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cpus.cpu import Cpu

LEGACY_AND_IOAPIC_IRQS: Final = 24 + 16
"""Pins of one I/O APIC and the legacy interrupts, as on a usual x86 server."""


@dataclass(frozen=True, slots=True)
class IrqLine:
    """One numbered interrupt. `counts` is its owner's list of interrupts taken, by CPU number."""

    irq: int
    counts: list[int]
    chip: str
    """Interrupt chip, such as PCI-MSIX-0000:01:00.0."""
    hwirq: int
    """The chip's own number for it."""
    action: str
    """Name that the handler was requested under."""


@dataclass(frozen=True, slots=True)
class IrqRow:
    """A kind of interrupt that every CPU has of its own: `name` of three letters, its count on a CPU, what it is."""

    name: str
    count: Callable[[Cpu], int]
    title: str


class IrqTable:
    """All interrupts of a machine. `chip_blanks`: blanks between counts and chip in /proc/interrupts, by release."""

    def __init__(self, cpus: list[Cpu], chip_blanks: int) -> None:
        self._cpus = cpus
        self._chip_blanks = " " * chip_blanks
        self.lines: dict[int, IrqLine] = {}
        """By interrupt number."""
        self.rows: list[IrqRow] = [
            IrqRow("LOC", lambda cpu: cpu.ticks + cpu.timer_irqs, "Local timer interrupts"),
            IrqRow("RES", lambda cpu: cpu.resched_ipis, "Rescheduling interrupts"),
        ]

    def add(self, line: IrqLine) -> None:
        """Show one more interrupt. ValueError when its number is taken."""
        if line.irq in self.lines:
            raise ValueError(f"interrupt {line.irq} is {self.lines[line.irq].action} already")
        self.lines[line.irq] = line

    def remove(self, irq: int) -> None:
        """Forget an interrupt that was freed; those it has counted stay in the total."""
        del self.lines[irq]

    @property
    def nr_irqs(self) -> int:
        """Interrupt numbers the machine has (x86 arch_probe_nr_irqs): 424, and 8 a CPU."""
        probed = LEGACY_AND_IOAPIC_IRQS + 8 * len(self._cpus) + 24 * 16
        return max([probed, *(irq + 1 for irq in self.lines)])

    def interrupts(self) -> str:
        """The text of /proc/interrupts: a column for each CPU that is online, devices by number, then the CPUs' own."""
        online = [cpu for cpu in self._cpus if cpu.online]
        width = max(3, len(str(self.nr_irqs)))
        lines = [" " * (width + 8) + "".join(f"CPU{cpu.index:<8}" for cpu in online)]
        for irq in sorted(self.lines):
            line = self.lines[irq]
            counts = "".join(f" {line.counts[cpu.index]:>10}" for cpu in online)
            name = f"{line.chip:>8} {line.hwirq:>{width}}-{'edge':<8}  {line.action}"
            lines.append(f"{irq:>{width}}:{counts}{self._chip_blanks}{name}")
        for row in self.rows:
            counts = "".join(f" {row.count(cpu):>10}" for cpu in online)
            lines.append(f"{row.name:>{width}}:{counts}   {row.title}")
        return "\n".join(lines) + "\n"

    def intr(self) -> list[int]:
        """What the line `intr` of /proc/stat shows: all interrupts ever taken, then those of each number from 0 on."""
        total = sum(cpu.hardirqs + sum(row.count(cpu) for row in self.rows) for cpu in self._cpus)
        by_number = [0] * self.nr_irqs
        for irq, line in self.lines.items():
            by_number[irq] = sum(line.counts)
        return [total, *by_number]
